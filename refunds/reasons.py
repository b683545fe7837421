"""The reasons that a new house starts with; staff keep the list from then on."""

from __future__ import annotations

from typing import Any

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
