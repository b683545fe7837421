"""Accounts: which credentials there are, whether they send, and whose key signs their webhooks."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display

from refunds import accounts
from refunds.admin.desk import ReadOnly
from refunds.models import Account


@admin.register(Account)
class AccountAdmin(ReadOnly):
    """Written by `manage.py sync_accounts`; only the pause and the webhook key are decided here."""

    list_display = ("slug", "gateway", "shown_mode", "is_active", "shown_pause", "shown_key")
    fields = (
        "slug",
        "gateway",
        "mode",
        "is_active",
        "shown_callback",
        "paused_because",
        "webhook_key",
        "webhook_key_offered",
    )
    readonly_fields = ("slug", "gateway", "mode", "is_active", "shown_callback", "webhook_key_offered")
    actions = None

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return ModelAdmin.has_change_permission(self, request, obj)

    @display(description="Mode", label={"sandbox": "info", "live": "danger"})
    def shown_mode(self, account: Account) -> str:
        return account.mode

    @display(description="Paused", label={"paused": "warning"})
    def shown_pause(self, account: Account) -> str:
        return "paused" if account.paused_because else ""

    @display(description="Webhook key")
    def shown_key(self, account: Account) -> str:
        if account.webhook_key_offered not in ("", account.webhook_key):
            return "changed: look at it"
        return "pinned" if account.webhook_key else "not fetched"

    @display(description="Callback URL")
    def shown_callback(self, account: Account) -> str:
        return accounts.callback_url(account) or "none: PUBLIC_URL is not set, so the gateway is polled"
