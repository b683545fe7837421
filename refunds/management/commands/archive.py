"""`manage.py archive --before DAY --to FOLDER --by NAME`: moves what is over and old into files."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import archives, correlation
from refunds.errors import RefundError
from refunds.management.asked_by import add_asked_by, asked_by


class Command(BaseCommand):
    help = (
        "Write journal lines, attempts and webhooks of payments that are over and old into files, read them back, and "
        "only then remove them here. Killed at any moment, it goes on where it stood."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--before", required=True, type=date.fromisoformat, metavar="DAY", help="2025-01-31, UTC")
        parser.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="where the files lie; back it up")
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        add_asked_by(parser)

    def handle(self, *args: Any, before: date, to: Path, by: str, dry_run: bool, **options: Any) -> None:
        user = asked_by(by).user
        assert user is not None
        try:
            if dry_run:
                self._say(archives.would_archive(before))
                return
            with correlation.act():
                n_files = sum(self._done(one) for one in archives.archive(before, to, user))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{n_files} files. Run manage.py verify --archive {to}." if n_files else "Nothing to do.")

    def _say(self, would: archives.Would) -> None:
        self.stdout.write(f"Would take {would.n_payments} payments, {would.n_deliveries} webhooks about no refund.")
        if would.n_unfinished:
            self.stdout.write(f"Before that, {would.n_unfinished} begun archives would be finished.")

    def _done(self, archive: Any) -> int:
        self.stdout.write(
            f"{archive.file_name}: {archive.n_payments} payments, {archive.n_events} lines, {archive.n_attempts} "
            f"attempts, {archive.n_deliveries} webhooks"
        )
        self.stdout.flush()
        return 1
