"""Many at the same moment, on a real database with a connection each: one wins, and nothing is counted twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from refunds import services
from refunds.errors import RefundError
from refunds.models import Approval, Event, Payment, RefundReason
from tests.builders import again, alice, approved, ask, bob, make_payment, person

ROUNDS = 15

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*steps: Callable[[], Any]) -> list[Any]:
    """Run them from one barrier, each on its own connection; the refusals come back as values."""
    barrier, results = threading.Barrier(len(steps)), [None] * len(steps)

    def run(number: int, step: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            results[number] = step()
        except RefundError as refusal:
            results[number] = refusal
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(steps)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in results, "somebody met an error that is not a refusal"
    return results


def winners(results: list[Any]) -> int:
    return sum(not isinstance(result, RefundError) for result in results)


def test_eight_requests_at_once_never_hold_more_than_there_is() -> None:
    reason, agent = RefundReason.objects.first(), alice()
    for number in range(ROUNDS):
        payment = make_payment(captured=5000, reference=f"pay-{number}")

        def request(pk: int = payment.pk) -> Any:
            return services.request_refund(pk, 3000, reason, agent, seen_free=5000)

        assert winners(at_once(*[request] * 8)) == 1
        assert Payment.objects.get(pk=payment.pk).held == 3000


def test_one_approval_and_one_withdrawal_at_once_have_one_winner() -> None:
    agent, approver = alice(), bob()
    for number in range(ROUNDS):
        refund = ask(make_payment(reference=f"pay-{number}"))
        results = at_once(
            lambda pk=refund.pk: services.approve_refund(pk, approver, seen=1),
            lambda pk=refund.pk: services.withdraw_refund(pk, agent, seen=1),
        )
        assert winners(results) == 1
        assert again(refund).version == 2
        assert Event.objects.filter(refund=refund).count() == 2


def test_two_approvers_at_once_leave_one_approval() -> None:
    both = bob(), person("ben", "Approvers")
    for number in range(ROUNDS):
        refund = ask(make_payment(reference=f"pay-{number}"))
        steps = [lambda pk=refund.pk, who=who: services.approve_refund(pk, who, seen=1) for who in both]
        assert winners(at_once(*steps)) == 1
        assert Approval.objects.filter(refund=refund).count() == 1


def test_four_workers_at_once_send_it_once(sandbox: Any) -> None:
    for number in range(ROUNDS):
        refund = approved(make_payment(reference=f"pay-{number}"))
        at_once(*[lambda pk=refund.pk: services.send_refund(pk) or True] * 4)
        orders = [call for call in sandbox.requests() if str(refund.key) in call["path"]]
        assert len(orders) == 1
        assert again(refund).fence == 1


def test_two_retries_of_one_failed_refund_leave_one(sandbox: Any) -> None:
    agent = alice()
    for number in range(ROUNDS):
        refund = approved(make_payment(reference=f"pay-{number}"), 1001)
        services.send_refund(refund.pk)
        failed = again(refund)
        assert failed.status == "failed"
        retry = [lambda pk=failed.pk, seen=failed.version: services.retry_refund(pk, agent, seen=seen)] * 2
        assert winners(at_once(*retry)) == 1
        assert failed.retries.count() == 1
