"""A line of the journal: what happened to a refund or a payment, who did it and why. Only ever added."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy


class Event(models.Model):
    """`sequence` is the version that the step led to, so two steps can never share one.

    `actor` is the name as it was then; `text` is written for people; `heard` is the fingerprint of a gateway's word.
    `correlation` is shared by all lines of one act: a request, a job, a command. `digest` (SHA-256) covers the line and
    the digest of the line before it, so that none can be changed or taken out unseen.
    """

    class Source(models.TextChoices):
        PERSON = "person", gettext_lazy("person")
        WORKER = "worker", gettext_lazy("worker")
        ANSWER = "answer", gettext_lazy("gateway's answer")
        LOOK_UP = "look_up", gettext_lazy("look-up")
        WEBHOOK = "webhook", gettext_lazy("webhook")
        COMMAND = "command", gettext_lazy("command line")
        RULE = "rule", gettext_lazy("approval rule")

    payment = models.ForeignKey("refunds.Payment", models.PROTECT, related_name="events")
    refund = models.ForeignKey("refunds.Refund", models.PROTECT, null=True, related_name="events")
    sequence = models.PositiveIntegerField()
    step = models.CharField(max_length=30)
    from_status = models.CharField(max_length=20, blank=True)
    to_status = models.CharField(max_length=20)
    actor = models.CharField(max_length=150)
    actor_user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    source = models.CharField(max_length=10, choices=Source)
    at = models.DateTimeField()
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    heard = models.CharField(max_length=64, blank=True)
    correlation = models.CharField(max_length=32, blank=True)
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("refund", "sequence"),
                condition=Q(refund__isnull=False),
                name="event_once_per_refund_version",
            ),
            models.UniqueConstraint(
                fields=("payment", "sequence"),
                condition=Q(refund__isnull=True),
                name="event_once_per_payment_version",
            ),
        )

    def __str__(self) -> str:
        return f"{self.sequence}. {self.step}"
