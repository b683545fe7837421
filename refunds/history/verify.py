"""Compares the journal with itself, its checkpoints, an exported log, and every stored status and sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import transaction

from refunds.history.checkpoints import EXPORTED, lines_between, seal_of
from refunds.history.fold import flaws_of_payment, flaws_of_refund
from refunds.models import Checkpoint, Event, Payment, Refund

CHUNK = 500  # payments at a time: memory stays flat
MOST_KEPT = 200


@dataclass
class Verdict:
    """What was looked at, and what was found wrong, in words; `findings` keeps the first of `n_findings`."""

    n_events: int = 0
    n_refunds: int = 0
    n_payments: int = 0
    n_checkpoints: int = 0
    n_younger: int = 0
    n_findings: int = 0
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.n_findings

    def add(self, findings: Iterable[str]) -> None:
        for finding in findings:
            self.n_findings += 1
            if len(self.findings) < MOST_KEPT:
                self.findings.append(finding)


def verify(log_lines: Iterable[str] = ()) -> Verdict:
    """Look at everything there is; `log_lines` may hold exported checkpoints, found wherever they stand in a line."""
    verdict = Verdict()
    verdict.add(_flaws_of_checkpoints(verdict, dict(_exported(log_lines))))
    last = 0
    while pks := list(Payment.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        last = pks[-1]
        for pk, flaws in _flaws_of(pks, verdict):
            # It may have moved between our looks: only what still stands behind the payment's lock is a finding.
            if flaws:
                verdict.add(_second_look(pk))
    return verdict


def _exported(log_lines: Iterable[str]) -> Iterator[tuple[int, tuple[int, str]]]:
    for text in log_lines:
        if found := EXPORTED.search(text):
            yield int(found["sequence"]), (int(found["last_event"]), found["digest"])


def _flaws_of_checkpoints(verdict: Verdict, exported: dict[int, tuple[int, str]]) -> Iterator[str]:
    previous, after, expected = "", 0, 1
    for one in Checkpoint.objects.order_by("sequence").iterator():
        if one.sequence != expected:
            yield f"Checkpoint {expected} is missing."
        if seal_of(previous, lines_between(after, one.last_event)) != one.digest:
            yield f"{str(one).capitalize()} does not fit the lines {after + 1} to {one.last_event}."
        if exported.pop(one.sequence, (one.last_event, one.digest)) != (one.last_event, one.digest):
            yield f"{str(one).capitalize()} is not the one that was written to the log."
        previous, after, expected = one.digest, one.last_event, one.sequence + 1
        verdict.n_checkpoints += 1
    verdict.n_younger = Event.objects.filter(pk__gt=after).count()
    yield from (f"Checkpoint {sequence} stands in the log and not in the database." for sequence in sorted(exported))


def _flaws_of(pks: Sequence[int], verdict: Verdict) -> Iterator[tuple[int, list[str]]]:
    """Payment → its flaws, refunds included, by three queries for all of them."""
    lines, refunds = defaultdict(list), defaultdict(list)
    for line in Event.objects.filter(payment__in=pks).order_by("sequence"):
        lines[line.payment_id, line.refund_id].append(line)
        verdict.n_events += 1
    for refund in Refund.objects.filter(payment__in=pks):
        refunds[refund.payment_id].append(refund)
        verdict.n_refunds += 1
    for payment in Payment.objects.filter(pk__in=pks):
        verdict.n_payments += 1
        yield payment.pk, list(_flaws_of_one(payment, lines, refunds[payment.pk]))


def _flaws_of_one(
    payment: Payment, lines: dict[tuple[int, int | None], list[Event]], refunds: Sequence[Refund]
) -> Iterator[str]:
    journals = [(refund, lines[payment.pk, refund.pk]) for refund in refunds]
    yield from flaws_of_payment(payment, lines[payment.pk, None], journals)
    for refund, journal in journals:
        yield from flaws_of_refund(refund, journal)
    known = {None, *(refund.pk for refund in refunds)}
    strays = sorted({of for at, of in lines if at == payment.pk and of not in known})
    yield from (f"payment {payment.pk}: lines of R-{of:06d}, which is no refund of it." for of in strays)


@transaction.atomic
def _second_look(pk: int) -> list[str]:
    Payment.objects.select_for_update().get(pk=pk)
    return [flaw for _, flaws in _flaws_of([pk], Verdict()) for flaw in flaws]
