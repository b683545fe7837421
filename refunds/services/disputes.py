"""Disputes: while a customer disputes a payment with the bank, a refund of it could pay twice, so none is sent."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import policy
from refunds.errors import BadInput, WrongMoment
from refunds.models import Payment, Refund, Status
from refunds.services.actor import Actor
from refunds.services.due import ask_again
from refunds.services.journal import write_line
from refunds.services.typed import spoken

LONGEST_CASE = 100


@transaction.atomic
def mark_disputed(payment_id: int, by: User, note: str, case: str = "", *, seen: int) -> Payment:
    """From now on nothing of it is requested, approved or sent; `seen` is the version a person looked at."""
    policy.demand(by, policy.DISPUTE, _("mark payments as disputed"))
    payment = _locked(payment_id, seen, by)
    if payment.disputed_at:
        raise WrongMoment(_("%(payment)s is marked as disputed already.") % {"payment": payment})
    note, case = spoken(note, _("Write down how you know of it.")), case.strip()
    if len(case) > LONGEST_CASE or not case.isprintable():
        raise BadInput(_("A case number has at most %(longest)s characters on one line.") % {"longest": LONGEST_CASE})
    return _mark(payment, Actor.person(by), note, case)


@transaction.atomic
def close_dispute(payment_id: int, by: User, note: str, *, seen: int) -> Payment:
    """It is over: what was approved meanwhile, or before, is sent now."""
    policy.demand(by, policy.DISPUTE, _("close disputes"))
    payment = _locked(payment_id, seen, by)
    if not payment.disputed_at:
        raise WrongMoment(_("%(payment)s is not marked as disputed any more.") % {"payment": payment})
    note = spoken(note, _("Write down how it ended."))
    data = {"case": payment.dispute_case}
    payment = _change(payment, disputed_at=None, dispute_case="")
    write_line(payment, "dispute closed", Actor.person(by), was=payment.status, text=note, data=data)
    for refund in Refund.objects.filter(payment=payment, status=Status.APPROVED).order_by("pk"):
        ask_again(refund, timezone.now(), count=False)
    return payment


@transaction.atomic
def mark_from_file(account_id: int, reference: str, by: Actor, text: str) -> bool:
    """A file says that a payment is disputed; False when that is known already, or was, and Finance has closed it."""
    payment = Payment.objects.select_for_update(of=("self",)).get(account_id=account_id, reference=reference)
    if payment.disputed_at or payment.events.filter(refund=None, step="dispute closed").exists():
        return False
    _mark(payment, by, text, "")
    return True


def _mark(payment: Payment, by: Actor, text: str, case: str) -> Payment:
    payment = _change(payment, disputed_at=timezone.now(), dispute_case=case)
    write_line(payment, "disputed", by, was=payment.status, text=text, data={"case": case})
    return payment


def _locked(payment_id: int, seen: int, by: User) -> Payment:
    payment = Payment.objects.select_for_update(of=("self",)).select_related("account").get(pk=payment_id)
    policy.demand_in_scope(by, payment.account)
    if payment.version != seen:
        raise WrongMoment(
            _("%(payment)s has changed since you opened it. Nothing was done; please look again.")
            % {"payment": payment}
        )
    return payment


def _change(payment: Payment, **changes: Any) -> Payment:
    """One compare-and-set on the version, as with every step."""
    row = Payment.objects.filter(pk=payment.pk, version=payment.version)
    if row.update(version=F("version") + 1, **changes) != 1:
        raise WrongMoment(_("Somebody else changed this payment at the same moment. Nothing was done."))
    return Payment.objects.select_related("account").get(pk=payment.pk)
