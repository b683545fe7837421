"""How long we wait: what a gateway asks for, within bounds, and by a plan whose pauses grow and never fall together."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateways import registry
from gateways.errors import NoAnswer, NotSent
from gateways.http import LONGEST_WAIT
from gateways.sandbox import Sandbox
from gateways.sandbox.bench import Bench
from gateways.sandbox.door import Door
from refunds.models import Account, Refund
from refunds.services.due import pause
from tests.builders import ACCOUNTS
from tests.faults.table import ORDERS
from tests.gateways.conftest import http_answer, listener, read_request


def moment(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


DATES = ("Thu, 01 Jan 2026 00:00:30", "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 32 Foo 2026 25:61:61 GMT")
VALUES = [
    *(str(number) for number in (*range(0, 1000, 25), *(10**power for power in range(3, 40)))),
    *(f"-{number}" for number in (*range(1, 20), 10**9, 10**30)),
    *(moment(seconds) for seconds in (-(10**9), -60, 0, 30, 120, 899, 901, 10**6, 10**9)),
    *(f"{date}{zone}" for date in DATES for zone in ("", " +0000", " -9999", " +99999999999", " \u0663", " GMT GMT")),
    *("0x10", "1e3", "1_000", "1.5", "1,5", "+7", " 7 ", "7 s", "7,8", "00007", "NaN", "inf", "-inf", "0.0", "", " "),
    *("\u0663", "\u0967\u0968", "\uff11\uff12", "\u00b2", "\u2460", "7\u200b", "\u202e7", "true", "null", "[]", "{}"),
    *("9" * 5000, "0" * 5000 + "7", "-" * 3000, "Thu, " * 500, "\t", "\x0b7", "7;8", '"7"', "soon", "*", "%s", "${7}"),
    *(f"{digit * 9}{tail}" for digit in "0129" for tail in ("", ".", "e", "-", ":", " GMT", "/", "\x7f")),
    *(f"Thu, 01 Jan {year} 00:00:00 GMT" for year in (0, 1, 99, 1969, 2015, 2099, 9999, 10000, 2**31, 2**63)),
]


@pytest.mark.promise("I17")
@pytest.mark.parametrize("gateway", ORDERS)
def test_whatever_their_wish_is_we_wait_a_quarter_of_an_hour_at_most(
    gateway: str, trials: Callable[[int], None]
) -> None:
    """Each value on the wire, with an answer that settles nothing to an order."""
    wishes = [value.encode() for value in VALUES]
    n_heard = 0

    def busy(line: socket.socket) -> None:
        read_request(line)
        plain = http_answer(503, b"busy", "Retry-After: @")
        line.sendall(plain.replace(b"@", wish))

    with Sandbox() as sandbox, Door() as door, listener(busy) as url:
        bench = Bench(registry.gateway_class(gateway), sandbox, door)
        connector, order = bench.gateway(URL=url), bench.order()
        for wish in wishes:
            with pytest.raises((NoAnswer, NotSent)) as caught:  # where a token comes first, that call is the busy one
                connector.refund(order)
            wait = caught.value.retry_after
            assert wait is None or timedelta() <= wait <= LONGEST_WAIT, wish
            n_heard += wait is not None
            if wish.isdigit() and len(wish) < 5:
                assert wait == min(timedelta(seconds=int(wish)), LONGEST_WAIT)
    assert 50 < n_heard < len(wishes) - 50
    trials(len(wishes))


@pytest.mark.promise("I17")
@pytest.mark.parametrize("gateway", [name for name in ACCOUNTS if registry.gateway_class(name).poll_plan])
def test_pauses_grow_by_the_plan_and_are_never_the_same_twice(
    gateway: str, settings: Any, trials: Callable[[int], None]
) -> None:
    settings.POLL_PACE = 1.0
    plan, n_draws = registry.gateway_class(gateway).poll_plan, 50
    assert [*plan] == sorted(plan)
    refund = Refund(account=Account(gateway=gateway))
    for asks in range(len(plan) + 5):
        planned = plan[min(asks, len(plan) - 1)]
        drawn = {pause(refund, asks) for _ in range(n_draws)}
        assert planned * 0.9 <= min(drawn) < max(drawn) <= planned * 1.1
        assert len(drawn) > n_draws / 2, "many refunds would ask at the same moment"
    trials((len(plan) + 5) * n_draws)
