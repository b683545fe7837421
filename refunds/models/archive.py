"""What stays here of a history that was moved into a file: enough to go on from it, and to find out who touches it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q


class Archive(models.Model):
    """One file. `digest` (SHA-256) covers these fields, all that was kept of its rows, and the archive before.

    `before`: everything in it was written earlier than that day (UTC). `removed_at`: when the last of its rows had left
    the database; until then they stand in both places.
    """

    sequence = models.PositiveIntegerField(unique=True)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    before = models.DateField()
    file_name = models.CharField(max_length=100, unique=True)
    file_digest = models.CharField(max_length=64, help_text="SHA-256 of the file as it lies there.")
    n_payments = models.PositiveIntegerField()
    n_events = models.PositiveIntegerField()
    n_attempts = models.PositiveIntegerField()
    n_deliveries = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-sequence",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"archive {self.sequence}"


class ArchivedChain(models.Model):
    """A piece of a chain of the journal, from its first line or from the last archived one, and the head to go on from.

    `previous` is the digest before the first line, `digest` and `status` are those of the last. `began` is what the
    chain's first line said of money, `heard` are fingerprints of gateways' words, `failed` a failure's code and step.
    """

    archive = models.ForeignKey(Archive, models.PROTECT, related_name="chains")
    payment = models.ForeignKey("refunds.Payment", models.PROTECT, related_name="archived")
    refund = models.ForeignKey("refunds.Refund", models.PROTECT, null=True, related_name="archived")
    first_sequence = models.PositiveIntegerField()
    last_sequence = models.PositiveIntegerField()
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)
    status = models.CharField(max_length=20)
    last_event = models.BigIntegerField(help_text="Number of its last line.")
    last_attempt = models.BigIntegerField(default=0, help_text="Number of its last attempt.")
    began = models.JSONField(default=dict)
    heard = models.JSONField(default=list)
    failed = models.JSONField(default=dict)

    class Meta:
        ordering = ("pk",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("refund", "first_sequence"), condition=Q(refund__isnull=False), name="archivedchain_refund_once"
            ),
            models.UniqueConstraint(
                fields=("payment", "first_sequence"),
                condition=Q(refund__isnull=True),
                name="archivedchain_payment_once",
            ),
            models.CheckConstraint(
                condition=Q(first_sequence__gt=0, last_sequence__gte=F("first_sequence")), name="archivedchain_in_order"
            ),
        )

    def __str__(self) -> str:
        return f"lines {self.first_sequence} to {self.last_sequence} of {self.refund or f'payment {self.payment_id}'}"


class ArchivedLines(models.Model):
    """Number and digest of each line that an archive took from under one checkpoint, packed: 40 bytes a line.

    With them every checkpoint can still be computed without the file.
    """

    archive = models.ForeignKey(Archive, models.PROTECT, related_name="lines")
    checkpoint = models.PositiveIntegerField(db_index=True, help_text="The sequence of the checkpoint.")
    packed = models.BinaryField()

    class Meta:
        ordering = ("checkpoint", "pk")
        default_permissions = ()

    def __str__(self) -> str:
        return f"archived lines under checkpoint {self.checkpoint}"


class ArchivedDelivery(models.Model):
    """A delivery that lies in an archive: its number, and the digest by which the same delivery is known again."""

    archive = models.ForeignKey(Archive, models.PROTECT, related_name="deliveries")
    number = models.BigIntegerField(unique=True)
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ("number",)
        default_permissions = ()
        indexes = (models.Index(fields=("account", "digest"), name="archiveddelivery_known"),)

    def __str__(self) -> str:
        return f"archived delivery {self.number}"
