"""What is kept of an exchange with a gateway once it is over."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone

from gateways import cards
from gateways.contract import Gateway
from gateways.http import Exchange
from refunds.models import Attempt


def close(attempt: Attempt, gateway: Gateway, outcome: str, said: str) -> None:
    """Finish an attempt with what was exchanged; a late answer is more than our guess that it was lost."""
    Attempt.objects.filter(pk=attempt.pk).update(
        outcome=outcome,
        said=cards.masked(said)[:500],
        finished_at=timezone.now(),
        exchanges=[_plain(exchange) for exchange in gateway.http.exchanges],
    )


def _plain(exchange: Exchange) -> dict[str, Any]:
    return {name: value if isinstance(value, int | dict) else str(value) for name, value in asdict(exchange).items()}
