"""One refund and its life. Fields, constraints and transitions; no steps, no network."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy
from django_fsm import FSMField, transition

from gateways.money import Money


class Status(models.TextChoices):
    """Where a refund stands. Holding statuses reserve the amount; succeeded counts as refunded; the rest release it."""

    REQUESTED = "requested", gettext_lazy("requested")
    RETURNED = "returned", gettext_lazy("returned")
    APPROVED = "approved", gettext_lazy("approved")
    REJECTED = "rejected", gettext_lazy("rejected")
    WITHDRAWN = "withdrawn", gettext_lazy("withdrawn")
    SENDING = "sending", gettext_lazy("sending")
    UNKNOWN = "unknown", gettext_lazy("unknown")
    PROCESSING = "processing", gettext_lazy("processing")
    SUCCEEDED = "succeeded", gettext_lazy("succeeded")
    FAILED = "failed", gettext_lazy("failed")
    REVERSED = "reversed", gettext_lazy("reversed")


HOLDING = frozenset(
    {
        Status.REQUESTED,
        Status.RETURNED,
        Status.APPROVED,
        Status.SENDING,
        Status.UNKNOWN,
        Status.PROCESSING,
    }
)
AWAITING = frozenset({Status.UNKNOWN, Status.PROCESSING})  # sent, and not at its end
AT_THE_GATEWAY = frozenset({Status.SENDING, Status.UNKNOWN, Status.PROCESSING})
UNSENT = frozenset(
    {
        Status.REQUESTED,
        Status.RETURNED,
        Status.APPROVED,
        Status.REJECTED,
        Status.WITHDRAWN,
    }
)


def number_of(pk: int) -> str:
    """R-000042: how people call it."""
    return f"R-{pk:06d}"


def was_sent(refund: Any) -> bool:
    return refund.sent_at is not None


class Refund(models.Model):
    """`amount` is whole minor units of the payment's currency; times are UTC; money fields never change.

    `version` rises with every step and is the number of the journal's last line; `revision` rises when what an approver
    judges has changed. `ask_at` is when it is due to be sent or looked up. `fence` counts the claims.
    """

    class Source(models.TextChoices):
        HOUSE = "house", gettext_lazy("asked for here")
        GATEWAY = "gateway", gettext_lazy("made at the gateway")

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    payment = models.ForeignKey("refunds.Payment", models.PROTECT, related_name="refunds")
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="refunds")
    source = models.CharField(max_length=10, choices=Source, default=Source.HOUSE)
    retry_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="retries")

    amount = models.BigIntegerField()
    reason = models.ForeignKey("refunds.RefundReason", models.PROTECT, null=True, blank=True)
    reason_word = models.CharField(
        max_length=60,
        blank=True,
        help_text="The gateway's word for the reason, frozen.",
    )
    public_note = models.CharField(max_length=200, blank=True, help_text="The reason's public wording, frozen.")
    ticket = models.CharField(max_length=200, blank=True)
    internal_note = models.TextField(blank=True, help_text="Never leaves this house.")

    rule = models.ForeignKey(
        "refunds.Rule",
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="The version of the rule that it met; none: one approval.",
    )
    approvals_needed = models.PositiveSmallIntegerField(default=1)

    status = FSMField(default=Status.REQUESTED, choices=Status.choices, protected=True)
    version = models.PositiveIntegerField(default=1)
    revision = models.PositiveIntegerField(default=1)
    needs_attention = models.CharField(max_length=300, blank=True)
    may_not_be_sent = models.BooleanField(default=False, help_text="The gateway spoke of it before we ever sent it.")

    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="refunds_requested",
    )
    requested_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    final_at = models.DateTimeField(null=True, blank=True)
    cancel_asked_at = models.DateTimeField(null=True, blank=True)

    reference = models.CharField(max_length=100, blank=True)
    details = models.JSONField(default=dict, blank=True)
    identifiers = models.TextField(blank=True, help_text="Everything a customer could read out, for the search.")
    said_at = models.DateTimeField(null=True, blank=True, help_text="The gateway's own time of its latest word.")
    to_confirm = models.CharField(
        max_length=12,
        blank=True,
        help_text="An outcome heard by webhook or refusal, to be looked up.",
    )

    ask_at = models.DateTimeField(null=True, blank=True)
    asks = models.PositiveIntegerField(default=0, help_text="Tries since the last change: sends or look-ups.")
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    exclusive = models.BooleanField(default=False, help_text="One at a time per payment at this gateway.")

    class Meta:
        ordering = ("-requested_at", "-pk")
        permissions = (
            ("request_refund", "Can request, resubmit and withdraw refunds"),
            ("approve_refund", "Can approve, return and reject other people's refunds"),
            ("declare_refund", "Can declare the outcome of a refund"),
            ("sync_refund", "Can check refunds with the gateway"),
            ("view_raw_exchange", "Can see raw exchanges with gateways"),
            ("export_refund", "Can export refunds, payments and their journal"),
        )
        constraints = (
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_amount_positive"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="refund_status_known"),
            models.CheckConstraint(condition=Q(source__in=("house", "gateway")), name="refund_source_known"),
            models.CheckConstraint(
                condition=Q(source="gateway") | Q(requested_by__isnull=False, reason__isnull=False),
                name="refund_of_ours_has_requester_and_reason",
            ),
            models.CheckConstraint(
                condition=~Q(status="sending") | Q(lease_until__isnull=False),
                name="refund_sending_has_lease",
            ),
            models.CheckConstraint(condition=Q(approvals_needed__lte=2), name="refund_approvals_at_most_two"),
            models.CheckConstraint(condition=~Q(retry_of=F("id")), name="refund_retries_another"),
            models.UniqueConstraint(
                fields=("account", "reference"),
                condition=~Q(reference=""),
                name="refund_reference_once",
            ),
            models.UniqueConstraint(
                fields=("retry_of",),
                condition=~Q(status__in=("rejected", "withdrawn")),
                name="refund_retried_once",
            ),
            models.UniqueConstraint(
                fields=("payment",),
                condition=Q(exclusive=True, status__in=("sending", "unknown", "processing")),
                name="refund_one_at_a_time",
            ),
        )
        indexes = (
            models.Index(F("requested_at").desc(), F("id").desc(), name="refund_newest_first"),
            models.Index(fields=("status", "requested_at"), name="refund_queue"),
            models.Index(fields=("ask_at",), condition=Q(ask_at__isnull=False), name="refund_due"),
            models.Index(fields=("requested_by", "requested_at"), name="refund_by_requester"),
            models.Index(fields=("amount",), name="refund_by_amount"),
            models.Index(fields=("reference",), name="refund_by_reference"),
            models.Index(fields=("ticket",), name="refund_by_ticket"),
            models.Index(fields=("final_at",), condition=Q(final_at__isnull=False), name="refund_last_ended"),
            models.Index(fields=("approved_at",), condition=Q(approved_at__isnull=False), name="refund_when_approved"),
            models.Index(fields=("sent_at",), condition=Q(sent_at__isnull=False), name="refund_when_sent"),
            models.Index(fields=("status", "final_at"), condition=Q(final_at__isnull=False), name="refund_when_final"),
            models.Index(
                fields=("needs_attention",), condition=Q(needs_attention__gt=""), name="refund_needs_attention"
            ),
        )

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        """Our short name for people: R-000042."""
        return number_of(self.pk) if self.pk else "R-new"

    @property
    def money(self) -> Money:
        return Money(self.amount, self.payment.currency)

    @transition(status, source=Status.REQUESTED, target=Status.APPROVED)
    def approve(self) -> None:
        """The last approval that was needed."""

    @transition(status, source=Status.REQUESTED, target=Status.RETURNED)
    def hand_back(self) -> None:
        """Returned to the requester with a question."""

    @transition(status, source=Status.RETURNED, target=Status.REQUESTED)
    def resubmit(self) -> None:
        """The requester answered."""

    @transition(status, source=Status.REQUESTED, target=Status.REJECTED)
    def reject(self) -> None:
        """A no, with its reason."""

    @transition(
        status,
        source=(Status.REQUESTED, Status.RETURNED, Status.APPROVED),
        target=Status.WITHDRAWN,
    )
    def withdraw(self) -> None:
        """Given up before it was sent."""

    @transition(status, source=Status.APPROVED, target=Status.REQUESTED)
    def unapprove(self) -> None:
        """The approval was taken back, or is void."""

    @transition(status, source=(Status.APPROVED, Status.UNKNOWN), target=Status.SENDING)
    def claim(self) -> None:
        """A worker takes it to the gateway; again only where the gateway lets us repeat."""

    @transition(status, source=Status.SENDING, target=Status.APPROVED)
    def release(self) -> None:
        """Nothing has left the house."""

    @transition(
        status,
        source=(Status.SENDING, Status.FAILED, Status.WITHDRAWN, Status.REVERSED),
        target=Status.UNKNOWN,
        conditions=[was_sent],
    )
    def doubt(self) -> None:
        """Nobody knows whether money moved."""

    @transition(status, source=Status.APPROVED, target=Status.UNKNOWN)
    def suspect(self) -> None:
        """After a restored backup: it may have been sent by the database that was lost."""

    @transition(status, source=(Status.SENDING, Status.UNKNOWN), target=Status.PROCESSING)
    def accept(self) -> None:
        """The gateway has taken it on."""

    @transition(
        status,
        source=(Status.SENDING, Status.UNKNOWN, Status.PROCESSING),
        target=Status.SUCCEEDED,
    )
    def succeed(self) -> None:
        """The money went back."""

    @transition(
        status,
        source=(Status.SENDING, Status.UNKNOWN, Status.PROCESSING),
        target=Status.FAILED,
    )
    def fail(self) -> None:
        """The gateway said no, for certain."""

    @transition(status, source=(Status.UNKNOWN, Status.PROCESSING), target=Status.WITHDRAWN)
    def cancel(self) -> None:
        """The gateway confirmed our cancel."""

    @transition(status, source=Status.SUCCEEDED, target=Status.REVERSED)
    def reverse(self) -> None:
        """The bank sent the money back to us later."""
