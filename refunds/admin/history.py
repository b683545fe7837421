"""History: whether the journal still says what was written, and a button to have it looked at again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST
from unfold.decorators import display

from refunds import jobs, policy, scope, wording
from refunds.admin.desk import DeskRequest, OwnPage, two_lines
from refunds.models import Checkpoint, Verification


@admin.register(Verification)
class VerificationAdmin(OwnPage):
    page_template = "admin/refunds/verification.html"
    to_account = ""
    list_before_template = "admin/refunds/verification_list_before.html"
    list_display = ("shown_moment", "shown_result", "shown_range", "shown_younger")
    list_select_related = ("asked_by",)
    actions = None

    @display(description=gettext_lazy("Verified"), ordering="at")
    def shown_moment(self, row: Verification) -> str:
        return two_lines(
            wording.moment(row.at), _("for %(asked_by)s") % {"asked_by": row.asked_by} if row.asked_by else ""
        )

    @display(description=gettext_lazy("Result"), label={"clean": "success", "broken": "danger"})
    def shown_result(self, row: Verification) -> tuple[str, str]:
        return (
            (
                "broken",
                ngettext("%(number)s differences", "%(number)s differences", row.n_findings)
                % {"number": row.n_findings},
            )
            if row.n_findings
            else ("clean", _("everything fits"))
        )

    @display(description=gettext_lazy("Looked at"))
    def shown_range(self, row: Verification) -> str:
        payments = ngettext("%(number)s payments", "%(number)s payments", row.n_payments) % {"number": row.n_payments}
        events = ngettext("%(number)s journal lines", "%(number)s journal lines", row.n_events) % {
            "number": row.n_events
        }
        refunds = ngettext("%(number)s refunds", "%(number)s refunds", row.n_refunds) % {"number": row.n_refunds}
        return two_lines(refunds, f"{payments}, {events}")

    @display(description=gettext_lazy("Not sealed yet"))
    def shown_younger(self, row: Verification) -> str:
        lines = ngettext("%(number)s lines", "%(number)s lines", row.n_younger) % {"number": row.n_younger}
        return two_lines(lines, _("checkpoint %(number)s stands before them") % {"number": row.n_checkpoints})

    def has_view_permission(self, request: DeskRequest, obj: Verification | None = None) -> bool:
        """It speaks of all accounts at once, so it is for those who may see all."""
        return super().has_view_permission(request, obj) and scope.limited_to(request.user) is None

    def page_context(self, request: DeskRequest, found: Verification) -> dict[str, Any]:
        return {"verification": found, "n_more": found.n_findings - len(found.findings)}

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"checkpoint": Checkpoint.objects.first(), "may_verify": policy.may(request.user, policy.VERIFY)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view(require_POST(self.verify_view))
        return [path("now/", own, name="refunds_verification_now"), *super().get_urls()]

    def verify_view(self, request: DeskRequest) -> HttpResponse:
        """Put a look at everything in line; the worker does it, since it reads every line there is."""
        if not policy.may(request.user, policy.VERIFY) or not self.has_view_permission(request):
            raise PermissionDenied
        jobs.wake_verification(request.user.pk)
        messages.success(request, _("A worker looks at the whole history now. The result appears in this list."))
        return redirect("admin:refunds_verification_changelist")
