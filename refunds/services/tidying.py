"""What nobody needs any more leaves by itself, a little at a time; nothing of a refund's history is among it."""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from refunds.models import Notice, RefusedKnock

KEEP = timedelta(days=400)  # so that a year can be compared with the year before
LOGGED_IN = timedelta(days=1)  # longer than any login lasts that has lost its session
AT_ONCE = 500


def tidy() -> int:
    """Sessions that have expired, e-mails and refused knocks of long ago. Returns how many rows have left."""
    now = timezone.now()
    session = Session.objects.filter(session_key=OuterRef("session_key"))
    over: tuple[QuerySet, ...] = (
        Session.objects.filter(expire_date__lt=now),
        UserSession.objects.filter(~Exists(session), last_seen_at__lt=now - LOGGED_IN),
        Notice.objects.filter(due_at=None, made_at__lt=now - KEEP),
        RefusedKnock.objects.filter(hour__lt=now - KEEP),
    )
    return sum(_some_of(rows) for rows in over)


def _some_of(rows: QuerySet) -> int:
    """A few at a time, so that no tick of the clock takes long."""
    model = rows.model
    some = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return model._default_manager.filter(pk__in=some).delete()[0] if some else 0
