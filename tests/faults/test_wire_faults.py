"""Every fault of the tables, on the order of every gateway, with the order carried out and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gateways import registry
from gateways.sandbox import Sandbox
from refunds import services
from refunds.accounts import prefix_of
from refunds.models import Payment, Refund
from refunds.models.refund import HOLDING
from refunds.services import breaker
from tests.builders import ACCOUNTS, again, approved, make_account, make_payment
from tests.faults.proxy import Proxy, proxy
from tests.faults.table import (
    COMES_HOME,
    DEADLINE,
    FAULTS,
    HTML,
    ORDERS,
    PATIENT,
    TOXICS,
    UNREACHABLE,
    Fault,
    Toxic,
    page,
)
from tests.faults.test_stories import OTHERWISE

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
GATEWAYS = [name for name in ACCOUNTS if name in ORDERS]
CAPTURED = 5000
ROUNDS = 3


def test_no_gateway_is_left_out_of_the_tables() -> None:
    called = {name for name in registry.names() if not registry.gateway_class(name).can.by_hand}
    assert set(ORDERS) == set(COMES_HOME) == set(OTHERWISE) == called


@pytest.fixture
def between(gateway: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Proxy]:
    settings.PUBLIC_URL = ""
    settings.GATEWAY_DEADLINE_SECONDS = PATIENT
    sandbox.desk.pace = 0
    prefix = prefix_of(ACCOUNTS[gateway])
    with proxy(gateway, sandbox.url(gateway)) as found:
        monkeypatch.setenv(f"{prefix}_URL", found.url)
        monkeypatch.setenv(f"{prefix}_QUIET_WINDOW_SECONDS", "0")
        yield found


def an_order(sandbox: Sandbox, gateway: str, number: int) -> Refund:
    """An approved refund of a whole payment that the gateway knows, through an account that answered just now."""
    breaker.note_answer(account := make_account(ACCOUNTS[gateway]))
    simulator = sandbox.simulators[gateway]
    reference = simulator.payment_name(number)
    sandbox.payment(reference, CAPTURED, simulator.currency, gateway=gateway)
    payment = make_payment(CAPTURED, simulator.currency, reference, account=account)
    return approved(payment, CAPTURED)


def send(refund: Refund, between: Proxy, settings: Any, trouble: Fault | Toxic) -> Refund:
    """Until it leaves the house: on a busy machine a short deadline can be over before."""
    settings.GATEWAY_DEADLINE_SECONDS = DEADLINE if trouble.waits else PATIENT
    n_before = between.n_orders
    for _ in range(20):
        services.send_refund(refund.pk)
        if again(refund).status != "approved":
            break
        assert between.n_orders == n_before, f"{trouble.name}: it did go out"
    settings.GATEWAY_DEADLINE_SECONDS = PATIENT
    return again(refund)


def bring_home(refund: Refund, sandbox: Sandbox) -> Refund:
    """What the workers do once the line is well again, until nothing is due any more."""
    for _ in range(ROUNDS):
        sandbox.settle()
        services.settle_refund(refund.pk)
        if again(refund).ask_at is None:
            break
    return again(refund)


def moved(sandbox: Sandbox, refund: Refund) -> int:
    return sum(move["payment"] == refund.payment.reference for move in sandbox.ledger())


def assert_home(refund: Refund, status: str, sandbox: Sandbox, n_moved: int, fault: str) -> None:
    story = f"{fault}: {[(line.step, line.text) for line in refund.events.all()]}"
    assert refund.status == status, story
    assert moved(sandbox, refund) == n_moved, story
    assert (Payment.objects.get(pk=refund.payment_id).held > 0) == (status in HOLDING), story


@pytest.mark.promise("I3", "I13")
@pytest.mark.parametrize("acts", [True, False], ids=["carried out", "not carried out"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_fault_leaves_what_the_table_says_and_never_two_payments(
    gateway: str, acts: bool, between: Proxy, sandbox: Sandbox, settings: Any, trials: Callable[[int], None]
) -> None:
    between.acts = acts
    home = COMES_HOME[gateway][not acts]
    for number, fault in enumerate(FAULTS):
        refund, between.fault = an_order(sandbox, gateway, number), fault
        assert send(refund, between, settings, fault).status == fault.leaves, fault.name
        assert Payment.objects.get(pk=refund.payment_id).held == CAPTURED, fault.name

        between.fault = None
        ended = bring_home(refund, sandbox)
        assert_home(ended, "succeeded" if home else "unknown", sandbox, 1 if acts or home else 0, fault.name)
    trials(len(FAULTS))


@pytest.mark.promise("I3", "I13")
@pytest.mark.parametrize("acts", [True, False], ids=["carried out", "not carried out"])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_every_toxic_spoils_the_answer_or_leaves_it_as_it_is(
    gateway: str, acts: bool, between: Proxy, sandbox: Sandbox, settings: Any, trials: Callable[[int], None]
) -> None:
    """What arrives whole and in time is heard, be it a yes or a no; of what is spoilt, nobody knows anything."""
    toxics = [toxic for toxic in TOXICS if not (acts and toxic.of_order)]  # half an order is carried out by nobody
    for number, toxic in enumerate(toxics):
        refund, between.toxic = an_order(sandbox, gateway, number), toxic
        if not acts and not toxic.of_order:
            sandbox.tell("refused", payment=refund.payment.reference)
        heard = "processing" if acts else "failed"
        left = send(refund, between, settings, toxic).status
        assert left == (heard if toxic.is_heard else "unknown"), toxic.name

        between.toxic = None
        home = COMES_HOME[gateway][not acts] or (acts and toxic.is_heard)
        ends = "failed" if toxic.is_heard and not acts else "succeeded" if home else "unknown"
        n_moved = 1 if acts or ends == "succeeded" else 0
        assert_home(bring_home(refund, sandbox), ends, sandbox, n_moved, toxic.name)
    trials(len(toxics))


@pytest.mark.promise("I3")
@pytest.mark.parametrize("why", UNREACHABLE)
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_what_reaches_nobody_goes_back_to_approved_and_is_sent_once(
    gateway: str, why: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.GATEWAY_DEADLINE_SECONDS = DEADLINE
    refund = an_order(sandbox, gateway, 1)
    with UNREACHABLE[why]() as port, monkeypatch.context() as elsewhere:
        elsewhere.setenv(f"{prefix_of(ACCOUNTS[gateway])}_URL", f"http://127.0.0.1:{port}")
        services.send_refund(refund.pk)
    assert again(refund).status == "approved"
    settings.GATEWAY_DEADLINE_SECONDS = PATIENT
    services.send_refund(refund.pk)
    assert again(refund).status == "processing"
    assert moved(sandbox, refund) == 1


@pytest.mark.promise("I17")
@pytest.mark.parametrize(("wish", "seconds"), [("600", 600), ("9" * 12, 900), ("-600", 0), ("soon", 0)])
@pytest.mark.parametrize("gateway", GATEWAYS)
def test_after_a_wish_to_wait_we_ask_no_sooner_and_not_much_later(
    gateway: str, wish: str, seconds: int, between: Proxy, sandbox: Sandbox
) -> None:
    refund, between.fault = an_order(sandbox, gateway, 1), Fault("busy", page(503, HTML, f"Retry-After: {wish}"))
    begun = timezone.now()
    services.send_refund(refund.pk)
    refund = again(refund)
    assert refund.status == "unknown"
    assert refund.ask_at >= begun + timedelta(seconds=seconds)
    latest = max(seconds, registry.gateway_class(gateway).poll_plan[0].total_seconds() * 1.1)
    assert refund.ask_at <= timezone.now() + timedelta(seconds=latest)


@pytest.mark.promise("I14")
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
