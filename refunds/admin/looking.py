"""Who has a waiting refund open at this moment: soft, for five minutes, and never in anybody's way.

Kept in the cache, all looks in one entry: a look is no act, and leaves nothing behind. Of two people who open a page in
the very same moment one may not be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from refunds.models import Refund

KEY = "looking"
STAYS = timedelta(minutes=5)


@dataclass(frozen=True)
class Look:
    """Somebody has been looking at a refund since `since`, and opened it last at `last`."""

    refund_id: int
    who: str
    since: datetime
    last: datetime

    @property
    def words(self) -> str:
        if timezone.now() - self.since < timedelta(minutes=1):
            return _("%(who)s began to look at it a moment ago.") % {"who": self.who}
        return _("%(who)s has been looking at it for %(time)s.") % {"who": self.who, "time": timesince(self.since)}


def look(refund: Refund, user: User) -> list[Look]:
    """This person opens a refund, and so leaves the one before; returns who else is looking at it."""
    now, looks = timezone.now(), _looks()
    mine = looks.get(user.pk)
    since = mine.since if mine and mine.refund_id == refund.pk else now
    _keep({**looks, user.pk: Look(refund.pk, str(user), since, now)})
    return [one for pk, one in looks.items() if pk != user.pk and one.refund_id == refund.pk]


def leave(user: User) -> None:
    """It is decided."""
    looks = _looks()
    if looks.pop(user.pk, None):
        _keep(looks)


def looked_at(refunds: Iterable[int], user: User) -> dict[int, list[Look]]:
    """Who else looks at which of these."""
    others = [one for pk, one in _looks().items() if pk != user.pk]
    found = {pk: [one for one in others if one.refund_id == pk] for pk in refunds}
    return {pk: looks for pk, looks in found.items() if looks}


def _looks() -> dict[int, Look]:
    """By user; who opened nothing for five minutes has gone."""
    now, kept = timezone.now(), cache.get(KEY, {})
    looks = {pk: Look(*fields) for pk, fields in kept.items()}
    return {pk: one for pk, one in looks.items() if now - one.last < STAYS}


def _keep(looks: dict[int, Look]) -> None:
    kept = {pk: (one.refund_id, one.who, one.since, one.last) for pk, one in looks.items()}
    cache.set(KEY, kept, STAYS.total_seconds())
