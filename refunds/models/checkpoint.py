"""The journal as a whole at one moment, and what came of comparing it with what is stored."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Checkpoint(models.Model):
    """All lines up to `last_event`, since the checkpoint before; `digest` (SHA-256) covers them and that one's digest.

    It also goes into the log: who rewrites the database has to rewrite every copy of the log, too.
    """

    sequence = models.PositiveIntegerField(unique=True)
    at = models.DateTimeField()
    last_event = models.BigIntegerField(help_text="Number of the last line that it covers.")
    n_events = models.PositiveIntegerField(help_text="Lines since the checkpoint before.")
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ("-sequence",)

    def __str__(self) -> str:
        return f"checkpoint {self.sequence}"


class Verification(models.Model):
    """One comparison of the journal with itself, its checkpoints, and every stored status and sum."""

    at = models.DateTimeField()
    finished_at = models.DateTimeField()
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    n_events = models.PositiveIntegerField(default=0)
    n_refunds = models.PositiveIntegerField(default=0)
    n_payments = models.PositiveIntegerField(default=0)
    n_checkpoints = models.PositiveIntegerField(default=0)
    n_younger = models.PositiveIntegerField(default=0, help_text="Lines that no checkpoint covers yet.")
    n_archives = models.PositiveIntegerField(default=0)
    n_archived = models.PositiveIntegerField(default=0, help_text="Lines in archives, known here by their digests.")
    n_findings = models.PositiveIntegerField(default=0)
    findings = models.JSONField(default=list, help_text="The first of them, in words.")

    class Meta:
        ordering = ("-pk",)
        permissions = (("verify_history", "Can have the history verified"),)

    def __str__(self) -> str:
        return f"verification {self.pk}"
