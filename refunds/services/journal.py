"""Writing the journal: one line for each step of a refund or a payment."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from refunds.models import Event, Payment, Refund
from refunds.services.actor import Actor

log = logging.getLogger("refunds")


def write_line(
    of: Refund | Payment,
    step: str,
    by: Actor,
    *,
    was: str = "",
    text: str = "",
    data: dict[str, Any] | None = None,
    heard: str = "",
) -> Event:
    """The line that goes with the version that `of` has come to; inside the transaction of the step itself."""
    is_refund = isinstance(of, Refund)
    moved = f", {was} → {of.status}" if was and was != of.status else ""
    said = f"{of if is_refund else f'Payment {of.pk}'} v{of.version}: {step} by {by.name}{moved}"
    transaction.on_commit(lambda: log.info("%s", said), robust=True)
    return Event.objects.create(
        payment=of.payment if is_refund else of,
        refund=of if is_refund else None,
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
    )
