"""Lets a person in, or gives a known one other groups: how the first user admins and gateway admins come."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import people, services
from refunds.errors import RefundError


class Command(BaseCommand):
    help = "Add a person with these groups, or give a known person these and no others. Written down as a change."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the name to sign in with")
        parser.add_argument("--group", action="append", default=[], metavar="GROUP", help=", ".join(people.GROUPS))
        parser.add_argument("--email", default="", help="only for a new person, as the names")
        parser.add_argument("--first-name", default="")
        parser.add_argument("--last-name", default="")
        parser.add_argument("--note", default="By manage.py add_person.", help="why; the change keeps it")

    def handle(self, *args: Any, name: str, group: list[str], note: str, **options: Any) -> None:
        if not group:
            raise CommandError(f"Name at least one --group: {', '.join(people.GROUPS)}.")
        told = {field: options[field] for field in ("email", "first_name", "last_name") if options[field]}
        try:
            person, is_new = services.let_in(name, group, note, **told)
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        came = "is new" if is_new else "was known"
        self.stdout.write(f"{person} {came}, and is in: {', '.join(sorted(set(group)))}.")
        if not person.has_usable_password():
            self.stdout.write(f"No password is set: manage.py invite {person} prints a link for it.")
        if not person.is_active:
            self.stdout.write(f"{person} is switched off and cannot sign in.")
