"""Deliveries: the webhooks that were verified, and what became of each."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from refunds import policy, wording
from refunds.admin.desk import DeskRequest
from refunds.admin.export import Exports
from refunds.admin.filters import OWN_ACCOUNTS
from refunds.models import Delivery


@admin.register(Delivery)
class DeliveryAdmin(Exports):
    list_display = ("shown_moment", "account", "shown_result", "refund", "why")
    list_filter = (OWN_ACCOUNTS, "result")
    list_select_related = ("account", "refund")
    search_fields = ("refund__reference",)
    fields = ("received_at", "account", "refund", "result", "why", "digest")
    actions = None

    def get_fields(self, request: DeskRequest, obj: Delivery | None = None) -> tuple[str, ...]:
        """What was said raw is for those who may read raw exchanges."""
        raw = ("headers", "body") if policy.may(request.user, policy.RAW) else ()
        return (*self.fields, *raw)

    def get_search_fields(self, request: DeskRequest) -> tuple[str, ...]:
        """What may not be read is not to be found either."""
        raw = ("body",) if policy.may(request.user, policy.RAW) else ()
        return (*self.search_fields, *raw)

    @display(description="Received", ordering="received_at")
    def shown_moment(self, delivery: Delivery) -> str:
        return wording.moment(delivery.received_at)

    @display(
        description="Result",
        label={
            "applied": "success",
            "evidence": "info",
            "knock": "info",
            "unmatched": "warning",
            "unreadable": "danger",
        },
    )
    def shown_result(self, delivery: Delivery) -> tuple[str, str]:
        return delivery.result, delivery.get_result_display()
