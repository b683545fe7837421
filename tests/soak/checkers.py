"""The judges of a soak: each looks at all that was left behind for one kind of wrong. Pure functions, named in words.

A checker returns how many things it looked at, and what it found wrong, in sentences.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from tests.soak.found import Found, Kept, Line, Movement
from tests.soak.history import FAIL, INFO, OK, Operation

SLACK = 1.0  # seconds between two clocks of one machine, rounding included

# What a person does → the step of the journal that it leaves.
STEPS: dict[str, tuple[str, ...]] = {
    "request": ("requested",),
    "approve": ("approved",),
    "return": ("returned",),
    "reject": ("rejected",),
    "unapprove": ("approval taken back",),
    "send": ("sent by hand",),
    "check": ("asked",),
    "found": ("found there",),
    "resubmit": ("resubmitted",),
    "withdraw": ("withdrawn", "cancel asked"),
    "cancel": ("cancel asked",),
    "retry": ("requested",),
    "attend": ("looked at",),
    "declare": ("outcome proposed",),
    "confirm": ("declared",),
    "drop": ("proposal dropped",),
}


@dataclass(frozen=True)
class Judgement:
    trials: int
    findings: tuple[str, ...]


def checker(look: Callable[[Found], Iterator[str | int]]) -> Callable[[Found], Judgement]:
    """A generator of findings, which yields a number for that many things it has looked at."""

    def judge(found: Found) -> Judgement:
        told = list(look(found))
        return Judgement(
            sum(one for one in told if isinstance(one, int)), tuple(one for one in told if isinstance(one, str))
        )

    judge.__name__, judge.__doc__ = look.__name__, look.__doc__
    return judge


# --- Money ---


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


HOLDING = frozenset({"requested", "returned", "approved", "sending", "unknown", "processing"})
KEYED = frozenset({"payerly", "paynow", "examplepay"})  # their ledger knows our refunds by our key


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


# --- History ---


@checker
def the_history_holds(found: Found) -> Iterator[str | int]:
    """`manage.py verify` with the workers' logs: chains, checkpoints, statuses and sums."""
    exit_status, said = found.verified
    yield len(found.lines)
    if exit_status:
        yield f"manage.py verify ended with {exit_status}: {said}"
    if found.lines and not found.n_checkpoints:
        yield "No checkpoint was ever set."


@checker
def what_was_said_to_be_done_is_done_once(found: Found) -> Iterator[str | int]:
    """Every operation answered with ok stands in the journal exactly once, as what it was and by who did it."""
    lines, parents = by_act(found), {one.pk: one.retry_of for one in found.refunds}
    payments = {one.pk: one.payment for one in found.refunds}
    for done in found.operations:
        if done.kind not in STEPS or done.ended != OK:
            continue
        yield 1
        own = [line for line in lines[done.act] if line.source == "person"]
        if [is_line_of(done, line, parents, payments) for line in own] != [True]:
            yield f"{told(done)} was answered with ok; in the journal: {own}."


@checker
def what_was_refused_left_nothing(found: Found) -> Iterator[str | int]:
    """No operation answered with a refusal, and no look at a page, has a line in the journal."""
    lines = by_act(found)
    for done in found.operations:
        is_refused = done.kind in STEPS and done.ended == FAIL
        if not (is_refused or done.kind in ("look", "log in")) or not done.act:
            continue
        yield 1
        if lines[done.act]:
            yield f"{told(done)} should have left nothing; in the journal: {lines[done.act]}."


@checker
def nobody_did_what_nobody_asked(found: Found) -> Iterator[str | int]:
    """Every person's line comes from one operation: one that was answered with ok, or one whose answer was lost."""
    parents, payments = {one.pk: one.retry_of for one in found.refunds}, {one.pk: one.payment for one in found.refunds}
    answered = {done.act for done in found.operations if done.ended == OK and done.kind in STEPS}
    lost = sorted((one for one in found.operations if one.ended == INFO and one.kind in STEPS), key=lambda op: op.start)
    for line in sorted(found.lines, key=lambda one: one.at):
        if line.source != "person":
            continue
        yield 1
        if line.act in answered:
            continue
        fits = [one for one in lost if one.start - SLACK <= line.at and is_line_of(one, line, parents, payments)]
        if fits:
            lost.remove(fits[0])  # one operation leaves one line at most
        else:
            yield f"Nobody asked for this line: {line}."


