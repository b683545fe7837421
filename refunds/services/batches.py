"""A confirmed file becomes a batch, whose rows are requested one by one: each exactly once, whoever dies in between."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Concat, Length
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import jobs, policy, scope
from refunds.errors import BadInput, NotAllowed, RefundError, WrongMoment
from refunds.models import Batch, BatchRow
from refunds.services.due import take_ticket
from refunds.services.journal import in_english
from refunds.services.rehearsal import DryRun
from refunds.services.request import request_refund
from refunds.services.request_check import LONGEST_REASON

CHUNK = 50  # rows for one ticket, far fewer than its lease is long
SEE_ALL = "refunds.view_batch"
CHANGED = "Its rows are no longer what was confirmed. Nothing more is requested of it: tell whoever runs the desk."
STUCK = "Not requested: line {lines}, after {tries} tries ({why}). All other rows are done. Tell whoever runs the desk."
MOST_TRIES = 5
LONGEST_TRY = 60  # so that the tries of a row have room beside it
FIRST_PAUSE = timedelta(minutes=1)  # and four times as long after each further try
Result = BatchRow.Result
log = logging.getLogger("refunds")


def batches_for(user: User) -> QuerySet[Batch]:
    """One's own; for those who may see all, also those of others whose every row is about their accounts."""
    own = Batch.objects.filter(person=user)
    if not user.has_perm(SEE_ALL):
        return own
    accounts = scope.limited_to(user)
    if accounts is None:
        return Batch.objects.all()
    named = BatchRow.objects.filter(batch=OuterRef("pk"), payment__isnull=False)
    foreign, home = named.exclude(payment__account__in=accounts), named.filter(payment__account__in=accounts)
    return own | Batch.objects.filter(Exists(home)).exclude(Exists(foreign))


def known_rows(user: User, path: str = "") -> Q:
    """Rows of which a person may see more than the words: not those of accounts that one no longer works with."""
    accounts = scope.limited_to(user)
    if accounts is None:
        return Q(**{f"{path}pk__isnull": False})
    return Q(**{f"{path}payment__isnull": True}) | Q(**{f"{path}payment__account__in": accounts})


def confirmed_before(run: DryRun) -> Batch | None:
    """The first batch whose rows said the same, whoever uploaded it and in whatever format."""
    return Batch.objects.filter(content_digest=run.content_digest).order_by("pk").first()


@transaction.atomic
def open_batch(run: DryRun, by: User, *, knows_of: Batch | None = None) -> Batch:
    """Nothing → a batch that is worked off by itself. `knows_of` is the earlier batch of the same file that was shown.

    Confirmed twice, it is the same batch.
    """
    policy.demand(by, policy.REQUEST, _("request refunds"))
    if run.person_id != by.pk:
        raise NotAllowed(_("Only who has looked at a file can confirm it."))
    if not run.doable:
        raise BadInput(_("Nothing of this file can be requested."))
    digest = _digest(
        run.person_id, run.at, ([r.line, r.payment_id, r.amount, r.reason_id, r.seen_free, r.given] for r in run.rows)
    )
    if known := Batch.objects.filter(rows_digest=digest).first():
        return known
    if (earlier := confirmed_before(run)) and earlier != knows_of:
        raise WrongMoment(_("The same file has been confirmed meanwhile. Please look again."))
    return _kept(run, by, digest, earlier)


def _kept(run: DryRun, by: User, digest: str, earlier: Batch | None) -> Batch:
    now = timezone.now()
    batch = Batch(
        person=by,
        file_name=run.file_name,
        file_digest=run.file_digest,
        content_digest=run.content_digest,
        rows_digest=digest,
        rehearsed_at=run.at,
        confirmed_at=now,
        again_of=earlier,
        ask_at=now,
    )
    try:
        with transaction.atomic():
            batch.save(force_insert=True)
    except IntegrityError:  # a second click at the same moment
        return Batch.objects.get(rows_digest=digest)
    skipped: dict[str, Any] = {"result": Result.REFUSED, "done_at": now}
    BatchRow.objects.bulk_create(
        (
            BatchRow(
                batch=batch,
                line=row.line,
                given=row.given,
                payment_id=row.payment_id,
                amount=row.amount,
                reason_id=row.reason_id,
                seen_free=row.seen_free,
                why_not=row.why_not,
                **(skipped if row.why_not else {}),
            )
            for row in run.rows
        ),
        batch_size=500,
    )
    _wake(batch, now)
    return batch


