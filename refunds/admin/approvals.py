"""The approvals of a refund as a person sees them: who gave one, how many it takes, and what is new to this person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from refunds import policy, services
from refunds.admin.timeline import title_of
from refunds.models import Approval, Event, Refund, Status

BEFORE_IT_IS_SENT = (Status.REQUESTED, Status.RETURNED, Status.APPROVED)


@dataclass(frozen=True)
class Given:
    """One approval of the refund as it stands; `why_void` says why it no longer counts, or ""."""

    approval: Approval
    why_void: str


def shown(refund: Refund, user: User) -> dict[str, Any]:
    """Of a refund of ours; what a gateway made itself was never approved here."""
    if refund.requested_by is None:
        return {}
    given = [Given(approval, policy.why_void(approval, refund)) for approval in policy.approvals_of(refund)]
    return {
        "approvals": given,
        "approvals_missing": max(refund.approvals_needed - len(given), 0) if refund.status == Status.REQUESTED else 0,
        "since": since_my_last_word(refund, user),
    }


MOST_ALIKE = 5


def alike(refund: Refund, user: User) -> dict[str, Any]:
    """Refunds that this one looks like, as long as it can still be stopped."""
    if refund.status not in BEFORE_IT_IS_SENT:
        return {}
    found = services.duplicates_of(refund, user)
    return {"duplicates": found[:MOST_ALIKE], "n_more": max(found.count() - MOST_ALIKE, 0)}


def since_my_last_word(refund: Refund, user: User) -> list[tuple[str, Event]]:
    """What has happened since this person last took a step of it, oldest first; nothing where that is the newest."""
    events = list(refund.events.order_by("sequence"))
    mine = [event.sequence for event in events if event.actor_user_id == user.pk]
    newer = [event for event in events if mine and event.sequence > mine[-1]]
    return [(title_of(event), event) for event in newer]
