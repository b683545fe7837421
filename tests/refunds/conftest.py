"""Accounts at gateways that tell less than Payerly does, and a folder for evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateways import registry
from gateways.contract import Capabilities, LookUp, Repeat, Webhooks
from gateways.manual import Manual
from refunds.models import Account
from tests.builders import make_account


class Quiet(Manual):
    """Asked by its own reference, keeps no key of ours, and never repeats an order."""

    name = "quiet"
    label = "Quiet Pay"
    can = Capabilities(
        partial=True,
        several=False,
        look_up=LookUp.BY_REFERENCE,
        repeat=Repeat.NEVER,
        webhooks=Webhooks.KNOCK,
        proves_reference=True,
    )
    where_to_look = "Transactions, then Refunds: compare the payment and the amount."


@pytest.fixture
def all_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.GATEWAYS, "quiet", f"{__name__}.Quiet")
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,bank:manual,quiet-eu:quiet")
    monkeypatch.setenv("QUIET_EU_SCREEN_URL", "https://quiet.example/pay/{payment}?of={key}")


@pytest.fixture
def bank(all_kinds: None) -> Account:
    """An account of transfers by hand."""
    return make_account("bank", gateway="manual")


@pytest.fixture
def quiet(all_kinds: None) -> Account:
    return make_account("quiet-eu", gateway="quiet")


@pytest.fixture
def evidence_folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "evidence")
    return tmp_path / "evidence"
