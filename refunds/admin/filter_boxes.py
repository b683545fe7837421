"""Filters that are typed into: amounts and days. What cannot be read is said, and lists nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import INPUT_CLASSES

from gateways.money import Money
from refunds.models import Refund
from refunds.preferences import midnight

Rows = QuerySet[Refund]
ISO_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})?", re.ASCII)


def refuse(request: HttpRequest, rows: Rows, why: str) -> Rows:
    """Nothing, and once the reason why."""
    told: set[str] = request.__dict__.setdefault("told_by_filters", set())
    if why not in told:
        told.add(why)
        messages.error(request, why)
    return rows.none()


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
    """From one day to another, both included, in the reader's time zone, as the times on the pages are."""

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
        asked = Q(**{f"{self.field}__gte": midnight(first)}) if first else Q()
        return asked & Q(**{f"{self.field}__lt": midnight(last + timedelta(days=1))}) if last else asked


def _day(text: str) -> date | None:
    try:
        day = forms.DateField(required=False).clean(text)
    except ValidationError:
        day = date.min
    if day and not 1970 <= day.year <= 9000:
        raise ValueError(_("“%(typed)s” is no day. Write it like 2026-11-21.") % {"typed": text[:60]})
    return day


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
