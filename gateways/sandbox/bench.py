"""What the contract's stories work with: connectors, orders that they can carry, and ways to say what is broken."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count

from gateways.contract import Gateway, RefundOrder
from gateways.errors import BadWebhook, GatewayError, NoAnswer, NotSent
from gateways.money import Money
from gateways.sandbox.door import Door
from gateways.sandbox.server import Sandbox

PATIENCE = timedelta(seconds=2)
CAPTURED, ASKED = 5000, 1200


class Broken(Exception):
    """The connector does not keep the contract; the text says in what."""


class DoesNotApply(Exception):
    """The story is not about this connector; the text says why."""


@dataclass(frozen=True)
class Bench:
    """One connector, a fresh sandbox, and a door for what the sandbox sends."""

    kind: type[Gateway]
    sandbox: Sandbox
    door: Door
    numbers: Iterator[int] = field(default_factory=count)

    def gateway(self, **settings: str) -> Gateway:
        """A connector as an account's settings would build it."""
        config = self.sandbox.credentials(self.kind.name)
        if self.kind.callback_setting:
            config[self.kind.callback_setting] = self.door.url
        built = self.kind({**config, **settings})
        built.http.deadline = PATIENCE
        return built

    def knowing(self) -> Gateway:
        """A connector that holds the key of their webhooks, where there is one."""
        pem = self.gateway().webhook_key()
        return self.gateway(**({self.kind.webhook_key_setting: pem} if pem else {}))

    def order(self, minor: int = ASKED) -> RefundOrder:
        """An order that this gateway can carry: 12.00 of a new payment of 50.00, unless told otherwise."""
        simulator = self.sandbox.simulators[self.kind.name]
        payment, money = simulator.payment_name(next(self.numbers)), Money(minor, simulator.currency)
        self.sandbox.payment(payment, CAPTURED, simulator.currency, gateway=self.kind.name)
        return RefundOrder(str(uuid.uuid4()), payment, money, note="Goods returned", callback_url=self.door.url)

    def moved(self) -> list[int]:
        """What really left, in minor units, by the sandbox's own ledger."""
        return [line["minor"] for line in self.sandbox.ledger() if line["kind"] == "refund"]


def must(kept: object, otherwise: str) -> None:
    if not kept:
        raise Broken(otherwise)


def applies(fits: bool, otherwise: str) -> None:
    if not fits:
        raise DoesNotApply(otherwise)


@contextmanager
def must_raise(*expected: type[GatewayError], otherwise: str) -> Iterator[None]:
    """Broken unless one of these accidents happens; another exception goes on its way and is told as it is."""
    try:
        yield
    except expected:
        return
    except (NotSent, NoAnswer, BadWebhook) as error:
        raise Broken(f"{otherwise} It raised {type(error).__name__}: {error}") from error
    raise Broken(otherwise)
