"""One exchange with a gateway about one refund, written down before it begins."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy


class Attempt(models.Model):
    """`order` is what we asked, `before` what they showed until then, `exchanges` the raw traffic, secrets masked."""

    class Kind(models.TextChoices):
        SEND = "send", gettext_lazy("order")
        LOOK_UP = "look_up", gettext_lazy("look-up")
        CANCEL = "cancel", gettext_lazy("cancel")

    class Outcome(models.TextChoices):
        OPEN = "open", gettext_lazy("not answered yet")
        ANSWERED = "answered", gettext_lazy("answered")
        REFUSED = "refused", gettext_lazy("refused")
        NOT_SENT = "not_sent", gettext_lazy("not sent")
        NO_ANSWER = "no_answer", gettext_lazy("no answer")

    refund = models.ForeignKey("refunds.Refund", models.PROTECT, related_name="attempts")
    kind = models.CharField(max_length=10, choices=Kind)
    fence = models.PositiveIntegerField(help_text="The claim it belongs to.")
    order = models.JSONField(default=dict)
    body_digest = models.CharField(max_length=64, blank=True)
    before = models.JSONField(default=dict)
    bundle = models.UUIDField(null=True, editable=False, help_text="Shared by those whose orders went out in one call.")
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN)
    said = models.CharField(max_length=500, blank=True)
    exchanges = models.JSONField(default=list)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("pk",)
        indexes = (models.Index(fields=("started_at",), name="attempt_when_started"),)
        constraints = (
            models.UniqueConstraint(
                fields=("refund", "fence"),
                condition=Q(kind="send"),
                name="attempt_one_send_per_claim",
            ),
            models.UniqueConstraint(
                fields=("refund",),
                condition=Q(kind="send", outcome="open"),
                name="attempt_one_open_send",
            ),
            models.CheckConstraint(
                condition=Q(outcome="open") | Q(finished_at__isnull=False),
                name="attempt_finished_has_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.fence} of {self.refund_id}"
