"""An agent's part: what was returned with a question, what is stuck, what waits, what was done today."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import health, limits, scope, services
from refunds.admin.home.piles import FEW, Part, Pile, of_refunds, tallies
from refunds.models import Event, Refund, Status
from refunds.preferences import midnight

CALLED_TO = Q(needs_attention__gt="")
UNFINISHED = (Status.REQUESTED, Status.RETURNED, *health.OPEN)


def part(user: User, limit: list[int] | None) -> Part:
    own = scope.among(Refund.objects.filter(requested_by=user), limit)
    shown = own.select_related("payment", "account", "reason", "requested_by")
    lists = {
        "returned": shown.filter(status=Status.RETURNED).annotate(question=_question()).order_by("requested_at")[:FEW],
        "stuck": shown.filter(CALLED_TO | health.is_stuck()).order_by("requested_at")[:FEW],
        "latest": shown[:FEW],
        "left": services.left_today(user, limits.Act.REQUEST),
    }
    return Part(_("Your requests"), _piles(own), "admin/home/agent.html", lists)


def _piles(own: QuerySet[Refund]) -> list[Pile]:
    done = Q(status=Status.SUCCEEDED, final_at__gte=midnight(timezone.localdate()))
    found = tallies(
        own.filter(Q(status__in=UNFINISHED) | CALLED_TO | done),  # of the years before only what a pile needs
        {
            "returned": Q(status=Status.RETURNED),
            "called": CALLED_TO,
            "stuck": health.is_stuck(),
            "waiting": Q(status=Status.REQUESTED),
            "done": done,
        },
    )
    return [
        of_refunds(_("Returned to you with a question"), found["returned"], "?for_me=returned", "waiting"),
        of_refunds(_("Yours, and Finance looks"), found["called"], "?for_me=alarm", "alarm"),
        of_refunds(_("Yours, unknown or overdue"), found["stuck"], "?for_me=stuck", "alarm"),
        of_refunds(
            _("Yours, waiting for approval"), found["waiting"], "?for_me=asked&status__exact=requested", "moving"
        ),
        of_refunds(_("Yours, succeeded today"), found["done"], "?for_me=asked&status__exact=succeeded", "good"),
    ]


def _question() -> Subquery:
    """What the approver asked when it was last returned."""
    asked = Event.objects.filter(refund=OuterRef("pk"), to_status=Status.RETURNED, from_status=Status.REQUESTED)
    return Subquery(asked.order_by("-sequence").values("text")[:1])
