"""The filters of the refund list: the questions that people ask of it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.admin import RelatedFieldListFilter, SimpleListFilter
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from refunds import scope, services
from refunds.admin.queue import waiting_for
from refunds.models import Account, Refund


class Mine(SimpleListFilter):
    title = "my part"
    parameter_name = "for_me"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("decide", "Waiting for my decision"),
            ("asked", "I asked for it"),
            ("returned", "Returned to me"),
            ("alarm", "I asked for it, and somebody has to look"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        me = cast(User, request.user)  # the admin has seen to it
        match self.value():
            case "decide":
                return queryset.filter(pk__in=waiting_for(me).values("pk"))
            case "asked":
                return queryset.filter(requested_by=me)
            case "returned":
                return queryset.filter(requested_by=me, status="returned")
            case "alarm":
                return queryset.filter(requested_by=me).exclude(needs_attention="")
        return queryset


class Attention(SimpleListFilter):
    title = "attention"
    parameter_name = "attention"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("needed", "Somebody has to look")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        return queryset.exclude(needs_attention="") if self.value() == "needed" else queryset


class OfBatch(SimpleListFilter):
    """The refunds of one batch: where its page leads to; offered nowhere else."""

    title = gettext_lazy("batch")
    parameter_name = "batch"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if not (number := self._number(request)):
            return []
        shown = services.batches_for(cast(User, request.user)).filter(pk=number).first()
        return [(number, f"{shown} · {shown.file_name}" if shown else _("none that is known"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refund]) -> QuerySet[Refund]:
        own = services.batches_for(cast(User, request.user)).filter(pk=self._number(request) or 0)
        return queryset.filter(batch_row__batch__in=own) if self.value() else queryset

    def _number(self, request: HttpRequest) -> str:
        number = request.GET.get("batch", "")
        return number if number.isascii() and number.isdecimal() and len(number) <= 18 else ""


class OwnAccounts(RelatedFieldListFilter):
    """The accounts that this person works with."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        accounts = scope.within(Account.objects.all(), cast(User, request.user), "pk")
        return [(str(account.pk), str(account)) for account in accounts]


OWN_ACCOUNTS = ("account", OwnAccounts)
REFUND_FILTERS = (Mine, Attention, "status", OWN_ACCOUNTS, "reason", OfBatch)
