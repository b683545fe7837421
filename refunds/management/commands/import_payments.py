"""Takes payments in from a CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds.errors import BadInput
from refunds.services.intake import BadRow, PaymentRow, Tally, read_rows, take_in

WIDTH = 40


class Command(BaseCommand):
    help = "Take in the payments of a CSV file (UTF-8, commas). Safe to repeat; fails when a row was not taken in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file; docs/importing-payments.md names its columns")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        rows = read(file)
        tally = take_in(rows, by=None, progress=lambda n_done: self.show(n_done, len(rows)))
        self.tell(tally)
        if tally.bad:
            raise CommandError(f"Rows that were not taken in: {len(tally.bad)}.")

    def show(self, n_done: int, n_rows: int) -> None:
        """A bar that stays on its line; only where a person looks on."""
        if self.stdout.isatty():
            filled = WIDTH * n_done // n_rows
            bar = "█" * filled + "·" * (WIDTH - filled)
            self.stdout.write(f"\r{bar} {n_done} of {n_rows}", ending="\n" if n_done == n_rows else "")
            self.stdout.flush()

    def tell(self, tally: Tally) -> None:
        totals = ", ".join(f"{money} {money.currency}" for money in tally.money)
        self.stdout.write(f"New payments: {tally.n_new}" + (f" ({totals})" if totals else ""))
        self.stdout.write(f"Known already: {tally.n_known}")
        if tally.disputed:
            self.stdout.write(f"Of these, marked as disputed: {len(tally.disputed)}")
        for bad in tally.bad:
            self.stdout.write(f"line {bad.line}: {bad.reason}")


def read(file: Path) -> list[PaymentRow | BadRow]:
    try:
        with file.open("rb") as content:
            return read_rows(content)
    except OSError as trouble:
        raise CommandError(f"{file} cannot be read: {trouble.strerror}.") from trouble
    except BadInput as trouble:
        raise CommandError(f"{file}: {trouble}") from trouble
