"""From the environment to Account rows to connectors; the only place that reads a gateway's keys."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from gateways import registry
from gateways.contract import Gateway
from gateways.contract import between_calls as between_calls_of
from gateways.errors import Misconfigured
from refunds.models import Account
from refunds_site.environment import ENV

ENTRY = re.compile(r"([a-z0-9]+(?:-[a-z0-9]+)*):([a-z0-9_]+)")
LONGEST_SLUG = 50


def configured() -> dict[str, str]:
    """The accounts named in GATEWAY_ACCOUNTS: slug → gateway. Raises Misconfigured."""
    accounts: dict[str, str] = {}
    for entry in _value("GATEWAY_ACCOUNTS").split(","):
        if not entry.strip():
            continue
        found = ENTRY.fullmatch(entry.strip())
        if not found or len(found[1]) > LONGEST_SLUG:
            raise Misconfigured(
                f"GATEWAY_ACCOUNTS: write {entry.strip()!r} as account:gateway, like shop-eu:{registry.names()[0]}."
            )
        slug, gateway = found.groups()
        if slug in accounts:
            raise Misconfigured(f"GATEWAY_ACCOUNTS names {slug!r} twice: give every account a name of its own.")
        if gateway not in registry.names():
            known = ", ".join(sorted(registry.names()))
            raise Misconfigured(f"GATEWAY_ACCOUNTS: {slug} names the unknown gateway {gateway!r}; known are {known}.")
        accounts[slug] = gateway
    return accounts


def prefix_of(slug: str) -> str:
    """shop-eu → SHOP_EU, the start of its variables' names."""
    return slug.upper().replace("-", "_")


def mode_of(slug: str) -> str:
    """sandbox, unless the environment says live. Raises Misconfigured."""
    name = f"{prefix_of(slug)}_MODE"
    mode = _value(name).lower() or Account.Mode.SANDBOX.value
    if mode not in Account.Mode.values:
        raise Misconfigured(f"{name} is {mode!r}: write sandbox or live.")
    return mode


def accepted_assumptions(slug: str) -> list[str]:
    """The ids in the account's ACCEPT_ASSUMPTIONS."""
    return [name for entry in _value(f"{prefix_of(slug)}_ACCEPT_ASSUMPTIONS").split(",") if (name := entry.strip())]


def between_calls(slug: str) -> timedelta | None:
    """How far apart this account's calls have to be; None without a cap, or with one that `connect` refuses."""
    try:
        return between_calls_of(_value(f"{prefix_of(slug)}_CALLS_PER_SECOND"))
    except Misconfigured:
        return None


def config_of(slug: str) -> dict[str, str]:
    """The account's keys as its gateway names them; what is not set is left out. Raises Misconfigured."""
    gateway = configured().get(slug)
    if gateway is None:
        raise Misconfigured(f"Account {slug} is not named in GATEWAY_ACCOUNTS: add it there, or withdraw its refunds.")
    kind = registry.gateway_class(gateway)
    found = {key: _value(f"{prefix_of(slug)}_{key}") for key in kind.settings()}
    return {key: text for key, text in found.items() if text}


def connect(account: Account) -> Gateway:
    """The connector for an account. Raises Misconfigured."""
    config = config_of(account.slug)
    gateway = configured()[account.slug]
    if gateway != account.gateway:
        raise Misconfigured(
            f"Account {account.slug} belongs to {account.gateway}, but GATEWAY_ACCOUNTS says {gateway}: "
            "give the other gateway an account name of its own."
        )
    if account.webhook_key and (setting := registry.gateway_class(gateway).webhook_key_setting):
        config.setdefault(setting, account.webhook_key)
    if setting := registry.gateway_class(gateway).callback_setting:
        config.setdefault(setting, callback_url(account))
    connector = registry.build(gateway, config)
    connector.http.deadline = timedelta(seconds=settings.GATEWAY_DEADLINE_SECONDS)
    return connector


def is_loopback(host: str) -> bool:
    """Does this host stand on this very machine?"""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def has_webhook_key(account: Account) -> bool:
    """Whether its gateway signs webhooks with a key that is fetched and pinned."""
    return account.gateway in registry.names() and bool(registry.gateway_class(account.gateway).webhook_key_setting)


def callback_url(account: Account) -> str:
    """Where the gateway shall send its webhooks; "" without PUBLIC_URL and WEBHOOK_HOSTS."""
    door = f"https://{settings.WEBHOOK_HOSTS[0]}" if settings.WEBHOOK_HOSTS else settings.PUBLIC_URL
    return f"{door}/webhooks/{account.slug}/" if door else ""


@transaction.atomic
def sync() -> list[str]:
    """Make the rows what the environment says, and tell what changed; a name that is gone is only switched off."""
    wanted = configured()
    rows = {row.slug: row for row in Account.objects.select_for_update()}
    changes = [change for slug, gateway in wanted.items() if (change := _sync_one(rows.get(slug), slug, gateway))]
    for slug, row in rows.items():
        if slug not in wanted and row.is_active:
            Account.objects.filter(pk=row.pk).update(is_active=False)
            changes.append(f"{slug}: switched off, GATEWAY_ACCOUNTS no longer names it")
    return changes


def _sync_one(row: Account | None, slug: str, gateway: str) -> str:
    mode = mode_of(slug)
    if row is None:
        Account.objects.create(slug=slug, gateway=gateway, mode=mode)
        return f"{slug}: added ({gateway}, {mode})"
    if row.gateway != gateway:
        raise Misconfigured(
            f"Account {slug} belongs to {row.gateway} and has its history there: "
            f"give {gateway} an account name of its own in GATEWAY_ACCOUNTS."
        )
    new = {"mode": mode, "is_active": True}
    differing = [name for name, value in new.items() if getattr(row, name) != value]
    if not differing:
        return ""
    Account.objects.filter(pk=row.pk).update(**new)
    return f"{slug}: {'active again' if 'is_active' in differing else 'now'} ({mode})"


def _value(name: str) -> str:
    """A variable, or the content of the file that NAME_FILE names, without the white space around it."""
    environment: Mapping[str, str] = ENV.ENVIRON
    try:
        text = environment[name]
    except KeyError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}_FILE cannot be read: {error}.") from error
    # In a one-line .env a PEM's line breaks are written as \n.
    return text.strip().replace("\\n", "\n") if "PEM" in name else text.strip()
