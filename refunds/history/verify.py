"""Compares the journal with itself, its checkpoints, an exported log, and every stored status and sum."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from refunds.history.chain import COVERED
from refunds.history.checkpoints import EXPORTED, lines_of, seal_of
from refunds.history.fold import Chain, flaws_of_payment, flaws_of_refund
from refunds.history.kept import EXPORTED_ARCHIVE, flaws_of_archives
from refunds.models import Archive, ArchivedChain, Checkpoint, Event, Payment, Refund, Verification

log = logging.getLogger("refunds.history")

CHUNK = 500  # payments at a time: memory stays flat
MOST_KEPT = 200
NOWHERE = Chain(())


@dataclass
class Verdict:
    """What was looked at, and what was found wrong, in words; `findings` keeps the first of `n_findings`."""

    n_events: int = 0
    n_refunds: int = 0
    n_payments: int = 0
    n_checkpoints: int = 0
    n_younger: int = 0
    n_archives: int = 0
    n_archived: int = 0
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
    verdict.add(flaws(verdict, log_lines))
    return verdict


def flaws(verdict: Verdict, log_lines: Iterable[str] = ()) -> Iterator[str]:
    """One by one, counting in `verdict` what was looked at."""
    checkpoints, archives = _exported(log_lines)
    yield from _flaws_of_checkpoints(verdict, checkpoints)
    kept = Archive.objects.aggregate(files=Count("pk"), lines=Sum("n_events", default=0))
    verdict.n_archives, verdict.n_archived = kept["files"], kept["lines"]
    yield from flaws_of_archives(archives)
    last = 0
    while pks := list(Payment.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        last = pks[-1]
        for pk, found in _flaws_of(pks, verdict):
            # It may have moved between our looks: only what still stands behind the payment's lock is a finding.
            if found:
                yield from _second_look(pk)


def verify_payment(pk: int) -> Verdict:
    """One payment and its refunds: their lines, and what is stored of them."""
    verdict = Verdict()
    for _, found in _flaws_of([pk], verdict):
        if found:  # it may have moved between our looks
            verdict.add(_second_look(pk))
    return verdict


def verify_and_keep(asked_by: int) -> Verification:
    """Look at everything for a person (the user's id), and keep what came of it for the page."""
    at = timezone.now()
    verdict = verify()
    if not verdict.is_clean:
        log.critical("The history does not hold: %d differences", verdict.n_findings)
    return Verification.objects.create(at=at, finished_at=timezone.now(), asked_by_id=asked_by, **asdict(verdict))


def _exported(log_lines: Iterable[str]) -> tuple[dict[int, tuple[int, str]], dict[int, tuple[str, str]]]:
    """Checkpoints (sequence → last line, digest) and archives (sequence → file, seal) as the log has them."""
    checkpoints, archives = {}, {}
    for text in log_lines:
        if found := EXPORTED.search(text):
            checkpoints[int(found["sequence"])] = (int(found["last_event"]), found["digest"])
        elif found := EXPORTED_ARCHIVE.search(text):
            archives[int(found["sequence"])] = (found["file"], found["digest"])
    return checkpoints, archives


def _flaws_of_checkpoints(verdict: Verdict, exported: dict[int, tuple[int, str]]) -> Iterator[str]:
    last: Checkpoint | None = None
    for expected, one in enumerate(Checkpoint.objects.order_by("sequence").iterator(), 1):
        if one.sequence != expected:
            yield f"Checkpoint {expected} is missing; checkpoint {one.sequence} stands in its place."
            return
        if seal_of(last.digest if last else "", lines_of(one, last)) != one.digest:
            yield f"{str(one).capitalize()} does not fit the lines up to {one.last_event}."
        if exported.pop(one.sequence, (one.last_event, one.digest)) != (one.last_event, one.digest):
            yield f"{str(one).capitalize()} is not the one that was written to the log."
        last = one
        verdict.n_checkpoints += 1
    verdict.n_younger = Event.objects.filter(pk__gt=last.last_event if last else 0).count()
    yield from (f"Checkpoint {sequence} stands in the log and not in the database." for sequence in sorted(exported))


def _flaws_of(pks: Sequence[int], verdict: Verdict) -> Iterator[tuple[int, list[str]]]:
    """Payment → its flaws, refunds included, by four queries for all of them."""
    lines, pieces, refunds = defaultdict(list), defaultdict(list), defaultdict(list)
    for line in Event.objects.filter(payment__in=pks).order_by("sequence").values_list(*COVERED, "digest", named=True):
        lines[line.payment_id, line.refund_id].append(line)
        verdict.n_events += 1
    for piece in ArchivedChain.objects.filter(payment__in=pks).order_by("first_sequence"):
        pieces[piece.payment_id, piece.refund_id].append(piece)
    chains = {name: Chain(lines.get(name, ()), pieces.get(name, ())) for name in (*lines, *pieces)}
    for refund in Refund.objects.filter(payment__in=pks):
        refunds[refund.payment_id].append(refund)
        verdict.n_refunds += 1
    for payment in Payment.objects.filter(pk__in=pks):
        verdict.n_payments += 1
        yield payment.pk, list(_flaws_of_one(payment, chains, refunds[payment.pk]))


def _flaws_of_one(
    payment: Payment, chains: dict[tuple[int, int | None], Chain], refunds: Sequence[Refund]
) -> Iterator[str]:
    journals = [(refund, chains.get((payment.pk, refund.pk), NOWHERE)) for refund in refunds]
    yield from flaws_of_payment(payment, chains.get((payment.pk, None), NOWHERE), journals)
    for refund, journal in journals:
        yield from flaws_of_refund(refund, journal)
    known = {refund.pk for refund in refunds}
    strays = sorted({of for at, of in chains if at == payment.pk and of is not None and of not in known})
    yield from (f"payment {payment.pk}: lines of R-{of:06d}, which is no refund of it." for of in strays)


@transaction.atomic
def _second_look(pk: int) -> list[str]:
    Payment.objects.select_for_update().get(pk=pk)
    return [flaw for _, found in _flaws_of([pk], Verdict()) for flaw in found]
