"""What has to be true of a refund: at any moment, also right after a kill, and once all is quiet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from django_tasks_db.models import DBTaskResult

from gateways.contract import Repeat
from gateways.registry import gateway_class
from refunds.history.fold import Chain, flaws_of_payment, flaws_of_refund
from refunds.models import Attempt, Event, Payment, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY, AWAITING
from tests.faults.door import Door
from tests.faults.table import COMES_HOME

WANTS_MORE = frozenset({Status.APPROVED, *AT_THE_GATEWAY})
MAY_BE_PAID = frozenset({Status.SUCCEEDED, *AWAITING})
HOME = frozenset({Status.SUCCEEDED, Status.FAILED, Status.WITHDRAWN})


def at_any_moment(refund: Refund) -> Iterator[str]:
    """Status, version and sums are what the journal says, and whatever wants more has its moment or a person."""
    payment, lines = Payment.objects.get(pk=refund.payment_id), defaultdict(list)
    for line in Event.objects.filter(payment=payment).order_by("sequence"):
        lines[line.refund_id].append(line)
    refunds = [(one, Chain(lines[one.pk])) for one in payment.refunds.all()]
    yield from flaws_of_payment(payment, Chain(lines[None]), refunds)
    for one, journal in refunds:
        yield from flaws_of_refund(one, journal)
        if one.pk != refund.pk:
            yield f"Nobody asked for {one}, yet it is there."
        if (one.status in WANTS_MORE or one.to_confirm) and not (one.ask_at or one.needs_attention):
            yield f"{one} is {one.status}, and nobody will ever go on with it."


def at_rest(refund: Refund, door: Door) -> Iterator[str]:
    """Money moved once at most, and the refund says so, or has called a person once."""
    refund = Refund.objects.select_related("account", "payment").get(pk=refund.pk)
    moved = [move for move in door.sandbox.ledger() if move["payment"] == refund.payment.reference]
    yield from at_any_moment(refund)
    yield from door.wrong
    if len(moved) > 1 or sum(move["minor"] for move in moved) > refund.payment.captured:
        yield f"{len(moved)} movements of money for one refund."
    if len(set(door.orders)) > 1:
        yield f"Orders that differ: {door.orders}."
    if len(door.orders) > 1 and gateway_class(door.gateway).can.repeat is Repeat.NEVER:
        yield f"It was sent {len(door.orders)} times, where nothing may go again."
    yield from _end(refund, len(moved))
    if refund.status in AWAITING and not refund.needs_attention:
        yield f"It is {refund.status} for ever, and no person was called."
    if refund.needs_attention and (n := refund.events.filter(text=refund.needs_attention).count()) != 1:
        yield f"A person was called {n} times."
    yield from (f"A job went wrong: {job.traceback}" for job in DBTaskResult.objects.failed())


def _end(refund: Refund, n_moved: int) -> Iterator[str]:
    if n_moved and refund.status not in MAY_BE_PAID:
        yield f"The money went back, and the refund is {refund.status}."
    if not n_moved and refund.status in (Status.SUCCEEDED, Status.PROCESSING):
        yield f"No money went back, and the refund is {refund.status}."
    if _comes_home(refund, n_moved) and refund.status not in HOME:
        yield f"It could have come home, and is {refund.status}."
    if refund.status == Status.FAILED and not _is_proven(refund):
        yield "It failed without evidence."


def _comes_home(refund: Refund, n_moved: int) -> bool:
    """They have named it, or can be asked, or can be sent it again, and have not refused that."""
    when_done, when_not_done = COMES_HOME[refund.account.gateway]
    if refund.reference or n_moved:
        return bool(refund.reference) or when_done
    return when_not_done and not refund.attempts.filter(outcome=Attempt.Outcome.REFUSED).exists()


def _is_proven(refund: Refund) -> bool:
    """By the gateway's word, the refusal of an order, or two people."""
    line = refund.events.filter(to_status=Status.FAILED).exclude(from_status=Status.FAILED).last()
    evidence = {
        Event.Source.ANSWER: refund.attempts.filter(outcome=Attempt.Outcome.REFUSED),
        Event.Source.LOOK_UP: refund.events.filter(pk=line.pk).exclude(heard=""),
        Event.Source.WEBHOOK: refund.events.filter(pk=line.pk).exclude(heard=""),
        Event.Source.PERSON: refund.declarations.filter(outcome="failed", confirmed_by__isnull=False),
    }
    return line.source in evidence and evidence[line.source].exists()
