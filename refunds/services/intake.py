"""Payments come in, from a file or by hand. Each new one gets its journal; a known one is only marked as disputed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.money import Money
from refunds import policy
from refunds.errors import BadInput
from refunds.models import Event, Payment
from refunds.services.actor import Actor
from refunds.services.disputes import mark_from_file
from refunds.services.journal import line_of
from refunds.services.rowcheck import RowCheck
from refunds.services.rows import COLUMNS, BadRow, PaymentRow, read_rows

__all__ = ["COLUMNS", "BadRow", "PaymentRow", "Tally", "preview", "read_rows", "take_in"]

CHUNK = 500
N_SHOWN = 20
LONGEST_REASON = 300  # a reason quotes what stood in the file
FROM_A_FILE = Actor("import", Event.Source.WORKER)

Key = tuple[int, str]  # account, payment reference: what makes a payment one


@dataclass
class Tally:
    """What came, or would come, of some rows. `totals` counts the new payments, in minor units per currency.

    `disputed` are known payments that a row says are disputed, with its line.
    """

    n_new: int = 0
    n_known: int = 0
    bad: list[BadRow] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    first: list[Payment] = field(default_factory=list)
    disputed: dict[Key, int] = field(default_factory=dict)

    @property
    def money(self) -> list[Money]:
        return [Money(minor, currency) for currency, minor in sorted(self.totals.items())]

    def add(self, payment: Payment) -> None:
        self.n_new += 1
        self.totals[payment.currency] += payment.captured
        if len(self.first) < N_SHOWN:
            self.first.append(payment)

    def meet(self, line: int, payment: Payment, known: Payment) -> None:
        """The same payment again is fine; anything else under its reference is not."""
        if trouble := _difference(payment, known):
            self.bad.append(BadRow(line, trouble))
        else:
            self.n_known += 1
            if payment.disputed_at and not known.disputed_at:
                self.disputed.setdefault(key_of(payment), line)


@dataclass(frozen=True)
class _New:
    line: int
    payment: Payment

    @property
    def key(self) -> Key:
        return key_of(self.payment)


def key_of(payment: Payment) -> Key:
    return payment.account_id, payment.reference


def preview(rows: Iterable[PaymentRow | BadRow], *, by: User | None = None) -> Tally:
    """What `take_in` would do with these rows now. Writes nothing."""
    tally, sift = Tally(), _Sift(by)
    for chunk in _chunks(rows):
        for new in sift.new_ones(chunk, tally):
            tally.add(new.payment)
    return _sorted(tally)


def take_in(
    rows: Iterable[PaymentRow | BadRow],
    *,
    by: User | None,
    progress: Callable[[int], None] = lambda n_rows: None,
) -> Tally:
    """Write every good row that is not known yet and report each bad one; safe to repeat and to run twice at once.

    `by` is None on the command line; `progress` is told the number of rows after each chunk, which is one transaction.
    """
    if by is not None:
        policy.demand(by, policy.IMPORT, _("bring payments in"))
    actor = FROM_A_FILE if by is None else Actor.person(by)
    tally, sift, n_rows = Tally(), _Sift(by), 0
    for chunk in _chunks(rows):
        _write(sift.new_ones(chunk, tally), actor, tally)
        sift.seen.clear()  # they are in the database now: memory stays flat however long the file is
        n_rows += len(chunk)
        progress(n_rows)
    _mark_disputed(actor, tally)
    return _sorted(tally)


class _Sift:
    """Tells new payments from known ones and from bad rows; remembers what stood earlier in the same file."""

    def __init__(self, by: User | None) -> None:
        self.check = RowCheck(timezone.now(), by)
        self.seen: dict[Key, Payment] = {}

    def new_ones(self, chunk: list[PaymentRow | BadRow], tally: Tally) -> list[_New]:
        good = list(self._good_ones(chunk, tally))
        known = _known(good)
        new = []
        for row in good:
            earlier = known.get(row.key) or self.seen.get(row.key)
            if earlier:
                tally.meet(row.line, row.payment, earlier)
            else:
                new.append(row)
                self.seen[row.key] = row.payment
        return new

    def _good_ones(self, chunk: list[PaymentRow | BadRow], tally: Tally) -> Iterator[_New]:
        for row in chunk:
            if isinstance(row, BadRow):
                tally.bad.append(row)
                continue
            try:
                yield _New(row.line, self.check.payment(row))
            except BadInput as trouble:
                tally.bad.append(BadRow(row.line, str(trouble)[:LONGEST_REASON]))


@transaction.atomic
def _write(new: list[_New], actor: Actor, tally: Tally) -> None:
    """One chunk. Where another import was faster with a payment, the database keeps theirs and we compare."""
    # In one order everywhere, so that two imports wait for each other instead of dead-locking.
    new = sorted(new, key=lambda row: row.key)
    Payment.objects.bulk_create([row.payment for row in new], ignore_conflicts=True)
    names = [row.payment.public_id for row in new]
    ours = dict(Payment.objects.filter(public_id__in=names).values_list("public_id", "pk"))
    theirs = _known([row for row in new if row.payment.public_id not in ours])
    events = []
    for row in new:
        if pk := ours.get(row.payment.public_id):
            row.payment.pk = pk
            events.append(_first_line(row, actor))
            tally.add(row.payment)
        elif known := theirs.get(row.key):
            tally.meet(row.line, row.payment, known)
        else:
            tally.bad.append(BadRow(row.line, _("The database did not accept this payment.")))
    Event.objects.bulk_create(events)


def _mark_disputed(actor: Actor, tally: Tally) -> None:
    """A file can mark what is known, one transaction each; that a dispute is over, it cannot say."""
    for (account_id, reference), line in tally.disputed.items():
        came = f"From a file, line {line}." if line else "Typed in by hand."
        mark_from_file(account_id, reference, actor, came)


def _first_line(row: _New, actor: Actor) -> Event:
    """The journal's first line of a payment; the customer is named in the payment alone."""
    payment, amount = row.payment, row.payment.money(row.payment.captured)
    came = f"From a file, line {row.line}." if row.line else "Typed in by hand."
    text = f"{amount} {payment.currency}, captured on {payment.captured_at:%Y-%m-%d %H:%M} UTC. {came}"
    if payment.disputed_at:
        text += " Marked as disputed."
    return line_of(
        payment, "taken in", actor, text=text, data={"amount": payment.captured, "currency": payment.currency}
    )


def _known(rows: list[_New]) -> dict[Key, Payment]:
    if not rows:
        return {}
    found = Payment.objects.filter(
        account_id__in={row.payment.account_id for row in rows},
        reference__in=[row.payment.reference for row in rows],
    ).only("account_id", "reference", "captured", "currency", "disputed_at")
    return {key_of(payment): payment for payment in found}


def _difference(payment: Payment, known: Payment) -> str:
    """Why this row is not simply the known payment again, or ""."""
    if (payment.captured, payment.currency) != (known.captured, known.currency):
        return _(
            "The payment %(reference)s is known with %(money)s %(currency)s, here it has %(other_money)s "
            "%(payment_currency)s. Nothing was changed."
        ) % {
            "reference": payment.reference,
            "money": known.money(known.captured),
            "currency": known.currency,
            "other_money": payment.money(payment.captured),
            "payment_currency": payment.currency,
        }
    return ""


def _chunks(rows: Iterable[PaymentRow | BadRow]) -> Iterator[list[PaymentRow | BadRow]]:
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _sorted(tally: Tally) -> Tally:
    tally.bad.sort(key=lambda bad: bad.line)
    return tally
