"""What is kept of an exchange with a gateway once it is over."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.utils import timezone

from gateways import cards
from gateways.contract import Gateway
from gateways.http import Exchange
from refunds.models import Attempt

log = logging.getLogger("refunds")


def close(attempt: Attempt, gateway: Gateway, outcome: str, said: str) -> None:
    """Finish an attempt with what was exchanged; a late answer is more than our guess that it was lost."""
    now = timezone.now()
    Attempt.objects.filter(pk=attempt.pk).update(
        outcome=outcome,
        said=cards.masked(said)[:500],
        finished_at=now,
        exchanges=[_plain(exchange) for exchange in gateway.http.exchanges],
    )
    refund, seconds = attempt.refund, f"{(now - attempt.started_at).total_seconds():.3f}"
    told = f"{refund} {attempt.kind} at {refund.account}: {outcome} after {seconds} s"
    about = {"refund": refund.number, "account": refund.account.slug, "kind": attempt.kind, "outcome": str(outcome)}
    transaction.on_commit(lambda: log.info("%s", told, extra={**about, "seconds": seconds}), robust=True)


def _plain(exchange: Exchange) -> dict[str, Any]:
    return {name: value if isinstance(value, int | dict) else str(value) for name, value in asdict(exchange).items()}
