"""A refund's story for its page: journal, attempts and deliveries in one line of time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from refunds.models import Attempt, Delivery, Event, Refund, UnmatchedRefund

STEP_WORDS: Mapping[str, Any] = {
    "requested": gettext_lazy("Requested"),
    "resubmitted": gettext_lazy("Answered and resubmitted"),
    "withdrawn": gettext_lazy("Withdrawn"),
    "approved": gettext_lazy("Approved"),
    "approved by one": gettext_lazy("Approved by one of two"),
    "approval taken back": gettext_lazy("Approval taken back"),
    "approval void": gettext_lazy("Approval void"),
    "rejected": gettext_lazy("Rejected"),
    "returned": gettext_lazy("Returned with a question"),
    "sending": gettext_lazy("Being sent"),
    "processing": gettext_lazy("Processing"),
    "succeeded": gettext_lazy("Succeeded"),
    "failed": gettext_lazy("Failed"),
    "reversed": gettext_lazy("Reversed"),
    "confirmed": gettext_lazy("Confirmed"),
    "heard again": gettext_lazy("Heard again"),
    "not sent": gettext_lazy("Not sent"),
    "no answer": gettext_lazy("No answer"),
    "asked": gettext_lazy("Asked to check with the gateway"),
    "sent by hand": gettext_lazy("Sent by hand"),
    "looked at": gettext_lazy("Somebody looked at it"),
    "outcome proposed": gettext_lazy("Outcome proposed, waits for a second person"),
    "declared": gettext_lazy("Outcome declared by two people"),
    "proposal dropped": gettext_lazy("Proposal dropped"),
    "found there": gettext_lazy("Found at the gateway by a person"),
    "cancel asked": gettext_lazy("Asked to cancel it at the gateway"),
    "cancel lost": gettext_lazy("Not cancelled at the gateway"),
    "cancelled": gettext_lazy("Cancelled at the gateway"),
    "left to people": gettext_lazy("Nobody can be asked: people have to look"),
    "ambiguous": gettext_lazy("More than one refund there could be this one"),
    "not there": gettext_lazy("No longer shown by the gateway"),
    "unclear": gettext_lazy("The gateway's word settles nothing"),
    "does not match": gettext_lazy("What the gateway says does not match"),
    "no final word": gettext_lazy("Still no final word"),
    "refused, yet unclear": gettext_lazy("Refused, yet an earlier order may have been carried out"),
    "contradicted": gettext_lazy("The gateway contradicts the end"),
    "doubted": gettext_lazy("In doubt again"),
    "both may be paid": gettext_lazy("Another refund of this payment may be paid, too"),
    "cannot be asked": gettext_lazy("The gateway cannot be asked"),
    "payment": gettext_lazy("Payment"),
    "adopted": gettext_lazy("Found at the gateway"),
}

KIND_WORDS: Mapping[str, Any] = {
    Attempt.Kind.SEND: pgettext_lazy("to the gateway", "Order"),
    Attempt.Kind.LOOK_UP: gettext_lazy("Look-up"),
    Attempt.Kind.CANCEL: gettext_lazy("Cancel"),
}

MOST_LOOSE = 1000  # deliveries without a refund of their own: the latest of the account are looked through
FEWEST_FOLDED = 3


@dataclass(frozen=True)
class Line:
    """`kind` is "event", "attempt", "delivery" or "fold"; `folded` are look-ups that told nothing new."""

    at: datetime
    kind: str
    title: str
    who: str
    text: str = ""
    status: str = ""
    raw: list[dict[str, Any]] = field(default_factory=list)
    is_look_up: bool = False
    folded: list[Line] = field(default_factory=list)


def timeline(refund: Refund, events: Sequence[Event], *, raw: bool) -> list[Line]:
    """Oldest first; what is of one moment keeps its order. `events` is the refund's journal."""
    lines = [of_event(event) for event in events]
    lines += [_of_attempt(attempt, raw) for attempt in refund.attempts.all()]
    lines += [_of_delivery(delivery, raw) for delivery in refund.deliveries.select_related("account")]
    lines += [_of_another(delivery, raw) for delivery in about_its_payment(refund)]
    return _folded(sorted(lines, key=lambda line: line.at))


