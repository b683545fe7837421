"""Makes the Account rows what the environment says."""

from typing import Any

from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError

from gateways.errors import Misconfigured
from refunds import accounts


class Command(BaseCommand):
    help = "Make and update the gateway accounts from GATEWAY_ACCOUNTS; run it at every deploy."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = accounts.sync()
        except Misconfigured as error:
            raise CommandError(str(error)) from error
        for line in changes or ["Accounts are as the environment says."]:
            self.stdout.write(line)
        self.check(tags=[Tags.database], databases=["default"])  # what a live account still lacks
