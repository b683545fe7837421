"""`manage.py after_restore --since 2026-11-21T08:00Z --by NAME`: run it before the workers, once a backup is back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from refunds import correlation, services
from refunds.errors import RefundError
from refunds.management.asked_by import add_asked_by, asked_by


class Command(BaseCommand):
    help = "After a backup was restored: pause every account and put in doubt what may have been sent since the backup."

    def add_arguments(self, parser: CommandParser) -> None:
        add_asked_by(parser)
        parser.add_argument("--since", required=True, help="the moment of the backup, with its zone: 2026-11-21T08:00Z")
        parser.add_argument(
            "--look-back", type=int, default=30, metavar="DAYS", help="look up payments captured so long before it (30)"
        )

    def handle(self, *args: Any, since: str, by: str, look_back: int, **options: Any) -> None:
        try:
            moment = parse_datetime(since)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise CommandError(f"--since {since!r}: write a moment with its zone, such as 2026-11-21T08:00Z.")
        try:
            with correlation.act():
                done = services.after_restore(moment, asked_by(by), look_back=timedelta(days=look_back))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"Accounts paused: {done.accounts}")
        self.stdout.write(f"Approved or sending, now unknown: {done.in_doubt}")
        self.stdout.write(f"Others that call for a person: {done.called}")
        self.stdout.write(f"Processing, asked about at once: {done.asked}")
        self.stdout.write(f"Payments to be looked up: {done.payments}")
        self.stdout.write("Now start the workers, work through the unknown desk, then resume the accounts.")
