"""Knocks at the webhook door that were not let in: counted by the hour, so that a flood of them stays a few rows."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class RefusedKnock(models.Model):
    """What came to one account in one hour and was refused for one reason. Neither body nor headers are kept."""

    class Why(models.TextChoices):
        TYPE = "type", _("another content type or charset")
        SIZE = "size", _("empty or too long")
        UNVERIFIED = "unverified", _("not verified")
        NOT_READY = "not_ready", _("we could not verify it")

    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="refused_knocks")
    why = models.CharField(max_length=10, choices=Why)
    hour = models.DateTimeField(help_text="When the hour began.")
    n_knocks = models.PositiveBigIntegerField(default=0, help_text="At least so many.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    digest = models.CharField(max_length=64, blank=True, help_text="SHA-256 of the body that came last.")

    class Meta:
        ordering = ("-hour", "account", "why")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("account", "why", "hour"), name="refusedknock_once"),
            models.CheckConstraint(condition=models.Q(n_knocks__gt=0), name="refusedknock_counted"),
        )

    def __str__(self) -> str:
        return f"{self.account}: {self.get_why_display()}"
