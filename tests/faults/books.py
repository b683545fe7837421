"""Whether what is stored of some payments fits together: sums, statuses, journal, approvals and orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from django.db.models import DateTimeField, F

from gateways.registry import gateway_class
from refunds.history.verify import Verdict, _flaws_of
from refunds.models import Approval, Attempt, Delivery, Event, Payment, Refund, UnmatchedRefund
from refunds.models.refund import AT_THE_GATEWAY, HOLDING

CHANCE = ("correlation", "digest")  # of a line: different each time
OF_REFUNDS = ("public_id", "reference", "key", "identifiers", "details")
OF_EXCHANGES = ("order", "body_digest", "before", "text", "data", "heard", "headers", "body", "why")
NAMES = (*CHANCE, *OF_REFUNDS, *OF_EXCHANGES)
OVER = ("succeeded", "failed", "reversed")


def faults(payments: Collection[int]) -> list[str]:
    """A line for all that is wrong, with the kind of wrong in front: "sums: …"."""
    refunds = list(Refund.objects.filter(payment__in=payments))
    return [*_of_payments(payments, refunds), *_of_refunds(refunds), *_of_moves(refunds), *_by_verify(payments)]


def _by_verify(payments: Collection[int]) -> Iterator[str]:
    """What the desk's own verification finds, chains included."""
    for _, flaws in _flaws_of(sorted(payments), Verdict()):
        yield from (f"verify: {flaw}" for flaw in flaws)


def _of_payments(payments: Collection[int], refunds: list[Refund]) -> Iterator[str]:
    lines = Counter(Event.objects.filter(payment__in=payments, refund=None).values_list("payment", flat=True))
    for payment in Payment.objects.filter(pk__in=payments).select_related("account"):
        ours = [refund for refund in refunds if refund.payment_id == payment.pk]
        held = sum(refund.amount for refund in ours if refund.status in HOLDING)
        refunded = sum(refund.amount for refund in ours if refund.status == "succeeded")
        if (payment.held, payment.refunded) != (held, refunded):
            yield f"sums: {payment} says {payment.held}, {payment.refunded}; its refunds say {held}, {refunded}"
        if max(held, payment.held) + max(refunded, payment.refunded) > payment.captured:
            yield f"over: {payment.captured} was captured of {payment}, {held} + {refunded} is spoken for"
        if payment.version != lines[payment.pk]:
            yield f"journal: {payment} is at version {payment.version}, with {lines[payment.pk]} lines"
        n_on_their_way = sum(refund.status in AT_THE_GATEWAY for refund in ours)
        if n_on_their_way > 1 and not gateway_class(payment.account.gateway).can.several:
            yield f"slot: {n_on_their_way} refunds of {payment} are on their way"


def _of_moves(refunds: list[Refund]) -> Iterator[str]:
    """What is over moves again only on a look-up: what was paid comes back, what was not paid is in doubt."""
    moved = Event.objects.filter(refund__in=refunds, from_status__in=OVER).exclude(to_status=F("from_status"))
    for line in moved:
        wanted = "reversed" if line.from_status == "succeeded" else "unknown"
        if (line.to_status, line.source) != (wanted, Event.Source.LOOK_UP):
            yield f"regress: {line} of {line.refund_id}, {line.from_status} → {line.to_status} by {line.source}"


def _of_refunds(refunds: list[Refund]) -> Iterator[str]:
    written: dict[int, list[tuple[int, str]]] = {refund.pk: [] for refund in refunds}
    lines = Event.objects.filter(refund__in=refunds).order_by("sequence", "pk")
    for pk, sequence, status in lines.values_list("refund", "sequence", "to_status"):
        written[pk].append((sequence, status))
    approvals = Counter(Approval.objects.filter(refund__in=refunds).values_list("refund", "revision"))
    opened = Attempt.objects.filter(refund__in=refunds, kind="send", outcome="open")
    orders = Counter(opened.values_list("refund", flat=True))
    for refund in refunds:
        sequences, statuses = zip(*written[refund.pk], strict=True)
        if sequences != tuple(range(1, refund.version + 1)):
            yield f"journal: {refund} is at version {refund.version}, with lines {sequences}"
        if statuses[-1] != refund.status:
            yield f"journal: {refund} is {refund.status}, its last line says {statuses[-1]}"
        if approvals[refund.pk, refund.revision] > refund.approvals_needed:
            yield f"approvals: {refund} was approved {approvals[refund.pk, refund.revision]} times"
        if orders[refund.pk] > 1:
            yield f"orders: {refund} has {orders[refund.pk]} open ones"


def dump(payment: Payment | None = None) -> list[dict[str, Any]]:
    """Every row of the desk without its number and its moments; of one payment also without all names."""
    whose = {} if payment is None else {"payment": payment.pk}
    rows: list[Any] = list(Payment.objects.filter(pk=payment.pk) if payment else Payment.objects.order_by("pk"))
    for kind in (Refund, Event, UnmatchedRefund):
        rows += kind.objects.filter(**whose).order_by("pk")
    for kind in (Attempt, Approval, Delivery):
        rows += kind.objects.filter(**{f"refund__{name}": pk for name, pk in whose.items()}).order_by("pk")
    return [_plain(row, without=NAMES if payment else CHANCE) for row in rows]


def _plain(row: Any, without: Collection[str]) -> dict[str, Any]:
    """Of a moment or a link only whether there is one."""
    fields = [field for field in row._meta.concrete_fields if not field.primary_key and field.name not in without]
    told = {field.name: getattr(row, field.attname) for field in fields}
    bare = {field.name for field in fields if field.is_relation or isinstance(field, DateTimeField)}
    shown = {name: value is not None if name in bare else value for name, value in told.items()}
    return {"row": type(row).__name__, **shown}
