"""After a backup was restored: what the lost database may have sent is never sent again by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from gateways.contract import LookUp
from gateways.registry import gateway_class
from refunds.errors import BadInput
from refunds.models import Account, Event, Payment, Refund, Status
from refunds.services.actor import Actor
from refunds.services.again import can_be_asked
from refunds.services.steps import locked, take_step

PAUSED = gettext_noop("A backup was restored. Resume once the refunds that call for a person have been looked at.")
MAYBE_SENT = (
    "A backup of {since:%d %b %H:%M} UTC was restored: it may have been sent since then. Look in their screens."
)
MAYBE_APPROVED = (
    "A backup of {since:%d %b %H:%M} UTC was restored: it may have been approved and sent since then. "
    "Look in their screens before you approve it."
)
MAYBE_SENT_STATUSES = (Status.APPROVED, Status.SENDING)
CALLS: dict[str, str] = {
    Status.APPROVED: MAYBE_SENT,
    Status.SENDING: MAYBE_SENT,
    Status.UNKNOWN: MAYBE_SENT,
    Status.REQUESTED: MAYBE_APPROVED,
    Status.RETURNED: MAYBE_APPROVED,
}


@dataclass
class Restored:
    """What was done: paused accounts, refunds by what became of them, payments that are looked up."""

    accounts: int = 0
    in_doubt: int = 0
    called: int = 0
    asked: int = 0
    payments: int = 0


def after_restore(since: datetime, by: Actor, *, look_back: timedelta) -> Restored:
    """`since` (UTC) is the moment of the backup. Safe to repeat.

    All accounts are paused; approved and sending → unknown; whatever is open calls for a person; what the gateways can
    show is asked for, also for payments captured within `look_back`, since whole refunds may have been lost.
    """
    _demand_plausible(since)
    done = Restored()
    done.accounts = Account.objects.filter(is_active=True, paused_because="").update(paused_because=PAUSED)
    for refund_id in list(Refund.objects.filter(status__in=CALLS).order_by("pk").values_list("pk", flat=True)):
        _doubt(refund_id, since, by, done)
    processing = Refund.objects.filter(status=Status.PROCESSING)
    done.asked = processing.update(ask_at=timezone.now(), asks=0)
    shown = [account.pk for account in Account.objects.all() if _shows_payments(account)]
    recent = Payment.objects.filter(account__in=shown, captured_at__gte=since - look_back)
    done.payments = recent.update(ask_at=timezone.now())
    return done


def _demand_plausible(since: datetime) -> None:
    if since > timezone.now():
        raise BadInput("The moment of the backup lies in the future.")
    last = Event.objects.order_by("-at").values_list("at", flat=True).first()
    if last and last > since + timedelta(minutes=1):
        raise BadInput(f"The journal goes on until {last:%Y-%m-%d %H:%M:%S} UTC, so the backup is younger than that.")


def _shows_payments(account: Account) -> bool:
    return gateway_class(account.gateway).can.look_up in (LookUp.BY_KEY, LookUp.BY_PAYMENT)


@transaction.atomic
def _doubt(refund_id: int, since: datetime, by: Actor, done: Restored) -> None:
    refund = locked(refund_id)
    if refund.status not in CALLS:
        return
    why, now = CALLS[refund.status].format(since=since), timezone.now()
    if refund.status not in MAYBE_SENT_STATUSES:
        if refund.needs_attention != why:
            is_asked = refund.status == Status.UNKNOWN and can_be_asked(refund)
            again: dict[str, Any] = {"ask_at": now, "asks": 0} if is_asked else {}
            take_step(refund, "backup restored", by, text=why, needs_attention=why, **again)
            done.called += 1
        return
    move = refund.suspect if refund.status == Status.APPROVED else refund.doubt
    refund.sent_at = refund.sent_at or now
    doubted: dict[str, Any] = {
        "ask_at": now if can_be_asked(refund) else None,
        "asks": 0,
        "fence": refund.fence + 1,
        "sent_at": refund.sent_at,
    }
    try:
        with transaction.atomic():
            take_step(refund, "backup restored", by, move=move, text=why, needs_attention=why, **doubted)
        done.in_doubt += 1
    except IntegrityError:  # another refund of this payment has the only slot: this one waits, and calls
        take_step(locked(refund_id), "backup restored", by, text=why, needs_attention=why, ask_at=None)
        done.called += 1
