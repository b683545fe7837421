"""Judges of the history: what people were told against what the journal says. Pure functions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.soak.found import Found, Line
from tests.soak.history import FAIL, INFO, OK, Operation
from tests.soak.judging import SLACK, checker

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


@checker
def the_history_holds(found: Found) -> Iterator[str | int]:
    """`manage.py verify` with the workers' logs: chains, checkpoints, statuses and sums."""
    exit_status, said = found.verified
    yield len(found.lines)
    if exit_status:
        yield f"manage.py verify ended with {exit_status}: {said}"
    if found.lines and not found.n_exported:
        yield f"{found.n_checkpoints} checkpoints were set, and none stands in a worker's log."


@checker
def what_was_said_to_be_done_is_done_once(found: Found) -> Iterator[str | int]:
    """Every operation answered with ok stands in the journal exactly once, as what it was and by who did it."""
    forms = Counter(done.ticket for done in found.operations if done.kind == "request" and done.ended == OK)
    yield from (f"The form {ticket} made {n} refunds." for ticket, n in forms.items() if n > 1)
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
