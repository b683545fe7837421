"""System checks: the site refuses to start half-configured, and says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.db import connections

from gateways import registry
from gateways.contract import Gateway
from gateways.errors import Misconfigured
from refunds import accounts, assumptions, guards, risk
from refunds.errors import BadInput
from refunds.models import Account, Refund

SHORTEST_KEY, FEWEST_DIFFERENT = 50, 5  # what Django's own deployment check asks for
SHORTEST_SECRET = 16
SQLITE_SYNCHRONOUS_FULL = 2
LONGEST_HOLD = 24 * 60 * 60
SQLITE_SHORTEST_WAIT = 2000  # milliseconds


@register(Tags.security)
def check_secret_key(**kwargs: Any) -> list[Error]:
    try:
        key = settings.SECRET_KEY
    except Exception:  # Django refuses to hand out an empty one
        key = ""
    if len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_DIFFERENT:
        return [
            Error(
                f"Set SECRET_KEY (or SECRET_KEY_FILE) to at least {SHORTEST_KEY} random characters.", id="refunds.E001"
            )
        ]
    if key.startswith("django-insecure-") and not settings.DEBUG:
        return [Error("Replace the demo's SECRET_KEY by random characters of your own.", id="refunds.E001")]
    return []


@register(Tags.security)
def check_accounts(**kwargs: Any) -> list[Error]:
    """GATEWAY_ACCOUNTS and everything that stands under an account's prefix."""
    try:
        named = accounts.configured()
    except Misconfigured as error:
        return [Error(str(error), id="refunds.E002")]
    return [error for slug, gateway in named.items() for error in _check_one(slug, registry.gateway_class(gateway))]


def _check_one(slug: str, kind: type[Gateway]) -> list[Error]:
    if found := list(_check_account(slug, kind)):
        return found
    try:
        kind(accounts.config_of(slug))
    except Misconfigured as error:
        return [Error(f"Account {slug} cannot be used: {error}", id="refunds.E014")]
    return []


def _check_account(slug: str, kind: type[Gateway]) -> Iterator[Error]:
    prefix = accounts.prefix_of(slug)
    try:
        mode, config = accounts.mode_of(slug), accounts.config_of(slug)
    except Misconfigured as error:
        yield Error(str(error), id="refunds.E002")
        return
    for key in kind.needs:
        if key not in config:
            yield Error(f"Set {prefix}_{key}: {kind.label} needs it for account {slug}.", id="refunds.E003")
    for key in kind.secrets:
        if key in config and len(config[key]) < SHORTEST_SECRET:
            yield Error(
                f"{prefix}_{key} is shorter than {SHORTEST_SECRET} characters: set it to the secret from {kind.label}.",
                id="refunds.E004",
            )
    if mode == "live" and settings.DEBUG:
        yield Error(f"Account {slug} is live: set DEBUG=off, or {prefix}_MODE=sandbox.", id="refunds.E006")
    if "URL" in config:
        yield from _check_url(slug, mode, config["URL"], kind)


def _check_url(slug: str, mode: str, url: str, kind: type[Gateway]) -> Iterator[Error]:
    name = f"{accounts.prefix_of(slug)}_URL"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    if not host or (urlsplit(url).scheme != "https" and not accounts.is_loopback(host)):
        yield Error(f"{name} must be an https address: credentials never travel in the clear.", id="refunds.E013")
    elif mode == "live" and (accounts.is_loopback(host) or "sandbox" in host or stands_at(url, "sandbox", kind)):
        yield Error(
            f"Account {slug} is live, but {name} leads to {host}: set the live address, or {name[:-4]}_MODE=sandbox.",
            id="refunds.E011",
        )
    elif mode == "sandbox" and stands_at(url, "live", kind):
        yield Error(
            f"Account {slug} is a sandbox account, but {name} leads to the live {host}: "
            f"set the sandbox address, or {name[:-4]}_MODE=live.",
            id="refunds.E012",
        )


