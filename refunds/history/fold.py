"""What the journal alone says: a refund's status and amount, and what its payment has held and refunded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refunds.history.chain import link
from refunds.models import Event, Payment, Refund, Status
from refunds.models.refund import HOLDING


def flaws_of_chain(name: str, lines: Sequence[Event]) -> Iterator[str]:
    """Lines that are missing, doubled, changed, or that do not follow from each other."""
    previous, was = "", None
    for number, line in enumerate(lines, 1):
        if line.sequence != number:
            yield f"{name}: line {number} is missing; line {line.sequence} stands in its place."
            return
        if line.digest != link(line, previous):
            yield f"{name}: line {number} ({line.step}) is not what was written."
        if was is not None and line.from_status != was:
            yield f"{name}: line {number} comes from {line.from_status}, but it was {was}."
        previous, was = line.digest, line.to_status


def flaws_of_refund(refund: Refund, lines: Sequence[Event]) -> Iterator[str]:
    """Where the stored refund is not what its journal says."""
    if not lines:
        yield f"{refund}: it has no journal."
        return
    yield from flaws_of_chain(str(refund), lines)
    last = lines[-1]
    if refund.version != last.sequence:
        yield f"{refund}: it has version {refund.version}, its journal ends with line {last.sequence}."
    if refund.status != last.to_status:
        yield f"{refund}: it is {refund.status}, its journal says {last.to_status}."
    if "amount" in lines[0].data and lines[0].data["amount"] != refund.amount:
        yield f"{refund}: its amount is {refund.amount}, its journal says {lines[0].data['amount']}."


def flaws_of_payment(
    payment: Payment, lines: Sequence[Event], refunds: Sequence[tuple[Refund, Sequence[Event]]]
) -> Iterator[str]:
    """Where the stored payment is not what its journal and its refunds' journals say; amounts in minor units."""
    name = f"payment {payment.pk}"
    yield from flaws_of_chain(name, lines)
    if lines:
        yield from _flaws_of_head(payment, name, lines)
    held, refunded = sums_of([(refund.amount, journal[-1].to_status) for refund, journal in refunds if journal])
    if payment.held != held:
        yield f"{name}: {payment.held} is held, its refunds' journals say {held}."
    if payment.refunded != refunded:
        yield f"{name}: {payment.refunded} is refunded, its refunds' journals say {refunded}."


def sums_of(amounts: Sequence[tuple[int, str]]) -> tuple[int, int]:
    """Held and refunded, from (amount, status)."""
    held = sum(amount for amount, status in amounts if status in HOLDING)
    return held, sum(amount for amount, status in amounts if status == Status.SUCCEEDED)


def _flaws_of_head(payment: Payment, name: str, lines: Sequence[Event]) -> Iterator[str]:
    first, last = lines[0], lines[-1]
    if payment.version != last.sequence:
        yield f"{name}: it has version {payment.version}, its journal ends with line {last.sequence}."
    if payment.status != last.to_status:
        yield f"{name}: it is {payment.status}, its journal says {last.to_status}."
    for field, stored in (("amount", payment.captured), ("currency", payment.currency)):
        if field in first.data and first.data[field] != stored:
            yield f"{name}: its {field} is {stored}, its journal says {first.data[field]}."
