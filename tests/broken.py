"""Builds that are broken on purpose: `pytest -p tests.broken --broken NAME` breaks the desk, and its tests must notice.

Each entry names the promise that it breaks, how, and the tests that have to go red by it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import django
import pytest
from django.apps import apps
from django.db.models import F

if not apps.ready:  # a plugin is imported before pytest-django has made them so
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()

from gateways.contract import Outcome, RefundUpdate
from refunds.models import Payment
from refunds.services import orders, record, request, send
from refunds.services.actor import Mouth


@dataclass(frozen=True)
class Broken:
    """`tests` are node ids, or the beginnings of them; each has to fail."""

    sentence: str
    tamper: Callable[[pytest.MonkeyPatch], None]
    tests: tuple[str, ...]


def guard_off(patch: pytest.MonkeyPatch) -> None:
    def hold(payment: Payment, amount: int, seen_free: int) -> None:
        Payment.objects.filter(pk=payment.pk).update(held=F("held") + amount)

    patch.setattr(request, "_hold", hold)


def fresh_key_per_try(patch: pytest.MonkeyPatch) -> None:
    kept = orders.from_json
    patch.setattr(send, "from_json", lambda *args, **more: replace(kept(*args, **more), key=str(uuid.uuid4())))


def believe_the_payload(patch: pytest.MonkeyPatch) -> None:
    """Whatever a delivery says of an end is taken for a look-up."""
    for rule in (record.reverse, record.doubt_the_end):

        def believing(hearing: Any, rule: Any = rule) -> Any:
            return rule(replace(hearing, mouth=Mouth.LOOK_UP))

        for row, known in record.RULES.items():
            if known is rule:
                patch.setitem(record.RULES, row, believing)


def failed_on_timeout(patch: pytest.MonkeyPatch) -> None:
    def no_answer(refund: Any, gateway: Any, attempt: Any, accident: Any) -> None:
        send.close(attempt, gateway, "refused", str(accident))
        record.record_update(refund.pk, RefundUpdate(Outcome.FAILED, code="timeout"), Mouth.ANSWER, attempt)

    patch.setattr(send, "_no_answer", no_answer)


def claim_after_before(patch: pytest.MonkeyPatch) -> None:
    claim = send.claim

    def look_and_claim(refund_id: int, *args: Any, **more: Any) -> Any:
        refund = send.Refund.objects.select_related("payment", "account", "reason").get(pk=refund_id)
        send.gateway_for(refund.account).before(send._order_to_send(refund))
        return claim(refund_id, *args, **more)

    patch.setattr(send, "claim", look_and_claim)


LIVES = "tests/refunds/test_life_machine.py::test_no_life_breaks_a_promise"
BUILDS = {
    "guard off": Broken(
        "I1",
        guard_off,
        (
            "tests/refunds/test_steps.py::test_an_amount_that_is_not_there_is_refused",
            "tests/refunds/test_steps.py::test_a_form_that_shows_an_old_free_amount_is_refused_even_if_it_would_fit",
            LIVES,
        ),
    ),
    "fresh key per try": Broken(
        "I10",
        fresh_key_per_try,
        ("tests/refunds/test_send.py::test_a_repeat_has_the_same_key_and_the_same_bytes",),
    ),
    "believe the payload": Broken(
        "I20, I34",
        believe_the_payload,
        (
            "tests/refunds/test_record.py::test_a_webhook_never_moves_a_refund_out_of_its_end",
            "tests/refunds/test_webhooks.py::test_a_late_failure_by_webhook_waits_for_our_own_look_up",
        ),
    ),
    "failed on timeout": Broken(
        "I13",
        failed_on_timeout,
        ("tests/refunds/test_send.py::test_an_answer_that_is_lost_leaves_it_unknown_and_held", LIVES),
    ),
    "claim after before": Broken(
        "I12",
        claim_after_before,
        ("tests/refunds/test_send.py::test_what_they_show_before_is_asked_for_once_the_claim_is_committed",),
    ),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--broken", choices=sorted(BUILDS), help="break the desk in this way first")


def pytest_sessionstart(session: pytest.Session) -> None:
    if name := session.config.getoption("--broken"):
        BUILDS[name].tamper(pytest.MonkeyPatch())
