"""The forms that ask for a file of payments, or for one payment. What a payment has to be is decided by the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
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

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

LARGEST_FILE_MB = 5


class FileForm(forms.Form):
    """A file of bounded size; whether it is CSV is told by the service."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"), widget=UnfoldAdminFileFieldWidget({"accept": ".csv,text/csv"}), max_length=200
    )

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE_MB * 1024 * 1024:
            raise forms.ValidationError(
                _("The file is larger than %(largest)s MB. Split it, or use manage.py import_payments.")
                % {"largest": LARGEST_FILE_MB}
            )
        return file


def text(column: str, label: StrOrPromise, help_text: StrOrPromise = "", **attributes: Any) -> forms.CharField:
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
        empty_label=gettext_lazy("Choose…"),
        widget=UnfoldAdminSelectWidget,
        label=gettext_lazy("Account"),
    )
    payment_reference = text(
        "reference", gettext_lazy("Payment reference"), gettext_lazy("The gateway's id of the payment.")
    )
    order = text("order", gettext_lazy("Order"))
    amount = forms.CharField(
        max_length=30,
        help_text=gettext_lazy("What was captured, with a point: 12.50."),
        widget=UnfoldAdminTextInputWidget({"inputmode": "decimal"}),
        label=gettext_lazy("Amount"),
    )
    currency = text(
        "currency", gettext_lazy("Currency"), gettext_lazy("Three letters, such as EUR, JPY or KWD."), size=3
    )
    captured_at = forms.DateTimeField(widget=UnfoldAdminTextInputWidget({"type": "datetime-local", "step": 1}))
    customer_name = text("customer_name", gettext_lazy("Customer's name"))
    customer_email = text("customer_email", gettext_lazy("Customer's e-mail"), inputmode="email")
    method = text("method", gettext_lazy("Method"), gettext_lazy("Such as card or blik."))
    disputed = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanWidget,
        help_text=gettext_lazy("The customer disputes it with the bank; it is not refunded then."),
        label=gettext_lazy("Disputed"),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = scope.within(Account.objects.filter(is_active=True), user, "pk")
        cast(forms.ModelChoiceField, self.fields["account"]).queryset = accounts
        if named := "; ".join(f"{label}: {name}" for label, name in wording.payment_names(accounts)):
            self.fields["payment_reference"].help_text = _("The gateway's id of the payment. %(named)s.") % {
                "named": named
            }
        self.fields["captured_at"].label = _("Captured at (%(zone)s)") % {"zone": timezone.get_current_timezone_name()}

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
