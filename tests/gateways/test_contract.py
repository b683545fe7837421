"""What every gateway has to keep to, whatever its wire looks like. A new one joins by its line in the registry.

The stories stand in gateways/sandbox/certify.py, where `manage.py certify` tells them too; here is what is declared.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from gateways import registry
from gateways.contract import COMMON_SETTINGS, Gateway, LookUp, Repeat, Webhooks, bundle_of
from gateways.errors import Misconfigured
from gateways.sandbox import Sandbox
from gateways.sandbox.certify import CONTRACT, Verdict, run_one

pytestmark = pytest.mark.parametrize("name", registry.names())


@pytest.mark.parametrize("story", CONTRACT)
def test_it_keeps_the_contract(name, story):
    result = run_one(name, story)
    if result.verdict is Verdict.NOT_APPLICABLE:
        pytest.skip(result.sentence)
    assert result.verdict is Verdict.PASSED, result.sentence


def test_only_a_person_is_without_a_simulator(name):
    """Else a misnamed module would turn all the stories of its gateway into skips."""
    with Sandbox() as sandbox:
        assert (name in sandbox.simulators) != registry.gateway_class(name).can.by_hand


def test_it_declares_what_a_person_needs_to_set_it_up(name):
    kind = registry.gateway_class(name)
    assert kind.label
    assert set(kind.secrets) <= set(kind.needs) | set(kind.takes)
    assert set(kind.hosts) <= {"sandbox", "live"}
    assert all(url.startswith("https://") for url in kind.hosts.values())
    assert all(pause > timedelta() for pause in kind.poll_plan)


def test_its_declarations_fit_together(name):
    kind = registry.gateway_class(name)
    tells = kind.can.look_up is not LookUp.NONE or kind.can.webhooks is not Webhooks.NONE
    assert tells != kind.can.by_hand, "who can be asked nothing is a person"
    if kind.can.repeat is Repeat.AFTER_ABSENCE:
        assert kind.can.look_up is LookUp.BY_KEY, "absence has to be seen by our own key"
    if kind.can.repeat is Repeat.WITHIN_WINDOW:
        assert kind.key_window
    if kind.can.bundle > 1:
        assert kind.refund_many is not Gateway.refund_many
        assert kind.before is Gateway.before, "what was shown before one order says nothing after several"
        assert kind.can.repeat is Repeat.NEVER, "an order that goes again has to be the same bytes, and so alone"
    if kind.can.webhooks is not Webhooks.NONE:
        assert kind.verify_webhook is not Gateway.verify_webhook
        assert kind.read_webhook is not Gateway.read_webhook
    if kind.can.look_up is not LookUp.NONE:
        assert kind.look_up is not Gateway.look_up
        assert kind.poll_plan


def test_its_assumptions_are_named_and_can_be_answered(name):
    kind = registry.gateway_class(name)
    ids = [assumption.id for assumption in kind.assumptions]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith(f"{name}-") for one in ids)
    assert all(one.setting in ("", *kind.settings()) for one in kind.assumptions)
    assert all(one.relied_on_by in ("", *COMMON_SETTINGS) for one in kind.assumptions)


def test_an_account_says_how_many_orders_share_a_call_and_by_default_none_do(name):
    kind = registry.gateway_class(name)
    assert bundle_of("1", kind.label, kind.can.bundle) == 1
    assert bundle_of(str(kind.can.bundle), kind.label, kind.can.bundle) == kind.can.bundle
    with pytest.raises(Misconfigured, match=f"{kind.label} takes .* in a call"):
        bundle_of(str(kind.can.bundle + 1), kind.label, kind.can.bundle)
    assert "BATCH" in kind.settings()
    assert all(one.text.endswith(".") for one in kind.assumptions)
