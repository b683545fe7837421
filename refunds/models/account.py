"""A set of credentials at one gateway. The secrets stay in the environment; this row is their public half."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy


class Account(models.Model):
    """Written by `manage.py sync_accounts` from GATEWAY_ACCOUNTS; never deleted, only switched off."""

    class Mode(models.TextChoices):
        SANDBOX = "sandbox", gettext_lazy("sandbox")
        LIVE = "live", gettext_lazy("live")

    slug = models.SlugField(unique=True)
    gateway = models.CharField(max_length=40)
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.SANDBOX)
    is_active = models.BooleanField(default=True, help_text="Named in GATEWAY_ACCOUNTS.")
    paused_because = models.CharField(max_length=200, blank=True, help_text="While this is filled, nothing is sent.")
    accidents = models.PositiveIntegerField(default=0, help_text="Calls in a row that brought no answer.")
    breaker_until = models.DateTimeField(null=True, blank=True, help_text="Until then nothing new is sent.")
    breaker_because = models.CharField(max_length=300, blank=True)
    next_call_at = models.DateTimeField(null=True, blank=True, help_text="Where calls are capped: the next free slot.")
    next_bundle_at = models.DateTimeField(
        null=True, blank=True, help_text="Where calls are capped: the slot that is booked for a bundle."
    )
    webhook_key = models.TextField(
        blank=True,
        help_text="The pinned public key (PEM) their webhooks are signed with.",
    )
    webhook_key_offered = models.TextField(blank=True, help_text="A changed key, waiting for a gateway admin.")
    webhook_key_asked_at = models.DateTimeField(null=True, blank=True)
    proved = models.JSONField(
        default=dict, help_text="Assumptions that a look-up at the real gateway has shown: id → moment and host."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(mode__in=("sandbox", "live")),
                name="account_mode_known",
            ),
        )

    def __str__(self) -> str:
        return self.slug
