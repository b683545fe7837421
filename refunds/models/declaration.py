"""Two people's word for what became of a refund where no gateway can tell. It is ended, never rewritten."""

from __future__ import annotations

import uuid
from pathlib import PurePath

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy


def stored_as(declaration: Declaration, name: str) -> str:
    """Evidence is kept under a random name: the sender's own says where it came from, and can be made to lie."""
    return f"{uuid.uuid4()}{PurePath(name).suffix.lower()}"


class Declaration(models.Model):
    """One person proposes, another confirms; `version` is the refund's at that moment, and when it moves this is void.

    `reference` is the gateway's or the bank's name for the transfer.
    """

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded", gettext_lazy("the money went back")
        FAILED = "failed", gettext_lazy("no money moved")

    refund = models.ForeignKey("refunds.Refund", models.PROTECT, related_name="declarations")
    outcome = models.CharField(max_length=10, choices=Outcome)
    version = models.PositiveIntegerField()
    note = models.TextField()
    ticket = models.CharField(max_length=200, blank=True)
    reference = models.CharField(max_length=100, blank=True)
    evidence = models.FileField(upload_to=stored_as, blank=True)
    evidence_name = models.CharField(max_length=200, blank=True, help_text="What the file was called.")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField()
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    dropped_at = models.DateTimeField(null=True)
    dropped_because = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(condition=~Q(confirmed_by=F("proposed_by")), name="declaration_by_two_people"),
            models.CheckConstraint(condition=Q(outcome__in=("succeeded", "failed")), name="declaration_outcome_known"),
            models.CheckConstraint(condition=~Q(note=""), name="declaration_has_note"),
            models.CheckConstraint(condition=~Q(ticket="", evidence=""), name="declaration_has_evidence_or_ticket"),
            models.CheckConstraint(
                condition=Q(confirmed_by__isnull=True, confirmed_at__isnull=True)
                | Q(confirmed_by__isnull=False, confirmed_at__isnull=False),
                name="declaration_confirmed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True) | Q(dropped_at__isnull=True), name="declaration_ends_once"
            ),
            models.UniqueConstraint(
                fields=("refund",),
                condition=Q(confirmed_at__isnull=True, dropped_at__isnull=True),
                name="declaration_one_open",
            ),
        )

    def __str__(self) -> str:
        return f"declaration {self.pk}: {self.get_outcome_display()}"
