"""What a row of text has to be to become a payment. Nothing is guessed and nothing is written."""

from __future__ import annotations

import re
import unicodedata
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.contract import Gateway, RefundOrder
from gateways.money import Money
from refunds import scope
from refunds.errors import BadInput, NotRefundable, in_words
from refunds.models import Account, Payment
from refunds.services.orders import gateway_for
from refunds.services.rows import COLUMNS, PaymentRow
from refunds.services.typed import without_cards

MOMENT = re.compile(
    r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?\Z",
    re.ASCII,
)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
CLOCKS_DIFFER_BY = timedelta(days=1)
# Column, where it is kept, and whether it may be empty; the lengths are the database's.
TEXTS = (
    ("payment_reference", "reference", False),
    ("order", "order", True),
    ("customer_name", "customer_name", True),
    ("customer_email", "customer_email", True),
    ("method", "method", True),
)
FORBIDDEN = {
    "Cc": gettext_lazy("a control character"),
    "Zl": gettext_lazy("a line break"),
    "Zp": gettext_lazy("a line break"),
    "Cs": gettext_lazy("half a character"),
}
TURNS_TEXT = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RowCheck:
    """Knows the accounts as they were at `now`, to a person only the own ones, and builds each connector only once."""

    def __init__(self, now: datetime, by: User | None = None) -> None:
        self.now = now
        accounts = Account.objects.all() if by is None else scope.within(Account.objects.all(), by, "pk")
        self.accounts = {account.slug: account for account in accounts}
        self.gateways: dict[str, Gateway] = {}

    def payment(self, row: PaymentRow) -> Payment:
        """An unsaved payment. Raises BadInput with the first thing that is wrong."""
        fields = {name: clean(name, getattr(row, name)) for name in COLUMNS}
        account = self._account(fields["account"])
        texts = {kept: _text(name, fields[name], kept, may_be_empty) for name, kept, may_be_empty in TEXTS}
        amount = _amount(fields["amount"], fields["currency"])
        _demand_email(texts["customer_email"])
        without_cards(f"{texts['customer_name']}\n{texts['method']}")
        self._demand_carried(account, texts["reference"], amount)
        return Payment(
            account=account,
            currency=amount.currency,
            captured=amount.minor,
            captured_at=self._moment(fields["captured_at"]),
            disputed_at=self.now if _yes(fields["disputed"]) else None,
            **texts,
        )

    def _account(self, slug: str) -> Account:
        account = self.accounts.get(slug)
        if account is None:
            raise BadInput(
                _("There is no account %(slug)r.") % {"slug": slug} if slug else _("The account is missing.")
            )
        if not account.is_active:
            raise BadInput(
                _("The account %(slug)s is switched off: it is no longer in GATEWAY_ACCOUNTS.") % {"slug": slug}
            )
        return account

    def _demand_carried(self, account: Account, reference: str, amount: Money) -> None:
        """Refuse now what the gateway could never refund."""
        try:
            if account.slug not in self.gateways:
                self.gateways[account.slug] = gateway_for(account)
        except NotRefundable as trouble:
            raise BadInput(str(trouble)) from trouble
        order = RefundOrder(key=str(uuid.uuid4()), payment_reference=reference, amount=amount)
        if objection := self.gateways[account.slug].check(order):
            raise BadInput(_(objection))

    def _moment(self, text: str) -> datetime:
        """ISO 8601 → UTC."""
        found = MOMENT.match(text)
        try:
            moment = datetime.fromisoformat(text) if found else None
        except ValueError:
            moment = None
        if moment is None:
            raise BadInput(_("captured_at is %(text)r: write a moment such as 2026-11-20T14:30:00Z.") % {"text": text})
        if moment.tzinfo is None:
            raise BadInput(
                _("captured_at is %(text)r, without a time zone: add Z for UTC, or an offset such as +01:00.")
                % {"text": text}
            )
        if moment < EARLIEST:
            raise BadInput(
                _("captured_at is %(text)r: that is before %(earliest)s.")
                % {"text": text, "earliest": f"{EARLIEST:%Y}"}
            )
        if moment > self.now + CLOCKS_DIFFER_BY:
            raise BadInput(_("captured_at is %(text)r: that is in the future.") % {"text": text})
        return moment.astimezone(UTC)


def clean(name: str, text: str) -> str:
    """The text without blanks around it; signs, formulas and all alphabets are data, invisible commands are not."""
    text = text.strip()
    for character in text:
        if trouble := FORBIDDEN.get(unicodedata.category(character)):
            raise BadInput(
                _("%(name)s holds %(trouble)s (U+%(code)s).")
                % {"name": name, "trouble": trouble, "code": f"{ord(character):04X}"}
            )
        if character in TURNS_TEXT:
            raise BadInput(
                _("%(name)s holds a sign that turns the direction of text (U+%(code)s).")
                % {"name": name, "code": f"{ord(character):04X}"}
            )
    return text


def column(name: str) -> models.CharField[Any, Any]:
    """A text column of a payment."""
    field = Payment._meta.get_field(name)
    assert isinstance(field, models.CharField)
    return field


def _text(name: str, text: str, kept: str, may_be_empty: bool) -> str:
    longest = column(kept).max_length or 0
    if not text and not may_be_empty:
        raise BadInput(_("The %(name)s is missing.") % {"name": name})
    if len(text) > longest:
        raise BadInput(
            _("%(name)s has %(length)s characters; at most %(longest)s are kept.")
            % {"name": name, "length": len(text), "longest": longest}
        )
    if name == "payment_reference" and not (text.isascii() and text.isprintable() and " " not in text):
        raise BadInput(_("payment_reference has to be plain letters, digits and signs, without blanks."))
    return text


def _amount(text: str, currency: str) -> Money:
    try:
        amount = Money.parse(text, currency)
    except ValueError as trouble:
        raise BadInput(_("amount and currency: %(trouble)s") % {"trouble": in_words(trouble)}) from None
    if amount.minor <= 0:
        raise BadInput(_("The amount has to be more than zero."))
    return amount


def _demand_email(text: str) -> None:
    try:
        if text:
            validate_email(text)
    except ValidationError:
        raise BadInput(_("customer_email is not an e-mail address.")) from None


def _yes(text: str) -> bool:
    words = {"": False, "no": False, "yes": True}
    if text.lower() not in words:
        raise BadInput(_("disputed is %(text)r: write yes or no, or leave it empty.") % {"text": text})
    return words[text.lower()]
