"""`manage.py migrate`, as Django's, but nobody at the desk waits behind it: a busy table is tried again later."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from refunds import schema


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        def once() -> None:
            with schema.waiting(connections[options["database"]], schema.MOST_WAITING):
                django(*args, **options)

        django = super().handle
        schema.patiently(once)
