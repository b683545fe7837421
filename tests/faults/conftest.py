"""A gateway, its sandbox and a clock that can be moved on: where processes are stopped and databases fail."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from gateways import registry
from gateways.sandbox import Sandbox, desk
from tests.builders import ACCOUNTS, make_account
from tests.faults.scene import Scene
from tests.faults.sleeper import SharedClock
from tests.faults.workers import InMemory


@pytest.fixture
def scene(gateway: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Scene]:
    kind = registry.gateway_class(gateway)
    monkeypatch.setattr(desk, "TICK", timedelta(milliseconds=2))
    monkeypatch.delenv("PAYERLY_EU_QUIET_WINDOW_SECONDS")  # the real one
    monkeypatch.setattr(kind, "poll_plan", (kind.poll_plan[0], timedelta(hours=1)))
    if connection.vendor == "sqlite":  # no power is cut here, so nothing has to wait for the disk
        quick = "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON"
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "init_command", quick)
        connection.close()
    settings.PUBLIC_URL = ""
    sandbox.desk.pace = 0
    make_account(ACCOUNTS[gateway], webhook_key="pinned")
    gc.freeze()  # a forked child then copies fewer pages
    yield Scene(gateway, sandbox, SharedClock(monkeypatch), InMemory(monkeypatch))
    gc.unfreeze()
