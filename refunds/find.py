"""Finding payments and refunds by anything that a customer can read out. It only reads, within a person's accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _
from moneyed import list_all_currencies

from gateways.money import Money
from refunds import scope
from refunds.models import Payment, Refund, UnmatchedRefund

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

MOST_HITS = 20  # of each kind: whoever gets more has to say more
SHORTEST = 2
SHORTEST_PART = 3  # what is shorter is part of nearly everything, and no index of parts knows it
NOTHING = Q(pk__in=())

NUMBER = re.compile(r"\A(?:R[-\s]?(\d{1,12})|(0\d{5,11}))\Z", re.ASCII | re.IGNORECASE)
AMOUNT = re.compile(r"\A(?:([A-Z]{3})\s?)?(\d[\d ,.\N{NO-BREAK SPACE}]{0,20})(?:\s?([A-Z]{3}))?\Z", re.IGNORECASE)
# With a point or a comma before the decimals; the other sign, or blanks, may stand between the thousands.
NUMBERS = tuple(
    re.compile(rf"\A(\d+|\d{{1,3}}(?:[ {other}]\d{{3}})+)(?:{point}(\d{{1,3}}))?\Z", re.ASCII)
    for point, other in ((r"\.", ","), (",", r"\."))
)


@dataclass(frozen=True)
class Hit:
    """One row, and what of it fits."""

    row: Model
    why: StrOrPromise


@dataclass
class Found:
    """`is_cut`: there are more than are shown."""

    payments: list[Hit] = field(default_factory=list)
    refunds: list[Hit] = field(default_factory=list)
    unmatched: list[Hit] = field(default_factory=list)
    is_cut: bool = False

    def __bool__(self) -> bool:
        return bool(self.payments or self.refunds or self.unmatched)

    @property
    def only(self) -> Model | None:
        """The one row that was found, when there is no other."""
        hits = [*self.payments, *self.refunds, *self.unmatched]
        return hits[0].row if len(hits) == 1 and not self.is_cut else None


def find(text: str, user: User) -> Found:
    """What the text names exactly; only where it names nothing, amounts and what merely holds the text."""
    if not (term := _term(text)):
        return Found()
    return _looked(term, user, NAMED) or _looked(term, user, LIKE)


def narrowed(rows: QuerySet, text: str) -> QuerySet:
    """A list of payments or refunds, with what the text names exactly; only where that is none, what holds the text."""
    if not (term := _term(text)):
        return rows.none()
    named = rows.filter(pk__in=_any_of(rows.model, NAMED, term))
    return named if named.exists() else rows.filter(pk__in=_any_of(rows.model, LIKE, term))


def refunds_named(text: str) -> QuerySet:
    """The keys of the refunds with this number, key or id at the gateway."""
    named = by_our_name(text) | Q(reference__in=spellings(text.strip()), reference__gt="")
    return REFUNDS.filter(named).order_by().values("pk")


def _term(text: str) -> str:
    """What was typed, with single blanks; "" where it cannot name anything."""
    term = " ".join(text.split())
    return "" if len(term) < SHORTEST or "\0" in term else term


def _any_of(model: type[Model], looks: tuple[tuple[Look, ...], ...], term: str) -> QuerySet:
    """The keys of all rows that fit one of the looks, be it at a payment or at a refund of it.

    One question for each look, put together: asked as one condition over both tables, none of them has an index.
    """
    keys = {Payment: ("pk", "refunds"), Refund: ("payment", "pk")}
    found = [
        rows.filter(condition).order_by().values_list(keys[rows.model][model is Refund])
        for rows, asked in zip((PAYMENTS, REFUNDS), looks, strict=False)
        for _why, ask in asked
        if (condition := ask(term)) != NOTHING
    ]
    return found[0].union(*found[1:]) if found else model._default_manager.none().values_list("pk")


# --- What a text can be ---


def by_our_name(text: str) -> Q:
    """Of refunds: our number (R-000042, R-42, 000042) and our key."""
    number = NUMBER.match(text.strip())
    named = Q(pk=int(number[1] or number[2])) if number else NOTHING
    return named | Q(key=key) if (key := _uuid(text)) else named


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip()) if len(text.strip()) == 36 else None
    except ValueError:
        return None


def spellings(term: str) -> set[str]:
    """As it was typed, and in capital and small letters: people do not hear the difference, and an index does."""
    return {term, term.upper(), term.lower()}


def readings(text: str) -> list[tuple[str, int]]:
    """Currencies with the minor units that the text can mean in them: "12,50", "1.250,00 PLN", "JPY 1200"."""
    found = AMOUNT.match(text)
    if not found or (found[1] and found[3]):
        return []
    wanted = (found[1] or found[3] or "").upper()
    number = found[2].replace("\N{NO-BREAK SPACE}", " ").strip()
    read = [one for numbers in NUMBERS if (one := numbers.match(number))]
    plain = {re.sub(r"\D", "", one[1]) + (f".{one[2]}" if one[2] else "") for one in read}
    codes = [wanted] if wanted else CODES
    return sorted({(code, minor) for code in codes for one in plain for minor in _minor(one, code)})


def _minor(plain: str, currency: str) -> Iterator[int]:
    """Nothing for a code that is none, or where the currency has fewer decimals."""
    try:
        yield Money.parse(plain, currency).minor
    except ValueError:
        return


CODES = [currency.code for currency in list_all_currencies() if len(currency.code) == 3]


def amounts(text: str, minor: str, currency: str) -> Q:
    """Rows of this amount in any currency in which the text is an amount."""
    by_minor: dict[int, list[str]] = {}
    for code, units in readings(text):
        by_minor.setdefault(units, []).append(code)
    match = NOTHING
    for units, codes in by_minor.items():
        match |= Q(**{minor: units, f"{currency}__in": codes})
    return match


# --- Where it is looked for: what fits, as people call it, and how it is asked ---

PAYMENTS = Payment.objects.annotate(small_email=Lower("customer_email"))
REFUNDS = Refund.objects.all()


def holds(field: str) -> Callable[[str], Q]:
    """Whether the field has the text in it, in whatever letters."""
    return lambda term: Q(**{f"{field}__icontains": term}) if len(term) >= SHORTEST_PART else NOTHING


Look = tuple["StrOrPromise", Callable[[str], Q]]

PAYMENTS_NAMED: tuple[Look, ...] = (
    (_("order"), lambda term: Q(order__in=spellings(term))),
    (_("the gateway's id of the payment"), lambda term: Q(reference__in=spellings(term))),
    (_("e-mail"), lambda term: Q(small_email=term.lower()) if "@" in term else NOTHING),
)
REFUNDS_NAMED: tuple[Look, ...] = (
    (_("our number"), lambda term: by_our_name(term)),
    (_("the gateway's id of the refund"), lambda term: Q(reference__in=spellings(term))),
    (_("told by the gateway"), lambda term: Q(identifiers__icontains=term) if len(term) > 5 else NOTHING),
    (_("ticket"), lambda term: Q(ticket__in=spellings(term))),
)
UNMATCHED_NAMED: tuple[Look, ...] = (
    (_("the gateway's id of the refund"), lambda term: Q(reference__in=spellings(term)) | Q(key__in=spellings(term))),
    (_("the gateway's id of the payment"), lambda term: Q(payment_reference__in=spellings(term))),
)
PAYMENTS_LIKE: tuple[Look, ...] = (
    (_("amount"), lambda term: amounts(term, "captured", "currency")),
    (_("begins the order"), lambda term: Q(order__istartswith=term)),
    (_("in the e-mail"), holds("customer_email")),
    (_("in the name"), holds("customer_name")),
    (_("in the gateway's id"), holds("reference")),
)
REFUNDS_LIKE: tuple[Look, ...] = (
    (_("amount"), lambda term: amounts(term, "amount", "payment__currency")),
    (_("told by the gateway"), holds("identifiers")),
    (_("in the ticket"), holds("ticket")),
)
UNMATCHED_LIKE: tuple[Look, ...] = (
    (_("amount"), lambda term: amounts(term, "amount", "currency")),
    (_("in the gateway's id"), holds("reference")),
)
NAMED = (PAYMENTS_NAMED, REFUNDS_NAMED, UNMATCHED_NAMED)
LIKE = (PAYMENTS_LIKE, REFUNDS_LIKE, UNMATCHED_LIKE)


def _looked(term: str, user: User, looks: tuple[tuple[Look, ...], ...]) -> Found:
    of_payments, of_refunds, of_unmatched = looks
    found = Found()
    if user.has_perm("refunds.view_payment"):
        payments = PAYMENTS.select_related("account").prefetch_related("refunds", "refunds__payment")
        shown = payments.order_by("-captured_at", "-pk")
        found.payments = _hits(scope.within(shown, user), term, of_payments, found)
    if user.has_perm("refunds.view_refund"):
        refunds = REFUNDS.select_related("payment", "account", "reason", "requested_by")
        found.refunds = _hits(scope.within(refunds, user), term, of_refunds, found)
    if user.has_perm("refunds.view_unmatchedrefund"):
        open_ones = UnmatchedRefund.objects.filter(settled_at=None).select_related("account")
        found.unmatched = _hits(scope.within(open_ones, user), term, of_unmatched, found)
    return found


def _hits(rows: QuerySet, term: str, looks: tuple[Look, ...], found: Found) -> list[Hit]:
    hits: dict[int, Hit] = {}
    for why, asked in looks:
        if (condition := asked(term)) == NOTHING:
            continue
        for row in rows.filter(condition)[: MOST_HITS + 1]:
            hits.setdefault(row.pk, Hit(row, why))
    found.is_cut |= len(hits) > MOST_HITS
    return list(hits.values())[:MOST_HITS]
