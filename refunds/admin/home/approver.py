"""An approver's part: the line of what waits, how long it waits beside the target, and the first of it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from refunds import health, limits, services
from refunds.admin.home.piles import ALL, FEW, Part, Pile, of_refunds, tallies
from refunds.admin.queue import waiting_for
from refunds.models import Refund

MINE = "?for_me=decide"


def part(user: User) -> Part:
    line = waiting_for(user)
    target = timezone.now() - health.approve_within()
    found = tallies(line, {"waiting": ALL, "late": Q(requested_at__lt=target)})
    piles = [of_refunds(_("Waiting for your decision"), found["waiting"], MINE, "waiting")]
    if oldest := line.order_by("requested_at", "pk").first():
        piles.append(of_refunds(_past_target(), found["late"], f"{MINE}&overdue=decision", "alarm"))
        piles.append(_longest(oldest, is_late=oldest.requested_at < target))
    lists = {
        "first": line.select_related("payment", "account", "reason", "requested_by")[:FEW],
        "target": target,
        "left": services.left_today(user, limits.Act.APPROVE),
    }
    return Part(_("Your decisions"), piles, "admin/home/approver.html", lists)


def _past_target() -> str:
    hours = settings.APPROVE_WITHIN_HOURS
    text = ngettext("Waiting longer than %(hours)d hour", "Waiting longer than %(hours)d hours", hours)
    return text % {"hours": hours}


def _longest(oldest: Refund, *, is_late: bool) -> Pile:
    link = reverse("admin:refunds_refund_change", args=(oldest.pk,))
    title = _("The longest wait: %(refund)s") % {"refund": oldest}
    waits = timesince(oldest.requested_at, depth=1)
    return Pile(title, 1, link, "alarm" if is_late else "moving", figure=waits)
