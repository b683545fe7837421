"""The form that asks for a refund."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from gateways.money import Money, exponent
from refunds import services
from refunds.models import Payment, Refund, RefundReason

MOST_SHOWN = 10


class RequestForm(forms.Form):
    """`seen_free` carries the free amount (minor units) that the page showed; the service compares it.

    A request that looks like another refund comes back once with those it looks like. `shown` carries their ids, so
    that a tick counts only for what stood beside it.
    """

    amount = forms.CharField(
        max_length=30, widget=UnfoldAdminTextInputWidget({"inputmode": "decimal", "autofocus": True})
    )
    reason = forms.ModelChoiceField(
        label=gettext_lazy("Reason"),
        queryset=RefundReason.objects.filter(is_active=True),
        empty_label=gettext_lazy("Choose…"),
        widget=UnfoldAdminSelectWidget,
    )
    ticket = forms.CharField(
        label=gettext_lazy("Ticket"),
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("A number or a link, for the approver."),
    )
    internal_note = forms.CharField(
        label=gettext_lazy("Internal note"),
        max_length=2000,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text=gettext_lazy("For colleagues only. It never leaves this house."),
    )
    seen_free = forms.IntegerField(widget=forms.HiddenInput)
    looked_at = forms.BooleanField(
        label=gettext_lazy("I have looked at them: it is not the same refund"),
        required=False,
        widget=UnfoldBooleanWidget,
    )
    shown = forms.CharField(max_length=400, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, payment: Payment, by: User, **kwargs: Any) -> None:
        self.payment, self.by = payment, by
        self.duplicates: list[Refund] = []
        initial = {"amount": str(payment.money(max(payment.free, 0))), "seen_free": payment.free}
        super().__init__(*args, **{**kwargs, "initial": initial})
        self.fields["amount"].label = _("Amount in %(currency)s") % {"currency": payment.currency}
        places = exponent(payment.currency)
        self.fields["amount"].help_text = _("Digits and a point, %(places)s decimals.") % {"places": places}

    def visible_fields(self) -> list[forms.BoundField]:
        """All but the box to tick, which stands beside what it is about."""
        return [field for field in super().visible_fields() if field.name != "looked_at"]

    def clean_amount(self) -> int:
        """Major units as typed → minor units."""
        try:
            money = Money.parse(self.cleaned_data["amount"].strip(), self.payment.currency)
        except ValueError as trouble:
            raise forms.ValidationError(str(trouble)) from None
        if money.minor == 0:
            raise forms.ValidationError(_("The amount has to be more than zero."))
        return money.minor

    def clean(self) -> dict[str, Any]:
        typed: dict[str, Any] = super().clean() or self.cleaned_data
        if "amount" in typed and typed.get("reason"):
            self._compare(typed)
        return typed

    def _compare(self, typed: dict[str, Any]) -> None:
        """Whoever has ticked has ticked for the ones that were shown, and for no other."""
        found = services.duplicates_of_wish(self.payment, typed["amount"], typed["reason"], self.by)
        self.duplicates = list(found[:MOST_SHOWN])
        shown = set(typed.get("shown", "").split())
        if all(str(one.pk) in shown for one in self.duplicates) and (typed.get("looked_at") or not self.duplicates):
            return
        self.data = {**dict(self.data.items()), "shown": " ".join(str(one.pk) for one in self.duplicates)}
        self.data.pop("looked_at", None)
        self.add_error("looked_at", _("Please look at what it looks like first."))

    def order(self) -> dict[str, Any]:
        """What the service is asked."""
        asked = {name: self.cleaned_data[name] for name in ("amount", "reason", "ticket", "internal_note", "seen_free")}
        return {**asked, "not_the_same_as": self.duplicates}

    def stale(self, payment: Payment, refusal: str) -> RequestForm:
        """The same form with what was typed, the new free amount, and why it was refused."""
        again = RequestForm({**dict(self.data.items()), "seen_free": payment.free}, payment=payment, by=self.by)
        again.full_clean()
        again.add_error(None, refusal)
        return again
