"""What one person may ask for or approve, and who stands in for whom; all of it changed by two people only."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class Allowance(models.Model):
    """The largest single amount and the sum of a day, in minor units of `currency`.

    Who has an allowance for an act has none in other currencies. `taken` counts on `day`, a date of the house's time
    zone; what was withdrawn or rejected counts all the same.
    """

    class Act(models.TextChoices):
        REQUEST = "request", gettext_lazy("requesting")
        APPROVE = "approve", gettext_lazy("approving")

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="allowances")
    act = models.CharField(max_length=10, choices=Act)
    currency = models.CharField(max_length=3)
    largest = models.BigIntegerField()
    per_day = models.BigIntegerField()
    day = models.DateField(null=True)
    taken = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("person", "act", "currency")
        constraints = (
            models.UniqueConstraint(fields=("person", "act", "currency"), name="allowance_once"),
            models.CheckConstraint(condition=Q(act__in=("request", "approve")), name="allowance_act_known"),
            models.CheckConstraint(condition=Q(largest__gte=0, per_day__gte=0), name="allowance_not_negative"),
            models.CheckConstraint(condition=Q(taken__gte=0), name="allowance_taken_not_negative"),
        )

    def __str__(self) -> str:
        return _("%(person)s: %(act)s in %(currency)s") % {
            "person": self.person,
            "act": self.get_act_display(),
            "currency": self.currency,
        }


class Scope(models.Model):
    """One of the accounts that a person is limited to; who has no such row sees all accounts."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="scopes")
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="+")

    class Meta:
        ordering = ("person", "account")
        constraints = (models.UniqueConstraint(fields=("person", "account"), name="scope_once"),)

    def __str__(self) -> str:
        return f"{self.person}: {self.account}"


class Delegation(models.Model):
    """While `person` is away, `deputy`, an approver too, may use that person's allowance for approving."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="delegations")
    deputy = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="stands_in")
    from_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, help_text="Ended early, by one of the two.")

    class Meta:
        ordering = ("-pk",)
        constraints = (
            models.CheckConstraint(condition=~Q(person=F("deputy")), name="delegation_to_another_person"),
            models.CheckConstraint(condition=Q(until__gt=F("from_at")), name="delegation_has_length"),
        )

    def __str__(self) -> str:
        return _("%(deputy)s for %(person)s") % {"deputy": self.deputy, "person": self.person}
