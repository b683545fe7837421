"""The form by which a person says what became of a refund."""

from __future__ import annotations

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from refunds.models import Declaration
from refunds.services.evidence_files import KINDS, LARGEST_FILE

OUTCOMES = {
    Declaration.Outcome.SUCCEEDED: (
        gettext_lazy("The money went back"),
        gettext_lazy("You have seen it in their screens or on the bank's statement. It then counts as refunded."),
    ),
    Declaration.Outcome.FAILED: (
        gettext_lazy("No money moved"),
        gettext_lazy("You have made sure that it was never carried out. The amount is then free for a new refund."),
    ),
}


class DeclareForm(forms.Form):
    """Its fields are what the service is asked; the service decides."""

    outcome = forms.ChoiceField(
        label=gettext_lazy("What became of it?"),
        choices=[(value, words[0]) for value, words in OUTCOMES.items()],
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Say whether the money went back or not.")},
    )
    note = forms.CharField(
        label=gettext_lazy("How do you know?"),
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text=gettext_lazy("Where you looked, when, and what it said there. The second person checks it."),
        error_messages={"required": gettext_lazy("Write down how you know.")},
    )
    reference = forms.CharField(
        label=gettext_lazy("Their reference"),
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("What the gateway or the bank calls the refund or the transfer."),
    )
    ticket = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Where the evidence is kept, if you attach none here."),
        label=gettext_lazy("Ticket"),
    )
    evidence = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget({"accept": ",".join(KINDS)}),
        max_length=200,
        help_text=format_lazy(
            gettext_lazy("A screenshot, statement or message, up to {size} MB."), size=LARGEST_FILE // 1024 // 1024
        ),
        label=gettext_lazy("Evidence"),
    )

    def choices(self) -> list[dict[str, object]]:
        """The outcomes as cards: the radio button, its title, and what it means."""
        told = self["outcome"].value()
        return [
            {"value": value, "title": title, "means": means, "is_chosen": told == value}
            for value, (title, means) in OUTCOMES.items()
        ]
