"""The form that asks for a refund."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from gateways.money import Money, exponent
from refunds.models import Payment, RefundReason


class RequestForm(forms.Form):
    """`seen_free` carries the free amount (minor units) that the page showed; the service compares it."""

    amount = forms.CharField(max_length=30, widget=UnfoldAdminTextInputWidget({"inputmode": "decimal"}))
    reason = forms.ModelChoiceField(
        RefundReason.objects.filter(is_active=True), empty_label="Choose…", widget=UnfoldAdminSelectWidget
    )
    ticket = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="A number or a link, for the approver.",
    )
    internal_note = forms.CharField(
        max_length=2000,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
        help_text="For colleagues only. It never leaves this house.",
    )
    seen_free = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, payment: Payment, **kwargs: Any) -> None:
        self.payment = payment
        initial = {"amount": str(payment.money(max(payment.free, 0))), "seen_free": payment.free}
        super().__init__(*args, **{**kwargs, "initial": initial})
        self.fields["amount"].label = f"Amount in {payment.currency}"
        self.fields["amount"].help_text = f"Digits and a point, {exponent(payment.currency)} decimals."

    def clean_amount(self) -> int:
        """Major units as typed → minor units."""
        try:
            money = Money.parse(self.cleaned_data["amount"].strip(), self.payment.currency)
        except ValueError as trouble:
            raise forms.ValidationError(str(trouble)) from None
        if money.minor == 0:
            raise forms.ValidationError("The amount has to be more than zero.")
        return money.minor

    def order(self) -> dict[str, Any]:
        """What the service is asked."""
        return self.cleaned_data

    def stale(self, payment: Payment, refusal: str) -> RequestForm:
        """The same form with what was typed, the new free amount, and why it was refused."""
        again = RequestForm({**dict(self.data.items()), "seen_free": payment.free}, payment=payment)
        again.full_clean()
        again.add_error(None, refusal)
        return again
