"""The requester's steps: request, retry, resubmit, withdraw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import policy, rules
from refunds.errors import BadInput, NotRefundable, TooMuch, WrongMoment
from refunds.limits import Act
from refunds.models import Payment, Refund, RefundReason, Status
from refunds.services.actor import Actor
from refunds.services.allowances import take
from refunds.services.cancel import ask_to_cancel, why_no_cancel
from refunds.services.hold import hold_time
from refunds.services.journal import write_line
from refunds.services.orders import demand_carried, gateway_for
from refunds.services.record import call_for
from refunds.services.rulings import rule_for
from refunds.services.steps import locked, take_step
from refunds.services.typed import spoken, without_cards


@transaction.atomic
def request_refund(
    payment_id: int,
    amount: int,
    reason: RefundReason,
    by: User,
    *,
    seen_free: int,
    ticket: str = "",
    internal_note: str = "",
    retry_of: Refund | None = None,
    not_the_same_as: Sequence[Refund] = (),
) -> Refund:
    """Nothing → requested. Minor units; `seen_free` is what was shown as free, `not_the_same_as` what was looked at."""
    policy.demand(by, policy.REQUEST, _("request a refund"))
    payment = Payment.objects.select_for_update(of=("self",)).select_related("account").get(pk=payment_id)
    policy.demand_in_scope(by, payment.account)
    _demand_askable(payment, amount, reason)
    _hold(payment, amount, seen_free)
    take(by, Act.REQUEST, payment.money(amount))
    rule = rule_for(payment, amount, reason, by)
    gateway, now = gateway_for(payment.account), timezone.now()
    refund = Refund(
        payment=payment,
        account=payment.account,
        amount=amount,
        reason=reason,
        reason_word=gateway.reason_word(reason.word_for(payment.account.gateway), payment.captured_at, now),
        public_note=reason.wording,
        ticket=without_cards(ticket.strip()),
        internal_note=without_cards(internal_note.strip()),
        requested_by=by,
        requested_at=now,
        retry_of=retry_of,
        exclusive=not gateway.can.several,
        rule=rule,
        approvals_needed=rules.approvals_needed(rule),
    )
    demand_carried(refund, gateway)
    _open(refund, by, not_the_same_as)
    return _let_through(refund)


def _write_the_first_line(refund: Refund, by: User, not_the_same_as: Sequence[Refund]) -> None:
    money, again = refund.money, f"A new try after {refund.retry_of}." if refund.retry_of else ""
    if others := ", ".join(other.number for other in not_the_same_as):
        again += f"Not the same as {others}, says {by}."
    asked = {"amount": money.minor, "currency": money.currency, "ticket": refund.ticket}
    met = {"rule": str(refund.rule or ""), "approvals": refund.approvals_needed}
    text = f"{money} {money.currency}: {refund.reason}. {again}"
    write_line(refund, "requested", Actor.person(by), text=text, data={**asked, **met})


def _let_through(refund: Refund) -> Refund:
    """Where a rule asks for nobody's approval, the rule itself is the one who approves."""
    if refund.rule is None or refund.approvals_needed:
        return refund
    by, now = Actor.rule(refund.rule), timezone.now()
    times: dict[str, Any] = {"approved_at": now, "ask_at": now + hold_time(), "asks": 0}
    take_step(refund, "approved", by, move=refund.approve, text="No approval is needed.", **times)
    return refund


@transaction.atomic
def retry_refund(failed_id: int, by: User, *, seen: int) -> Refund:
    """A new refund in place of one that definitely failed or came back: a new key, new approvals."""
    failed = locked(failed_id, seen, by)
    if failed.status not in (Status.FAILED, Status.REVERSED):
        raise WrongMoment(
            _("%(failed)s is %(status)s: only a failed or reversed refund is retried.")
            % {"failed": failed, "status": failed.get_status_display()}
        )
    if failed.reason is None:
        raise NotRefundable(
            _("%(failed)s was made at the gateway. Request a new refund on the payment instead.") % {"failed": failed}
        )
    return request_refund(
        failed.payment_id,
        failed.amount,
        failed.reason,
        by,
        seen_free=failed.payment.free,
        ticket=failed.ticket,
        internal_note=failed.internal_note,
        retry_of=failed,
    )


@transaction.atomic
def resubmit_refund(refund_id: int, by: User, answer: str, *, seen: int) -> Refund:
    """Returned → requested, by the requester with an answer; earlier approvals no longer count."""
    policy.demand(by, policy.REQUEST, _("resubmit a refund"))
    refund = locked(refund_id, seen, by)
    policy.demand_the_requester(by, refund, _("resubmit"))
    policy.demand_refundable(refund.payment)
    answer = spoken(answer, _("Answer the question before you resubmit."))
    rule = rule_for(refund.payment, refund.amount, refund.reason, by, but=refund.pk)
    # Somebody wanted to look at it, so somebody does.
    anew: dict[str, Any] = {
        "rule": rule,
        "approvals_needed": max(rules.approvals_needed(rule), 1),
        "revision": refund.revision + 1,
    }
    take_step(refund, "resubmitted", Actor.person(by), move=refund.resubmit, text=answer, **anew)
    return refund


@transaction.atomic
def withdraw_refund(refund_id: int, by: User, *, seen: int, why: str = "") -> Refund:
    """Requested, returned or approved → withdrawn, by the requester; once sent, the gateway is asked to cancel it."""
    policy.demand(by, policy.REQUEST, _("withdraw a refund"))
    refund = locked(refund_id, seen, by)
    policy.demand_the_requester(by, refund, _("withdraw"))
    if not why_no_cancel(refund):
        return ask_to_cancel(refund_id, by, seen=seen)
    take_step(
        refund,
        "withdrawn",
        Actor.person(by),
        move=refund.withdraw,
        text=without_cards(why.strip()),
        final_at=timezone.now(),
        ask_at=None,
        needs_attention=call_for(refund),
    )
    return refund


def _demand_askable(payment: Payment, amount: int, reason: RefundReason) -> None:
    policy.demand_refundable(payment)
    if not reason.is_active:
        raise BadInput(_("The reason “%(reason)s” is no longer in use. Choose another.") % {"reason": reason})
    if amount <= 0:
        raise BadInput(_("The amount has to be more than zero."))


def _hold(payment: Payment, amount: int, seen_free: int) -> None:
    """Reserve the amount by one conditional UPDATE: right on both databases and in any interleaving."""
    free = F("captured") - F("refunded") - F("held")
    rows = Payment.objects.filter(pk=payment.pk).annotate(free_now=free)
    if rows.filter(free_now=seen_free, free_now__gte=amount).update(held=F("held") + amount) == 1:
        return
    payment = Payment.objects.get(pk=payment.pk)
    if payment.free != seen_free:
        raise WrongMoment(
            _(
                "The free amount has changed while you were writing: it is %(money)s %(currency)s now. Please "
                "check the amount again."
            )
            % {"money": payment.money(payment.free), "currency": payment.currency}
        )
    raise TooMuch(
        _("%(money)s %(currency)s is more than is free: %(other_money)s %(currency)s can still be refunded.")
        % {"money": payment.money(amount), "currency": payment.currency, "other_money": payment.money(payment.free)}
    )


def _open(refund: Refund, by: User, not_the_same_as: Sequence[Refund]) -> None:
    try:
        with transaction.atomic():
            refund.save(force_insert=True)
    except IntegrityError:
        if refund.retry_of is None:
            raise
        raise WrongMoment(_("%(retry_of)s is being retried already.") % {"retry_of": refund.retry_of}) from None
    _write_the_first_line(refund, by, not_the_same_as)
