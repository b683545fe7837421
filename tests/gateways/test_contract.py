"""What every gateway has to keep to, whatever its wire looks like. A new one joins by its line in the registry."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from gateways import registry
from gateways.contract import Delivery, Gateway, LookUp, Nudge, Outcome, RefundOrder, RefundUpdate, Repeat, Webhooks
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.money import Money
from tests.gateways.conftest import answering, http_answer

pytestmark = pytest.mark.parametrize("name", registry.names())


@pytest.fixture
def gateway(name, sandbox) -> Gateway:
    if name not in sandbox.simulators:
        pytest.skip("is not called over a wire")
    simulator = sandbox.simulators[name]
    sandbox.payment(simulator.payment_name(1), 5000, simulator.currency, gateway=name)
    return registry.build(name, sandbox.credentials(name))


@pytest.fixture
def order(name, sandbox) -> Callable[..., RefundOrder]:
    """An order as this gateway can carry it: 12.00 of a payment of 50.00, unless told otherwise."""

    def make(minor: int = 1200, **change: object) -> RefundOrder:
        simulator = sandbox.simulators[name]
        money = Money(minor, simulator.currency)
        return RefundOrder(str(uuid.uuid4()), simulator.payment_name(1), money, note="Goods returned", **change)

    return make


def elsewhere(gateway: Gateway, url: str) -> Gateway:
    config = {**gateway.config, "URL": url}
    other = type(gateway)(config)
    other.http.deadline = timedelta(seconds=1)
    return other


def test_it_declares_what_a_person_needs_to_set_it_up(name):
    kind = registry.gateway_class(name)
    assert kind.label
    assert set(kind.secrets) <= set(kind.needs) | set(kind.takes)
    assert set(kind.hosts) <= {"sandbox", "live"}
    assert all(url.startswith("https://") for url in kind.hosts.values())
    assert all(pause > timedelta() for pause in kind.poll_plan)


def test_its_declarations_fit_together(name):
    kind = registry.gateway_class(name)
    if kind.can.repeat is Repeat.AFTER_ABSENCE:
        assert kind.can.look_up is LookUp.BY_KEY, "absence has to be seen by our own key"
    if kind.can.repeat is Repeat.WITHIN_WINDOW:
        assert kind.key_window
    if kind.can.webhooks is not Webhooks.NONE:
        assert kind.verify_webhook is not Gateway.verify_webhook
        assert kind.read_webhook is not Gateway.read_webhook
    if kind.can.look_up is not LookUp.NONE:
        assert kind.look_up is not Gateway.look_up
        assert kind.poll_plan


def test_an_order_is_accepted_and_money_moves_once(gateway, name, sandbox, order):
    asked = order()
    assert gateway.check(asked) == ""
    update = gateway.refund(asked)
    assert isinstance(update, RefundUpdate)
    assert update.outcome in (Outcome.PROCESSING, Outcome.SUCCEEDED)
    assert update.amount in (None, asked.amount)
    assert set(update.details) <= set(gateway.detail_labels)
    assert [(line["minor"], line["kind"]) for line in sandbox.ledger()] == [(1200, "refund")]


def test_the_same_order_is_the_same_bytes(gateway, name, order):
    asked = order()
    assert gateway.body(asked) == type(gateway)(gateway.config).body(asked)
    if gateway.can.repeat is not Repeat.NEVER:
        assert gateway.body(asked)


def test_a_repeated_order_moves_money_once_where_it_may_be_repeated(gateway, name, sandbox, order):
    if gateway.can.repeat is Repeat.NEVER:
        pytest.skip("orders are never repeated")
    asked = order()
    assert gateway.refund(asked).reference == gateway.refund(asked).reference
    assert len(sandbox.ledger()) == 1


def test_a_refusal_is_an_answer_and_moves_nothing(gateway, name, sandbox, order):
    update = gateway.refund(order(1201))
    assert update.outcome is Outcome.FAILED
    assert update.code or update.message
    assert sandbox.ledger() == []


@pytest.mark.parametrize("story", ["answer_lost", "error_after", "late"])
def test_an_order_that_may_have_been_carried_out_is_never_called_unsent(gateway, name, sandbox, story, order):
    sandbox.tell(story)
    with pytest.raises(NoAnswer):
        gateway.refund(order())
    sandbox.settle()
    assert len(sandbox.ledger()) == 1


@pytest.mark.parametrize("story", ["request_lost", "error_page", "busy", "redirect"])
def test_an_accident_is_not_a_refusal(gateway, name, sandbox, story, order):
    sandbox.tell(story)
    with pytest.raises((NoAnswer, NotSent)):
        gateway.refund(order())
    assert sandbox.ledger() == []


def test_a_refused_connection_is_called_unsent(gateway, name, order):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(NotSent):
        elsewhere(gateway, f"http://127.0.0.1:{port}").refund(order())


@pytest.mark.parametrize("status", [200, 201, 302, 401, 403, 404, 409, 429, 500, 503])
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"{}", b"[]", b"\xff", b'{"status":"SUCCESS"}'])
def test_foreign_answers_settle_nothing(gateway, name, status, body, order):
    with answering(http_answer(status, body)) as (url, _), pytest.raises((NoAnswer, NotSent)):
        elsewhere(gateway, url).refund(order())


def test_secrets_stay_out_of_everything_that_is_kept(gateway, name, order):
    secrets = [gateway.config[key] for key in gateway.secrets if gateway.config[key]]
    gateway.refund(order())
    with answering(http_answer(500, " ".join(secrets).encode())) as (url, _):
        gossip = elsewhere(gateway, url)
        with pytest.raises(NoAnswer):
            gossip.refund(order())
    kept = repr([one.http.exchanges for one in (gateway, gossip)]) + repr(gateway) + repr(gateway.http)
    assert gossip.http.exchanges[0].status == 500
    assert not [secret for secret in secrets if secret in kept]


def test_a_look_up_finds_the_refund_and_its_end(gateway, name, sandbox, order):
    if gateway.can.look_up is LookUp.NONE:
        pytest.skip("offers no look-up")
    asked = order()
    asked = replace(asked, before=gateway.before(asked))
    if gateway.can.look_up is LookUp.BY_REFERENCE:
        with pytest.raises(NoAnswer):  # without their reference there is nothing to ask by: no absence
            gateway.look_up(asked)
    else:
        assert gateway.look_up(asked) == []
    known = replace(asked, reference=gateway.refund(asked).reference)
    sandbox.settle()
    (update,) = gateway.look_up(known)
    assert (update.reference, update.outcome) == (known.reference, Outcome.SUCCEEDED)
    assert set(update.details) <= set(gateway.detail_labels)


def test_a_lost_answer_is_found_where_they_can_be_asked_without_a_reference(gateway, name, sandbox, order):
    if gateway.can.look_up not in (LookUp.BY_KEY, LookUp.BY_PAYMENT):
        pytest.skip("cannot be asked without their reference")
    asked = order(5000)  # all of it: a part could be anybody's where only the payment's status is shown
    asked = replace(asked, before=gateway.before(asked))
    sandbox.tell("answer_lost")
    with pytest.raises(NoAnswer):
        gateway.refund(asked)
    sandbox.settle()
    (update,) = gateway.look_up(asked)
    assert update.outcome is Outcome.SUCCEEDED
    assert update.key == asked.key or update.reference
    assert update.amount in (None, asked.amount)


def test_a_delivery_is_believed_by_its_signature_only(gateway, name, sandbox, inbox, order):
    if gateway.can.webhooks is Webhooks.NONE:
        pytest.skip("sends no webhooks about refunds")
    sandbox.callback(name, inbox.url)
    pem = gateway.webhook_key()
    knowing = type(gateway)({**gateway.config, **({gateway.webhook_key_setting: pem} if pem else {})})
    knowing.refund(order(callback_url=inbox.url))
    sandbox.settle()
    ((headers, body),) = inbox.letters
    assert headers["content-type"].split(";")[0] == gateway.webhook_type
    knowing.verify_webhook(Delivery(headers, body))
    said = knowing.read_webhook(Delivery(headers, body))
    assert said
    if gateway.can.webhooks is Webhooks.KNOCK:
        assert all(isinstance(item, Nudge) for item in said), "what only knocks is not read as a word"
    cut = Delivery(headers, body[: len(body) // 2])
    for forged in (cut, Delivery(headers, b""), Delivery({}, body[:-9])):
        with pytest.raises(BadWebhook):
            knowing.verify_webhook(forged)
    if pem:
        with pytest.raises(Misconfigured):
            gateway.verify_webhook(Delivery(headers, body))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff\xfe", b"null", b"a=b", b'{"payload":1}', b"\x00" * 99])
def test_a_delivery_of_any_bytes_is_refused_and_never_an_exception_of_another_kind(gateway, name, body):
    with pytest.raises((BadWebhook, Misconfigured)):
        gateway.verify_webhook(Delivery({"signature": "c2ln", "authorization": "x"}, body))
    with suppress(BadWebhook):
        assert not [item for item in gateway.read_webhook(Delivery({}, body)) if isinstance(item, RefundUpdate)]


def test_its_assumptions_are_named_and_can_be_answered(name):
    kind = registry.gateway_class(name)
    ids = [assumption.id for assumption in kind.assumptions]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith(f"{name}-") for one in ids)
    assert all(one.setting in ("", *kind.settings()) for one in kind.assumptions)
    assert all(one.text.endswith(".") for one in kind.assumptions)
