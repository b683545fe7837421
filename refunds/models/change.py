"""A change of rules, limits or people's rights: one person proposes, another confirms. Ended, never rewritten."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy


class Change(models.Model):
    """`after` is what shall be, `before` what was when it was proposed; a confirmation compares it with what is.

    `subject` names what is changed, and at most one change of it waits. `person` is whose rights it is about.
    Changes by the command line or by an identity provider have taken effect at once and name no two people.
    """

    class Kind(models.TextChoices):
        RULE = "rule", gettext_lazy("approval rule")
        ALLOWANCE = "allowance", gettext_lazy("allowance")
        DELEGATION = "delegation", gettext_lazy("delegation")
        GROUPS = "groups", gettext_lazy("groups")
        ACCOUNTS = "accounts", gettext_lazy("accounts")

    class Source(models.TextChoices):
        PERSON = "person", gettext_lazy("two people")
        COMMAND = "command", gettext_lazy("command line")
        PROVIDER = "provider", gettext_lazy("identity provider")

    kind = models.CharField(max_length=10, choices=Kind)
    subject = models.CharField(max_length=200)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="changes")
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    note = models.TextField()
    source = models.CharField(max_length=10, choices=Source, default=Source.PERSON)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    proposed_at = models.DateTimeField()
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    dropped_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    dropped_at = models.DateTimeField(null=True)
    dropped_because = models.CharField(max_length=300, blank=True)
    correlation = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering = ("-pk",)
        permissions = (
            ("change_rules", "Can propose and confirm changes of rules and allowances"),
            ("change_people", "Can propose and confirm changes of people's groups and accounts"),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(confirmed_by=F("proposed_by")), name="change_by_two_people"),
            models.CheckConstraint(condition=~Q(confirmed_by=F("person")), name="change_not_of_oneself"),
            models.CheckConstraint(
                condition=Q(kind="delegation") | ~Q(proposed_by=F("person")), name="change_not_proposed_for_oneself"
            ),
            models.CheckConstraint(
                condition=~Q(source="person") | Q(proposed_by__isnull=False), name="change_proposed_by_somebody"
            ),
            models.CheckConstraint(
                condition=~Q(source="person") | Q(confirmed_at__isnull=True) | Q(confirmed_by__isnull=False),
                name="change_confirmed_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True) | Q(dropped_at__isnull=True), name="change_ends_once"
            ),
            models.CheckConstraint(condition=~Q(note=""), name="change_has_note"),
            models.UniqueConstraint(
                fields=("kind", "subject"),
                condition=Q(confirmed_at__isnull=True, dropped_at__isnull=True),
                name="change_one_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.subject}"