@register(Tags.security)
def check_public_url(**kwargs: Any) -> list[Error]:
    url = urlsplit(settings.PUBLIC_URL)
    is_at_home = settings.DEBUG and url.scheme == "http" and accounts.is_loopback(url.hostname or "")
    is_fine = (url.scheme == "https" and url.hostname and not url.query and not url.fragment) or is_at_home
    if not settings.PUBLIC_URL or is_fine:
        return []
    return [Error("PUBLIC_URL must be this site's https address, like https://refunds.example.com.", id="refunds.E010")]


@register(Tags.security)
def check_debug_database(**kwargs: Any) -> list[Error]:
    if not settings.DEBUG:
        return []
    return [
        Error(f"DEBUG is on with a database at {host}: set DEBUG=off, or use a local database.", id="refunds.E005")
        for database in settings.DATABASES.values()
        if (host := _remote_host(database))
    ]


def _remote_host(database: dict[str, Any]) -> str:
    """The host of a PostgreSQL database that does not stand on this machine, or ""."""
    if "postgresql" not in database["ENGINE"]:
        return ""
    options = database.get("OPTIONS", {})
    if options.get("service"):
        return f"service {options['service']}"
    named = options.get("hostaddr") or options.get("host") or database.get("HOST") or os.environ.get("PGHOST", "")
    hosts = [
        host for host in str(named).split(",") if host and not host.startswith("/") and not accounts.is_loopback(host)
    ]
    return hosts[0] if hosts else ""


@register(Tags.security)
def check_atomic_requests(**kwargs: Any) -> list[Error]:
    return [
        Error(
            f"Take ATOMIC_REQUESTS out of database {alias!r}: a request must not hold a lock while others wait.",
            id="refunds.E007",
        )
        for alias, database in settings.DATABASES.items()
        if database.get("ATOMIC_REQUESTS")
    ]


@register(Tags.security)
def check_lease(**kwargs: Any) -> list[Error]:
    """A worker that is slow, but alive, must not lose its refund to a second one."""
    shortest = 3 * (settings.GATEWAY_DEADLINE_SECONDS + settings.DATABASE_WAIT_SECONDS)
    if shortest <= settings.LEASE_SECONDS:
        return []
    return [
        Error(f"LEASE_SECONDS is too short for GATEWAY_DEADLINE_SECONDS: set {shortest} or more.", id="refunds.E015")
    ]


@register(Tags.security)
def check_decisions(**kwargs: Any) -> Iterator[Error]:
    if not 0 <= settings.APPROVAL_HOLD_SECONDS <= LONGEST_HOLD:
        yield Error(
            f"Set APPROVAL_HOLD_SECONDS to between 0 and {LONGEST_HOLD}: 0 sends what is approved at once.",
            id="refunds.E032",
        )
    try:
        risk.sizes()
    except BadInput as unreadable:
        yield Error(str(unreadable), id="refunds.E033")


@register(Tags.security)
def check_poll_pace(**kwargs: Any) -> list[Error]:
    if 0.01 <= settings.POLL_PACE <= 100:
        return []
    return [Error("Set POLL_PACE to between 0.01 and 100: 1 asks as each gateway's plan says.", id="refunds.E020")]


@register(Tags.database)
def check_database(databases: Iterable[str] | None = None, **kwargs: Any) -> list[Error]:
    """What the connection itself says about how well it keeps a commit."""
    looks = {"sqlite": _check_sqlite, "postgresql": _check_postgresql}
    return [
        error
        for alias in databases or ()
        if connections[alias].vendor in looks
        for look in (looks[connections[alias].vendor], _check_cache, _check_guards)
        for error in look(connections[alias])
    ]


@register(Tags.database)
def check_assumptions(databases: Iterable[str] | None = None, **kwargs: Any) -> list[Error]:
    """What is only assumed about the gateways of live accounts; a database that was never migrated is not asked."""
    if "default" not in (databases or ()):
        return []
    tables = connections["default"].introspection.table_names()
    try:
        named = accounts.configured() if Account._meta.db_table in tables else {}
    except Misconfigured:
        return []  # check_accounts says it
    rows = {row.slug: row for row in Account.objects.filter(slug__in=named)}
    wanted = [rows.get(slug) or Account(slug=slug, gateway=gateway) for slug, gateway in named.items()]
    return [error for account in wanted for error in _check_assumptions(account)]


