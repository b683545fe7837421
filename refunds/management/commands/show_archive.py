"""`manage.py show_archive FILE R-000042`: what an archive file holds of one refund."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import archives
from refunds.errors import RefundError


class Command(BaseCommand):
    help = "Print the journal of a refund and of its payment, its attempts and its webhooks from an archive file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("refund", help="R-000042")
        parser.add_argument("--json", action="store_true", help="every column, one row a line")

    def handle(self, *args: Any, file: Path, refund: str, **options: Any) -> None:
        try:
            n_rows = sum(self._show(*one, whole=options["json"]) for one in archives.rows_of(file, _key(refund)))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        if not n_rows:
            raise CommandError(f"{file.name} holds nothing of {refund}.")

    def _show(self, kind: str, row: dict[str, Any], *, whole: bool) -> int:
        self.stdout.write(json.dumps({kind: row}, sort_keys=True) if whole else SHOWN[kind].format(**row))
        return 1


def _key(number: str) -> int:
    digits = number.upper().removeprefix("R-")
    if not digits.isdecimal():
        raise CommandError(f"{number!r} is not the number of a refund, such as R-000042.")
    return int(digits)


SHOWN = {
    "payment": "payment {id}: {account} {reference}",
    "event": "{at}  line {sequence} ({digest:.12})  {step} by {actor}, {from_status} → {to_status}  {text}",
    "attempt": "{started_at}  {kind}: {outcome} {said}",
    "delivery": "{received_at}  webhook {id}: {result} {why}",
}
