"""Whether a refund may be asked about, and whether the same order may go out once more: "can I press it again?"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext as _

from gateways.contract import Gateway, LookUp, Repeat
from gateways.registry import gateway_class, names
from refunds.errors import NotRefundable
from refunds.models import Attempt, Refund, Status
from refunds.services.orders import gateway_for

MOST_SENDS = 5  # where their list, not their key, keeps a repeat from paying twice


@dataclass(frozen=True)
class Again:
    """`is_safe`: the same order may go out now. `not_before` and `not_after` bound that in time (UTC)."""

    is_safe: bool
    why: str
    not_before: datetime | None = None
    not_after: datetime | None = None

    @property
    def may_come(self) -> bool:
        """It is not safe now, but will be."""
        return not self.is_safe and self.not_before is not None


def can_be_asked(refund: Refund) -> bool:
    """Whether its gateway has a way to show what became of it."""
    match gateway_class(refund.account.gateway).can.look_up:
        case LookUp.NONE:
            return False
        case LookUp.BY_REFERENCE:
            return bool(refund.reference)
    return True


def is_made_by_hand(refund: Refund) -> bool:
    """No gateway will ever say what became of it: a person makes the transfer, and two declare it."""
    return refund.account.gateway in gateways_by_hand()


def gateways_by_hand() -> list[str]:
    """The names of the gateways whose transfers a person makes."""
    return [name for name in names() if gateway_class(name).can.by_hand]


def can_be_settled(refund: Refund) -> bool:
    """Whether asking, or the same order again, can still bring its end; if not, only people can."""
    if can_be_asked(refund):
        return True
    verdict = again(refund)
    return verdict.is_safe or verdict.may_come


def again(refund: Refund, gateway: Gateway | None = None) -> Again:
    """Whether the same order of a refund that is unknown may go out once more."""
    kind = gateway_class(refund.account.gateway)
    if refund.status != Status.UNKNOWN:
        return Again(False, _("Only what is unknown can go out again."))
    if kind.can.repeat is Repeat.NEVER:
        return Again(
            False, _("%(label)s keeps no key of ours, so a second order could pay twice.") % {"label": kind.label}
        )
    if refund.cancel_asked_at:
        return Again(False, _("Its cancellation was asked for."))
    if refund.reference or refund.events.exclude(heard="").exists() or refund.archived.exists():
        return Again(False, _("%(label)s has spoken of it already, so the order is there.") % {"label": kind.label})
    try:
        gateway = gateway or gateway_for(refund.account)
    except NotRefundable as trouble:
        return Again(False, str(trouble))
    sends = list(refund.attempts.filter(kind=Attempt.Kind.SEND))
    if not sends:
        return Again(False, _("It was never sent."))
    return _within_window(gateway, sends) if kind.can.repeat is Repeat.WITHIN_WINDOW else _after_absence(gateway, sends)


def _within_window(gateway: Gateway, sends: list[Attempt]) -> Again:
    """Their idempotency key guards it for as long as they keep the key."""
    ends = sends[0].started_at + (gateway.key_window or gateway.quiet_window)
    if timezone.now() >= ends:
        return Again(
            False,
            _("%(label)s may have forgotten the key by now, so a second order could pay twice.")
            % {"label": gateway.label},
        )
    return Again(
        True,
        _("%(label)s pays one key once, and its answer says what became of it.") % {"label": gateway.label},
        not_after=ends,
    )


def _after_absence(gateway: Gateway, sends: list[Attempt]) -> Again:
    """Only their list guards it: once it must have arrived, if at all, and a look-up does not show it."""
    if len(sends) >= MOST_SENDS:
        return Again(False, _("It has gone out %(times)s times without a word.") % {"times": MOST_SENDS})
    arrived = (sends[-1].finished_at or sends[-1].started_at) + gateway.quiet_window
    if timezone.now() < arrived:
        return Again(False, _("Until then the order may still arrive."), not_before=arrived)
    return Again(
        True, _("A look-up comes first; only if it does not show the refund does the same order go out again.")
    )
