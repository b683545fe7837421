"""What all forms share that propose a change: why, how it stood when the page was shown, and amounts as typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import CHECKBOX_CLASSES, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from gateways.money import Money, exponent
from refunds.errors import in_words

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

Wish = dict[str, Any]
CURRENCY = UnfoldAdminTextInputWidget({"autocomplete": "off", "placeholder": "EUR"})


def boxes() -> forms.CheckboxSelectMultiple:
    return forms.CheckboxSelectMultiple({"class": " ".join(CHECKBOX_CLASSES)})


class ProposalForm(forms.Form):
    """`seen` is how it stood when the page was shown; the service compares it."""

    note = forms.CharField(
        label=gettext_lazy("Why"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text=gettext_lazy("The person who confirms it reads this."),
        error_messages={"required": gettext_lazy("Say why; the person who confirms it reads this.")},
    )
    seen = forms.JSONField(widget=forms.HiddenInput, required=False)

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if not isinstance(found.get("seen"), dict):
            raise forms.ValidationError(_("This page does not say what it has shown. Open it anew."))
        return found

    def wish(self) -> Wish:
        """What shall be; empty to end it."""
        return {}

    def shows_now(self, standing: Wish) -> None:
        """From here on the page shows how it stands now; what was typed stays."""
        data = QueryDict(mutable=True)
        data.update(self.data)
        data["seen"] = json.dumps(standing)
        self.data = data

    def typed_amount(self, name: str, currency: str) -> int | None:
        """Major units as typed → minor units; None where nothing was typed or it cannot be read."""
        text = self.cleaned_data.get(name, "").strip()
        if not text:
            return None
        try:
            return Money.parse(text, currency).minor
        except ValueError as trouble:
            self.add_error(name, in_words(trouble))
            return None


class EndForm(ProposalForm):
    """Proposes that something shall end."""


def amount_field(label: StrOrPromise, help_text: StrOrPromise, *, required: bool = False) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"})
    return forms.CharField(label=label, help_text=help_text, max_length=30, required=required, widget=widget)


def choose_from(form: forms.Form, name: str, rows: QuerySet[Any]) -> None:
    cast(forms.ModelChoiceField, form.fields[name]).queryset = rows


def known_currency(form: forms.Form) -> str:
    """The currency in capitals, as ISO 4217 knows it; "" where none was typed."""
    currency: str = form.cleaned_data["currency"].strip().upper()
    try:
        exponent(currency or "EUR")
    except ValueError as trouble:
        raise forms.ValidationError(in_words(trouble)) from None
    return currency
