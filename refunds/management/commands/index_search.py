"""Builds the indexes of the search, on a PostgreSQL server that was given pg_trgm after the migrations."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from refunds import trigrams


class Command(BaseCommand):
    help = "Build the indexes that keep the search for parts of texts quick (PostgreSQL with pg_trgm); harmless twice."

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            self.stdout.write("SQLite has no such indexes, and needs none for what fits on one machine.")
        elif not trigrams.install(connection):
            raise CommandError(
                "This server lacks the extension pg_trgm, or this database user may not add it: "
                "install PostgreSQL's contrib package, or run CREATE EXTENSION pg_trgm as the owner of the database."
            )
        else:
            self.stdout.write("The search for parts of texts has its indexes.")
