"""Why money goes back: the house's own list of reasons, kept by staff."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy


class RefundReason(models.Model):
    """`name` is for us; `wording` is what a customer or a gateway may read."""

    name = models.CharField(max_length=60)
    wording = models.CharField(
        "public wording",
        max_length=200,
        help_text=gettext_lazy("May be read by the customer and the gateway."),
    )
    is_active = models.BooleanField(default=True, help_text=gettext_lazy("Offered in the request form."))

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(Lower("name"), name="reason_name_once"),)

    def __str__(self) -> str:
        return self.name

    def word_for(self, gateway: str) -> str:
        """The gateway's own word for this reason, "" when it has none."""
        return next((row.word for row in self.words.all() if row.gateway == gateway), "")


class ReasonWord(models.Model):
    """One gateway's word for one reason."""

    reason = models.ForeignKey(RefundReason, models.PROTECT, related_name="words")
    gateway = models.CharField(max_length=40)
    word = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ("gateway",)
        constraints = (models.UniqueConstraint(fields=("reason", "gateway"), name="reason_word_once"),)

    def __str__(self) -> str:
        return f"{self.gateway}: {self.word}"
