"""What a row of a file has to be to become a request: one payment, and no other. Nothing is guessed or written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from gateways import cards
from gateways.money import Money
from refunds import scope
from refunds.errors import BadInput
from refunds.models import Account, Payment, RefundReason
from refunds.services.journal import in_english
from refunds.services.request_rows import NAMING, RequestRow
from refunds.services.rowcheck import clean
from refunds.services.rows import BadRow
from refunds.services.typed import CARD
from refunds.sheets import writable

CHUNK = 500
LONGEST = {"ticket": 200, "internal_note": 2000}
LONGEST_REASON = 500
Name = tuple[int, str]  # account and reference, or account and order


@dataclass(frozen=True)
class Wish:
    """What one row asks for; where it cannot be asked, `why_not` says why and nothing else is filled in."""

    line: int
    given: dict[str, str]
    payment: Payment | None = None
    amount: int = 0
    reason: RefundReason | None = None
    why_not: str = ""


class RequestCheck:
    """Knows the accounts that this person works with, the reasons in use, and the payments that the rows name."""

    def __init__(self, by: User, rows: Iterable[RequestRow | BadRow]) -> None:
        accounts = scope.within(Account.objects.all(), by, "pk")
        self.accounts = {account.slug: account for account in accounts}
        self.reasons: dict[str, list[RefundReason]] = defaultdict(list)
        for reason in RefundReason.objects.filter(is_active=True):
            self.reasons[reason.name.casefold()].append(reason)
        read = [row for row in rows if isinstance(row, RequestRow)]
        self.by_reference = self._found("reference", (row.payment_reference for row in read))
        self.by_order = self._found("order", (row.order for row in read))
        self.known = {name for _account, name in (*self.by_reference, *self.by_order)}

    def _found(self, column: str, names: Iterable[str]) -> dict[Name, list[Payment]]:
        found: dict[Name, list[Payment]] = defaultdict(list)
        own = Payment.objects.filter(account__in=self.accounts.values()).select_related("account").order_by("pk")
        wanted = sorted({name for name in names if name and "\0" not in name})
        for start in range(0, len(wanted), CHUNK):
            for payment in own.filter(**{f"{column}__in": wanted[start : start + CHUNK]}):
                found[payment.account_id, getattr(payment, column)].append(payment)
        return found

    def wish(self, row: RequestRow | BadRow) -> Wish:
        """Raises BadInput for a row with a card number in it: such a file is not kept."""
        self._demand_no_cards(row)
        if isinstance(row, BadRow):
            return Wish(row.line, {}, why_not=writable(row.reason)[:LONGEST_REASON])
        try:
            with in_english():  # why not is kept
                cleaned = {name: clean(name, text) for name, text in row.given.items()}
                return self._wish(RequestRow(**cleaned, line=row.line))
        except BadInput as trouble:
            given = {name: writable(text) for name, text in row.given.items()}
            return Wish(row.line, given, why_not=writable(str(trouble))[:LONGEST_REASON])

    def _wish(self, row: RequestRow) -> Wish:
        payment = self._payment(row)
        amount = self._amount(row, payment)
        found = self.reasons.get(row.reason.casefold(), [])
        if len(found) != 1:
            names = ", ".join(reason.name for same in self.reasons.values() for reason in same)
            raise BadInput(
                _("The reason %(reason)r is not in use. Write one of: %(names)s.")
                % {"reason": row.reason, "names": names}
            )
        for name, longest in LONGEST.items():
            if len(getattr(row, name)) > longest:
                raise BadInput(
                    _("%(name)s is longer than %(longest)s characters.") % {"name": name, "longest": longest}
                )
        return Wish(row.line, row.given, payment, amount.minor, found[0])

    def _payment(self, row: RequestRow) -> Payment:
        account = self.accounts.get(row.account)
        if account is None:
            raise BadInput(_("There is no account %(account)r.") % {"account": row.account})
        if not row.payment_reference and not row.order:
            raise BadInput(_("Name the payment: by its reference or by the order."))
        named = self.by_reference.get((account.pk, row.payment_reference), [])
        ordered = self.by_order.get((account.pk, row.order), [])
        found = named if row.payment_reference else ordered
        if not found:
            said = {"name": row.payment_reference or row.order, "account": account}
            raise BadInput(_("There is no payment %(name)r in the account %(account)s.") % said)
        if len(found) > 1:
            said = {"order": row.order, "number": len(found)}
            raise BadInput(
                _("%(number)s payments have the order %(order)r. Write the payment_reference of the one that is meant.")
                % said
            )
        if row.order and row.order != found[0].order:
            said = {"name": row.payment_reference, "theirs": found[0].order, "order": row.order}
            raise BadInput(_("The payment %(name)r belongs to the order %(theirs)r, not to %(order)r.") % said)
        return found[0]

    def _amount(self, row: RequestRow, payment: Payment) -> Money:
        try:
            amount = Money.parse(row.amount, row.currency)
        except ValueError as trouble:
            raise BadInput(str(trouble)) from None
        if amount.minor <= 0:
            raise BadInput(_("The amount has to be more than zero."))
        if amount.currency != payment.currency:
            said = {"theirs": payment.currency, "ours": amount.currency}
            raise BadInput(_("The payment is in %(theirs)s, not in %(ours)s.") % said)
        return amount

    def _demand_no_cards(self, row: RequestRow | BadRow) -> None:
        """A number that is a payment's or an order's own name may look like a card's."""
        texts = row.given if isinstance(row, RequestRow) else {"why": row.reason}  # which quotes what stood there
        for name, text in texts.items():
            if cards.has_number(text) and not (name in NAMING and text in self.known):
                raise BadInput(
                    _("Line %(line)s: %(why)s Nothing of the file was kept.") % {"line": row.line, "why": CARD}
                )
