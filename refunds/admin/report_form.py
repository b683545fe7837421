"""What a reader of the reports chooses: days, account, currency, mode, and the moment that refunds are counted by."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from refunds import scope
from refunds.models import Account
from refunds.reports.selection import MOST_DAYS, Selection

USUAL_DAYS = 30
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)
MOMENTS = {
    "requested": gettext_lazy("requested"),
    "approved": gettext_lazy("approved"),
    "sent": gettext_lazy("sent"),
    "final": gettext_lazy("final: succeeded"),
}
BOX = {"class": "desk-input"}


class ReportForm(forms.Form):
    """Bound to the address, so that it can be kept and sent; what it leaves out has a usual value."""

    account = forms.ModelChoiceField(
        Account.objects.none(),
        to_field_name="slug",
        required=False,
        label=gettext_lazy("Account"),
        empty_label=gettext_lazy("All accounts"),
        widget=forms.Select(BOX),
        error_messages={"invalid_choice": gettext_lazy("There is no such account.")},
    )
    currency = forms.RegexField(
        r"\A[A-Z]{3}\Z",
        required=False,
        label=gettext_lazy("Currency"),
        widget=forms.Select(BOX),
        error_messages={"invalid": gettext_lazy("A currency is three capital letters, such as EUR.")},
    )
    mode = forms.ChoiceField(
        label=gettext_lazy("Mode"),
        widget=forms.Select(BOX),
        error_messages={"invalid_choice": gettext_lazy("None of your accounts is of this mode.")},
    )
    by = forms.ChoiceField(
        choices=list(MOMENTS.items()),
        label=gettext_lazy("Days count by"),
        widget=forms.Select(BOX),
        error_messages={"invalid_choice": gettext_lazy("Choose requested, approved, sent or final.")},
    )

    def __init__(self, asked: QueryDict, user: User) -> None:
        today = timezone.localdate()
        usual = {"from": (today - timedelta(days=USUAL_DAYS - 1)).isoformat(), "to": today.isoformat()}
        given = {name: asked[name] for name in ("from", "to", "account", "currency", "mode", "by") if asked.get(name)}
        accounts = scope.within(Account.objects.order_by("slug"), user, "pk")
        modes = dict(accounts.values_list("slug", "mode"))
        found = sorted(set(modes.values()))
        chosen = str(given.get("mode", Account.Mode.LIVE))
        if len(found) > 1 and chosen in found:
            # An account has one mode, so choosing it chooses that as well.
            given["mode"] = modes.get(str(given.get("account", "")), chosen)
        super().__init__({**usual, "by": "requested", **given}, auto_id="report-%s", label_suffix="")
        days = {"from": _day(gettext_lazy("First day")), "to": _day(gettext_lazy("Last day"))}
        self.fields = {**days, **self.fields}  # `from` is no name that a class could give a field
        self.fields["account"].queryset = accounts  # type: ignore[attr-defined]
        self.fields["mode"].choices = [(name, Account.Mode(name).label) for name in found]  # type: ignore[attr-defined]
        if "mode" not in given:
            del self.fields["mode"]
        self.offer([])

    def offer(self, currencies: list[str]) -> None:
        """The currencies that there is something of, and the chosen one."""
        chosen = str(self.data.get("currency", ""))
        names = sorted({*currencies, chosen} - {""})
        self.fields["currency"].widget.choices = [("", _("All currencies")), *((name, name) for name in names)]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        first, last = cleaned.get("from"), cleaned.get("to")
        if first and last and last < first:
            self.add_error("to", _("The last day lies before the first one."))
        elif first and last and (last - first).days >= MOST_DAYS:
            self.add_error("to", _("At most %(most)d days at a time.") % {"most": MOST_DAYS})
        return cleaned

    def selection(self) -> Selection:
        chosen = self.cleaned_data
        zone = timezone.get_current_timezone()
        return Selection(
            chosen["from"], chosen["to"], zone, chosen["account"], chosen["currency"], chosen.get("mode", "")
        )


def _day(label: Any) -> forms.DateField:
    wrong = gettext_lazy("Write the day as year-month-day, such as 2026-11-21.")
    return forms.DateField(
        label=label,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput({**BOX, "type": "date", "min": str(EARLIEST), "max": str(LATEST)}, format="%Y-%m-%d"),
        error_messages={"invalid": wrong, "required": wrong},
        validators=[_in_our_time],
    )


def _in_our_time(day: date) -> None:
    if not EARLIEST <= day <= LATEST:
        raise forms.ValidationError(_("There are no refunds of that year."))
