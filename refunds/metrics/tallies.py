"""Counters that never go down: each row of the books is counted once, a minute or so after it was written.

A counter in a process would begin anew with it, and a COUNT over a table would cost more each day and fall when
retention takes rows away. Counting begins with the first call: history before that is no news.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Model, QuerySet
from django.utils import timezone

from refunds.models import Attempt, Checkpoint, Delivery, Event, Status, Tally, TallyMark
from refunds.models.refund import AT_THE_GATEWAY

MOST_AT_ONCE = 2000  # rows in one transaction
MOST_TURNS = 20  # transactions in one go; what is left over waits for the next minute
# PostgreSQL gives numbers out before it shows the rows; by then whoever has a lower number has committed.
SETTLED = timedelta(seconds=30)
ENDS = frozenset({Status.SUCCEEDED, Status.FAILED, Status.WITHDRAWN})
LOST = "lost"  # an attempt whose worker died: nobody will ever close it

# Upper bounds in seconds. People take minutes to days, gateways milliseconds to a deadline.
BOUNDS: dict[str, tuple[str, ...]] = {
    "approval": ("60", "300", "900", "3600", "14400", "28800", "86400", "172800", "432000", "864000"),
    "settlement": ("5", "30", "120", "600", "3600", "14400", "86400", "259200", "432000", "864000"),
    "call": ("0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30"),
}
BEYOND = "+Inf"


@dataclass(frozen=True)
class Fact:
    """One thing to be counted; `took` for what has a length, too."""

    name: str
    account_id: int
    words: tuple[str, ...]
    took: timedelta | None = None

    @property
    def told_apart(self) -> str:
        bucket = () if self.took is None else (bucket_of(self.name, self.took),)
        return " ".join((*self.words, *bucket))


def count() -> int:
    """Count what is new in each of the books. Returns how many rows were read; safe from any number of workers."""
    return sum(_count_all(book) for book in BOOKS)


def bucket_of(name: str, took: timedelta) -> str:
    """The smallest bound that this length does not exceed."""
    milliseconds = took // timedelta(milliseconds=1)
    return next((bound for bound in BOUNDS[name] if milliseconds <= _milliseconds(bound)), BEYOND)


def _milliseconds(bound: str) -> int:
    whole, _, part = bound.partition(".")
    return int(whole) * 1000 + int(part.ljust(3, "0") or 0)


# --- The books: which of their rows are ready, and what there is to count about one ---


@dataclass(frozen=True)
class Book:
    """`ready` gives the rows after a number, oldest first, up to the first that may still change."""

    model: type[Model]
    ready: Callable[[QuerySet[Any]], Iterable[dict[str, Any]]]
    facts: Callable[[dict[str, Any]], Iterator[Fact]]


def _sealed_lines(lines: QuerySet[Event]) -> Iterable[Any]:
    """A checkpoint has waited for every line with a lower number."""
    sealed = Checkpoint.objects.values_list("last_event", flat=True).first() or 0
    of_refunds = lines.filter(pk__lte=sealed).annotate(
        account=F("payment__account"), asked_at=F("refund__requested_at"), sent_at=F("refund__sent_at")
    )
    fields = ("pk", "account", "refund_id", "from_status", "to_status", "at", "asked_at", "sent_at")
    return of_refunds.values(*fields)[:MOST_AT_ONCE]


def _of_a_line(line: dict[str, Any]) -> Iterator[Fact]:
    was, now_is = line["from_status"], line["to_status"]
    if line["refund_id"] is None or was == now_is:
        return
    yield Fact("move", line["account"], (now_is,))
    if (was, now_is) == (Status.REQUESTED, Status.APPROVED):
        yield Fact("approval", line["account"], (), line["at"] - line["asked_at"])
    if was in AT_THE_GATEWAY and now_is in ENDS and line["sent_at"]:
        yield Fact("settlement", line["account"], (), line["at"] - line["sent_at"])


def _over_attempts(attempts: QuerySet[Attempt]) -> Iterable[Any]:
    now, rows = timezone.now(), attempts.annotate(account=F("refund__account"))
    lost_before = now - timedelta(seconds=settings.LEASE_SECONDS)
    for row in rows.values("pk", "account", "kind", "outcome", "started_at", "finished_at")[:MOST_AT_ONCE]:
        is_open = row["outcome"] == Attempt.Outcome.OPEN and row["started_at"] > lost_before
        if is_open or row["started_at"] > now - SETTLED:
            return
        yield row


def _of_an_attempt(attempt: dict[str, Any]) -> Iterator[Fact]:
    outcome = LOST if attempt["outcome"] == Attempt.Outcome.OPEN else attempt["outcome"]
    yield Fact("attempt", attempt["account"], (attempt["kind"], outcome))
    if outcome in (Attempt.Outcome.ANSWERED, Attempt.Outcome.REFUSED):
        took = attempt["finished_at"] - attempt["started_at"]
        yield Fact("call", attempt["account"], (attempt["kind"],), took)


def _kept_deliveries(deliveries: QuerySet[Delivery]) -> Iterable[Any]:
    kept = deliveries.filter(received_at__lt=timezone.now() - SETTLED)
    return kept.annotate(of=F("account")).values("pk", "of", "result")[:MOST_AT_ONCE]


def _of_a_delivery(delivery: dict[str, Any]) -> Iterator[Fact]:
    yield Fact("delivery", delivery["of"], (delivery["result"],))


BOOKS = (
    Book(Event, _sealed_lines, _of_a_line),
    Book(Attempt, _over_attempts, _of_an_attempt),
    Book(Delivery, _kept_deliveries, _of_a_delivery),
)


# --- Counting: rows and mark move in one transaction, so that none is counted twice ---


def _count_all(book: Book) -> int:
    n_read = 0
    for _turn in range(MOST_TURNS):
        n_now = _count_some(book)
        n_read += n_now
        if n_now < MOST_AT_ONCE:
            break
    return n_read


@transaction.atomic
def _count_some(book: Book) -> int:
    mark = _mark_of(book)
    rows = list(book.ready(book.model._default_manager.filter(pk__gt=mark.last_id).order_by("pk")))
    if not rows:
        return 0
    numbers: dict[tuple[str, int, str], int] = defaultdict(int)
    lengths: dict[tuple[str, int, str], timedelta] = defaultdict(timedelta)
    for fact in (fact for row in rows for fact in book.facts(row)):
        key = fact.name, fact.account_id, fact.told_apart
        numbers[key] += 1
        lengths[key] += max(fact.took or timedelta(), timedelta())  # a clock that was set back takes nothing away
    for key, number in numbers.items():
        _add(key, number, lengths[key] // timedelta(milliseconds=1))
    TallyMark.objects.filter(pk=mark.pk).update(last_id=rows[-1]["pk"])
    return len(rows)


def _mark_of(book: Book) -> TallyMark:
    """Behind a lock where the database has them. The first of all stands at the end of what there is by then."""
    name = book.model._meta.model_name or ""
    TallyMark.objects.get_or_create(name=name, defaults={"last_id": _newest(book.model)})
    return TallyMark.objects.select_for_update().get(name=name)


def _newest(model: type[Model]) -> int:
    return model._default_manager.order_by("-pk").values_list("pk", flat=True).first() or 0


def _add(key: tuple[str, int, str], number: int, milliseconds: int) -> None:
    name, account, words = key
    row, _is_new = Tally.objects.get_or_create(name=name, account_id=account, words=words)
    more = {"number": F("number") + number, "milliseconds": F("milliseconds") + milliseconds}
    Tally.objects.filter(pk=row.pk).update(**more)
