"""Any bytes: a connector reads them or says BadWebhook, and the door answers with 2xx or 4xx."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from gateways import registry
from gateways.contract import Delivery as Wire
from gateways.errors import BadWebhook
from gateways.sandbox import Sandbox
from gateways.strictjson import parse
from refunds.models import Account, Refund
from tests.builders import ACCOUNTS, make_account
from tests.faults.letters import SENDERS, bend, inside, letter_of, seal

READ, SENT = 100_000, 3_000
MOST_MEMORY = 20 * 1024 * 1024
RECORDED = Path(__file__).parent.parent / "wire"


def connected(gateway: str, sandbox: Sandbox) -> Any:
    built = registry.build(gateway, sandbox.credentials(gateway))
    pem = built.webhook_key()
    if pem:
        built = registry.build(gateway, {**sandbox.credentials(gateway), type(built).webhook_key_setting: pem})
    return built


@pytest.mark.promise("I40")
@pytest.mark.parametrize("gateway", SENDERS)
def test_whatever_comes_is_read_or_refused(gateway: str, trials: Callable[[int], None]) -> None:
    dice = random.Random(f"read {gateway}")
    with Sandbox(pace=1 / 60) as sandbox:
        letter, connector = letter_of(gateway, sandbox), connected(gateway, sandbox)
    bodies = [inside(gateway, letter), *(file.read_bytes() for file in sorted(RECORDED.glob(f"{gateway}/webhook_*")))]
    n_each, tally = READ // len(SENDERS), Counter[str]()
    for number in range(n_each):
        bent = bend(dice, bodies[number % len(bodies)])
        if gateway == "pay3":
            _, bent = seal(gateway, sandbox, bent)
        try:
            connector.read_webhook(Wire(letter.headers, bent))
            tally["read"] += 1
        except BadWebhook:
            tally["refused"] += 1
    assert min(tally["read"], tally["refused"]) > n_each / 200, f"The bending is one-sided: {tally}"
    trials(n_each)


@pytest.mark.promise("I40")
def test_the_parser_knows_one_way_to_fail_and_little_memory(trials: Callable[[int], None]) -> None:
    dice = random.Random(40)
    bodies = [file.read_bytes() for file in sorted(RECORDED.glob("*/*.json"))]
    n_played = 20_000
    tracemalloc.start()
    try:
        for number in range(n_played):
            try:
                parse(bend(dice, bodies[number % len(bodies)]))
            except ValueError:
                continue
        for huge in (
            b"[" * 65_000,
            b'{"a":' * 12_000,
            b'"' + b"\\u0041" * 10_000 + b'"',
            b"[" + b"1," * 30_000 + b"1]",
        ):
            try:
                parse(huge)
            except ValueError:
                continue
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    trials(n_played)


@pytest.mark.promise("I40")
@pytest.mark.django_db
@pytest.mark.parametrize("gateway", SENDERS)
def test_no_body_breaks_the_door(gateway: str, sandbox: Sandbox, settings: Any, trials: Callable[[int], None]) -> None:
    """Nine in ten are sealed with the gateway's own key, so that what stands behind the seal is met."""
    dice = random.Random(f"door {gateway}")
    letter = letter_of(gateway, sandbox)
    pem = connected(gateway, sandbox).webhook_key() if gateway == "payerly" else ""
    account = make_account(ACCOUNTS[gateway], webhook_key=pem)
    settings.PUBLIC_URL = "http://testserver"
    door = f"/webhooks/{account.slug}/"
    client, answers, n_each = Client(raise_request_exception=False), Counter[int](), SENT // len(SENDERS)
    for number in range(n_each):
        bent = bend(dice, inside(gateway, letter))
        sealed, body = seal(gateway, sandbox, bent, f"http://testserver{door}") if number % 10 else ({}, bent)
        kept = {name: letter.headers[name] for name in ("signature", "authorization") if name in letter.headers}
        headers = {**kept, **sealed}
        answer = client.generic("POST", door, body, content_type=letter.headers["content-type"], headers=headers)
        answers[answer.status_code] += 1
    assert {status // 100 for status in answers} <= {2, 4}, answers
    if gateway != "airpay":  # whose seal is in the form, and hardly ever survives
        assert answers[200], answers
        assert answers[400], answers
    assert not Refund.objects.exists()
    assert Account.objects.count() == 1
    trials(n_each)
