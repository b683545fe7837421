"""Every fault of the table, on the order of every gateway, with the order carried out and without."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateways import registry
from gateways.sandbox import Sandbox
from refunds import services
from refunds.accounts import prefix_of
from refunds.models import Payment, Refund
from refunds.models.refund import HOLDING
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults.proxy import Proxy, proxy
from tests.faults.table import COMES_HOME, DEADLINE, FAULTS, ORDERS
from tests.faults.test_stories import OTHERWISE

pytestmark = pytest.mark.django_db(transaction=True)
GATEWAYS = [name for name in ACCOUNTS if name in ORDERS]
CAPTURED = 5000
ROUNDS = 4


def test_no_gateway_is_left_out_of_the_tables() -> None:
    called = {name for name in registry.names() if not registry.gateway_class(name).can.by_hand}
    assert set(ORDERS) == set(COMES_HOME) == set(OTHERWISE) == called


@pytest.fixture
def between(gateway: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: object) -> Iterator[Proxy]:
    settings.GATEWAY_DEADLINE_SECONDS = DEADLINE
    settings.PUBLIC_URL = ""
    prefix = prefix_of(ACCOUNTS[gateway])
    with proxy(gateway, sandbox.url(gateway)) as found:
        monkeypatch.setenv(f"{prefix}_URL", found.url)
        monkeypatch.setenv(f"{prefix}_QUIET_WINDOW_SECONDS", "0")
        yield found


def an_order(sandbox: Sandbox, gateway: str, number: int) -> Refund:
    """An approved refund of a whole payment that the gateway knows."""
    simulator = sandbox.simulators[gateway]
    reference = simulator.payment_name(number)
    sandbox.payment(reference, CAPTURED, simulator.currency, gateway=gateway)
    payment = make_payment(CAPTURED, simulator.currency, reference, account=make_account(ACCOUNTS[gateway]))
    return approved(payment, CAPTURED)


def bring_home(refund: Refund, sandbox: Sandbox) -> Refund:
    """What the workers do once the line is well again."""
    for _ in range(ROUNDS):
        sandbox.settle()
        services.settle_refund(refund.pk)
    return again(refund)


def moved(sandbox: Sandbox, refund: Refund) -> int:
    return sum(move["payment"] == refund.payment.reference for move in sandbox.ledger())


@pytest.mark.parametrize("acts", [True, False], ids=["carried out", "not carried out"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_fault_leaves_what_the_table_says_and_never_two_payments(
    gateway: str, acts: bool, between: Proxy, sandbox: Sandbox
) -> None:
    between.acts = acts
    home = COMES_HOME[gateway][not acts]
    for number, fault in enumerate(FAULTS):
        refund, between.fault = an_order(sandbox, gateway, number), fault
        services.send_refund(refund.pk)
        assert again(refund).status == fault.leaves, fault.name
        assert Payment.objects.get(pk=refund.payment_id).held == CAPTURED, fault.name

        between.fault = None
        ended = bring_home(refund, sandbox)
        story = f"{fault.name}: {[(line.step, line.text) for line in refund.events.all()]}"
        assert ended.status == ("succeeded" if home else "unknown"), story
        assert moved(sandbox, refund) == (1 if acts or home else 0), story
        assert (Payment.objects.get(pk=refund.payment_id).held > 0) == (ended.status in HOLDING), story
    print(f"{gateway}, {'' if acts else 'not '}carried out: {len(FAULTS)} faults, none paid twice")


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_a_refused_connection_goes_back_to_approved_and_is_sent_once(
    gateway: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    refund = an_order(sandbox, gateway, 1)
    name = f"{prefix_of(ACCOUNTS[gateway])}_URL"
    with socket.socket() as shut, monkeypatch.context() as elsewhere:
        shut.bind(("127.0.0.1", 0))  # not listening, and nobody else can take the port meanwhile
        elsewhere.setenv(name, f"http://127.0.0.1:{shut.getsockname()[1]}")
        services.send_refund(refund.pk)
    assert again(refund).status == "approved"
    services.send_refund(refund.pk)
    assert again(refund).status == "processing"
    assert moved(sandbox, refund) == 1


@pytest.mark.parametrize("gateway", [name for name in GATEWAYS if not COMES_HOME[name][1]])
def test_what_only_people_can_tell_calls_them_and_is_never_sent_again(
    gateway: str, between: Proxy, sandbox: Sandbox
) -> None:
    refund = an_order(sandbox, gateway, 1)
    between.fault = FAULTS[0]
    services.send_refund(refund.pk)
    between.fault = None
    for _ in range(30):
        services.settle_refund(refund.pk)
    assert between.n_orders == 1
    assert again(refund).needs_attention