def about_its_payment(refund: Refund) -> list[Delivery]:
    """Deliveries that speak of this refund's payment and were not applied to it; the loose ones as far as is cheap."""
    payment = refund.payment
    deliveries = Delivery.objects.select_related("account", "refund")
    if refund.source == Refund.Source.HOUSE:
        deliveries = deliveries.filter(received_at__gte=refund.requested_at)
    kept = UnmatchedRefund.objects.filter(payment=payment, delivery__isnull=False).values("delivery")
    siblings = payment.refunds.exclude(pk=refund.pk).values("pk")
    knocks = deliveries.filter(refund__in=siblings, result__in=(Delivery.Result.KNOCK, Delivery.Result.IGNORED))
    # Two questions, since each has an index of its own and both in one have none.
    known = [*deliveries.filter(pk__in=kept).exclude(refund=refund), *knocks]
    loose = Delivery.objects.filter(account=refund.account, refund=None).order_by("-pk").values("pk")[:MOST_LOOSE]
    spoken = deliveries.filter(pk__in=loose, body__contains=payment.reference)
    name = re.compile(rf"(?<![\w-]){re.escape(payment.reference)}(?![\w-])")  # pay-1 is not pay-10
    found = {one.pk: one for one in (*known, *(one for one in spoken if name.search(one.body)))}
    return list(found.values())


def title_of(event: Event) -> str:
    return str(STEP_WORDS.get(event.step, event.step.capitalize()))


def who(event: Event) -> str:
    """The person, or by which mouth it came."""
    if event.source == Event.Source.WORKER:
        return _("worker")
    return event.actor if event.source == Event.Source.PERSON else f"{event.actor} · {event.get_source_display()}"


def of_event(event: Event) -> Line:
    moved = event.to_status if event.from_status != event.to_status else ""
    return Line(event.at, "event", title_of(event), who(event), event.text, moved)


def _of_attempt(attempt: Attempt, raw: bool) -> Line:
    exchanges = [{**exchange, "pretty": pretty(exchange)} for exchange in attempt.exchanges] if raw else []
    text = f"{attempt.get_outcome_display().capitalize()}" + (f": {attempt.said}" if attempt.said else "")
    if attempt.bundle:
        text += " · " + _("in one call with orders of other refunds")
    is_look_up = attempt.kind == Attempt.Kind.LOOK_UP and attempt.outcome != Attempt.Outcome.OPEN
    title = str(KIND_WORDS[attempt.kind])
    return Line(attempt.started_at, "attempt", title, _("worker"), text, raw=exchanges, is_look_up=is_look_up)


def _of_delivery(delivery: Delivery, raw: bool) -> Line:
    text = f"{delivery.get_result_display().capitalize()}" + (f": {delivery.why}" if delivery.why else "")
    shown = [{"pretty": delivery.body}] if raw else []
    return Line(delivery.received_at, "delivery", _("Webhook received"), str(delivery.account), text, raw=shown)


def _of_another(delivery: Delivery, raw: bool) -> Line:
    """A delivery that moved nothing here, and whose it is."""
    whose = _("It was taken as one about %(refund)s.") % {"refund": delivery.refund} if delivery.refund else ""
    line = _of_delivery(delivery, raw)
    title = _("Webhook about this payment, not applied to this refund")
    return replace(line, kind="delivery beside", title=title, text=f"{line.text} {whose}".strip())


def _folded(lines: Sequence[Line]) -> list[Line]:
    """Look-ups that nothing but another look-up follows have told nothing new: many of them make one line."""
    shown: list[Line] = []
    run: list[Line] = []
    for line, following in zip(lines, [*lines[1:], None], strict=True):
        if line.is_look_up and (following is None or following.is_look_up):
            run.append(line)
        else:
            shown += [*_as_one(run), line]
            run = []
    return [*shown, *_as_one(run)]


def _as_one(run: list[Line]) -> list[Line]:
    if len(run) < FEWEST_FOLDED:
        return run
    title = ngettext("%(n)s look-up, nothing new", "%(n)s look-ups, nothing new", len(run)) % {"n": len(run)}
    return [Line(run[0].at, "fold", title, "", run[-1].text, folded=run)]


def pretty(exchange: dict[str, Any]) -> str:
    """One exchange as text, as it went over the wire."""
    asked = "\n".join(f"{name}: {value}" for name, value in exchange.get("request_headers", {}).items())
    told = "\n".join(f"{name}: {value}" for name, value in exchange.get("response_headers", {}).items())
    return "\n".join(
        part
        for part in (
            f"{exchange.get('method', '')} {exchange.get('url', '')}",
            asked,
            exchange.get("request_body", ""),
            "",
            f"→ {exchange.get('status') or exchange.get('accident', '')}",
            told,
            _indented(exchange.get("response_body", "")),
        )
        if part is not None
    )


def _indented(body: str) -> str:
    """As it is where it cannot be read, or not be written: too deep, or with half a pair of surrogates."""
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError):
        return body
    return text
