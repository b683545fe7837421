"""Prepares a peer's database and prints its letters, a line of JSON each: path, headers, body."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
import uuid

from django.core.management import call_command

SECRET = "whsec_only-for-the-bench"


def stripe(number: int) -> None:
    from django.conf import settings
    from djstripe.models import Account, APIKey, WebhookEndpoint

    account = Account.objects.create(id="acct_1", livemode=False)
    key = APIKey.objects.get_or_create_by_api_key(settings.STRIPE_TEST_SECRET_KEY)[0]
    APIKey.objects.filter(pk=key.pk).update(djstripe_owner_account=account)  # so that nobody asks Stripe
    end = WebhookEndpoint.objects.create(
        id="we_1", url="https://x.example", secret=SECRET, livemode=False, enabled_events=["*"]
    )
    for n in range(number):
        event = {
            "id": f"evt_{n:024d}", "object": "event", "api_version": "2024-06-20", "created": int(time.time()),
            "livemode": False, "pending_webhooks": 1, "type": "test.event", "request": {"id": None},
            "data": {"object": {"id": f"re_{n}", "object": "refund", "status": "succeeded"}},
        }  # fmt: skip
        body = json.dumps(event)
        at = int(time.time())
        signed = hmac.new(SECRET.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
        tell(f"/webhook/{end.djstripe_uuid}/", {"Stripe-Signature": f"t={at},v1={signed}"}, body)


def getpaid(number: int) -> None:
    from getpaid.status import PaymentStatus

    from bench.peers.orders.models import Order, Payment

    order = Order.objects.create()
    rows = [
        Payment(id=uuid.UUID(int=n + 1), order=order, amount_required=10, currency="EUR", amount_locked=10,
                status=PaymentStatus.PREPARED, backend="getpaid.backends.dummy")
        for n in range(number)
    ]  # fmt: skip
    Payment.objects.bulk_create(rows, batch_size=1000)
    for row in rows:
        tell(f"/callback/{row.pk}/", {}, json.dumps({"new_status": PaymentStatus.PAID}))


def tell(path: str, headers: dict[str, str], body: str) -> None:
    print(json.dumps({"path": path, "headers": {"Content-Type": "application/json", **headers}, "body": body}))


def main(words: list[str]) -> None:
    call_command("migrate", run_syncdb=True, verbosity=0)
    {"stripe": stripe, "getpaid": getpaid}[os.environ["PEER"]](int(words[0]))
