"""What every simulated gateway offers the sandbox. A new one is a module named after the gateway, with `Simulator`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar

from gateways.registry import names
from gateways.sandbox.desk import Desk, Reply
from gateways.sandbox.ledger import Refund


@dataclass(frozen=True)
class Request:
    """One call as it came: path without the simulator's own base, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class SimulatedGateway(ABC):
    """Reads and writes one gateway's wire format; what becomes of an order is the desk's business."""

    base: ClassVar[str]  # where its routes begin, such as /payerly/v1

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """The reply to one call."""

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
