"""The journal's lines: one for each step of a refund or a payment, chained to the line before."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from django.db import transaction
from django.utils import timezone, translation

from refunds import correlation
from refunds.history.chain import link
from refunds.history.kept import digest_at
from refunds.models import Event, Payment, Refund
from refunds.services.actor import Actor
from refunds.services.notices import book

log = logging.getLogger("refunds")


def in_english() -> translation.override:
    """Around what is put into words to be kept: the journal stays English, whoever acts and in whatever language."""
    return translation.override("en")


def line_of(
    of: Refund | Payment,
    step: str,
    by: Actor,
    *,
    was: str = "",
    text: str = "",
    data: dict[str, Any] | None = None,
    heard: str = "",
) -> Event:
    """The line, not saved yet, that goes with the version that `of` has come to."""
    payment, refund = (of.payment, of) if isinstance(of, Refund) else (of, None)
    line = Event(
        payment=payment,
        refund=refund,
        sequence=of.version,
        step=step,
        from_status=was,
        to_status=of.status,
        actor=by.name,
        actor_user=by.user,
        source=by.source,
        at=timezone.now(),
        text=text,
        data=data or {},
        heard=heard,
        correlation=correlation.current() or uuid.uuid4().hex,
    )
    line.digest = link(line, _digest_before(line))
    return line


def _digest_before(line: Event) -> str:
    """Of the line before it in its chain; the step's compare-and-set has made sure that there will be no other."""
    if line.sequence == 1:
        return ""
    chain = Event.objects.filter(payment=line.payment_id, refund=line.refund_id, sequence=line.sequence - 1)
    digest = chain.values_list("digest", flat=True).first()
    return digest or digest_at(line.payment_id, line.refund_id, line.sequence - 1)


def write_line(of: Refund | Payment, step: str, by: Actor, *, calls: bool = False, **words: Any) -> Event:
    """Write the line inside the transaction of the step itself; the log hears of it once that is committed.

    Whom it concerns is written down with it; `calls`: the refund begins to call for a person.
    """
    event = line_of(of, step, by, **words)
    event.save(force_insert=True)
    if isinstance(of, Refund):
        book(of, event, calls=calls)
    moved = f", {event.from_status} → {event.to_status}" if event.from_status not in ("", event.to_status) else ""
    said = f"{of if isinstance(of, Refund) else f'Payment {of.pk}'} v{of.version}: {step} by {by.name}{moved}"
    about = {"account": str(of.account)} | ({"refund": of.number} if isinstance(of, Refund) else {})
    transaction.on_commit(lambda: log.info("%s", said, extra=about), robust=True)
    return event