def by_act(found: Found) -> dict[str, list[Line]]:
    lines: dict[str, list[Line]] = defaultdict(list)
    for line in found.lines:
        lines[line.act].append(line)
    return lines


def is_line_of(done: Operation, line: Line, parents: dict[int, int | None], payments: dict[int, int]) -> bool:
    """Whether this line is what that operation would leave."""
    if line.actor != done.actor or line.step not in STEPS[done.kind]:
        return False
    if done.kind == "request":
        return line.ticket == done.ticket and payments.get(line.refund) == done.payment
    if done.kind == "retry":
        return parents.get(line.refund) == done.refund
    return line.refund == done.refund and (done.kind == "check" or line.sequence == done.seen + 1)


def told(done: Operation) -> str:
    about = f"R-{done.refund:06d}" if done.refund else f"payment {done.payment}"
    return f"{done.actor}: {done.kind} {about} seen {done.seen} {done.ticket}".strip()


@checker
def no_name_is_used_twice(found: Found) -> Iterator[str | int]:
    """Keys, references of an account, numbers of a journal's lines, and retries of one refund."""
    names: Counter[tuple[object, ...]] = Counter()
    for one in found.refunds:
        names["key", one.key] += 1
        names["reference", one.account, one.reference or one.key] += 1
        if one.retry_of and one.status not in ("rejected", "withdrawn"):
            names["retry of", one.retry_of] += 1
    for line in found.lines:
        names["line", line.refund, line.sequence] += 1
    yield len(names)
    yield from (f"{n} times: {' '.join(map(str, name))}." for name, n in names.items() if n > 1)
    lengths = Counter(line.refund for line in found.lines)
    for one in found.refunds:
        if lengths[one.pk] != one.version:
            yield f"R-{one.pk:06d} has version {one.version} and {lengths[one.pk]} lines."


# --- Sending ---


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
    return refund.status != "processing" or refund.by_hand


# --- The doors ---


@checker
def no_page_broke(found: Found) -> Iterator[str | int]:
    """No person saw a 5xx, but in whose request the database's connection was cut; no gateway saw one but a 503."""
    cuts = [one.start for one in found.operations if one.kind == "connection cut: soak-web"]
    for done in found.operations:
        if not done.status:
            continue
        yield 1
        is_cut = any(done.start - SLACK <= cut <= done.end + SLACK for cut in cuts)
        if done.status >= 500 and not is_cut and (done.actor != "gateway" or done.status != 503):
            yield f"{done.actor} met {done.status}: {done.kind} {done.path} ({done.act})"


@checker
def no_secret_is_told(found: Found) -> Iterator[str | int]:
    """No log holds a secret, in whatever spelling."""
    for name, text in found.logs:
        for owner, secret in found.secrets:
            yield 1
            if any(form in text for form in spellings(secret)):
                yield f"{owner} stands in {name}."


def spellings(secret: str) -> set[str]:
    raw = secret.encode()
    # Of base64 only what does not depend on what stands before and after it.
    inner = {base64.b64encode(b"\0" * skip + raw).decode()[4 if skip else 0 : -4].strip("=") for skip in (0, 1, 2)}
    return {secret, raw.hex(), raw.hex().upper(), quote(secret, safe=""), quote_plus(secret), *inner}


CHECKERS = (
    nothing_is_paid_twice,
    no_more_than_captured_is_paid,
    every_end_fits_the_money,
    every_sum_is_true,
    the_history_holds,
    what_was_said_to_be_done_is_done_once,
    what_was_refused_left_nothing,
    nobody_did_what_nobody_asked,
    no_name_is_used_twice,
    every_try_had_the_same_body,
    everything_rests_or_has_called,
    no_page_broke,
    no_secret_is_told,
)
