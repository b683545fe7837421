"""Judges of the money: what the gateways' ledger says against what the desk says. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.soak.found import Found, Kept, Movement
from tests.soak.judging import checker

HOLDING = frozenset({"requested", "returned", "approved", "sending", "unknown", "processing"})
KEYED = frozenset({"payerly", "paynow", "examplepay"})  # their ledger knows our refunds by our key


@checker
def nothing_is_paid_twice(found: Found) -> Iterator[str | int]:
    """Each refund of ours moved money at most once."""
    for name, refunds, moves in by_order(found):
        paid, sent = [move for move in moves if move.kind == "refund"], [one for one in refunds if one.was_sent]
        yield max(len(refunds), 1)
        if len(paid) > len(sent):
            yield f"{name}: {len(paid)} movements of money for {len(sent)} refunds that were sent."


@checker
def no_more_than_captured_is_paid(found: Found) -> Iterator[str | int]:
    """What the gateway has paid back of a payment, less what came back, is at most what was captured."""
    live: Counter[tuple[str, str]] = Counter()
    for move in found.movements:
        live[move.gateway, move.payment] += move.minor if move.kind == "refund" else -move.minor
    for sold in found.payments:
        yield 1
        if live[sold.gateway, sold.reference] > sold.captured:
            yield f"Payment {sold.pk}: {live[sold.gateway, sold.reference]} was paid of {sold.captured}."


@checker
def every_end_fits_the_money(found: Found) -> Iterator[str | int]:
    """Succeeded has its movement, failed has none that stayed, and what was never sent has none at all."""
    for name, refunds, moves in by_order(found):
        paid = sum(move.kind == "refund" for move in moves)
        stayed = paid - sum(move.kind == "reversal" for move in moves)
        yield len(refunds)
        if not all(fits(number, [fitting(one)[at] for one in refunds]) for at, number in enumerate((paid, stayed))):
            ends = ", ".join(f"R-{one.pk:06d} {one.status}" for one in refunds) or "no refund of ours"
            yield f"{name}: money moved {paid} times and {stayed} stayed away; the desk says {ends}."


def fits(number: int, ranges: list[tuple[int, int]]) -> bool:
    return sum(least for least, _ in ranges) <= number <= sum(most for _, most in ranges)


def fitting(refund: Kept) -> tuple[tuple[int, int], tuple[int, int]]:
    """How often money may have moved for a refund that stands there, and how often it may have stayed away."""
    sure, nothing = (1, 1), (0, 0)
    if not refund.was_sent:
        return nothing, nothing
    match refund.status:
        case "succeeded":
            # Only who calls a person, or was closed by people, may have come back unheard.
            return sure, (0, 1) if refund.calls or refund.is_declared else sure
        case "reversed":
            return sure, nothing
        case "failed":
            return (0, 1), nothing  # a bank may have given it back before we ever asked
        case "processing" | "unknown" | "sending":
            return (0, 1), (0, 1)
    return nothing, nothing


def by_order(found: Found) -> Iterator[tuple[str, list[Kept], list[Movement]]]:
    """Refunds with the movements that are theirs: by our key, or by payment and amount where a wire carries no key."""
    sold = {one.pk: one for one in found.payments}
    keys = {refund.key for refund in found.refunds}
    with_key: dict[str, list[Movement]] = defaultdict(list)
    without: dict[tuple[str, str, int], list[Movement]] = defaultdict(list)
    for move in found.movements:
        key = move.key.split("#")[0]  # what a gateway adds to tell a second order of one key from the first
        if key in keys:
            with_key[key].append(move)
        else:
            without[move.gateway, move.payment, move.minor].append(move)
    groups: dict[tuple[str, str, int], list[Kept]] = defaultdict(list)
    for refund in found.refunds:
        payment = sold[refund.payment]
        if refund.by_hand:
            continue
        if refund.key in with_key or payment.gateway in KEYED:
            yield f"R-{refund.pk:06d}", [refund], with_key[refund.key]
        else:
            groups[payment.gateway, payment.reference, refund.amount].append(refund)
    for name in sorted({*groups, *without}):
        yield f"{name[0]} {name[1]}, {name[2]}", groups[name], without[name]


@checker
def every_sum_is_true(found: Found) -> Iterator[str | int]:
    """Held and refunded are what the refunds say, and of our own doing never more than was captured."""
    of: dict[int, list[Kept]] = defaultdict(list)
    for refund in found.refunds:
        of[refund.payment].append(refund)
    for sold in found.payments:
        yield 1
        held = sum(one.amount for one in of[sold.pk] if one.status in HOLDING)
        refunded = sum(one.amount for one in of[sold.pk] if one.status == "succeeded")
        if (sold.held, sold.refunded) != (held, refunded):
            yield f"Payment {sold.pk}: {sold.held} held, {sold.refunded} refunded; refunds say {held} and {refunded}."
        ours = sum(one.amount for one in of[sold.pk] if one.is_ours and one.status in HOLDING | {"succeeded"})
        if ours > sold.captured:
            yield f"Payment {sold.pk}: {ours} is spoken for by our own doing, and {sold.captured} was captured."
        wanted = "refunded" if sold.refunded >= sold.captured else "partially_refunded" if sold.refunded else "captured"
        if sold.status != wanted:
            yield f"Payment {sold.pk} is {sold.status}; with {sold.refunded} of {sold.captured} it is {wanted}."


@checker
def every_try_had_the_same_body(found: Found) -> Iterator[str | int]:
    """One refund keeps one key and one body."""
    for refund in found.refunds:
        yield int(bool(refund.bodies))
        if len(refund.bodies) > 1:
            yield f"R-{refund.pk:06d} went out with {len(refund.bodies)} different bodies."


@checker
def everything_rests_or_has_called(found: Found) -> Iterator[str | int]:
    """Once all faults are over, nothing moves any more, and nothing waits that nobody was called to."""
    known = {refund.pk: refund for refund in found.refunds}
    for refund in found.refunds:
        yield 1
        if not rests(refund) and not any(rests(known[pk]) and known[pk].was_sent for pk in waits_for(refund)):
            more = f", to confirm {refund.to_confirm}" if refund.to_confirm else ""
            due = "due" if refund.is_due else "never due again"
            yield f"R-{refund.pk:06d} is {refund.status}{more}, {due}, and no person was called."


def waits_for(refund: Kept) -> tuple[int, ...]:
    """An approved one may have to wait for another of its payment to come to its end."""
    return refund.blocked_by if refund.status == "approved" else ()


def rests(refund: Kept) -> bool:
    """At an end, with a person, or people know of it already."""
    if refund.calls or refund.was_looked_at:
        return True
    if refund.status in ("sending", "unknown", "approved") or refund.to_confirm:
        return False
    if refund.status == "succeeded":
        return not refund.is_due  # somebody has knocked: it may have come back
    return refund.status != "processing" or refund.by_hand
