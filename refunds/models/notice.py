"""What people are told by e-mail, and how each of them wants it: preferences, and the outbox of notices."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class How(models.TextChoices):
    """How somebody wants to hear of something."""

    EACH = "each", _("One e-mail for each, at once")
    DIGEST = "digest", _("One e-mail for many, now and then")
    OFF = "off", _("No e-mail")


class Preference(models.Model):
    """One person's own wishes; who has no row, and what is empty, follows the house."""

    person = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="preference")
    language = models.CharField(max_length=10, blank=True)
    time_zone = models.CharField(max_length=64, blank=True)
    to_decide = models.CharField(max_length=10, choices=How, default=How.DIGEST)
    own = models.CharField(max_length=10, choices=How, default=How.EACH, help_text="What becomes of own requests.")
    not_about = models.JSONField(default=list, help_text="Kinds of notices about own requests that are not wanted.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(to_decide__in=How.values), name="preference_to_decide_known"),
            models.CheckConstraint(condition=Q(own__in=How.values), name="preference_own_known"),
        )

    def __str__(self) -> str:
        return f"{self.person}"


KINDS = (
    "to_decide",
    "returned",
    "rejected",
    "failed",
    "succeeded",
    "reversed",
    "attention",
    "breaker",
    "key",
)


class Notice(models.Model):
    """One thing that one person, or without a person the house's channel, is to be told: a row of the outbox.

    `due_at` is when it is next taken to be sent; empty once that is over: sent, left out for a reason, or given up with
    its `trouble`. `claim` names the sender that has it until `due_at`. `text` is for what no journal line tells.
    """

    class Kind(models.TextChoices):
        TO_DECIDE = "to_decide", _("waits for a decision")
        RETURNED = "returned", _("was returned with a question")
        REJECTED = "rejected", _("was rejected")
        FAILED = "failed", _("failed")
        SUCCEEDED = "succeeded", _("succeeded")
        REVERSED = "reversed", _("came back after it had succeeded")
        ATTENTION = "attention", _("needs attention")
        BREAKER = "breaker", _("an account does not answer")
        KEY = "key", _("an account signs with another key")

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="notices")
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="+")
    refund = models.ForeignKey("refunds.Refund", models.PROTECT, null=True, related_name="notices")
    event = models.ForeignKey("refunds.Event", models.PROTECT, null=True, related_name="notices")
    kind = models.CharField(max_length=10, choices=Kind)
    text = models.CharField(max_length=300, blank=True)
    made_at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)
    claim = models.CharField(max_length=32, blank=True)
    sent_at = models.DateTimeField(null=True)
    tries = models.PositiveIntegerField(default=0)
    trouble = models.CharField(max_length=300, blank=True, help_text="Why the last try did not work.")
    left_out = models.CharField(max_length=100, blank=True, help_text="Why it was not sent, when its moment came.")

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(
                fields=("person", "event", "kind"), condition=Q(person__isnull=False), name="notice_once_per_person"
            ),
            models.UniqueConstraint(
                fields=("event", "kind"), condition=Q(person__isnull=True), name="notice_once_in_the_channel"
            ),
            models.CheckConstraint(condition=Q(kind__in=KINDS), name="notice_kind_known"),
            models.CheckConstraint(
                condition=Q(due_at__isnull=True) | Q(sent_at__isnull=True, left_out=""), name="notice_over_is_over"
            ),
        )
        indexes = (
            models.Index(fields=("due_at", "person"), condition=Q(due_at__isnull=False), name="notice_due"),
            models.Index(
                fields=("made_at",), condition=Q(due_at=None, sent_at=None, left_out=""), name="notice_given_up"
            ),
            models.Index(fields=("made_at",), name="notice_by_age"),
        )

    def __str__(self) -> str:
        return f"{self.person or 'channel'}: {self.refund or self.account} {self.get_kind_display()}"
