"""What every page about one refund shows of it."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from refunds import wording
from refunds.models import Refund


def facts(refund: Refund) -> dict[str, Any]:
    """`where` only for what was sent: before that there is nothing to find at the gateway."""
    return {
        "refund": refund,
        "payment": refund.payment,
        "original": refund,
        "details": wording.details(refund),
        "where": wording.where_to_look(refund) if refund.sent_at else None,
        "back": reverse("admin:refunds_refund_change", args=(refund.pk,)),
    }
