"""The forms that ask for a file of payments, or for one payment. What a payment has to be is decided by the service."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from refunds import scope, wording
from refunds.models import Account
from refunds.services import rowcheck
from refunds.services.intake import PaymentRow

LARGEST_FILE_MB = 5


class FileForm(forms.Form):
    """A file of bounded size; whether it is CSV is told by the service."""

    file = forms.FileField(
        label="CSV file", widget=UnfoldAdminFileFieldWidget({"accept": ".csv,text/csv"}), max_length=200
    )

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE_MB * 1024 * 1024:
            raise forms.ValidationError(
                f"The file is larger than {LARGEST_FILE_MB} MB. Split it, or use manage.py import_payments."
            )
        return file


def text(column: str, label: str, help_text: str = "", **attributes: Any) -> forms.CharField:
    """A line of text as long as its column in the database."""
    kept = rowcheck.column(column)
    return forms.CharField(
        label=label,
        required=not kept.blank,
        max_length=kept.max_length,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(attributes),
    )


class PaymentForm(forms.Form):
    """The columns of the file as fields."""

    account = forms.ModelChoiceField(
        Account.objects.none(),
        to_field_name="slug",
        empty_label="Choose…",
        widget=UnfoldAdminSelectWidget,
    )
    payment_reference = text("reference", "Payment reference", "The gateway's id of the payment.")
    order = text("order", "Order")
    amount = forms.CharField(
        max_length=30,
        help_text="What was captured, with a point: 12.50.",
        widget=UnfoldAdminTextInputWidget({"inputmode": "decimal"}),
    )
    currency = text("currency", "Currency", "Three letters, such as EUR, JPY or KWD.", size=3)
    captured_at = forms.DateTimeField(widget=UnfoldAdminTextInputWidget({"type": "datetime-local", "step": 1}))
    customer_name = text("customer_name", "Customer's name")
    customer_email = text("customer_email", "Customer's e-mail", inputmode="email")
    method = text("method", "Method", "Such as card or blik.")
    disputed = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="The customer disputes it with the bank; it is not refunded then.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = scope.within(Account.objects.filter(is_active=True), user, "pk")
        cast(forms.ModelChoiceField, self.fields["account"]).queryset = accounts
        if named := "; ".join(f"{label}: {name}" for label, name in wording.payment_names(accounts)):
            self.fields["payment_reference"].help_text = f"The gateway's id of the payment. {named}."
        self.fields["captured_at"].label = f"Captured at ({timezone.get_current_timezone_name()})"

    def clean_currency(self) -> str:
        return self.cleaned_data["currency"].upper()

    def row(self) -> PaymentRow:
        """The same row that a file would have brought."""
        typed = {name: self.cleaned_data[name] for name in self.fields}
        return PaymentRow(
            **{
                **typed,
                "account": typed["account"].slug,
                "captured_at": typed["captured_at"].isoformat(),
                "disputed": "yes" if typed["disputed"] else "no",
            }
        )
