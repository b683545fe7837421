"""The reasons that a new house starts with; staff keep the list from then on."""

from __future__ import annotations

from typing import Any

from gateways import registry

FIRST_REASONS = {
    "Goods returned": "Your returned goods have arrived.",
    "Cancelled order": "Your order was cancelled.",
    "Not delivered": "Your order did not arrive.",
    "Damaged or wrong item": "The item was damaged or not the one you ordered.",
    "Charged twice": "You were charged twice.",
    "Goodwill": "A gesture of goodwill.",
}


def create_reasons(apps: Any) -> None:
    """Add the reasons that are missing; safe to repeat."""
    reason_model = apps.get_model("refunds", "RefundReason")
    for name, wording in FIRST_REASONS.items():
        reason_model.objects.get_or_create(name=name, defaults={"wording": wording})


def words_of(gateway: str) -> tuple[str, ...]:
    """What a reason may be called at this gateway; () where any word goes, or none is sent."""
    return tuple(registry.gateway_class(gateway).reason_words)


def gateways_with_words() -> list[tuple[str, str]]:
    """Name and label of the gateways that can be sent a reason by a word of their own."""
    kinds = [registry.gateway_class(name) for name in registry.names()]
    return [(kind.name, kind.label) for kind in kinds if not kind.can.by_hand]
