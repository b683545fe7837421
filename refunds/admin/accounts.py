"""Accounts: which credentials there are, whether they send, and whose key signs their webhooks."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST
from unfold.decorators import display

from refunds import accounts, capabilities, policy, services
from refunds.admin import fresh
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.errors import RefundError
from refunds.models import Account
from refunds.templatetags.desk import mode

STEPS = {
    "pause": (services.pause_account, gettext_lazy("%(account)s is paused: nothing is sent through it.")),
    "resume": (services.resume_account, gettext_lazy("%(account)s sends again.")),
    "try": (
        services.try_account_now,
        gettext_lazy("%(account)s is tried again: one refund goes ahead, the others follow when it answers."),
    ),
    "key": (services.accept_key, gettext_lazy("%(account)s believes the new webhook key.")),
}


@admin.register(Account)
class AccountAdmin(OwnPage):
    """Written by `manage.py sync_accounts`; only its brakes and a changed webhook key are decided here."""

    page_template = "admin/refunds/account.html"
    to_account = "pk"
    list_display = ("slug", "gateway", "shown_mode", "is_active", "shown_pause", "shown_key")
    actions = None

    @display(description=gettext_lazy("Mode"), ordering="mode")
    def shown_mode(self, account: Account) -> str:
        return mode(account)

    @display(description=gettext_lazy("Stopped"), label={"paused": "warning", "no answer": "danger"})
    def shown_pause(self, account: Account) -> tuple[str, str] | str:
        if account.paused_because:
            return "paused", _("paused")
        return ("no answer", _("no answer")) if account.breaker_until else ""

    @display(description=gettext_lazy("Webhook key"))
    def shown_key(self, account: Account) -> str:
        if not accounts.has_webhook_key(account):
            return _("none needed")
        if key_is_offered(account):
            return _("changed: look at it")
        return _("pinned") if account.webhook_key else _("not fetched")

    def page_context(self, request: DeskRequest, found: Account) -> dict[str, Any]:
        return {
            "account": found,
            "callback_url": accounts.callback_url(found),
            "has_key": accounts.has_webhook_key(found),
            "key": services.fingerprint(found.webhook_key),
            "offered": services.fingerprint(found.webhook_key_offered) if key_is_offered(found) else "",
            "may_decide": request.user.has_perm(policy.ACCOUNTS),
            "card": capabilities.card_of(found),
            "n_waiting": found.refunds.filter(status="approved").count(),
        }

    def get_urls(self) -> list[URLPattern]:
        own = self.admin_site.admin_view(require_POST(self.step_view))
        return [path("<int:pk>/step/<slug:name>/", own, name="refunds_account_step"), *super().get_urls()]

    def step_view(self, request: DeskRequest, pk: int, name: str) -> HttpResponse:
        """The account's page asks, this does, and the admin log keeps who it was."""
        account = self.get_object(request, str(pk))
        if account is None or name not in STEPS:
            raise Http404
        if not request.user.has_perm(policy.ACCOUNTS):
            raise PermissionDenied
        if name == "key" and (away := fresh.ask(request)):
            return away  # whose key is believed decides what is believed about money
        step, done = STEPS[name]
        try:
            account = step(account.pk, request.user, request.POST.get("text", ""))
        except RefundError as refusal:
            messages.error(request, str(refusal))
        else:
            key = services.fingerprint(account.webhook_key) if name == "key" else ""
            self.log_change(request, account, f"{name}: {key or account.paused_because or account.breaker_because}")
            messages.success(request, done % {"account": account})
        return redirect("admin:refunds_account_change", pk)


def key_is_offered(account: Account) -> bool:
    return account.webhook_key_offered not in ("", account.webhook_key)
