"""`manage.py forget_customer EMAIL --by NAME`: blanks a customer's name and e-mail address everywhere."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import correlation, services
from refunds.errors import RefundError
from refunds.management.asked_by import add_asked_by, asked_by
from refunds.models import Refund


class Command(BaseCommand):
    help = "Blank a customer's name and e-mail address on all payments; what was paid and who decided it stays."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the customer's e-mail address")
        add_asked_by(parser)

    def handle(self, *args: Any, email: str, by: str, **options: Any) -> None:
        try:
            with correlation.act():
                forgotten = services.forget_customer(email, asked_by(by))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        if not forgotten:
            raise CommandError("No payment names this customer.")
        self.stdout.write(f"Payments without a name and an address now: {len(forgotten)}")
        written = Refund.objects.filter(payment__in=forgotten).exclude(internal_note="", ticket="")
        if numbers := ", ".join(map(str, written.order_by("pk"))):
            self.stdout.write(f"What people wrote stays as it is; look yourself whether it names anybody: {numbers}")
