"""Payerly's webhooks for refunds on their way, signed: each says that its refund has succeeded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from django.utils import timezone

from refunds.models import Account, Refund


def pinned_key() -> rsa.RSAPrivateKey:
    """A new key of theirs, known to the account as if it had been fetched."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    Account.objects.filter(gateway="payerly").update(webhook_key=key.public_key().public_bytes(*form).decode())
    return key


def succeeded(number: int, key: rsa.RSAPrivateKey) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and body of so many deliveries, one for each refund that is processing."""
    rows = Refund.objects.filter(status="processing", account__gateway="payerly").select_related("payment")
    for refund in rows.order_by("pk")[:number]:
        body = json.dumps(told(refund)).encode()
        signature = base64.b64encode(key.sign(body, padding.PKCS1v15(), hashes.SHA256())).decode()
        yield {"Content-Type": "application/json", "Signature": signature}, body


def told(refund: Refund) -> dict[str, object]:
    return {
        "type": "REFUND",
        "object": {
            "refundId": str(refund.key),
            "paymentId": refund.payment.reference,
            "txnId": refund.reference,
            "amount": {"value": str(refund.money), "currency": refund.money.currency},
            "status": {"value": "SUCCESS", "changedAt": timezone.now().isoformat(timespec="milliseconds")},
        },
    }
