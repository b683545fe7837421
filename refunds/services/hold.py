"""The hold: for a while after its last approval nothing is sent, so that the approval can still be taken back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from refunds.models import Refund, Status

SLACK = timedelta(hours=1)


def hold_time() -> timedelta:
    return timedelta(seconds=settings.APPROVAL_HOLD_SECONDS)


def held_until(refund: Refund) -> datetime | None:
    """When an approved refund may be sent, while that lies ahead; None when nothing holds it."""
    if refund.status != Status.APPROVED or refund.approved_at is None or not hold_time():
        return None
    now, until = timezone.now(), refund.approved_at + hold_time()
    # Further away than any hold is long: the clock has been set back.
    return until if now < until <= now + hold_time() + SLACK else None


def why_held(refund: Refund) -> str:
    """Why it is not sent yet, or ""."""
    until = held_until(refund)
    if until is None:
        return ""
    return _("It is held until %(at)s, so that its approval can still be taken back.") % {"at": clock(until)}


def clock(until: datetime) -> str:
    """14:05:30, with the day where that is another one."""
    local = timezone.localtime(until)
    day = "" if local.date() == timezone.localdate() else f"{formats.date_format(local, 'j F Y')}, "
    return f"{day}{local:%H:%M:%S}"
