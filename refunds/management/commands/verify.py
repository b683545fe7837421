"""`manage.py verify`: recomputes the history and compares it with what is stored; fails on any difference."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import history


class Command(BaseCommand):
    help = "Recompute every chain, checkpoint, status and sum, and compare them with what is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--log",
            type=argparse.FileType(encoding="utf-8", errors="replace"),
            help="a log of the workers (- for standard input): its checkpoints must be the stored ones",
        )

    def handle(self, *args: Any, log: Any, **options: Any) -> None:
        verdict = history.verify(log or ())
        for finding in verdict.findings:
            self.stderr.write(finding)
        self.stdout.write(
            f"Looked at {verdict.n_payments} payments, {verdict.n_refunds} refunds, {verdict.n_events} journal lines "
            f"and {verdict.n_checkpoints} checkpoints."
        )
        self.stdout.write(f"Younger than the last checkpoint: {verdict.n_younger} lines.")
        if not verdict.is_clean:
            raise CommandError(f"The history does not hold: {verdict.n_findings} differences.")
        self.stdout.write("Everything fits.")