def _digest(person_id: int, at: datetime, rows: Iterable[list[Any]]) -> str:
    """Of everything that was confirmed; the moment makes the same file, confirmed again, another one."""
    said = [person_id, at.isoformat(), sorted(rows, key=lambda row: row[0])]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _digest_of(batch: Batch) -> str:
    columns = ("line", "payment_id", "amount", "reason_id", "seen_free", "given")
    rows = ([*row] for row in batch.rows.values_list(*columns))
    return _digest(batch.person_id, batch.rehearsed_at, rows)


def _wake(batch: Batch, at: datetime) -> None:
    """Only a wake-up: the batch's `ask_at` is the truth, and the sweep hands out what was lost."""
    transaction.on_commit(lambda: jobs.wake_batch(batch.pk, at), robust=True)


def take_batch_turn(batch_id: int, booked_for: datetime) -> None:
    """Request some of the waiting rows, with the ticket for this moment; then book the next turn, or be done."""
    open_now = Batch.objects.filter(pk=batch_id, finished_at=None)
    if not take_ticket(open_now, booked_for):
        return
    batch = Batch.objects.get(pk=batch_id)
    if _digest_of(batch) != batch.rows_digest:
        open_now.update(finished_at=timezone.now(), ask_at=None, trouble=CHANGED)
        return
    waiting = batch.rows.filter(result=Result.WAITING)
    fresh = waiting.filter(why_not="")
    turn = fresh if fresh.exists() else waiting
    for row_id in list(turn.order_by(Length("why_not"), "line").values_list("pk", flat=True)[:CHUNK]):
        _try_row(row_id)
    _go_on(batch, list(waiting.order_by("line").values_list("line", "why_not")))


def _try_row(row_id: int) -> None:
    """One that fails unexpectedly stays waiting, with a line for each try; nothing of it was requested."""
    try:
        work_row(row_id)
    except Exception as trouble:
        log.exception("Row %s of a batch failed; it stays waiting", row_id)
        tried = Concat("why_not", Value(f"{type(trouble).__name__[:LONGEST_TRY]}\n"))
        BatchRow.objects.filter(pk=row_id, result=Result.WAITING).update(why_not=tried)


@transaction.atomic
def _go_on(batch: Batch, waiting: list[tuple[int, str]]) -> None:
    """Next come rows that nobody has tried; then, after a pause that grows, those that failed, until it is enough."""
    now, n_tries = timezone.now(), min((why.count("\n") for _line, why in waiting), default=0)
    is_done = not waiting or n_tries >= MOST_TRIES
    ask_at = now + FIRST_PAUSE * 4 ** (n_tries - 1) if n_tries else now
    times: dict[str, Any] = {"ask_at": None, "finished_at": now} if is_done else {"ask_at": ask_at}
    if waiting and is_done:
        lines = ", ".join(str(line) for line, _why in waiting[:10]) + (", …" if len(waiting) > 10 else "")
        times["trouble"] = STUCK.format(lines=lines, tries=n_tries, why=waiting[0][1].split("\n")[-2])
    if Batch.objects.filter(pk=batch.pk, finished_at=None).update(**times) and not is_done:
        _wake(batch, ask_at)


@transaction.atomic
def work_row(row_id: int) -> None:
    """One row: its request and its link to it are kept together or not at all. One that is done stays as it is."""
    rows = BatchRow.objects.select_for_update(of=("self",)).select_related("batch__person", "reason")
    row = rows.get(pk=row_id)
    if row.result != Result.WAITING:
        return
    done: dict[str, Any] = {"done_at": timezone.now(), "why_not": ""}
    try:
        done |= {"result": Result.REQUESTED, "refund": _request(row)}
    except RefundError as refusal:
        done |= {"result": Result.REFUSED, "why_not": str(refusal)[:LONGEST_REASON]}
    except IntegrityError:
        done |= {"result": Result.REFUSED, "why_not": "The database did not accept this request."}
    if BatchRow.objects.filter(pk=row_id, result=Result.WAITING).update(**done) != 1:
        raise WrongMoment(f"Row {row.line} of {row.batch} was worked off by somebody else at the same moment.")


def _request(row: BatchRow) -> Any:
    """By the person who confirmed it, with the rights that this person has now."""
    assert row.payment_id is not None
    assert row.reason is not None
    assert row.amount is not None
    assert row.seen_free is not None
    words = {name: row.given[name] for name in ("ticket", "internal_note")}
    with in_english(), transaction.atomic():  # a refusal is kept
        return request_refund(
            row.payment_id, row.amount, row.reason, row.batch.person, seen_free=row.seen_free, **words
        )
