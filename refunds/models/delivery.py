"""A webhook exactly as it arrived, with what became of it. Kept for ever, so that a replay is recognised."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy


class Delivery(models.Model):
    """Only verified deliveries are kept; `digest` is the SHA-256 of the body and makes a repeat harmless."""

    class Result(models.TextChoices):
        APPLIED = "applied", gettext_lazy("applied")
        EVIDENCE = "evidence", gettext_lazy("kept as evidence")
        KNOCK = "knock", gettext_lazy("asked the gateway")
        UNMATCHED = "unmatched", gettext_lazy("unmatched")
        IGNORED = "ignored", gettext_lazy("ignored")
        UNREADABLE = "unreadable", gettext_lazy("unreadable")

    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="deliveries")
    refund = models.ForeignKey(
        "refunds.Refund",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="deliveries",
    )
    received_at = models.DateTimeField()
    headers = models.JSONField(default=dict)
    body = models.TextField()
    digest = models.CharField(max_length=64)
    result = models.CharField(max_length=12, choices=Result, default=Result.IGNORED)
    why = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("-pk",)
        verbose_name_plural = "deliveries"
        constraints = (models.UniqueConstraint(fields=("account", "digest"), name="delivery_once"),)
        indexes = (
            models.Index(fields=("account", "received_at"), name="delivery_latest"),
            models.Index(fields=("account",), condition=models.Q(result="unreadable"), name="delivery_nobody_can_read"),
            # What was applied is most of all, and found by the list's own order.
            models.Index(fields=("result", "id"), condition=~models.Q(result="applied"), name="delivery_not_applied"),
        )

    def __str__(self) -> str:
        return f"delivery {self.pk}"