def _check_assumptions(account: Account) -> Iterator[Error]:
    name, label = (
        f"{accounts.prefix_of(account.slug)}_ACCEPT_ASSUMPTIONS",
        registry.gateway_class(account.gateway).label,
    )
    if unknown := assumptions.unknown_ids(account):
        yield Error(f"{name} names {', '.join(unknown)}, which nobody assumes about {label}.", id="refunds.E019")
    try:
        is_live = accounts.mode_of(account.slug) == Account.Mode.LIVE
    except Misconfigured:
        return  # check_accounts says it
    if is_live and (unproved := assumptions.unproved(account)):
        whole = ",".join([*accounts.accepted_assumptions(account.slug), *unproved])
        yield Error(
            f"Account {account} is live, but nobody has proved or accepted {', '.join(unproved)}: "
            f"read them by manage.py certify {account}, ask {label}, and accept what is true by {name}={whole}.",
            id="refunds.E018",
        )


def _check_sqlite(connection: Any) -> Iterator[Error]:
    weak = []
    if connection.settings_dict["OPTIONS"].get("transaction_mode", "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        weak.append("transaction_mode=IMMEDIATE")
    # A database in memory has no journal to choose.
    if not connection.is_in_memory_db() and _ask(connection, "PRAGMA journal_mode") != "wal":
        weak.append("PRAGMA journal_mode=WAL")
    if _ask(connection, "PRAGMA synchronous") < SQLITE_SYNCHRONOUS_FULL:
        weak.append("PRAGMA synchronous=FULL")
    if not _ask(connection, "PRAGMA foreign_keys"):
        weak.append("PRAGMA foreign_keys=ON")
    if _ask(connection, "PRAGMA busy_timeout") < SQLITE_SHORTEST_WAIT:
        weak.append("timeout=20")
    if weak:
        yield Error(f"SQLite may lose a commit or refuse a writer: set {', '.join(weak)}.", id="refunds.E008")


def _check_postgresql(connection: Any) -> Iterator[Error]:
    if _ask(connection, "SHOW synchronous_commit") == "off":
        yield Error(
            "PostgreSQL may lose a commit in a crash: set synchronous_commit to on for this database.",
            id="refunds.E009",
        )


def _check_cache(connection: Any) -> Iterator[Error]:
    """The login counts its failures there; a database that was never migrated is not asked."""
    cache, tables = settings.CACHES["default"], connection.introspection.table_names()
    if "db.DatabaseCache" in cache["BACKEND"] and "django_migrations" in tables and cache["LOCATION"] not in tables:
        yield Error("The login needs its cache table: run manage.py createcachetable.", id="refunds.E016")


def _check_guards(connection: Any) -> Iterator[Error]:
    """The triggers, as the database's own catalogue shows them; one that was never migrated is not asked."""
    if Refund._meta.db_table not in connection.introspection.table_names():
        return
    if missing := guards.missing(connection):
        yield Error(
            f"The database lacks {len(missing)} guards ({missing[0]}, …): "
            "run manage.py install_guards before anybody works with it.",
            id="refunds.E017",
        )


def _ask(connection: Any, question: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def stands_at(url: str, mode: str, kind: type[Gateway]) -> bool:
    """Does the address lead to the gateway's documented sandbox or live host?"""
    hosts = {name: urlsplit(base) for name, base in kind.hosts.items()}
    if mode not in hosts or urlsplit(url).hostname != hosts[mode].hostname:
        return False
    # Where one host serves both, only the path tells them apart.
    is_shared = len({base.hostname for base in hosts.values()}) < len(hosts)
    return not is_shared or urlsplit(url).path.rstrip("/").startswith(hosts[mode].path.rstrip("/"))
