"""Both machines: every edge that is allowed, and every other pair refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from refunds.models import Payment, Refund, Status

S, P = Status, Payment.Status

EDGES: dict[tuple[Status, Status], Callable[[Refund], None]] = {
    (S.REQUESTED, S.APPROVED): Refund.approve,
    (S.REQUESTED, S.RETURNED): Refund.hand_back,
    (S.REQUESTED, S.REJECTED): Refund.reject,
    (S.REQUESTED, S.WITHDRAWN): Refund.withdraw,
    (S.RETURNED, S.REQUESTED): Refund.resubmit,
    (S.RETURNED, S.WITHDRAWN): Refund.withdraw,
    (S.APPROVED, S.SENDING): Refund.claim,
    (S.APPROVED, S.REQUESTED): Refund.unapprove,
    (S.APPROVED, S.WITHDRAWN): Refund.withdraw,
    (S.APPROVED, S.UNKNOWN): Refund.suspect,
    (S.SENDING, S.PROCESSING): Refund.accept,
    (S.SENDING, S.SUCCEEDED): Refund.succeed,
    (S.SENDING, S.FAILED): Refund.fail,
    (S.SENDING, S.APPROVED): Refund.release,
    (S.SENDING, S.UNKNOWN): Refund.doubt,
    (S.UNKNOWN, S.PROCESSING): Refund.accept,
    (S.UNKNOWN, S.SUCCEEDED): Refund.succeed,
    (S.UNKNOWN, S.FAILED): Refund.fail,
    (S.UNKNOWN, S.WITHDRAWN): Refund.cancel,
    (S.UNKNOWN, S.SENDING): Refund.claim,
    (S.PROCESSING, S.SUCCEEDED): Refund.succeed,
    (S.PROCESSING, S.FAILED): Refund.fail,
    (S.PROCESSING, S.WITHDRAWN): Refund.cancel,
    (S.SUCCEEDED, S.REVERSED): Refund.reverse,
    (S.FAILED, S.UNKNOWN): Refund.doubt,
    (S.WITHDRAWN, S.UNKNOWN): Refund.doubt,
    (S.REVERSED, S.UNKNOWN): Refund.doubt,
}
MOVES = sorted(set(EDGES.values()), key=lambda move: move.__name__)

PAYMENT_EDGES = {
    (P.CAPTURED, P.PARTIALLY_REFUNDED): Payment.refund_partly,
    (P.CAPTURED, P.REFUNDED): Payment.refund_wholly,
    (P.PARTIALLY_REFUNDED, P.REFUNDED): Payment.refund_wholly,
    (P.PARTIALLY_REFUNDED, P.CAPTURED): Payment.restore,
    (P.REFUNDED, P.PARTIALLY_REFUNDED): Payment.refund_partly,
    (P.REFUNDED, P.CAPTURED): Payment.restore,
}


@pytest.mark.promise("I19")
@pytest.mark.parametrize(("source", "target"), EDGES)
def test_every_edge_of_a_refund_can_be_walked(source: Status, target: Status) -> None:
    refund = Refund(status=source, sent_at=timezone.now())
    EDGES[source, target](refund)
    assert refund.status == target


@pytest.mark.promise("I19")
@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
@pytest.mark.parametrize("source", list(Status))
def test_every_other_pair_of_a_refund_is_refused(source: Status, move: Callable[[Refund], None]) -> None:
    allowed = {target for (start, target), edge in EDGES.items() if start == source and edge is move}
    refund = Refund(status=source, sent_at=timezone.now())
    if allowed:
        move(refund)
        assert {refund.status} == allowed
    else:
        with pytest.raises(TransitionNotAllowed):
            move(refund)


def test_the_machine_has_no_transition_beside_the_table() -> None:
    declared = {
        (transition.source, transition.target)
        for transition in Refund._meta.get_field("status").get_all_transitions(Refund)
    }
    assert declared == {(source.value, target.value) for source, target in EDGES}


def test_a_refund_withdrawn_before_it_was_sent_never_comes_back() -> None:
    with pytest.raises(TransitionNotAllowed):
        Refund(status=S.WITHDRAWN, sent_at=None).doubt()


@pytest.mark.parametrize("source", list(P))
@pytest.mark.parametrize("move", sorted(set(PAYMENT_EDGES.values()), key=lambda move: move.__name__))
def test_a_payment_moves_along_its_edges_only(source: P, move: Callable[[Payment], None]) -> None:
    payment = Payment(status=source)
    allowed = {target for (start, target), edge in PAYMENT_EDGES.items() if start == source and edge is move}
    if allowed:
        move(payment)
        assert {payment.status} == allowed
    else:
        with pytest.raises(TransitionNotAllowed):
            move(payment)


@pytest.mark.promise("I19")
def test_nobody_assigns_a_status_by_hand() -> None:
    with pytest.raises(AttributeError):
        Refund(status=S.REQUESTED).status = S.SUCCEEDED
    with pytest.raises(AttributeError):
        Payment(status=P.CAPTURED).status = P.REFUNDED
