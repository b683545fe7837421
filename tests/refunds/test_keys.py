"""The webhook key: pinned once, and a changed one waits for a person."""

from __future__ import annotations

import pytest

from gateways.sandbox import Sandbox
from refunds.keys import fetch_webhook_key
from refunds.models import Account
from tests.builders import make_account

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_first_key_is_pinned(sandbox: Sandbox) -> None:
    fetch_webhook_key(make_account().pk)
    assert "BEGIN PUBLIC KEY" in Account.objects.get().webhook_key


def test_a_changed_key_waits_for_a_gateway_admin(sandbox: Sandbox) -> None:
    fetch_webhook_key(make_account(webhook_key="the old one").pk)
    account = Account.objects.get()
    assert account.webhook_key == "the old one"
    assert "BEGIN PUBLIC KEY" in account.webhook_key_offered


def test_a_gateway_that_is_away_changes_nothing(sandbox: Sandbox) -> None:
    sandbox.stop()
    fetch_webhook_key(make_account(webhook_key="the old one").pk)
    account = Account.objects.get()
    assert (account.webhook_key, account.webhook_key_offered) == ("the old one", "")
