"""A refund's story for its page: journal, attempts and deliveries in one line of time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from refunds.models import Attempt, Delivery, Event, Refund

STEP_WORDS = {
    "requested": "Requested",
    "resubmitted": "Answered and resubmitted",
    "withdrawn": "Withdrawn",
    "approved": "Approved",
    "approved by one": "Approved by one of two",
    "approval taken back": "Approval taken back",
    "approval void": "Approval void",
    "rejected": "Rejected",
    "returned": "Returned with a question",
    "sending": "Being sent",
    "not sent": "Not sent",
    "no answer": "No answer",
    "asked": "Asked to check with the gateway",
    "sent by hand": "Sent by hand",
    "looked at": "Somebody looked at it",
    "outcome proposed": "Outcome proposed, waits for a second person",
    "declared": "Outcome declared by two people",
    "proposal dropped": "Proposal dropped",
    "found there": "Found at the gateway by a person",
    "cancel asked": "Asked to cancel it at the gateway",
    "cancel lost": "Not cancelled at the gateway",
    "cancelled": "Cancelled at the gateway",
    "left to people": "Nobody can be asked: people have to look",
    "ambiguous": "More than one refund there could be this one",
    "not there": "No longer shown by the gateway",
    "unclear": "The gateway's word settles nothing",
    "does not match": "What the gateway says does not match",
    "no final word": "Still no final word",
    "refused, yet unclear": "Refused, yet an earlier order may have been carried out",
    "contradicted": "The gateway contradicts the end",
    "doubted": "In doubt again",
    "both may be paid": "Another refund of this payment may be paid, too",
    "cannot be asked": "The gateway cannot be asked",
    "payment": "Payment",
    "adopted": "Found at the gateway",
}


@dataclass(frozen=True)
class Line:
    """One entry: `raw` holds exchanges for those who may read them."""

    at: datetime
    kind: str
    title: str
    who: str
    text: str
    status: str = ""
    raw: list[dict[str, Any]] = field(default_factory=list)


def timeline(refund: Refund, *, raw: bool) -> list[Line]:
    """Oldest first; what is of one moment keeps its order."""
    lines = [_of_event(event) for event in refund.events.all()]
    lines += [_of_attempt(attempt, raw) for attempt in refund.attempts.all()]
    lines += [_of_delivery(delivery, raw) for delivery in refund.deliveries.all()]
    return sorted(lines, key=lambda line: line.at)


def _of_event(event: Event) -> Line:
    moved = event.to_status if event.from_status != event.to_status else ""
    title = STEP_WORDS.get(event.step, event.step.capitalize())
    by = event.actor if event.source == Event.Source.PERSON else f"{event.actor} · {event.get_source_display()}"
    return Line(event.at, "event", title, "worker" if event.source == Event.Source.WORKER else by, event.text, moved)


def _of_attempt(attempt: Attempt, raw: bool) -> Line:
    exchanges = [{**exchange, "pretty": _pretty(exchange)} for exchange in attempt.exchanges] if raw else []
    text = f"{attempt.get_outcome_display().capitalize()}" + (f": {attempt.said}" if attempt.said else "")
    return Line(attempt.started_at, "attempt", attempt.get_kind_display().capitalize(), "worker", text, raw=exchanges)


def _of_delivery(delivery: Delivery, raw: bool) -> Line:
    text = f"{delivery.get_result_display().capitalize()}" + (f": {delivery.why}" if delivery.why else "")
    shown = [{"pretty": delivery.body}] if raw else []
    return Line(delivery.received_at, "delivery", "Webhook received", str(delivery.account), text, raw=shown)


def _pretty(exchange: dict[str, Any]) -> str:
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
