"""A delivery heard again: only one that was let in and kept, byte for byte, and by the same ear as the first time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from gateways.contract import Delivery as Wire
from gateways.contract import Gateway, Nudge, RefundUpdate, Webhooks
from gateways.errors import BadWebhook, Misconfigured
from refunds import accounts, correlation, policy
from refunds.errors import BadInput
from refunds.models import Delivery, Event, Refund
from refunds.services.actor import Actor
from refunds.services.deliveries import hear_delivery
from refunds.services.steps import locked, take_step

Result = Delivery.Result
FORGETTABLE = (Result.UNREADABLE, Result.IGNORED, Result.UNMATCHED)  # a better verdict takes the place of these


@dataclass(frozen=True)
class Reading:
    """What a kept delivery says; `why_not` where it cannot be read, `unverified` where its signature no longer fits."""

    said: list[RefundUpdate | Nudge] = field(default_factory=list)
    why_not: str = ""
    unverified: str = ""
    is_believed: bool = False


@dataclass(frozen=True)
class Replay:
    """What came, or would come, of hearing it again; `result` is `code` in words, `lines` are what it journalled."""

    reading: Reading
    code: str
    result: str
    why: str
    refund: Refund | None
    lines: list[Event]


def read_again(delivery: Delivery) -> Reading:
    """Read by the account's connector as it is now. Never fails, and writes nothing."""
    wire = Wire({name.lower(): text for name, text in delivery.headers.items()}, delivery.body.encode())
    if hashlib.sha256(wire.body).hexdigest() != delivery.digest:
        return Reading(why_not=_("What is kept is not byte for byte what arrived: a card number in it was masked."))
    try:
        gateway = accounts.connect(delivery.account)
        said = gateway.read_webhook(wire)
    except Misconfigured as trouble:
        return Reading(why_not=str(trouble))
    except BadWebhook as trouble:
        return Reading(why_not=_("It still cannot be read: %(why)s") % {"why": trouble})
    unverified = _why_unverified(gateway, wire)
    is_believed = gateway.can.webhooks is Webhooks.SPEAK and not unverified
    return Reading(said, unverified=unverified, is_believed=is_believed)


def _why_unverified(gateway: Gateway, wire: Wire) -> str:
    try:
        gateway.verify_webhook(wire)
    except Exception as trouble:  # it was verified when it came; whatever goes wrong now, it is not believed again
        return str(trouble) or type(trouble).__name__
    return ""


@transaction.atomic
def replay_delivery(delivery_id: int, by: User) -> Replay:
    """Hear it as the door does; where its signature does not fit any more, only as a knock: the gateway is asked.

    What it writes into a refund's journal is followed by a line that says on whose word.
    """
    policy.demand(by, policy.DECLARE, _("have a delivery heard again"))
    delivery = Delivery.objects.select_for_update(of=("self",)).select_related("account", "refund").get(pk=delivery_id)
    policy.demand_in_scope(by, delivery.account)
    reading = read_again(delivery)
    if reading.why_not:
        raise BadInput(reading.why_not)
    was = Result(delivery.result), delivery.why, delivery.refund
    with correlation.act() as act:
        last = Event.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        hear_delivery(delivery, reading.said, is_believed=reading.is_believed)
        lines = list(Event.objects.filter(pk__gt=last, correlation=act).select_related("refund").order_by("pk"))
        _sign(delivery, {line.refund_id for line in lines if line.refund_id}, by)
    replay = Replay(reading, delivery.result, delivery.get_result_display(), delivery.why, delivery.refund, lines)
    if (lines or was[0] in FORGETTABLE) and was != (delivery.result, delivery.why, delivery.refund):
        delivery.save(update_fields=["result", "why", "refund"])
    return replay


def rehearse_replay(delivery_id: int, by: User) -> Replay:
    """The very same, and everything is taken back."""
    with transaction.atomic():
        replay = replay_delivery(delivery_id, by)
        transaction.set_rollback(True)
    return replay


def _sign(delivery: Delivery, refund_ids: set[int], by: User) -> None:
    for refund_id in sorted(refund_ids):
        take_step(locked(refund_id), "heard again", Actor.person(by), text=f"Had {delivery} heard again.")
