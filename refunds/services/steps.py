"""How a step is taken: one compare-and-set on (id, status, version), the money moved with it, one journal line.

The only place that writes a status. Lock order is payment, refund, event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F
from django.utils.translation import gettext as _
from django_fsm import TransitionNotAllowed

from refunds import policy
from refunds.errors import WrongMoment
from refunds.models import Event, Payment, Refund, Status
from refunds.models.refund import HOLDING
from refunds.services.actor import Actor
from refunds.services.due import wake_at
from refunds.services.journal import write_line


def locked(refund_id: int, seen: int | None = None, by: User | None = None) -> Refund:
    """The refund as it is now, behind a lock where the database has them; `seen` is the version a person looked at.

    A person, `by`, who is limited to other accounts gets no further.
    """
    payment = Payment.objects.select_for_update(of=("self",)).select_related("account").get(refunds=refund_id)
    refund = Refund.objects.select_for_update(of=("self",)).select_related("reason", "requested_by").get(pk=refund_id)
    refund.payment = payment
    refund.account = payment.account
    if by is not None:
        policy.demand_in_scope(by, refund.account)
    if seen is not None and refund.version != seen:
        raise WrongMoment(
            _("%(refund)s has changed since you opened it: it is %(status)s now. Nothing was done; please look again.")
            % {"refund": refund, "status": refund.get_status_display()}
        )
    return refund


def lock_payment(refund: Refund) -> None:
    """The first lock of `locked` alone, for what changes a refund's row without reading it anew."""
    list(Payment.objects.select_for_update().filter(pk=refund.payment_id).values_list("pk"))


def take_step(
    refund: Refund,
    step: str,
    by: Actor,
    *,
    move: Callable[[], None] | None = None,
    text: str = "",
    heard: str = "",
    data: dict[str, Any] | None = None,
    **changes: Any,
) -> Event:
    """Take one step inside the caller's transaction; `move` is a transition of this refund, `changes` other fields.

    Raises WrongMoment when the step does not fit the status, or when somebody else was faster.
    """
    was, attention = refund.status, changes.get("needs_attention")
    calls = bool(attention) and attention != refund.needs_attention
    if move:
        _move(refund, move)
    _shift_money(refund, was, by)
    _compare_and_set(refund, was, changes)
    if ask_at := changes.get("ask_at"):
        wake_at(refund, ask_at)
    return write_line(refund, step, by, was=was, text=text, data=data, heard=heard, calls=calls)


def _move(refund: Refund, move: Callable[[], None]) -> None:
    try:
        move()
    except TransitionNotAllowed:
        raise WrongMoment(
            _("%(refund)s is %(status)s now, so this step is no longer possible. Nothing was done.")
            % {"refund": refund, "status": refund.get_status_display()}
        ) from None


def _compare_and_set(refund: Refund, was: str, changes: dict[str, Any]) -> None:
    now_is = Refund.objects.filter(pk=refund.pk, status=was, version=refund.version)
    if now_is.update(status=refund.status, version=F("version") + 1, **changes) != 1:
        raise WrongMoment(
            _("Somebody else changed %(refund)s at the same moment. Nothing was done; please look again.")
            % {"refund": refund}
        )
    refund.version += 1
    for name, value in changes.items():
        setattr(refund, name, value)


def _purse(status: str) -> str:
    """Which sum of the payment a refund of this status counts in."""
    if status in HOLDING:
        return "held"
    return "refunded" if status == Status.SUCCEEDED else ""


def _shift_money(refund: Refund, was: str, by: Actor) -> None:
    source, target = _purse(was), _purse(refund.status)
    if source == target:
        return
    shift = {purse: minor for purse, minor in ((source, -refund.amount), (target, refund.amount)) if purse}
    shift_sums(refund.payment, shift, by, because=refund)


def shift_sums(payment: Payment, shift: dict[str, int], by: Actor, because: Refund) -> None:
    """Add to what is held and refunded, in minor units, of a payment that was read behind its lock.

    What has gone back decides its status, by one compare-and-set on (id, status, version), and is told in its journal.
    """
    row, was = Payment.objects.filter(pk=payment.pk), payment.status
    changes: dict[str, Any] = {name: F(name) + minor for name, minor in shift.items()}
    for name, minor in shift.items():
        setattr(payment, name, getattr(payment, name) + minor)
    if "refunded" not in shift:
        row.update(**changes)
        return
    if (wanted := _standing(payment)) != was:
        PAYMENT_MOVES[wanted](payment)
    row = row.filter(status=was, version=payment.version)
    if row.update(status=payment.status, version=F("version") + 1, **changes) != 1:
        raise WrongMoment(_("Somebody else changed this payment at the same moment. Nothing was done."))
    payment.version += 1
    refunded, captured = payment.money(payment.refunded), payment.money(payment.captured)
    write_line(
        payment,
        "payment",
        by,
        was=was,
        text=f"Because of {because}, {refunded} of {captured} {payment.currency} is refunded now.",
        data={"refund": because.number, "refunded": payment.refunded, "held": payment.held},
    )


PAYMENT_MOVES: dict[str, Callable[[Payment], None]] = {
    Payment.Status.CAPTURED: Payment.restore,
    Payment.Status.PARTIALLY_REFUNDED: Payment.refund_partly,
    Payment.Status.REFUNDED: Payment.refund_wholly,
}


def _standing(payment: Payment) -> str:
    if payment.refunded == 0:
        return Payment.Status.CAPTURED
    if payment.refunded < payment.captured:
        return Payment.Status.PARTIALLY_REFUNDED
    return Payment.Status.REFUNDED
