"""Reasons: the house's list, with each gateway's own word."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from refunds.models import ReasonWord, RefundReason


class Words(TabularInline):
    model = ReasonWord
    extra = 0
    can_delete = False


@admin.register(RefundReason)
class RefundReasonAdmin(ModelAdmin):
    """Staff add, reword and retire reasons; none is deleted, since old refunds name them."""

    list_display = ("name", "wording", "is_active")
    fields = ("name", "wording", "is_active")
    inlines = (Words,)
    actions = None
    save_as = False

    def has_delete_permission(self, request: HttpRequest, obj: RefundReason | None = None) -> bool:
        return False
