"""Who stands behind a command: the journal names a person, also for what is done at the command line."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError, CommandParser

from refunds.services.actor import Actor


def add_asked_by(parser: CommandParser) -> None:
    parser.add_argument("--by", required=True, metavar="USERNAME", help="who you are in the desk; the journal keeps it")


def asked_by(username: str) -> Actor:
    user = get_user_model().objects.filter(username=username, is_active=True).first()
    if user is None:
        raise CommandError(f"--by {username!r}: there is no such active person in the desk.")
    return Actor.at_the_command_line(user)
