"""Takes payments in from a CSV file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds.errors import BadInput
from refunds.services.intake import Tally, read_rows, take_in

WIDTH = 40


class Command(BaseCommand):
    help = "Take in the payments of a CSV file (UTF-8, commas). Safe to repeat; fails when a row was not taken in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file; docs/importing-payments.md names its columns")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            with file.open("rb") as content:
                bar = Bar(self, content, file.stat().st_size)
                tally = take_in(read_rows(content), by=None, progress=bar.show)
                bar.end()
        except OSError as trouble:
            raise CommandError(f"{file} cannot be read: {trouble.strerror}.") from trouble
        except BadInput as trouble:
            raise CommandError(f"{file}: {trouble}") from trouble
        self.tell(tally)
        if tally.bad:
            raise CommandError(f"Rows that were not taken in: {len(tally.bad)}.")

    def tell(self, tally: Tally) -> None:
        totals = ", ".join(f"{money} {money.currency}" for money in tally.money)
        self.stdout.write(f"New payments: {tally.n_new}" + (f" ({totals})" if totals else ""))
        self.stdout.write(f"Known already: {tally.n_known}")
        if tally.disputed:
            self.stdout.write(f"Of these, marked as disputed: {len(tally.disputed)}")
        for bad in tally.bad:
            self.stdout.write(f"line {bad.line}: {bad.reason}")


class Bar:
    """A bar that stays on its line, by how much of the file is read; only where a person looks on."""

    def __init__(self, command: BaseCommand, file: BinaryIO, size: int) -> None:
        self.out, self.file, self.size = command.stdout, file, size
        self.began = time.monotonic()
        self.is_seen = command.stdout.isatty()

    def show(self, n_rows: int) -> None:
        if self.is_seen:
            per_cent = min(100 * self.file.tell() // self.size, 100)
            bar = "█" * (WIDTH * per_cent // 100)
            a_second = int(n_rows // max(time.monotonic() - self.began, 0.001))
            self.out.write(f"\r{bar:·<{WIDTH}} {per_cent:3} %  {n_rows:,} rows, {a_second:,} a second ", ending="")
            self.out.flush()

    def end(self) -> None:
        if self.is_seen:
            self.out.write("")
