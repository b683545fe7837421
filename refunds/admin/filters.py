"""The filters of the refund list: the questions that people ask of it. All of them stand in the address.

What cannot be read is said, and lists nothing: nobody takes an unfiltered list for a filtered one.
"""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.admin import RelatedFieldListFilter
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter, RelatedCheckboxFilter, TextFilter

from refunds import health, scope, services
from refunds.admin.filter_boxes import Amount, Final, Requested, Rows, refuse
from refunds.admin.queue import ORDERS, RISK, decidable
from refunds.models import Account, Status

DECIDE = "decide"
NO_EMAIL = "-"  # customers of whom no e-mail address is known


class Offered:
    """Mixed into a filter by choices: one that is not offered is said to be none."""

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows | None:
        known = {str(value) for value, _label in self.offered()}
        given = self.value()  # type: ignore[attr-defined]
        for value in given if isinstance(given, list) else [given or ""]:
            if value and value not in known:
                why = _("“%(value)s” is no choice of the filter “%(filter)s”, so nothing is listed.")
                return refuse(request, rows, why % {"value": value[:60], "filter": self.title})  # type: ignore[attr-defined]
        return self.chosen(request, rows)

    def has_output(self) -> bool:
        return bool(self.offered())  # where it is not shown, Django would not ask it either

    def offered(self) -> Any:
        return self.lookup_choices  # type: ignore[attr-defined]

    def chosen(self, request: HttpRequest, rows: Rows) -> Rows | None:
        return super().queryset(request, rows)  # type: ignore[misc]


class Asked(Offered, RadioFilter):
    """One of some questions; `asked` says which rows answer it."""

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        raise AssertionError("every filter has its questions")

    def chosen(self, request: HttpRequest, rows: Rows) -> Rows:
        question = self.value()
        # The admin has seen to it that somebody is logged in.
        return self.asked(question, cast(User, request.user), rows) if question else rows


class Mine(Asked):
    title = gettext_lazy("my part")
    parameter_name = "for_me"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (DECIDE, _("Waiting for my decision")),
            ("asked", _("I asked for it")),
            ("returned", _("Returned to me")),
            ("alarm", _("I asked for it, and somebody has to look")),
            ("stuck", _("I asked for it, and it is unknown or overdue")),
        ]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        if question == DECIDE:
            return decidable(rows, me)
        own = rows.filter(requested_by=me)
        return {
            "asked": own,
            "returned": own.filter(status=Status.RETURNED),
            "alarm": own.filter(needs_attention__gt=""),
            "stuck": own.filter(health.is_stuck()),
        }[question]


class Line(Asked):
    """The order of the line of decisions; RefundAdmin.get_ordering sorts by it."""

    title = gettext_lazy("order of the line")
    parameter_name = "line"
    all_option = None

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _fields) in ORDERS.items()] if is_line(request) else []

    def value(self) -> str:
        return super().value() or RISK

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        return rows


def is_line(request: HttpRequest) -> bool:
    """Whether the list that is asked for is the line of decisions."""
    return request.GET.get(Mine.parameter_name) == DECIDE


class Attention(Asked):
    title = gettext_lazy("attention")
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", _("Somebody has to look"))]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        return rows.filter(needs_attention__gt="")


class Overdue(Asked):
    title = gettext_lazy("what is overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        hours, days = settings.APPROVE_WITHIN_HOURS, settings.SETTLE_WITHIN_DAYS
        return [
            ("decision", _("Undecided for more than %(hours)s hours") % {"hours": hours}),
            ("gateway", _("No final word for more than %(days)s days, or not asked for an hour") % {"days": days}),
        ]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        if question == "decision":
            return rows.filter(status=Status.REQUESTED, requested_at__lt=timezone.now() - health.approve_within())
        return rows.filter(health.is_overdue())


class OfBatch(Asked):
    """The refunds of one batch: where its page leads to; offered nowhere else."""

    title = gettext_lazy("batch")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if "batch" not in request.GET:
            return []
        number = request.GET["batch"]
        if not (number.isascii() and number.isdecimal() and len(number) <= 18):
            number = "0"  # no batch has it, so what was given is refused
        shown = services.batches_for(cast(User, request.user)).filter(pk=number).first()
        return [(number, f"{shown} · {shown.file_name}" if shown else _("none that is known"))]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        return rows.filter(batch_row__batch__in=services.batches_for(me).filter(pk=question))


class OwnAccounts(RelatedFieldListFilter):
    """The accounts that this person works with."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        accounts = scope.within(Account.objects.all(), cast(User, request.user), "pk")
        return [(str(account.pk), str(account)) for account in accounts]


class SomeAccounts(Offered, OwnAccounts, RelatedCheckboxFilter):
    """Several of them at once."""


class SomeReasons(Offered, RelatedCheckboxFilter):
    """Several at once."""


class SomeChoices(Offered, ChoicesCheckboxFilter):
    """Several at once."""

    def offered(self) -> Any:
        return self.field.flatchoices


class Customer(TextFilter):
    """By the whole e-mail address, which has an index; parts of it are for the search."""

    title = gettext_lazy("the customer's whole e-mail address")
    parameter_name = "customer"

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        email = (self.value() or "").strip()
        if not email:
            return rows
        if email == NO_EMAIL:
            return rows.filter(payment__customer_email="")
        if "@" not in email or "\0" in email:
            why = _(
                "“%(typed)s” is no e-mail address, so nothing is listed. Search for a part of one in the box above."
            )
            return refuse(request, rows, why % {"typed": email[:60]})
        return rows.alias(email=Lower("payment__customer_email")).filter(email=email.lower())


class OfCurrency(Asked):
    title = gettext_lazy("currency")
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in currencies()]

    def asked(self, question: str, me: User, rows: Any) -> Any:
        return rows.filter(currency=question)


def currencies() -> list[str]:
    """Of all payments, by one look into an index for each, where DISTINCT would read every row of it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE found(code) AS (SELECT MIN(currency) FROM refunds_payment "
            "UNION ALL SELECT (SELECT MIN(currency) FROM refunds_payment WHERE currency > code) FROM found "
            "WHERE code IS NOT NULL) SELECT code FROM found WHERE code IS NOT NULL"
        )
        return [code for (code,) in cursor.fetchall()]


OWN_ACCOUNTS = ("account", OwnAccounts)
REFUND_FILTERS = (
    Line,
    Mine,
    Attention,
    Overdue,
    ("status", SomeChoices),
    ("account", SomeAccounts),
    ("reason", SomeReasons),
    Amount,
    Requested,
    Final,
    Customer,
    OfBatch,
    ("account__mode", SomeChoices),
)
