"""What every simulated gateway offers the sandbox. A new one is a module named after the gateway, with `Simulator`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

from gateways.registry import names
from gateways.sandbox.desk import Desk, Order, Reply
from gateways.sandbox.ledger import Refund
from gateways.sandbox.stories import STORIES, Answer


@dataclass(frozen=True)
class Request:
    """One call as it came: path without the simulator's own base, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""
    url: str = ""  # the absolute address, for gateways that sign it


class SimulatedGateway(ABC):
    """Reads and writes one gateway's wire format; what becomes of an order is the desk's business."""

    base: ClassVar[str]  # where its routes begin, such as /payerly/v1
    currency: ClassVar[str]  # of an order that names none, about a payment that is not registered

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """The reply to one call."""

    @abstractmethod
    def payment_name(self, number: int) -> str:
        """A payment reference as this gateway writes them, another for each number (0 to 999)."""

    def take(
        self,
        order: Order,
        accepted: Callable[[Refund], Reply],
        refused: Callable[[bool], Reply],
        *,
        reference: str,
        again: Callable[[Refund], Reply] | None = None,
    ) -> Reply:
        """One order by its story: written down, carried out or not, and answered as the story says.

        `refused` gets whether the payment has too little left. `again` answers an order whose key is known already;
        without it, the gateway has no key of ours and every order is a new one.
        """
        with self.desk.ledger.atomic():  # left by return, never by raise: that would take the story back
            if again and (known := self.desk.ledger.refund(order.gateway, order.key)):
                return again(known)
            number = self.desk.story_for(order, order.key if again else order.payment)
            if STORIES[number].answer is Answer.REFUSED:
                return refused(False)
            if not self.desk.room_for(order):
                return refused(True)
            refund = self.desk.open(order, number, reference)
        ordinary = accepted(refund) if refund else Reply(200)
        # Outside our own routes: a client that follows it is seen in the list of requests.
        return self.desk.reply(number, refund, ordinary, f"/moved/{order.gateway}/{order.key}")

    @abstractmethod
    def letter(self, refund: Refund, word: str, forged: bool) -> tuple[dict[str, str], bytes]:
        """Headers and body of the webhook that says this word about this refund."""

    @abstractmethod
    def credentials(self) -> dict[str, str]:
        """The settings, beside URL, with which a connector gets in."""


def simulators(desk: Desk) -> dict[str, SimulatedGateway]:
    """One for each registered gateway that has a module here."""
    modules = {name: f"gateways.sandbox.{name}" for name in names()}
    return {name: import_module(module).Simulator(desk) for name, module in modules.items() if find_spec(module)}
