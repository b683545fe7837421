"""The gateways of the model: what the real classes declare, with a wire that says what the world lets it say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from gateways.contract import Gateway, RefundOrder, RefundUpdate
from gateways.registry import gateway_class


class Scripted:
    """Stands before a real class: nothing is translated here, `says` is the next answer or accident."""

    quiet_window = timedelta(minutes=15)

    def __init__(self, config: Mapping[str, str] | None = None) -> None:
        self.http = SimpleNamespace(exchanges=[], not_after=None)
        self.says: Callable[[RefundOrder], Any] = lambda order: None

    def check(self, order: RefundOrder) -> str:
        return ""

    def reason_word(self, word: str, *_: Any) -> str:
        return word

    def body(self, order: RefundOrder) -> bytes:
        return order.key.encode()

    def refund(self, order: RefundOrder) -> RefundUpdate:
        said = self.says(order)
        if isinstance(said, Exception):
            raise said
        return said

    before = look_up = cancel = refund


def model_of(name: str) -> type[Gateway]:
    """A real gateway's class with its own capabilities; one pause in its plan keeps the model small."""
    real = gateway_class(name)
    return type(f"Model{real.__name__}", (Scripted, real), {"poll_plan": real.poll_plan[:1]})


Current: type[Gateway] = model_of("payerly")  # what the registry finds while a model runs
