"""For whoever lost telephone, keys and recovery codes."""

import logging
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from refunds import services
from refunds.management.asked_by import add_asked_by, asked_by

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Take away a person's second factors and end their sessions; with the next login they set up new ones."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the person's user name")
        add_asked_by(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        actor = asked_by(options["by"])
        person = User.objects.filter(username=options["name"]).first()
        if person is None:
            raise CommandError(f"There is no {options['name']!r} in the desk.")
        if actor.user == person:
            raise CommandError("Nobody resets their own second factor: ask somebody else to do it.")
        with transaction.atomic():
            n_taken, _ = Authenticator.objects.filter(user=person).delete()
            services.end_sessions(person)
        log.warning("The second factors of %s were reset by %s.", person, actor.name)
        self.stdout.write(f"{person} has no second factor now ({n_taken} taken away) and has to log in anew.")
