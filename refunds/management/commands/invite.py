"""Prints the link by which a person sets their password."""

import logging
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import services
from refunds.errors import RefundError

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Print a link, good once and for 24 hours, by which a person sets a password. Hand it to nobody else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the person's user name")

    def handle(self, *args: Any, **options: Any) -> None:
        person = User.objects.filter(username=options["name"]).first()
        if person is None:
            raise CommandError(f"There is no {options['name']!r} in the desk: add the person first, under People.")
        try:
            self.stdout.write(services.invitation(person))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        log.info("A link to set a password was printed for %s.", person)
