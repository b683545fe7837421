"""Refunds requested from one file: the file as it was confirmed, row by row, and what became of each row."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from gateways.money import Money


class Batch(models.Model):
    """One confirmed file. `ask_at` is when its rows are worked off next; nothing of what was confirmed ever changes."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="batches")
    file_name = models.CharField(max_length=200)
    file_digest = models.CharField(max_length=64, help_text="SHA-256 of the file as it was uploaded.")
    content_digest = models.CharField(max_length=64, help_text="SHA-256 of what its rows say, in whatever format.")
    rows_digest = models.CharField(max_length=64, unique=True, help_text="SHA-256 of all rows as they were confirmed.")
    rehearsed_at = models.DateTimeField()
    confirmed_at = models.DateTimeField()
    again_of = models.ForeignKey("self", models.PROTECT, null=True, related_name="repeats")
    ask_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=300, blank=True, help_text="Why it was given up.")

    class Meta:
        ordering = ("-pk",)
        verbose_name_plural = "batches"
        default_permissions = ("view",)
        indexes = (
            models.Index(fields=("ask_at",), condition=Q(ask_at__isnull=False), name="batch_due"),
            models.Index(fields=("content_digest",), name="batch_by_content"),
        )

    def __str__(self) -> str:
        return f"B-{self.pk:04d}" if self.pk else "B-new"


class BatchRow(models.Model):
    """One row of the file. `given` is what stood in it; one that asks for nothing names no payment and says why.

    While it waits, `why_not` has a line for each try that failed unexpectedly.
    """

    class Result(models.TextChoices):
        WAITING = "waiting", "waiting"
        REQUESTED = "requested", "requested"
        REFUSED = "refused", "refused"

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="rows")
    line = models.PositiveIntegerField()
    given = models.JSONField(default=dict)
    payment = models.ForeignKey("refunds.Payment", models.PROTECT, null=True, related_name="+")
    amount = models.BigIntegerField(null=True)
    reason = models.ForeignKey("refunds.RefundReason", models.PROTECT, null=True, related_name="+")
    seen_free = models.BigIntegerField(null=True, help_text="What was free of the payment when its person looked.")
    result = models.CharField(max_length=10, choices=Result, default=Result.WAITING)
    refund = models.OneToOneField("refunds.Refund", models.PROTECT, null=True, related_name="batch_row")
    why_not = models.CharField(max_length=500, blank=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("line",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("batch", "line"), name="batchrow_line_once"),
            models.CheckConstraint(
                condition=Q(result="refused")
                | Q(payment__isnull=False, amount__gt=0, reason__isnull=False, seen_free__isnull=False),
                name="batchrow_asks_for_something",
            ),
            models.CheckConstraint(
                condition=Q(result="requested", refund__isnull=False, done_at__isnull=False)
                | Q(result="waiting", refund__isnull=True, done_at__isnull=True)
                | Q(result="refused", refund__isnull=True, done_at__isnull=False),
                name="batchrow_result_fits",
            ),
        )
        indexes = (models.Index(fields=("batch", "result", "line"), name="batchrow_by_result"),)

    def __str__(self) -> str:
        return f"{self.batch}, line {self.line}"

    @property
    def money(self) -> Money | None:
        return Money(self.amount, self.payment.currency) if self.payment and self.amount is not None else None
