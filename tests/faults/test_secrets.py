"""No secret and no token is found in anything that is kept, shown or logged, whatever happens on the wire."""

from __future__ import annotations

import logging

import pytest
from django.apps import apps
from django.core import serializers
from django.test import Client

from gateways import registry
from gateways.http import HttpClient
from gateways.sandbox import Sandbox
from refunds import accounts, services
from refunds.models import Refund
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment, person
from tests.faults.proxy import proxy
from tests.faults.table import DEADLINE, ORDERS, Fault
from tests.house import House
from tests.people.canaries import PANS, sightings

pytestmark = pytest.mark.django_db(transaction=True)
STORIES = ("success", "refused", "answer_lost", "error_after", "error_page", "unheard_word", "forged_webhook")


def everything_kept() -> str:
    """Every row of every table of ours, and of the jobs."""
    models = [*apps.get_app_config("refunds").get_models(), *apps.get_app_config("django_tasks_database").get_models()]
    return "\n".join(serializers.serialize("json", model.objects.all()) for model in models)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What connectors learn on the way and ask to be hidden, such as access tokens."""
    found: list[str] = []
    hide = HttpClient.hide

    def noted(self: HttpClient, secret: str) -> None:
        found.append(secret)
        hide(self, secret)

    monkeypatch.setattr(HttpClient, "hide", noted)
    return found


def secrets_of(gateway: str, sandbox: Sandbox) -> list[str]:
    kind = registry.gateway_class(gateway)
    given = {**sandbox.credentials(gateway)}
    return [given[key] for key in kind.secrets if given.get(key)]


@pytest.mark.promise("I42")
@pytest.mark.parametrize("gateway", [name for name in ACCOUNTS if name in ORDERS])
def test_secrets_stay_out_of_rows_logs_and_pages(
    gateway: str, house: House, learned: list[str], caplog: pytest.LogCaptureFixture, client: Client
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, story in enumerate(STORIES):
        payment = house.sold(gateway, number=number)
        house.sandbox.tell(story, payment=payment.reference)
        refund = approved(payment, 5000)
        services.send_refund(refund.pk)
        house.sandbox.settle()
        services.settle_refund(refund.pk)
    secrets = [*secrets_of(gateway, house.sandbox), *set(learned)]
    assert secrets
    kept = everything_kept() + caplog.text
    assert sightings(kept, secrets) == []

    client.force_login(person("fin", "Finance"))
    shown = "".join(
        client.get(f"/admin/refunds/refund/{pk}/change/").content.decode()
        for pk in Refund.objects.values_list("pk", flat=True)
    )
    assert "Raw exchange" in shown
    assert sightings(shown, secrets) == []


@pytest.mark.promise("I42")
@pytest.mark.parametrize("gateway", [name for name in ACCOUNTS if name in ORDERS])
def test_what_a_gateway_throws_back_at_us_is_masked(
    gateway: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    """A gateway that repeats our request in its error page, with cards in it, leaves neither in our record of it."""
    settings.GATEWAY_DEADLINE_SECONDS = DEADLINE
    account = make_account(ACCOUNTS[gateway])
    secrets = secrets_of(gateway, sandbox)
    connector = accounts.connect(account)
    assert not [secret for secret in secrets if secret in repr(connector) + repr(connector.http)]
    with proxy(gateway, sandbox.url(gateway)) as between:
        monkeypatch.setenv(f"{accounts.prefix_of(account.slug)}_URL", between.url)
        simulator = sandbox.simulators[gateway]
        sandbox.payment(simulator.payment_name(1), 5000, simulator.currency, gateway=gateway)
        refund = approved(make_payment(5000, simulator.currency, simulator.payment_name(1), account=account), 5000)
        echo = " ".join([*secrets, *(f"card={pan};" for pan in PANS)]).encode()
        between.fault = Fault("echo", lambda line: line.sendall(b"HTTP/1.1 500 Oh\r\n\r\n" + echo))
        services.send_refund(refund.pk)
    assert again(refund).status == "unknown"
    assert "card=411111" in again(refund).attempts.get().exchanges[-1]["response_body"]
    assert sightings(everything_kept(), [*secrets, *PANS]) == []
