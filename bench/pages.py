"""Pages at ten thousand, a hundred thousand and a million refunds, beside a stock admin over the same tables.

Each database has its own server process; they are asked in turn, so that what else the machine does meets them all.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from bench import ground

SIZES = [int(size) for size in os.environ.get("BENCH_SIZES", "10000,100000,1000000").split(",")]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
REFUNDS, PAYMENTS = "/admin/refunds/refund/", "/admin/refunds/payment/"
# Name → who looks, and at what; {n} is a refund of long ago, and of a payment of the same number.
PAGES = {
    "home of an agent": ("agents-0", "/admin/"),
    "home of an approver": ("approvers-0", "/admin/"),
    "home of Finance": ("finance-0", "/admin/"),
    "refund list": ("finance-0", REFUNDS),
    "refund list, failed": ("finance-0", f"{REFUNDS}?status__exact=failed"),
    "refund list, by day": ("finance-0", f"{REFUNDS}?requested_from={{day}}&requested_to={{day}}"),
    "refund list, by amount": ("finance-0", f"{REFUNDS}?amount_from=12&amount_to=13&currency=EUR"),
    "refund list, sorted by amount": ("finance-0", f"{REFUNDS}?o=2"),
    "refund list, page 100": ("finance-0", f"{REFUNDS}?p=100"),
    "line of decisions": ("approvers-0", f"{REFUNDS}?for_me=decide"),
    "unknown desk": ("finance-0", f"{REFUNDS}unknown/"),
    "a refund of long ago": ("finance-0", f"{REFUNDS}{{n}}/change/"),
    "a payment of long ago": ("agents-0", f"{PAYMENTS}{{n}}/change/"),
    "payment list": ("agents-0", PAYMENTS),
    "search for an order": ("agents-0", f"{PAYMENTS}?q=ORDER-{{n}}"),
    "search for an id told by the gateway": ("finance-0", f"{REFUNDS}?q=rrn{{n}}"),
    "find box, a part of a name": ("agents-0", "/admin/find/?q=abcdef"),
    "find box, nothing": ("agents-0", "/admin/find/?q=zzqzzq"),
    "inbox": ("finance-0", "/admin/refunds/delivery/"),
}
STOCK = {
    "stock refund list": ("root", "/stock/refunds/refund/"),
    "stock refund list, failed": ("root", "/stock/refunds/refund/?status__exact=failed"),
    "stock search for an id": ("root", "/stock/refunds/refund/?q=rrn{n}"),
}


def run(server: ground.Databases) -> dict[str, Any]:
    """Milliseconds (p50) of each page at each size, and the plans of the largest."""
    with ExitStack() as stack:
        ports, stock, seen_by = {}, {}, {}
        for size in SIZES:
            environment = _database(server, size)
            seen_by[size] = ground.told(environment, "bench.pages", "cookies")
            ports[size] = stack.enter_context(ground.web(environment, workers=1))
            stock[size] = stack.enter_context(ground.web(environment, workers=1, door="bench.stock:application"))
        took = _by_turns(PAGES, ports, seen_by) | _by_turns(STOCK, stock, seen_by)
        plans = ground.told(environment, "bench.pages", "plans", str(size))
    return {"sizes": SIZES, "p50 ms": took, "plans": plans}


def _database(server: ground.Databases, size: int) -> dict[str, str]:
    """One that an earlier run has kept (BENCH_KEEP), or a new one."""
    name = f"bench_{size}"
    if server.has(name):
        return ground.site(server.of(name))
    environment = ground.site(server.make(name))
    ground.do(environment, "-m", "bench.pages", "fill", str(size))
    return environment


def _by_turns(
    pages: dict[str, tuple[str, str]], ports: dict[int, int], seen_by: dict[int, dict[str, str]]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, (who, url) in pages.items():
        took: dict[int, list[float]] = {size: [] for size in SIZES}
        for turn in range(ROUNDS + 2):
            for size in SIZES:
                seconds = _get(ports[size], fitted(url, size), seen_by[size][who])
                if turn >= 2:  # the first ones fill caches
                    took[size].append(1000 * seconds)
        found[name] = {str(size): ground.middle(took[size]) for size in SIZES}
        print(f"{name}: " + ", ".join(f"{size}: {ms:.0f} ms" for size, ms in found[name].items()), flush=True)
    return found


def fitted(url: str, size: int) -> str:
    return url.format(n=size // 2, day=time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400)))


def _get(port: int, url: str, cookie: str) -> float:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    line.request("GET", url, headers={"Cookie": cookie})
    answer = line.getresponse()
    answer.read()
    seconds = time.perf_counter() - began
    line.close()
    if answer.status not in (200, 302):
        raise RuntimeError(f"{url} answered {answer.status}")
    return seconds


# --- in a process of the site ---


def fill(size: int) -> None:
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from bench import history

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    history.write(size)
    User.objects.create(username="root", is_staff=True, is_superuser=True, password="!")


def cookies() -> dict[str, str]:
    """A session for everybody who looks."""
    from django.contrib.auth.models import User
    from django.test import Client

    found = {}
    for who in {who for who, _url in (PAGES | STOCK).values()}:
        client = Client(SERVER_NAME="127.0.0.1")
        client.force_login(User.objects.get(username=who))
        found[who] = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    return found


def plans(size: int) -> dict[str, list[str]]:
    """How the database answers the two slowest questions of each page."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client

    found: dict[str, list[str]] = {}
    for name, (who, url) in PAGES.items():
        client, asked = Client(SERVER_NAME="127.0.0.1"), list[tuple[float, str, Any]]()

        def note(execute: Any, sql: str, values: Any, *rest: Any, kept: Any = asked) -> Any:
            began = time.perf_counter()
            try:
                return execute(sql, values, *rest)
            finally:
                kept.append((time.perf_counter() - began, sql, values))

        client.force_login(User.objects.get(username=who))
        client.get(fitted(url, size))
        with connection.execute_wrapper(note):
            client.get(fitted(url, size))
        slowest = sorted((one for one in asked if one[1].startswith("SELECT")), key=lambda one: -one[0])[:2]
        found[name] = [_plan(sql, values) for _seconds, sql, values in slowest]
    return found


def _plan(sql: str, values: Any) -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}", values)
        return "\n".join(row[0][:160] for row in cursor.fetchall())


def main() -> None:
    import django

    django.setup()
    does: dict[str, Callable[..., Any]] = {"fill": fill, "cookies": cookies, "plans": plans}
    print(json.dumps(does[sys.argv[1]](*map(int, sys.argv[2:]))))


if __name__ == "__main__":
    main()
