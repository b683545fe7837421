"""The filters of the refund list: the questions that people ask of it. All of them stand in the address.

What cannot be read is said, and lists nothing: nobody takes an unfiltered list for a filtered one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import RelatedFieldListFilter, SimpleListFilter
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Lower
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RadioFilter, RelatedCheckboxFilter, TextFilter
from unfold.widgets import INPUT_CLASSES

from gateways.money import Money
from refunds import scope, services
from refunds.admin.queue import ORDERS, RISK, waiting_for
from refunds.models import Account, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY

Rows = QuerySet[Refund]
DECIDE = "decide"
ISO_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})?", re.ASCII)
NO_EMAIL = "-"  # customers of whom no e-mail address is known


def refuse(request: HttpRequest, rows: Rows, why: str) -> Rows:
    """Nothing, and once the reason why."""
    told: set[str] = request.__dict__.setdefault("told_by_filters", set())
    if why not in told:
        told.add(why)
        messages.error(request, why)
    return rows.none()


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
        ]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        if question == DECIDE:
            return rows.filter(pk__in=waiting_for(me).order_by().values("pk"))
        own = rows.filter(requested_by=me)
        return {
            "asked": own,
            "returned": own.filter(status=Status.RETURNED),
            "alarm": own.exclude(needs_attention=""),
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
        return rows.exclude(needs_attention="")


class Overdue(Asked):
    title = gettext_lazy("what is overdue")
    parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        hours, days = settings.APPROVE_WITHIN_HOURS, settings.SETTLE_WITHIN_DAYS
        return [
            ("decision", _("Undecided for more than %(hours)s hours") % {"hours": hours}),
            ("gateway", _("At the gateway for more than %(days)s days") % {"days": days}),
        ]

    def asked(self, question: str, me: User, rows: Rows) -> Rows:
        now = timezone.now()
        if question == "decision":
            since = now - timedelta(hours=settings.APPROVE_WITHIN_HOURS)
            return rows.filter(status=Status.REQUESTED, requested_at__lt=since)
        out = rows.filter(status__in=AT_THE_GATEWAY).alias(out_since=Coalesce("sent_at", "requested_at"))
        return out.filter(out_since__lt=now - timedelta(days=settings.SETTLE_WITHIN_DAYS))


class OfBatch(SimpleListFilter):
    """The refunds of one batch: where its page leads to; offered nowhere else."""

    title = gettext_lazy("batch")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if not (number := self._number(request)):
            return []
        shown = services.batches_for(cast(User, request.user)).filter(pk=number).first()
        return [(number, f"{shown} · {shown.file_name}" if shown else _("none that is known"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        own = services.batches_for(cast(User, request.user)).filter(pk=self._number(request) or 0)
        return queryset.filter(batch_row__batch__in=own) if self.value() else queryset

    def _number(self, request: HttpRequest) -> str:
        number = request.GET.get("batch", "")
        return number if number.isascii() and number.isdecimal() and len(number) <= 18 else ""


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
        if "@" not in email:
            why = _(
                "“%(typed)s” is no e-mail address, so nothing is listed. Search for a part of one in the box above."
            )
            return refuse(request, rows, why % {"typed": email[:60]})
        return rows.alias(email=Lower("payment__customer_email")).filter(email=email.lower())


class Typed(SimpleListFilter):
    """A filter of some boxes to type into: `parameters` are their names in the address."""

    template = "admin/refunds/filter_boxes.html"
    parameters: tuple[str, ...] = ()

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.parameters:
            if (given := params.pop(name, None)) is not None:
                self.used_parameters[name] = str(given[-1]).strip()

    def lookups(self, request: HttpRequest, model_admin: Any) -> tuple[()]:
        return ()

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def typed(self) -> dict[str, str]:
        return {name: self.used_parameters.get(name, "") for name in self.parameters}

    def queryset(self, request: HttpRequest, rows: Rows) -> Rows:
        typed = self.typed()
        try:
            return rows.filter(self.asked(typed)) if any(typed.values()) else rows
        except ValueError as wrong:
            why = _("The filter “%(filter)s” cannot be read, so nothing is listed. %(why)s")
            return refuse(request, rows, why % {"filter": self.title, "why": wrong})

    def asked(self, typed: dict[str, str]) -> Q:
        raise AssertionError("every filter has its question")

    def boxes(self) -> dict[str, tuple[str, dict[str, str]]]:
        """Name → label and attributes."""
        raise AssertionError("every filter has its boxes")

    def choices(self, changelist: Any) -> Iterator[Any]:
        form = forms.Form(initial=self.typed())
        for name, (label, attributes) in self.boxes().items():
            widget = forms.TextInput(attrs={"class": " ".join(INPUT_CLASSES), **attributes})
            widget.input_type = attributes.get("type", "text")
            form.fields[name] = forms.CharField(label=label, required=False, widget=widget)
        yield {"form": form}


class Days(Typed):
    """From one day to another, both included, in the house's time zone."""

    field = ""

    def boxes(self) -> dict[str, tuple[str, dict[str, str]]]:
        labels = zip(self.parameters, (_("From"), _("To")), strict=True)
        # A browser would empty its box of a date before a person could see what was wrong with it.
        kinds = {name: "date" if ISO_DAY.fullmatch(typed) else "text" for name, typed in self.typed().items()}
        return {name: (label, {"type": kinds[name]}) for name, label in labels}

    def asked(self, typed: dict[str, str]) -> Q:
        first, last = (_day(typed[name]) for name in self.parameters)
        if first and last and last < first:
            raise ValueError(_("The first day is after the last one."))
        asked = Q(**{f"{self.field}__gte": _midnight(first)}) if first else Q()
        return asked & Q(**{f"{self.field}__lt": _midnight(last + timedelta(days=1))}) if last else asked


def _day(text: str) -> date | None:
    try:
        day = forms.DateField(required=False).clean(text)
    except ValidationError:
        day = date.min
    if day and not 1970 <= day.year <= 9000:
        raise ValueError(_("“%(typed)s” is no day. Write it like 2026-11-21.") % {"typed": text[:60]})
    return day


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


class Requested(Days):
    title = gettext_lazy("day of the request")
    parameters = ("requested_from", "requested_to")
    parameter_name, field = "requested_from", "requested_at"


class Final(Days):
    title = gettext_lazy("day of the end")
    parameters = ("final_from", "final_to")
    parameter_name, field = "final_from", "final_at"


class Amount(Typed):
    """Major units of one currency: without it, 100 yen and 100 euro would be the same."""

    title = gettext_lazy("amount")
    parameters = ("amount_from", "amount_to", "currency")
    parameter_name = "amount_from"

    def boxes(self) -> dict[str, tuple[str, dict[str, str]]]:
        number = {"inputmode": "decimal", "autocomplete": "off"}
        return {
            "amount_from": (_("From"), number),
            "amount_to": (_("To"), number),
            "currency": (_("Currency (an amount needs one)"), {"maxlength": "3", "placeholder": "EUR"}),
        }

    def asked(self, typed: dict[str, str]) -> Q:
        currency = typed["currency"].upper()
        if not currency:
            raise ValueError(_("Say of which currency: EUR, for example. Amounts are never converted."))
        Money(0, currency)  # refuses what is no currency
        asked = Q(payment__currency=currency)
        low, high = (typed[name] and Money.parse(typed[name], currency) for name in self.parameters[:2])
        if low and high and high.minor < low.minor:
            raise ValueError(_("The lower amount is above the higher one."))
        asked &= Q(amount__gte=low.minor) if low else Q()
        return asked & Q(amount__lte=high.minor) if high else asked


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
