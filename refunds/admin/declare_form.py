"""The form by which a person says what became of a refund."""

from __future__ import annotations

from django import forms
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from refunds.models import Declaration
from refunds.services.evidence_files import KINDS, LARGEST_FILE

OUTCOMES = {
    Declaration.Outcome.SUCCEEDED: (
        "The money went back",
        "You have seen it in their screens or on the bank's statement. It then counts as refunded.",
    ),
    Declaration.Outcome.FAILED: (
        "No money moved",
        "You have made sure that it was never carried out. The amount is then free for a new refund.",
    ),
}


class DeclareForm(forms.Form):
    """Its fields are what the service is asked; the service decides."""

    outcome = forms.ChoiceField(
        label="What became of it?",
        choices=[(value, title) for value, (title, _) in OUTCOMES.items()],
        widget=forms.RadioSelect,
        error_messages={"required": "Say whether the money went back or not."},
    )
    note = forms.CharField(
        label="How do you know?",
        max_length=2000,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
        help_text="Where you looked, when, and what it said there. The second person checks it.",
        error_messages={"required": "Write down how you know."},
    )
    reference = forms.CharField(
        label="Their reference",
        max_length=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="What the gateway or the bank calls the refund or the transfer.",
    )
    ticket = forms.CharField(
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Where the evidence is kept, if you attach none here.",
    )
    evidence = forms.FileField(
        required=False,
        widget=UnfoldAdminFileFieldWidget({"accept": ",".join(KINDS)}),
        max_length=200,
        help_text=f"A screenshot, statement or message, up to {LARGEST_FILE // 1024 // 1024} MB.",
    )

    def choices(self) -> list[dict[str, object]]:
        """The outcomes as cards: the radio button, its title, and what it means."""
        told = self["outcome"].value()
        return [
            {"value": value, "title": title, "means": means, "is_chosen": told == value}
            for value, (title, means) in OUTCOMES.items()
        ]
