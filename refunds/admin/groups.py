"""The line of decisions in groups: by reason, or by customer. Each group leads to its own line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, Min
from django.db.models import Sum as Added
from django.db.models.functions import Lower
from django.http import HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateways.money import Money
from refunds import policy, scope
from refunds.admin.desk import DeskRequest, ReadOnly
from refunds.admin.filters import DECIDE, NO_EMAIL
from refunds.admin.lines import span
from refunds.admin.queue import waiting_for
from refunds.reports.sums import Sum

MOST = 100
# name in the address → title, what groups, what names a group, and the filter of the list that it leads to
BY: dict[str, tuple[Any, Any, str, str]] = {
    "reason": (gettext_lazy("Reason"), F("reason__name"), "reason_id", "reason__id__exact"),
    "customer": (gettext_lazy("Customer"), Lower("payment__customer_email"), "name", "customer"),
}


@dataclass(frozen=True)
class Group:
    name: str
    number: int
    sums: list[Sum]
    oldest: datetime
    link: str

    @property
    def waits(self) -> str:
        return span(self.oldest)


def urls(screen: ReadOnly) -> list[URLPattern]:
    def view(request: DeskRequest) -> HttpResponse:
        return groups_view(screen, request)

    return [path("grouped/", screen.admin_site.admin_view(view), name="refunds_refund_grouped")]


def groups_view(screen: ReadOnly, request: DeskRequest) -> HttpResponse:
    if not screen.has_view_permission(request) or not policy.may(request.user, policy.APPROVE):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET"])
    asked = request.GET.get("by", "reason")
    by = asked if asked in BY else "reason"
    groups = found(request, by)
    return screen.page(
        request,
        "admin/refunds/groups.html",
        title=_("Waiting for your decision, in groups"),
        by=by,
        ways=[(name, title) for name, (title, *_rest) in BY.items()],
        unknown=asked if asked != by else "",
        groups=groups[:MOST],
        n_groups=len(groups),
        says_mode=len(scope.modes(scope.limited_to(request.user))) > 1,
    )


def found(request: DeskRequest, by: str) -> list[Group]:
    """The largest groups first; the sums are one per mode and currency, and never added up."""
    _title, what, key, parameter = BY[by]
    apart = ("account__mode", "payment__currency")
    rows = waiting_for(request.user).order_by().annotate(name=what).values(*{"name", key}, *apart)
    kept: dict[Any, dict[str, Any]] = {}
    for row in rows.annotate(number=Count("pk"), minor=Added("amount"), oldest=Min("requested_at")):
        group = kept.setdefault(row[key], {"name": row["name"], "number": 0, "sums": [], "oldest": row["oldest"]})
        group["number"] += row["number"]
        group["sums"].append(Sum(Money(row["minor"], row["payment__currency"]), row["account__mode"]))
        group["oldest"] = min(group["oldest"], row["oldest"])
    return sorted(
        (_group(group, parameter, key_of_it or NO_EMAIL) for key_of_it, group in kept.items()),
        key=lambda group: (-group.number, group.oldest),
    )


def _group(group: dict[str, Any], parameter: str, key: Any) -> Group:
    link = reverse("admin:refunds_refund_changelist") + "?" + urlencode({"for_me": DECIDE, parameter: key})
    name = group["name"] or _("No e-mail address known")
    sums = sorted(group["sums"], key=lambda sum_of: (sum_of.mode, sum_of.money.currency))
    return Group(name, group["number"], sums, group["oldest"], link)
