"""Deliveries: the webhooks that were verified, and what became of each."""

from __future__ import annotations

from django.contrib import admin
from unfold.decorators import display

from refunds import wording
from refunds.admin.desk import ReadOnly
from refunds.models import Delivery


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    list_display = ("shown_moment", "account", "shown_result", "refund", "why")
    list_filter = ("account", "result")
    list_select_related = ("account", "refund")
    search_fields = ("body", "refund__reference")
    fields = ("received_at", "account", "refund", "result", "why", "headers", "body", "digest")
    actions = None

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
