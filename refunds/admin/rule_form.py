"""The form of an approval rule: amounts in major units, and what is left empty is not asked about."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from gateways.money import Money
from refunds import scope
from refunds.admin.proposal_form import CURRENCY, ProposalForm, Wish, amount_field, boxes, choose_from, known_currency
from refunds.models import Account, RefundReason, Rule
from refunds.services.change_kinds import SUMS

OLDEST_DAYS = 3650


class RuleForm(ProposalForm):
    """A version of a rule; what is left empty is not asked about."""

    demand = forms.ChoiceField(
        label=gettext_lazy("Asks for"), choices=Rule.Demand.choices, widget=UnfoldAdminSelectWidget
    )
    account = forms.ModelChoiceField(
        Account.objects.none(),
        required=False,
        empty_label=gettext_lazy("All accounts"),
        widget=UnfoldAdminSelectWidget,
        label=gettext_lazy("Account"),
    )
    currency = forms.CharField(
        max_length=3,
        required=False,
        widget=CURRENCY,
        help_text=gettext_lazy("Needed where amounts are."),
        label=gettext_lazy("Currency"),
    )
    from_amount = amount_field(gettext_lazy("From this amount on"), gettext_lazy("This amount itself is included."))
    to_amount = amount_field(gettext_lazy("Up to this amount"), gettext_lazy("This amount itself is included."))
    sums = forms.MultipleChoiceField(
        label=gettext_lazy("Amounts are compared with the refund, and with what within 24 hours"),
        choices=[
            ("sums_payment", gettext_lazy("was asked of the same payment")),
            ("sums_customer", gettext_lazy("the same customer asked for")),
            ("sums_requester", gettext_lazy("the same person requested")),
        ],
        required=False,
        widget=boxes(),
        help_text=gettext_lazy("Whichever is the most counts, so that splitting an amount gains nothing."),
    )
    reason = forms.ModelChoiceField(
        RefundReason.objects.none(),
        required=False,
        empty_label=gettext_lazy("Any reason"),
        widget=UnfoldAdminSelectWidget,
        label=gettext_lazy("Reason"),
    )
    from_days = forms.IntegerField(
        label=gettext_lazy("Only payments at least so many days old"),
        required=False,
        min_value=0,
        max_value=OLDEST_DAYS,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    field_order = (
        "demand",
        "account",
        "currency",
        "from_amount",
        "to_amount",
        "sums",
        "reason",
        "from_days",
        "note",
    )

    def __init__(self, *args: Any, by: User, rule: Rule | None = None, **kwargs: Any) -> None:
        usual = typed_of(rule) if rule else {"demand": "2", "sums": SUMS}
        super().__init__(*args, **{**kwargs, "initial": {**usual, **kwargs.get("initial", {})}})
        accounts = scope.within(Account.objects.all(), by, "pk")
        choose_from(self, "account", accounts.filter(Q(is_active=True) | Q(pk=rule and rule.account_id)))
        reasons = RefundReason.objects.filter(Q(is_active=True) | Q(pk=rule and rule.reason_id))
        choose_from(self, "reason", reasons)

    def clean_currency(self) -> str:
        return known_currency(self)

    def clean(self) -> dict[str, Any]:
        found = super().clean()
        currency = found.get("currency")
        if currency == "" and (found.get("from_amount") or found.get("to_amount")):
            self.add_error("currency", _("Amounts need a currency."))
        elif currency:
            found["from_minor"] = self.typed_amount("from_amount", currency) or 0
            found["to_minor"] = self.typed_amount("to_amount", currency)
        return found

    def wish(self) -> Wish:
        typed = self.cleaned_data
        return {
            "demand": typed["demand"],
            "account": typed["account"].slug if typed["account"] else "",
            "currency": typed["currency"],
            "from_amount": typed.get("from_minor", 0),
            "to_amount": typed.get("to_minor"),
            "reason": str(typed["reason"] or ""),
            "from_days": typed["from_days"] or None,
            **{name: name in typed["sums"] for name in SUMS},
        }


def typed_of(rule: Rule) -> dict[str, Any]:
    """A version as its form shows it."""

    def shown(minor: int | None) -> str:
        return str(Money(minor, rule.currency)) if minor else ""

    return {
        "demand": rule.demand,
        "account": rule.account_id,
        "currency": rule.currency,
        "from_amount": shown(rule.from_amount),
        "to_amount": "" if rule.to_amount is None else str(Money(rule.to_amount, rule.currency)),
        "sums": [name for name in SUMS if getattr(rule, name)],
        "reason": rule.reason_id,
        "from_days": rule.from_days,
    }
