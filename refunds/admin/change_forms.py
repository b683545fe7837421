"""The forms that propose allowances, deputies, and the groups and accounts of people."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from gateways.money import Money
from refunds import people, policy, services
from refunds.admin.proposal_form import CURRENCY, ProposalForm, Wish, amount_field, boxes, choose_from, known_currency
from refunds.models import Account, Allowance
from refunds.preferences import midnight
from refunds.services.change_kinds import LONGEST_DELEGATION


class AllowanceForm(ProposalForm):
    """Other amounts for an allowance that stands."""

    largest = amount_field(gettext_lazy("At once"), gettext_lazy("The largest single refund."), required=True)
    per_day = amount_field(
        gettext_lazy("On one day"), gettext_lazy("Together, what was withdrawn or rejected included."), required=True
    )
    field_order: tuple[str, ...] = ("largest", "per_day", "note")

    def __init__(self, *args: Any, allowance: Allowance | None = None, **kwargs: Any) -> None:
        self.allowance = allowance
        usual = amounts_of(allowance) if allowance else {}
        super().__init__(*args, **{**kwargs, "initial": {**usual, **kwargs.get("initial", {})}})

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        if currency := self.allowance.currency if self.allowance else found.get("currency"):
            found["minor"] = {name: self.typed_amount(name, currency) for name in ("largest", "per_day")}
        return found

    def wish(self) -> Wish:
        return dict(self.cleaned_data["minor"])


def amounts_of(allowance: Allowance) -> dict[str, str]:
    return {name: str(Money(getattr(allowance, name), allowance.currency)) for name in ("largest", "per_day")}


class NewAllowanceForm(AllowanceForm):
    person = forms.ModelChoiceField(
        User.objects.none(),
        empty_label=gettext_lazy("Choose…"),
        widget=UnfoldAdminSelectWidget,
        label=gettext_lazy("Person"),
    )
    act = forms.ChoiceField(label=gettext_lazy("For"), choices=Allowance.Act.choices, widget=UnfoldAdminSelectWidget)
    currency = forms.CharField(max_length=3, widget=CURRENCY, label=gettext_lazy("Currency"))
    field_order = ("person", "act", "currency", "largest", "per_day", "note")

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = User.objects.filter(is_active=True, is_staff=True, is_superuser=False).exclude(pk=by.pk)
        choose_from(self, "person", others.order_by("username"))

    def clean_currency(self) -> str:
        return known_currency(self)


class DateInput(UnfoldAdminTextInputWidget):
    input_type = "date"


class DeputyForm(ProposalForm):
    """Both days are included, in the house's time zone."""

    deputy = forms.ModelChoiceField(
        User.objects.none(),
        empty_label=gettext_lazy("Choose…"),
        widget=UnfoldAdminSelectWidget,
        label=gettext_lazy("Deputy"),
    )
    from_day = forms.DateField(label=gettext_lazy("From"), widget=DateInput)
    last_day = forms.DateField(
        label=gettext_lazy("Until"),
        widget=DateInput,
        help_text=format_lazy(gettext_lazy("This day included; at most {days} days."), days=LONGEST_DELEGATION.days),
    )
    field_order = ("deputy", "from_day", "last_day", "note")

    def __init__(self, *args: Any, by: User, **kwargs: Any) -> None:
        usual = {"from_day": services.day_of_the_house().isoformat(), "note": _("While I am away.")}
        super().__init__(*args, **{**kwargs, "initial": {**usual, **kwargs.get("initial", {})}})
        active = User.objects.filter(is_active=True, is_superuser=False).exclude(pk=by.pk).order_by("username")
        able = [user.pk for user in active if policy.may(user, policy.APPROVE)]
        choose_from(self, "deputy", active.filter(pk__in=able))
        self.fields["note"].label = _("While you are away")

    def wish(self) -> Wish:
        typed = self.cleaned_data
        return {
            "deputy": typed["deputy"].get_username(),
            "from": _midnight(typed["from_day"]).isoformat(),
            "until": _midnight(typed["last_day"] + timedelta(days=1)).isoformat(),
        }


def _midnight(day: date) -> datetime:
    return midnight(day, timezone.get_default_timezone())


class GroupsForm(ProposalForm):
    groups = forms.MultipleChoiceField(
        choices=[(name, gettext_lazy(name)) for name in people.GROUPS],
        required=False,
        widget=boxes(),
        label=gettext_lazy("Groups"),
    )
    field_order = ("groups", "note")

    def wish(self) -> Wish:
        return {"groups": sorted(self.cleaned_data["groups"])}


class AccountsForm(ProposalForm):
    accounts = forms.ModelMultipleChoiceField(
        Account.objects.order_by("slug"),
        to_field_name="slug",
        required=False,
        widget=boxes(),
        help_text=gettext_lazy("Without a tick the person works with all accounts, also with those that come later."),
        label=gettext_lazy("Accounts"),
    )
    field_order = ("accounts", "note")

    def wish(self) -> Wish:
        return {"accounts": sorted(account.slug for account in self.cleaned_data["accounts"])}
