"""A new gateway is a connector, a simulator, their tests and one line in the registry: nothing else has to know it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from gateways import registry
from gateways.sandbox import Sandbox
from refunds import checks, services
from refunds.models import Account, Delivery, Refund
from tests.builders import alice, ask, bob, make_payment, person
from tests.house import until
from tests.toy import simulator

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, live_server: Any, settings: Any) -> Iterator[Sandbox]:
    """The line in the registry, the module beside the other simulators, and the account's lines in the environment."""
    monkeypatch.setitem(registry.GATEWAYS, "toy", "tests.toy.connector.Toy")
    monkeypatch.setitem(sys.modules, "gateways.sandbox.toy", simulator)
    settings.PUBLIC_URL = live_server.url
    with Sandbox(pace=0.05) as sandbox:
        monkeypatch.setenv("GATEWAY_ACCOUNTS", "toy-eu:toy")
        for name, value in sandbox.credentials("toy").items():
            monkeypatch.setenv(f"TOY_EU_{name}", value)
        sandbox.callback("toy", f"{live_server.url}/webhooks/toy-eu/")
        yield sandbox


@pytest.mark.django_db(transaction=True)
def test_a_sixth_gateway_walks_from_request_to_success(toy: Sandbox, client: Client) -> None:
    assert checks.check_accounts() == []
    call_command("sync_accounts", verbosity=0)
    account = Account.objects.get(slug="toy-eu")
    toy.payment("toy-1", 5000, "EUR", gateway="toy")
    refund = ask(make_payment(account=account, reference="toy-1"), 1000)

    client.force_login(bob())
    url = f"/admin/refunds/refund/{refund.pk}/step/approve/"
    client.post(url, {"seen": refund.version})
    services.send_refund(refund.pk)
    assert Refund.objects.get().status == "processing"
    until(lambda: Delivery.objects.filter(result="knock"))
    services.settle_refund(refund.pk)

    done = Refund.objects.get()
    assert (done.status, done.reference[:3]) == ("succeeded", "toy")
    assert [(move["minor"], move["key"]) for move in toy.ledger()] == [(1000, str(refund.key))]
    page = client.get(f"/admin/refunds/refund/{refund.pk}/change/").content.decode()
    assert "Colour of the toy" in page
    assert "Toy Pay" in page


@pytest.mark.django_db(transaction=True)
def test_every_screen_knows_a_sixth_gateway(toy: Sandbox, client: Client) -> None:
    call_command("sync_accounts", verbosity=0)
    account = Account.objects.get(slug="toy-eu")
    refund = ask(make_payment(account=account, reference="toy-1"), 1000)
    alice(), client.force_login(person("fin", "Finance"))
    for path in (
        "refund/",
        f"refund/{refund.pk}/change/",
        "payment/",
        f"payment/{refund.payment_id}/change/",
        "account/",
        f"account/{account.pk}/change/",
        "delivery/",
    ):
        assert client.get(f"/admin/refunds/{path}").status_code == 200, path


def test_what_the_toy_cannot_carry_is_refused_at_the_request(toy: Sandbox, db: None) -> None:
    from refunds.errors import NotRefundable

    account = Account.objects.create(slug="toy-eu", gateway="toy")
    with pytest.raises(NotRefundable, match="euros only"):
        ask(make_payment(account=account, currency="PLN"), 1000)


def test_the_back_office_names_no_gateway() -> None:
    """Names of gateways stand in their own files, the registry, the demo and the environment's example.

    What they say to people is listed once more for the other languages; one that is not there is said in English.
    """
    names = re.compile("|".join(name for name in registry.names() if name != "manual"), re.IGNORECASE)
    files = [*(ROOT / "refunds").rglob("*.py"), *(ROOT / "templates").rglob("*.html")]
    files += [*(ROOT / "refunds_site").rglob("*.py"), *(ROOT / "gateways").glob("*.py")]
    brands = {ROOT / f"gateways/{name}.py" for name in registry.names()} | {ROOT / "gateways/registry.py"}
    brands.add(ROOT / "refunds/gateway_words.py")
    core = [file for file in files if not {"migrations", "demo"} & set(file.parts) and file not in brands]
    named = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in core
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if names.search(line)
    ]
    assert named == []
