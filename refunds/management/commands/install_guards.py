"""`manage.py install_guards`: puts the database's triggers back, after a restore or a change by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

from refunds import guards


class Command(BaseCommand):
    help = "Put every trigger of the money tables in place; harmless to repeat."
    requires_system_checks = ()

    def handle(self, **options: Any) -> None:
        missing = guards.missing(connection)
        with transaction.atomic():
            guards.install(connection)
        self.stdout.write(f"{len(guards.GUARDS)} guards stand, {len(missing)} of them were missing.")
