"""`manage.py certify ACCOUNT`: puts the account's connector through the contract, and shows what is only assumed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateways.errors import GatewayError, Misconfigured
from gateways.sandbox.certify import Result, Verdict, run
from refunds import accounts, assumptions, capabilities
from refunds.errors import BadInput
from refunds.models import Account

MARKS = {Verdict.PASSED: "passed", Verdict.BROKEN: "BROKEN", Verdict.NOT_APPLICABLE: "-"}


class Command(BaseCommand):
    help = (
        "Put an account's connector through the contract, against a sandbox of its own, and print its capability card. "
        "Fails when the connector is broken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("account", help="as GATEWAY_ACCOUNTS names it")
        parser.add_argument(
            "--live-read-only",
            action="store_true",
            help="no sandbox and no order: one look-up through the account's own keys, kept as proof of what it shows",
        )
        parser.add_argument("--payment", default="", help="the payment to look up (default: the newest one)")

    def handle(self, *args: Any, account: str, live_read_only: bool, payment: str, **options: Any) -> None:
        if payment and not live_read_only:
            raise CommandError("--payment says what to look up: it goes with --live-read-only.")
        row = account_named(account)
        if live_read_only:
            self.tell(look_up(row, payment))
            self.tell(card(row))
            return
        results = list(run(row.gateway))
        self.tell(stories(results))
        self.tell(card(row))
        if n_broken := sum(result.verdict is Verdict.BROKEN for result in results):
            raise CommandError(f"The connector of {row} breaks the contract in {n_broken} of {len(results)} stories.")

    def tell(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.stdout.write(line)
        self.stdout.write("")


def account_named(slug: str) -> Account:
    """Its row; before the first sync_accounts, one that is not kept."""
    try:
        named = accounts.configured()
        if slug not in named:
            known = ", ".join(named) or "none"
            raise CommandError(f"GATEWAY_ACCOUNTS names no account {slug!r}; it names: {known}.")
        row = Account.objects.filter(slug=slug).first()
        return row or Account(slug=slug, gateway=named[slug], mode=accounts.mode_of(slug))
    except Misconfigured as trouble:
        raise CommandError(str(trouble)) from trouble


def stories(results: list[Result]) -> Iterator[str]:
    """One line for each story; one for all where they have nothing to say."""
    if all(result.verdict is Verdict.NOT_APPLICABLE for result in results):
        yield results[0].sentence
        return
    for result in results:
        yield f"  {MARKS[result.verdict]:8}{result.story}" + (f": {result.sentence}" if result.sentence else "")


def look_up(account: Account, payment: str) -> Iterator[str]:
    """What the account's own gateway shows, in plain words."""
    if account.pk is None:
        raise CommandError("Run manage.py sync_accounts first.")
    try:
        shown = assumptions.show(account, payment)
    except (BadInput, GatewayError) as trouble:
        raise CommandError(str(trouble)) from trouble
    n_shown = len(shown.updates)
    yield f"Payment {shown.payment}: {n_shown or 'no'} refund{'' if n_shown == 1 else 's'} shown."
    for update in shown.updates:
        amount = f", {update.amount} {update.amount.currency}" if update.amount else ""
        at = f", {update.occurred_at:%Y-%m-%d %H:%M} UTC" if update.occurred_at else ""
        said = f" ({update.message})" if update.message else ""
        yield f"  {update.reference or update.key or 'a refund'}: {update.outcome}{amount}{at}{said}"
    yield shown.why_not or f"Proved by this: {', '.join(shown.proved) or 'nothing that was assumed'}."


def card(account: Account) -> Iterator[str]:
    """The capability card, in the words of the account's page."""
    found = capabilities.card_of(account)
    if found is None:
        return
    yield f"{account}: {found.label}, {account.mode}"
    if found.trouble:
        yield f"  It cannot be used: {found.trouble}"
    for label, sentence in found.abilities:
        yield f"  {label:32}{sentence}"
    yield "" if found.assumptions else "  Nothing is assumed."
    for one in found.assumptions:
        critical = ", critical" if one.assumption.is_critical else ""
        yield f"  {one.word.upper():10}{one.assumption.id}{critical}"
        yield f"            {one.assumption.text}"
        yield f"            {one.sentence}" + (f" Another answer goes into {one.variable}." if one.variable else "")
