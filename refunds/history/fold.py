"""What the journal alone says: a refund's status and amount, and what its payment has held and refunded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from refunds.history.chain import link
from refunds.history.kept import NO_HEAD, Head, flaws_of_pieces, head_before
from refunds.models import ArchivedChain, Event, Payment, Refund, Status
from refunds.models.refund import HOLDING


@dataclass(frozen=True)
class Chain:
    """One chain as it is here: the lines that are here, and the pieces that were archived before, both in order."""

    lines: Sequence[Event]
    pieces: Sequence[ArchivedChain] = ()

    @property
    def head(self) -> Head:
        """What its first line here follows."""
        return head_before(self.pieces, self.lines[0].sequence if self.lines else None)

    @property
    def last(self) -> Event | Head | None:
        """Where it ends; None for a chain that is nowhere."""
        if self.lines:
            return self.lines[-1]
        return self.head if self.pieces else None

    @property
    def began(self) -> dict[str, Any]:
        """What its very first line said."""
        return self.head.began if self.head is not NO_HEAD else self.lines[0].data


def flaws_of_chain(name: str, chain: Chain) -> Iterator[str]:
    """Lines that are missing, doubled, changed, or that do not follow from each other."""
    yield from flaws_of_pieces(name, chain.pieces)
    yield from flaws_of_lines(name, chain.lines, chain.head)


def flaws_of_lines(name: str, lines: Iterable[Event], head: Head) -> Iterator[str]:
    """The same for lines that follow a head."""
    previous, was = head.digest, head.to_status
    for number, line in enumerate(lines, head.sequence + 1):
        if line.sequence != number:
            yield f"{name}: line {number} is missing; line {line.sequence} stands in its place."
            return
        if line.digest != link(line, previous):
            yield f"{name}: line {number} ({line.step}) is not what was written."
        if was and line.from_status != was:
            yield f"{name}: line {number} comes from {line.from_status}, but it was {was}."
        previous, was = line.digest, line.to_status


def flaws_of_refund(refund: Refund, chain: Chain) -> Iterator[str]:
    """Where the stored refund is not what its journal says."""
    last = chain.last
    if last is None:
        yield f"{refund}: it has no journal."
        return
    yield from flaws_of_chain(str(refund), chain)
    if refund.version != last.sequence:
        yield f"{refund}: it has version {refund.version}, its journal ends with line {last.sequence}."
    if refund.status != last.to_status:
        yield f"{refund}: it is {refund.status}, its journal says {last.to_status}."
    if chain.began.get("amount", refund.amount) != refund.amount:
        yield f"{refund}: its amount is {refund.amount}, its journal says {chain.began['amount']}."


def flaws_of_payment(payment: Payment, chain: Chain, refunds: Sequence[tuple[Refund, Chain]]) -> Iterator[str]:
    """Where the stored payment is not what its journal and its refunds' journals say; amounts in minor units."""
    name = f"payment {payment.pk}"
    yield from flaws_of_chain(name, chain)
    if last := chain.last:
        yield from _flaws_of_end(payment, name, chain, last)
    ends = [(refund.amount, last.to_status) for refund, journal in refunds if (last := journal.last)]
    held, refunded = sums_of(ends)
    if payment.held != held:
        yield f"{name}: {payment.held} is held, its refunds' journals say {held}."
    if payment.refunded != refunded:
        yield f"{name}: {payment.refunded} is refunded, its refunds' journals say {refunded}."


def sums_of(amounts: Sequence[tuple[int, str]]) -> tuple[int, int]:
    """Held and refunded, from (amount, status)."""
    held = sum(amount for amount, status in amounts if status in HOLDING)
    return held, sum(amount for amount, status in amounts if status == Status.SUCCEEDED)


def _flaws_of_end(payment: Payment, name: str, chain: Chain, last: Event | Head) -> Iterator[str]:
    if payment.version != last.sequence:
        yield f"{name}: it has version {payment.version}, its journal ends with line {last.sequence}."
    if payment.status != last.to_status:
        yield f"{name}: it is {payment.status}, its journal says {last.to_status}."
    for field, stored in (("amount", payment.captured), ("currency", payment.currency)):
        if chain.began.get(field, stored) != stored:
            yield f"{name}: its {field} is {stored}, its journal says {chain.began[field]}."
