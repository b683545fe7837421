"""Takes over from the identity provider who is still there, and in which groups."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from refunds import services
from refunds.errors import RefundError
from refunds.issuer import IssuerSession, Unreachable

log = logging.getLogger(__name__)
MOST_PAGES = 1000
SCIM = "application/scim+json"


class Command(BaseCommand):
    help = "Set groups and switch people off as the identity provider lists them (SCIM 2.0), and end their sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="a ListResponse; - reads it from here; by default OIDC_PEOPLE_URL")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.OIDC_ISSUER:
            raise CommandError("Set OIDC_ISSUER first: nobody comes in by single sign-on.")
        try:
            said = services.sync_people(self.listed(options["file"]))
        except RefundError as refusal:
            raise CommandError(str(refusal)) from refusal
        for line in said:
            log.info(line)
            self.stdout.write(line)
        self.stdout.write(f"{len(said)} changed.")

    def listed(self, file: str | None) -> list[dict[str, Any]]:
        try:
            if file is None:
                return fetch()
            page = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
        except (OSError, ValueError, Unreachable) as error:
            raise CommandError(f"The list cannot be read: {error}") from error
        resources, total = contents(page)
        if len(resources) != total:
            raise CommandError(f"The list is cut: {len(resources)} of {total} people. Nothing was changed.")
        return resources


def fetch() -> list[dict[str, Any]]:
    """All pages; a list that ends early would switch people off."""
    if not settings.OIDC_PEOPLE_URL:
        raise CommandError("Name a file, or set OIDC_PEOPLE_URL.")
    headers = {"Authorization": f"Bearer {settings.OIDC_PEOPLE_TOKEN}", "Accept": SCIM}
    found: list[dict[str, Any]] = []
    with IssuerSession() as session:
        for _ in range(MOST_PAGES):
            asked = {"startIndex": str(len(found) + 1), "count": "100"}
            answer = session.get(settings.OIDC_PEOPLE_URL, params=asked, headers=headers)
            if answer.status_code != 200:
                raise CommandError(f"{settings.OIDC_NAME} answers {answer.status_code} instead of a list.")
            resources, total = contents(answer.json())
            found += resources
            if len(found) == total:
                return found
            if not resources or len(found) > total:
                break
    raise CommandError(f"The list does not end as it says: {len(found)} of {total} people. Nothing was changed.")


def contents(page: Any) -> tuple[list[dict[str, Any]], int]:
    resources = page.get("Resources", []) if isinstance(page, dict) else None
    total = page.get("totalResults") if isinstance(page, dict) else None
    if not isinstance(resources, list) or not isinstance(total, int) or not all(isinstance(r, dict) for r in resources):
        raise CommandError("This is no SCIM 2.0 ListResponse. Nothing was changed.")
    return resources, total
