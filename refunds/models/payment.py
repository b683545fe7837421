"""A captured payment: what may be refunded of it, and what is spoken for. Fields, constraints and transitions."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy
from django_fsm import FSMField, transition

from gateways.money import Money


class Payment(models.Model):
    """Amounts are whole minor units of `currency`; times are UTC.

    `held` is what refunds on their way have reserved, `refunded` what has gone back. A gateway may report more than was
    captured: that is recorded and alarmed, never hidden, so no constraint caps the sum from above.
    """

    class Status(models.TextChoices):
        CAPTURED = "captured", gettext_lazy("captured")
        PARTIALLY_REFUNDED = "partially_refunded", gettext_lazy("partially refunded")
        REFUNDED = "refunded", gettext_lazy("refunded")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="payments")
    reference = models.CharField(max_length=100, help_text="The gateway's name for the payment.")
    order = models.CharField(max_length=100, blank=True)
    currency = models.CharField(max_length=3)
    captured = models.BigIntegerField()
    refunded = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    status = FSMField(default=Status.CAPTURED, choices=Status.choices, protected=True)
    version = models.PositiveIntegerField(default=1)
    captured_at = models.DateTimeField()
    customer_name = models.CharField(max_length=200, blank=True)
    customer_email = models.EmailField(blank=True)
    method = models.CharField(max_length=40, blank=True)
    disputed_at = models.DateTimeField(null=True, blank=True)
    dispute_case = models.CharField(max_length=100, blank=True, help_text="The bank's or gateway's case number.")
    ask_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-captured_at", "-pk")
        permissions = (
            ("import_payments", "Can bring payments in from a file or by hand"),
            ("dispute_payment", "Can mark payments as disputed, and close disputes"),
        )
        constraints = (
            models.UniqueConstraint(fields=("account", "reference"), name="payment_known_once"),
            models.CheckConstraint(condition=Q(captured__gt=0), name="payment_captured_positive"),
            models.CheckConstraint(condition=Q(held__gte=0), name="payment_held_not_negative"),
            models.CheckConstraint(condition=Q(refunded__gte=0), name="payment_refunded_not_negative"),
            models.CheckConstraint(
                condition=Q(status__in=("captured", "partially_refunded", "refunded")),
                name="payment_status_known",
            ),
            models.CheckConstraint(condition=~Q(reference=""), name="payment_has_reference"),
            models.CheckConstraint(
                condition=Q(currency__regex=r"^[A-Z]{3}$"),
                name="payment_currency_is_a_code",
            ),
        )
        indexes = (
            models.Index(F("captured_at").desc(), F("id").desc(), name="payment_newest_first"),
            models.Index(fields=("order",), name="payment_by_order"),
            models.Index(fields=("reference",), name="payment_by_reference"),
            models.Index(fields=("captured",), name="payment_by_amount"),
            models.Index(fields=("currency", "captured_at"), name="payment_by_currency"),
            models.Index(Lower("customer_email"), name="payment_by_email"),
            models.Index(
                fields=("ask_at",),
                condition=Q(ask_at__isnull=False),
                name="payment_due",
            ),
            models.Index(
                fields=("account",),
                condition=Q(captured__lt=F("refunded") + F("held")),
                name="payment_over_committed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.account} {self.reference}"

    @property
    def free(self) -> int:
        """Minor units that nobody has asked back yet; negative when the gateway reports more than was captured."""
        return self.captured - self.refunded - self.held

    @property
    def is_over_committed(self) -> bool:
        return self.free < 0

    def money(self, minor: int) -> Money:
        return Money(minor, self.currency)

    @transition(
        status,
        source=(Status.CAPTURED, Status.REFUNDED),
        target=Status.PARTIALLY_REFUNDED,
    )
    def refund_partly(self) -> None:
        """Some of it has gone back, or some of it has come home again."""

    @transition(
        status,
        source=(Status.CAPTURED, Status.PARTIALLY_REFUNDED),
        target=Status.REFUNDED,
    )
    def refund_wholly(self) -> None:
        """All of it has gone back."""

    @transition(
        status,
        source=(Status.PARTIALLY_REFUNDED, Status.REFUNDED),
        target=Status.CAPTURED,
    )
    def restore(self) -> None:
        """Nothing has gone back, or all of it was returned by the bank."""
