"""One person's yes to one revision of a refund. Never changed, never deleted."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Approval(models.Model):
    """`requester` is copied from the refund so that the database itself can compare the two persons."""

    refund = models.ForeignKey("refunds.Refund", models.PROTECT, related_name="approvals")
    revision = models.PositiveIntegerField()
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="approvals_given")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    acting_for = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Whose allowance was used, where the approver stood in for somebody.",
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of what was shown.")
    approved_at = models.DateTimeField()

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(condition=~Q(approver=F("requester")), name="approval_by_another_person"),
            models.CheckConstraint(condition=~Q(acting_for=F("requester")), name="approval_not_for_the_requester"),
            models.CheckConstraint(condition=~Q(acting_for=F("approver")), name="approval_for_somebody_else"),
            models.UniqueConstraint(
                fields=("refund", "revision", "approver"),
                name="approval_once_per_revision",
            ),
        )

    def __str__(self) -> str:
        return f"{self.refund_id} r{self.revision} by {self.approver}"
