"""A worker's sign of life, written by itself every few seconds; and what was counted so far, for those who measure."""

from __future__ import annotations

from django.db import models


class WorkerSign(models.Model):
    """One worker process. `polled_at` is when its poller last looked for jobs, `swept_at` when its clock last swept."""

    name = models.CharField(max_length=64, unique=True)
    host = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    threads = models.PositiveIntegerField()
    n_at_work = models.PositiveIntegerField(default=0, help_text="Jobs that its threads were doing then.")
    started_at = models.DateTimeField()
    polled_at = models.DateTimeField()
    swept_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-polled_at",)
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class Tally(models.Model):
    """A number that only grows: rows of the books, each counted once, by account and by what `words` tells apart.

    Retention may take the rows away; what was counted stays. `milliseconds` is how long all of them took together.
    """

    name = models.CharField(max_length=40)
    account = models.ForeignKey("refunds.Account", models.PROTECT, related_name="+")
    words = models.CharField(max_length=60, help_text="The values that tell them apart, with spaces between.")
    number = models.PositiveBigIntegerField(default=0)
    milliseconds = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("name", "account", "words")
        verbose_name_plural = "tallies"
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("name", "account", "words"), name="tally_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.words}"


class TallyMark(models.Model):
    """How far a table of the books is counted: every row up to `last_id`."""

    name = models.CharField(max_length=40, unique=True)
    last_id = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
