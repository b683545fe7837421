"""Who has a waiting refund open at this moment: soft, for five minutes, and never in anybody's way.

Kept in the cache: a look is no act, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from refunds.models import Refund

STAYS = timedelta(minutes=5)


@dataclass(frozen=True)
class Look:
    """Somebody has been looking since `since`."""

    who: str
    since: datetime

    @property
    def words(self) -> str:
        if timezone.now() - self.since < timedelta(minutes=1):
            return _("%(who)s began to look at it a moment ago.") % {"who": self.who}
        return _("%(who)s has been looking at it for %(time)s.") % {"who": self.who, "time": timesince(self.since)}


def look(refund: Refund, user: User) -> list[Look]:
    """This person opens a refund, and leaves the one before; returns who else is looking."""
    now, mine = timezone.now(), f"looks:{user.pk}"
    if (left := cache.get(mine)) not in (None, refund.pk):
        _leave(left, user)
    cache.set(mine, refund.pk, STAYS.total_seconds())
    looks = _of(cache.get(_key(refund.pk)), now)
    since = looks[user.pk][1] if user.pk in looks else now
    cache.set(_key(refund.pk), {**looks, user.pk: (str(user), since, now)}, STAYS.total_seconds())
    return _others(looks, user)


def leave(refund: Refund, user: User) -> None:
    """It is decided."""
    _leave(refund.pk, user)


def looked_at(refunds: Iterable[int], user: User) -> dict[int, list[Look]]:
    """Who else looks at which of these."""
    now = timezone.now()
    found = cache.get_many([_key(pk) for pk in refunds])
    return {pk: looks for pk in refunds if (looks := _others(_of(found.get(_key(pk)), now), user))}


def _key(refund_id: int) -> str:
    return f"looking:{refund_id}"


def _of(kept: Any, now: datetime) -> dict[int, tuple[str, datetime, datetime]]:
    """User id → name, since when, and when last; who was not there for five minutes has gone."""
    return {pk: look for pk, look in (kept or {}).items() if now - look[2] < STAYS}


def _others(looks: dict[int, tuple[str, datetime, datetime]], user: User) -> list[Look]:
    return [Look(who, since) for pk, (who, since, _last) in looks.items() if pk != user.pk]


def _leave(refund_id: int, user: User) -> None:
    looks = _of(cache.get(_key(refund_id)), timezone.now())
    if looks.pop(user.pk, None):
        cache.set(_key(refund_id), looks, STAYS.total_seconds())
