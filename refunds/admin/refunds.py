"""Refunds: the list with its actions, the page of one refund, and its step pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from refunds import find, policy, risk, wording
from refunds.admin import (
    approvals,
    bulk,
    declarations,
    fresh,
    groups,
    lines,
    looking,
    pack,
    queue,
    reports,
    results,
    unknown,
)
from refunds.admin.desk import DeskRequest, OwnPage, seen_in, two_lines, with_mode
from refunds.admin.export import Exports
from refunds.admin.facts import facts
from refunds.admin.filters import REFUND_FILTERS, is_line
from refunds.admin.stages import stages
from refunds.admin.steps import STEPS, Step, offered
from refunds.admin.timeline import timeline
from refunds.errors import RefundError
from refunds.models import Refund, Status
from refunds.templatetags.desk import TONES

BADGES = {"waiting": "warning", "moving": "info", "good": "success", "bad": "danger", "alarm": "danger", "over": ""}
LABELS: dict[str, str] = {**{word: BADGES[tone] for word, tone in TONES.items()}, "attention": "danger"}


MOVING = (Status.APPROVED, Status.SENDING, Status.UNKNOWN, Status.PROCESSING)


@admin.register(Refund)
class RefundAdmin(Exports, OwnPage):
    page_template = "admin/refunds/refund.html"
    list_display = (
        "shown_number",
        "shown_amount",
        "shown_status",
        "shown_customer",
        "shown_payment",
        "reason",
        "shown_request",
    )
    list_filter = REFUND_FILTERS
    list_select_related = ("payment", "payment__account", "account", "reason", "requested_by")
    search_fields = ("find",)  # the box is there; what it finds is said in refunds/find.py
    search_help_text = gettext_lazy("Our number, order, e-mail, ticket, or any id of the gateway")
    list_before_template = "admin/refunds/refund_list_before.html"
    list_filter_submit = True
    show_facets = admin.ShowFacets.NEVER
    actions = (
        "approve_selected",
        "send_selected",
        "check_selected",
        "return_selected",
        "reject_selected",
        "withdraw_selected",
    )

    # --- the list ---

    @display(description=gettext_lazy("Number"))
    def shown_number(self, refund: Refund) -> str:
        return with_mode(refund.number, refund.account)

    @display(description=gettext_lazy("Amount"), ordering="amount")
    def shown_amount(self, refund: Refund) -> str:
        return wording.amount(refund.money)

    @display(description=gettext_lazy("Status"), label=LABELS)
    def shown_status(self, refund: Refund) -> tuple[str, str]:
        words = refund.get_status_display()
        return (
            ("attention", _("%(status)s · look at it") % {"status": words})
            if refund.needs_attention
            else (refund.status, words)
        )

    @display(description=gettext_lazy("Customer"))
    def shown_customer(self, refund: Refund) -> str:
        return two_lines(refund.payment.customer_name, refund.payment.customer_email)

    @display(description=gettext_lazy("Payment"))
    def shown_payment(self, refund: Refund) -> str:
        return two_lines(refund.payment.order or refund.payment.reference, str(refund.account))

    @display(description=gettext_lazy("Asked by"), ordering="requested_at")
    def shown_request(self, refund: Refund) -> str:
        return two_lines(str(refund.requested_by or _("made at the gateway")), wording.moment(refund.requested_at))

    def get_search_results(
        self, request: DeskRequest, queryset: QuerySet[Refund], search_term: str
    ) -> tuple[QuerySet[Refund], bool]:
        return (find.narrowed(queryset, search_term) if search_term else queryset), False

    def changelist_view(self, request: DeskRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        page = super().changelist_view(request, {**lines.above_list(request), **(extra_context or {})})
        if is_line(request) and policy.may(request.user, policy.APPROVE):
            lines.note_looks(page, request.user)
        return page

    def get_changelist(self, request: DeskRequest, **kwargs: Any) -> type[lines.InOrder]:
        return lines.InOrder

    def get_list_display(self, request: DeskRequest) -> tuple[str, ...]:
        """In the line of decisions, why each stands there and who looks at it, instead of a status they all have."""
        if not is_line(request):
            return self.list_display
        return tuple("shown_signs" if name == "shown_status" else name for name in self.list_display)

    @display(description=gettext_lazy("Why here"))
    def shown_signs(self, refund: Any) -> str:
        return lines.signs_in_list(refund)

    # --- the actions ---

    @admin.action(description=gettext_lazy("Approve and send selected"), permissions=["approve"])
    def approve_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["approve"])

    @admin.action(description=gettext_lazy("Send selected approved refunds now"), permissions=["approve"])
    def send_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["send"])

    @admin.action(description=gettext_lazy("Check selected with the gateway"), permissions=["sync"])
    def check_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["check"])

    @admin.action(description=gettext_lazy("Return…"), permissions=["approve"])
    def return_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["return"])

    @admin.action(description=gettext_lazy("Reject…"), permissions=["approve"])
    def reject_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["reject"])

    @admin.action(description=gettext_lazy("Withdraw selected"), permissions=["request"])
    def withdraw_selected(self, request: DeskRequest, queryset: QuerySet[Refund]) -> HttpResponse | None:
        return bulk.ask_or_do(self, request, STEPS["withdraw"])

    # --- the page of one refund ---

    def get_queryset(self, request: DeskRequest) -> QuerySet[Refund]:
        refunds = super().get_queryset(request).select_related(*self.list_select_related, "retry_of")
        return risk.judged(refunds, request.user) if is_line(request) else refunds

    def page_context(self, request: DeskRequest, found: Refund) -> dict[str, Any]:
        deciding = lines.shown(self, request, found)
        place = deciding["place"]
        steps, events = offered(found, request.user), list(found.events.order_by("sequence"))
        return {
            **facts(found),
            **deciding,
            **for_the_customer(request, found),
            **approvals.shown(found, request.user),
            **approvals.alike(found, request.user),
            **declarations.shown(found, request.user),
            "steps": [step for step in steps if step.name not in deciding["at_hand"]],
            "check": next((step for step in steps if step.name == "check"), None),
            "next_step": _("It waits for your decision.") if place else wording.next_step(found),
            "next_moment": wording.next_moment(found),
            "press_again": wording.press_again(found),
            "is_moving": is_moving(found),
            "stages": stages(found, events),
            "archived": found.archived.select_related("archive"),
            "timeline": timeline(found, events, raw=policy.may(request.user, policy.RAW)),
            "siblings": found.payment.refunds.exclude(pk=found.pk).select_related("payment"),
            "may_pack": policy.may(request.user, policy.EXPORT),
            "now": timezone.now(),
        }

    # --- its steps ---

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view(self.step_view)
        return [
            path("<int:pk>/step/<slug:name>/", own, name="refunds_refund_step"),
            *groups.urls(self),
            *results.urls(self),
            *declarations.urls(self),
            *unknown.urls(self),
            *reports.urls(self),
            *pack.urls(self),
            *super().get_urls(),
        ]

    def step_view(self, request: DeskRequest, pk: int, name: str) -> HttpResponse:
        """GET asks, POST does; a stale page is refused with a sentence and loses nothing that was typed."""
        refund = self.get_object(request, str(pk))
        step = STEPS.get(name)
        if refund is None or step is None:
            raise Http404
        if not self.has_view_permission(request, refund) or not step.allows(refund, request.user):
            raise PermissionDenied
        if step.needs_proof and (away := fresh.ask(request, one_by_one=step.decides)):
            return away
        if request.method == "POST":
            return self._take(request, refund, step)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "POST"])
        return self._ask(request, refund, step)

    def _ask(self, request: DeskRequest, refund: Refund, step: Step, refusal: str = "", text: str = "") -> HttpResponse:
        return self.page(
            request,
            "admin/refunds/step.html",
            status=409 if refusal else 200,
            title=_("%(verb)s: %(refund)s") % {"verb": step.verb, "refund": refund},
            step=step,
            refusal=refusal,
            text=text,
            customer_sentence=wording.customer_sentence(refund),
            place=queue.place(refund, lines.line(self, request)) if step.decides else None,
            keep=lines.keep(self, request),
            **(approvals.shown(refund, request.user) if step.decides or step.asks else {}),
            **(approvals.alike(refund, request.user) if step.decides else {}),
            **facts(refund),
        )

    def _take(self, request: DeskRequest, refund: Refund, step: Step) -> HttpResponse:
        text, seen = request.POST.get("text", ""), seen_in(request, "seen")
        line = lines.line(self, request)
        place = queue.place(refund, line) if step.decides else None
        try:
            changed = step.do(refund.pk, request.user, -1 if seen is None else seen, text)
        except RefundError as refusal:
            return self._ask(request, self.get_object(request, str(refund.pk)), step, str(refusal), text)
        said = _("%(refund)s of %(amount)s %(became)s (%(mode)s).")
        told = {"refund": changed, "amount": wording.amount(changed.money), "became": step.told(changed)}
        messages.success(request, said % {**told, "mode": changed.account.mode})
        if not step.decides:
            return self._to(request, changed.pk)
        looking.leave(request.user)
        if following := queue.next_after(refund, place, line):
            return self._to(request, following)
        messages.info(request, _("Nothing else waits for your decision."))
        return redirect("admin:refunds_refund_changelist")

    def _to(self, request: DeskRequest, pk: int) -> HttpResponse:
        """To the page of a refund, in the same line."""
        return redirect(reverse("admin:refunds_refund_change", args=(pk,)) + lines.keep(self, request))


def for_the_customer(request: DeskRequest, refund: Refund) -> dict[str, Any]:
    """The sentence to copy, in the language that the address names; it is kept nowhere."""
    language = wording.language_of(request.GET.get("say", ""))
    return {
        "customer_sentence": wording.customer_sentence(refund, language),
        "language": language,
        "languages": wording.languages(),
        "says": language if "say" in request.GET else "",
    }


def is_moving(refund: Refund) -> bool:
    """Whether something will happen to it within a minute, so that its page follows it by itself."""
    soon = timezone.now() + timedelta(minutes=1)
    return refund.status in MOVING and not refund.needs_attention and refund.ask_at is not None and refund.ask_at < soon
