"""Fills an empty house with the demo."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from refunds import demo
from refunds.errors import RefundError


class Command(BaseCommand):
    help = "Add the demo's people, payments and waiting refunds, once; needs DEBUG=on."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("The demo has a password that everybody knows: it is loaded with DEBUG=on only.")
        try:
            for line in demo.load():
                self.stdout.write(line)
        except RefundError as refusal:
            raise CommandError(f"The demo was not loaded: {refusal}") from refusal
