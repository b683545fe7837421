"""Moves the services into memory: every model they name, every transaction and every clock."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from gateways import registry
from refunds import accounts, policy
from refunds.models import Approval, Attempt, Declaration, Payment, Refund
from tests.model import gateways
from tests.model.memory import HERE, AttemptRow, DeclarationRow, PaymentRow, RefundRow, Table, Transaction

NAMES = [
    "again",
    "attempts",
    "cancel",
    "claim",
    "confirm",
    "decide",
    "declare",
    "due",
    "find",
    "hearing",
    "orders",
    "record",
    "request",
    "send",
    "settle",
    "steps",
]
ROOMS = {name: import_module(f"refunds.services.{name}") for name in NAMES}
OURS = frozenset(room.__name__ for room in ROOMS.values())
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODELS = {
    Refund: Table(Refund, RefundRow),
    Payment: Table(Payment, PaymentRow),
    Attempt: Table(Attempt, AttemptRow),
    Declaration: Table(Declaration, DeclarationRow),
    Approval: SimpleNamespace(objects=SimpleNamespace(create=lambda **fields: None)),
}
# Small numbers instead of the product's: what holds for one lagging look holds for five.
SMALL = {
    ("confirm", "LAG_ASKS"): 1,
    ("send", "TRIES_BEFORE_A_CALL"): 1,
    ("again", "MOST_SENDS"): 3,
    ("cancel", "MOST_TRIES"): 1,
}


def hear_of(of: Any, step: str, by: Any, *, heard: str = "", **_: Any) -> str:
    """The journal: of its lines, only what was heard decides anything."""
    if isinstance(of, RefundRow) and heard:
        row = HERE.refunds[of.pk - 1]
        row.heard = row.heard | {heard}
    return step


def _nothing(*_: Any, **__: Any) -> str:
    return ""


# The breaker only delays, and has tests of its own.
CLOSED = SimpleNamespace(
    take_probe=lambda pk: None, give_back=_nothing, note_accident=_nothing, note_answer=_nothing, why_waits=_nothing
)


@contextmanager
def in_memory() -> Iterator[pytest.MonkeyPatch]:
    """Until it ends, the services know no database."""
    with pytest.MonkeyPatch.context() as patch:
        for room in ROOMS.values():
            for name, thing in list(vars(room).items()):
                if inspect.isclass(thing) and thing in MODELS:
                    patch.setattr(room, name, MODELS[thing])
                elif inspect.isfunction(thing) and hasattr(thing, "__wrapped__") and thing.__module__ in OURS:
                    patch.setattr(room, name, thing.__wrapped__)
            if hasattr(room, "transaction"):
                patch.setattr(room, "transaction", Transaction)
        for room in ("steps", "due"):
            patch.setattr(ROOMS[room], "wake_at", _nothing)
        for name in vars(policy):
            if name.startswith(("demand", "why_", "digest", "approvals_of")):
                patch.setattr(policy, name, _nothing)
        # Rules and allowances say who must agree, not what may happen to what was agreed to.
        for room, name in (("request", "take"), ("request", "rule_for"), ("decide", "take_to_approve")):
            patch.setattr(ROOMS[room], name, lambda *_, **__: None)
        for (room, name), value in SMALL.items():
            patch.setattr(ROOMS[room], name, value)
        patch.setattr(ROOMS["steps"], "write_line", hear_of)
        patch.setattr(ROOMS["request"], "write_line", hear_of)
        patch.setattr(ROOMS["hearing"], "has_heard", _nothing)  # nothing is archived while it lives
        patch.setattr(ROOMS["declare"], "settle_unmatched", _nothing)
        patch.setattr(ROOMS["settle"], "_take_in_the_others", _nothing)
        patch.setattr(ROOMS["settle"], "wake_those_behind", _nothing)
        for room in ("claim", "send", "settle", "cancel"):
            patch.setattr(ROOMS[room], "breaker", CLOSED)
        patch.setattr(timezone, "now", lambda: NOW)
        patch.setattr(accounts, "connect", lambda account: gateways.Current({}))
        patch.setattr(accounts, "callback_url", _nothing)
        patch.setitem(registry.GATEWAYS, "model", "tests.model.gateways.Current")
        patch.setattr(settings, "GATEWAY_DEADLINE_SECONDS", 10)
        yield patch
