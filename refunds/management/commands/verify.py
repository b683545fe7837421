"""`manage.py verify`: recomputes the history and compares it with what is stored; fails on any difference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import archives, history
from refunds.errors import RefundError


class Command(BaseCommand):
    help = "Recompute every chain, checkpoint, status and sum, and compare them with what is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--log",
            type=argparse.FileType(encoding="utf-8", errors="replace"),
            help="a log of the workers (- for standard input): its checkpoints must be the stored ones",
        )

        parser.add_argument("--archive", type=Path, metavar="FOLDER", help="read the archive files there, too")

    def handle(self, *args: Any, log: Any, archive: Path | None, **options: Any) -> None:
        verdict = history.verify(log or ())
        if archive:
            self._read(verdict, archive)
        for finding in verdict.findings:
            self.stderr.write(finding)
        self.stdout.write(
            f"Looked at {verdict.n_payments} payments, {verdict.n_refunds} refunds, {verdict.n_events} journal lines "
            f"and {verdict.n_checkpoints} checkpoints."
        )
        self.stdout.write(f"Younger than the last checkpoint: {verdict.n_younger} lines.")
        if verdict.n_archives:
            how = f"read again in {archive}" if archive else "taken by their seals; --archive FOLDER reads them"
            self.stdout.write(f"In archives: {verdict.n_archived} lines in {verdict.n_archives} files, {how}.")
        if not verdict.is_clean:
            raise CommandError(f"The history does not hold: {verdict.n_findings} differences.")
        self.stdout.write("Everything fits.")

    def _read(self, verdict: history.Verdict, folder: Path) -> None:
        try:
            verdict.add(archives.flaws_of_files(archives.folder_or_refuse(folder)))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        for name in archives.strays(folder):
            self.stdout.write(f"{name} belongs to no archive: an interrupted run left it, and it may go.")
