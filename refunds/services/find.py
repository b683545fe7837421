"""Which of the refunds that a gateway shows are ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateways.contract import RefundUpdate
from refunds.models import Payment, Refund
from refunds.models.refund import AT_THE_GATEWAY


def find(updates: Sequence[RefundUpdate], refund: Refund, before: Mapping[str, object]) -> RefundUpdate | None:
    """Ours among all they show: by key, by reference, then the one new reference of equal amount."""
    by_key = [update for update in updates if update.key and update.key.lower() == str(refund.key)]
    if by_key:
        return by_key[-1]
    if refund.reference:
        return next((update for update in updates if update.reference == refund.reference), None)
    could_be_ours = candidates(updates, refund, before)
    return could_be_ours[0] if len(could_be_ours) == 1 else None


def candidates(updates: Sequence[RefundUpdate], refund: Refund, before: Mapping[str, object]) -> Sequence[RefundUpdate]:
    """What is new since before we asked, of equal amount and nobody else's: more than one is nobody's guess."""
    listed = before.get("references")
    is_open = refund.status in AT_THE_GATEWAY or refund.to_confirm
    if refund.reference or not is_open or not isinstance(listed, list | tuple):
        return []
    known = {str(reference) for reference in listed}
    known |= set(refund.payment.refunds.exclude(pk=refund.pk).values_list("reference", flat=True))
    return [u for u in updates if u.reference and not u.key and u.reference not in known and u.amount == refund.money]


def ours_of(payment: Payment, update: RefundUpdate) -> Refund | None:
    refunds = payment.refunds.all()
    return next(
        (
            refund
            for refund in refunds
            if (update.key and str(refund.key) == update.key.lower())
            or (update.reference and refund.reference == update.reference)
        ),
        None,
    )
