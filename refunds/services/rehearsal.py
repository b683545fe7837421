"""What a file of refunds would ask for: every row is really requested, in one go, and everything is taken back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds import policy
from refunds.errors import BadInput, RefundError
from refunds.models import Allowance, Payment, Refund
from refunds.models.refund import HOLDING, Status
from refunds.services.journal import in_english
from refunds.services.request import request_refund
from refunds.services.request_check import LONGEST_REASON, RequestCheck, Wish
from refunds.services.request_rows import RequestRow, read_request_rows
from refunds.services.rows import BadRow
from refunds.services.typed import without_cards

CHUNK = 100


@dataclass(frozen=True)
class Planned:
    """One row as a person sees it before anything is done; amounts in minor units. Where it is skipped, `why_not`.

    `twins` are other lines about the same payment, `earlier` refunds of that payment over the same amount.
    """

    line: int
    given: dict[str, str]
    why_not: str = ""
    payment_id: int | None = None
    amount: int | None = None
    currency: str = ""
    reason_id: int | None = None
    seen_free: int | None = None
    twins: list[int] = field(default_factory=list)
    earlier: list[str] = field(default_factory=list)

    @property
    def money(self) -> Money | None:
        return Money(self.amount, self.currency) if self.amount is not None else None

    @property
    def is_suspect(self) -> bool:
        return bool(self.twins or self.earlier)


@dataclass(frozen=True)
class DryRun:
    """A file as it would be carried out at the moment `at`."""

    file_name: str
    file_digest: str
    content_digest: str
    person_id: int
    at: datetime
    rows: list[Planned]

    @property
    def doable(self) -> list[Planned]:
        return [row for row in self.rows if not row.why_not]

    def pack(self) -> bytes:
        return json.dumps({**asdict(self), "at": self.at.isoformat()}).encode()

    @classmethod
    def unpack(cls, packed: bytes) -> DryRun:
        told = json.loads(packed)
        rows = [Planned(**row) for row in told.pop("rows")]
        return cls(**{**told, "at": datetime.fromisoformat(told["at"])}, rows=rows)


def dry_run(content: bytes, file_name: str, by: User) -> DryRun:
    """Raises BadInput for a file that is not what we read, or that holds a card number. Writes nothing."""
    policy.demand(by, policy.REQUEST, _("request refunds"))
    try:
        rows = _read(content)
    except BadInput as trouble:
        without_cards(str(trouble))  # it quotes what stood there
        raise
    check = RequestCheck(by, rows)
    wishes = [check.wish(row) for row in rows]
    planned = _told_twice(rehearsed(wishes, by))
    return DryRun(
        file_name=file_name[:200],
        file_digest=hashlib.sha256(content).hexdigest(),
        content_digest=_content_digest(rows),
        person_id=by.pk,
        at=timezone.now(),
        rows=_made_earlier(planned),
    )


def _read(content: bytes) -> list[RequestRow | BadRow]:
    """What is wrong with a row is kept, so in English; what is wrong with the file is told to its reader."""
    try:
        with in_english():
            return read_request_rows(content)
    except BadInput:
        return read_request_rows(content)


def _content_digest(rows: Iterable[RequestRow | BadRow]) -> str:
    """Equal for files that say the same, however they were saved and in whatever language they were read."""
    said = [sorted(row.given.items()) if isinstance(row, RequestRow) else row.said for row in rows]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def rehearsed(wishes: Sequence[Wish], by: User) -> list[Planned]:
    """Each row meets what the rows before it have used up: free amounts, allowances, what rules add up.

    Some rows at a time, so that nobody else waits long for the database; nothing of it is kept.
    """
    planned: list[Planned] = []
    used = _Used()
    for start in range(0, len(wishes), CHUNK):
        chunk = wishes[start : start + CHUNK]
        with transaction.atomic():
            _lock({wish.payment.pk for wish in chunk if wish.payment} | {made.payment_id for made in used.refunds})
            used.put_back()
            planned += [_rehearse(wish, by, used) for wish in chunk]
            used.remember(by)
            transaction.set_rollback(True)
    return planned


def _lock(payment_ids: set[int]) -> None:
    """All at the start and in one order, so that two files at once wait for each other and never cross."""
    list(Payment.objects.select_for_update(of=("self",)).filter(pk__in=payment_ids).order_by("pk").only("pk"))


@dataclass
class _Used:
    """What earlier rows have used up, carried from one transaction that is taken back into the next one."""

    refunds: list[Refund] = field(default_factory=list)
    allowances: list[Allowance] = field(default_factory=list)

    def put_back(self) -> None:
        for number, refund in enumerate(self.refunds, start=1):
            refund.pk = -number  # takes no number of a real one
        Refund.objects.bulk_create(self.refunds, batch_size=500)
        held: Counter[int] = Counter()
        for refund in self.refunds:
            held[refund.payment_id] += refund.amount
        by_amount: dict[int, list[int]] = defaultdict(list)
        for payment_id, minor in held.items():
            by_amount[minor].append(payment_id)
        for minor, payments in by_amount.items():
            Payment.objects.filter(pk__in=payments).update(held=F("held") + minor)
        Allowance.objects.bulk_update(self.allowances, ["day", "taken"])

    def remember(self, by: User) -> None:
        self.allowances = list(Allowance.objects.filter(person=by, act=Allowance.Act.REQUEST))


def _rehearse(wish: Wish, by: User, used: _Used) -> Planned:
    row = Planned(wish.line, wish.given, wish.why_not)
    if wish.payment is None or wish.reason is None:
        return row
    payment = Payment.objects.only("captured", "refunded", "held").get(pk=wish.payment.pk)
    asked: dict[str, Any] = {"payment_id": payment.pk, "amount": wish.amount, "currency": wish.payment.currency}
    row = replace(row, **asked, reason_id=wish.reason.pk, seen_free=payment.free)
    words: dict[str, Any] = {name: wish.given[name] for name in ("ticket", "internal_note")}
    try:
        with in_english():  # why not is kept
            made = request_refund(payment.pk, wish.amount, wish.reason, by, seen_free=payment.free, **words)
    except RefundError as refusal:
        return replace(row, why_not=str(refusal)[:LONGEST_REASON])
    used.refunds.append(made)
    return row


def _told_twice(rows: list[Planned]) -> list[Planned]:
    """Among the rows that would be requested: what is skipped doubles nothing."""
    lines: dict[int | None, list[int]] = defaultdict(list)
    for row in rows:
        if not row.why_not:
            lines[row.payment_id].append(row.line)
    others = [[line for line in lines[row.payment_id] if line != row.line] for row in rows]
    return [row if row.why_not else replace(row, twins=found) for row, found in zip(rows, others, strict=True)]


def _made_earlier(rows: list[Planned]) -> list[Planned]:
    """Somebody may have asked for the very same before, by hand or by another file."""
    counted = [*HOLDING, Status.SUCCEEDED]
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    payments = sorted({row.payment_id for row in rows if row.payment_id})
    for start in range(0, len(payments), 500):
        made = Refund.objects.filter(payment__in=payments[start : start + 500], status__in=counted).order_by("pk")
        for refund in made.only("payment_id", "amount"):
            found[refund.payment_id, refund.amount].append(refund.number)
    same = partial(found.get)
    return [replace(row, earlier=same((row.payment_id or 0, row.amount or 0)) or []) for row in rows]
