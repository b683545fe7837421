"""A refund that a gateway speaks of and that we cannot tell whose it is. It waits for a person, or for a later word."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy

from gateways.money import Money


class UnmatchedRefund(models.Model):
    """`amount` is whole minor units of `currency`; the names are the gateway's. Settled once it is somebody's."""

    class Source(models.TextChoices):
        LOOK_UP = "look_up", gettext_lazy("look-up")
        WEBHOOK = "webhook", gettext_lazy("webhook")

    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="unmatched")
    payment = models.ForeignKey("refunds.Payment", models.PROTECT, null=True, related_name="unmatched")
    delivery = models.ForeignKey("refunds.Delivery", models.PROTECT, null=True, related_name="+")
    source = models.CharField(max_length=10, choices=Source)
    payment_reference = models.CharField(max_length=100, blank=True)
    reference = models.CharField(max_length=100, blank=True)
    key = models.CharField(max_length=100, blank=True)
    amount = models.BigIntegerField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    outcome = models.CharField(max_length=12)
    why = models.CharField(max_length=300)
    seen_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)
    settled_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    settled_as = models.ForeignKey("refunds.Refund", models.PROTECT, null=True, related_name="+")
    note = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("account", "payment_reference", "reference", "key"),
                condition=Q(settled_at__isnull=True),
                name="unmatched_once",
            ),
        )

    def __str__(self) -> str:
        return self.reference or self.key or f"unmatched {self.pk}"

    @property
    def money(self) -> Money | None:
        return Money(self.amount, self.currency) if self.amount is not None and self.currency else None
