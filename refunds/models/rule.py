"""How many people must agree to a refund: rows with versions, begun and ended by a change that two people make."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Rule(models.Model):
    """One version of a rule. It matches a refund when all that it names fits; of all that match, the strictest counts.

    `from_amount` and `to_amount` (both included) are minor units of `currency`. They are compared with the refund, or
    with the sum of the last 24 hours that it belongs to, whichever is more. A version is ended, never rewritten.
    """

    class Demand(models.TextChoices):
        NONE = "0", gettext_lazy("no approval")
        ONE = "1", gettext_lazy("one approval")
        TWO = "2", gettext_lazy("two approvals")
        BLOCK = "block", gettext_lazy("no refund at all")

    number = models.PositiveIntegerField()
    version = models.PositiveIntegerField()
    account = models.ForeignKey("refunds.Account", models.PROTECT, null=True, related_name="+")
    currency = models.CharField(max_length=3, blank=True)
    from_amount = models.BigIntegerField(default=0)
    to_amount = models.BigIntegerField(null=True)
    sums_payment = models.BooleanField(default=True, help_text="Count what was asked of the same payment in 24 hours.")
    sums_customer = models.BooleanField(default=True, help_text="Count what the same customer asked for in 24 hours.")
    sums_requester = models.BooleanField(default=True, help_text="Count what the same person requested in 24 hours.")
    reason = models.ForeignKey("refunds.RefundReason", models.PROTECT, null=True, related_name="+")
    from_days = models.PositiveIntegerField(null=True, help_text="Only payments captured at least so many days ago.")
    demand = models.CharField(max_length=5, choices=Demand)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("number", "-version")
        constraints = (
            models.UniqueConstraint(fields=("number", "version"), name="rule_version_once"),
            models.UniqueConstraint(fields=("number",), condition=Q(ended_at__isnull=True), name="rule_one_in_force"),
            models.CheckConstraint(condition=Q(demand__in=("0", "1", "2", "block")), name="rule_demand_known"),
            models.CheckConstraint(condition=Q(from_amount__gte=0), name="rule_from_not_negative"),
            models.CheckConstraint(
                condition=Q(to_amount__isnull=True) | Q(to_amount__gte=F("from_amount")), name="rule_band_not_empty"
            ),
            models.CheckConstraint(
                condition=Q(from_amount=0, to_amount__isnull=True) | ~Q(currency=""), name="rule_band_has_currency"
            ),
        )

    def __str__(self) -> str:
        return _("rule %(number)s v%(version)s") % {"number": self.number, "version": self.version}
