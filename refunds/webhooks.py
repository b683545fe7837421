"""The one door for all gateways' webhooks: verify over raw bytes, keep, deduplicate, hear. No network in here."""

from __future__ import annotations

import hashlib
import logging

from django.db import Error, IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from gateways.cards import masked
from gateways.contract import Delivery as Wire
from gateways.contract import Gateway, Webhooks
from gateways.errors import BadWebhook, Misconfigured
from refunds import accounts, services
from refunds.errors import RefundError
from refunds.models import Account, ArchivedDelivery, Delivery
from refunds.models.knock import RefusedKnock

log = logging.getLogger(__name__)
Why = RefusedKnock.Why

MOST_BYTES = 64 * 1024
KEPT_HEADERS = ("content-type", "signature", "user-agent", "date", "x-request-id")


class Refused(Exception):
    """The knock ends here, with this HTTP status, and is only counted."""

    def __init__(self, status: int, why: str, body: bytes = b"") -> None:
        super().__init__(why)
        self.answer = status
        self.body = body


COUNTED_AS = {  # not 405: looking changes nothing
    400: Why.SIZE,
    401: Why.UNVERIFIED,
    413: Why.SIZE,
    415: Why.TYPE,
    503: Why.NOT_READY,
}


class Refusal(HttpResponse):
    """The answer to a refused knock, which is counted once the answer is on its way: a stranger waits for nothing."""

    def __init__(self, slug: str, refused: Refused) -> None:
        super().__init__(status=refused.answer)
        self.slug, self.refused = slug, refused

    def close(self) -> None:
        try:
            if why := COUNTED_AS.get(self.refused.answer):
                body = self.refused.body
                services.note_refused(self.slug, why, hashlib.sha256(body).hexdigest() if body else "")
        except Error:
            log.warning("A refused delivery for %r could not be counted", self.slug[:50])
        finally:
            super().close()


@csrf_exempt
def receive(request: HttpRequest, account: str) -> HttpResponse:
    """`POST /webhooks/<account>/`. 2xx only once the delivery is safely kept."""
    try:
        row, wire = _knock(request, account)
        gateway = _verified(row, wire)
        return _heard(row, gateway, wire)
    except Refused as refusal:
        log.info("A delivery for %r was refused with %s: %s", account[:50], refusal.answer, refusal)
        return Refusal(account, refusal)
    except (Error, RefundError):
        log.exception("A delivery for %r could not be kept", account[:50])
        return HttpResponse(status=503)


def _knock(request: HttpRequest, slug: str) -> tuple[Account, Wire]:
    """Method, content type, size and account, in this order; the body as raw bytes."""
    if request.method != "POST":
        raise Refused(405, "not a POST")
    if request.content_type not in ("application/json", "application/x-www-form-urlencoded"):
        raise Refused(415, "content type")
    if (request.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(415, "charset")
    length = request.headers.get("Content-Length", "0")
    if not length.isascii() or not length.isdigit() or int(length[:12] or 0) > MOST_BYTES:
        raise Refused(413, "too long")
    row = Account.objects.filter(slug=slug).first()
    if row is None:
        raise Refused(404, "no such account")
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise Refused(413, "too long")
    if not body:
        raise Refused(400, "empty")
    return row, Wire({name.lower(): value for name, value in request.headers.items()}, body)


def _verified(account: Account, wire: Wire) -> Gateway:
    """The account's connector, once it has vouched for the delivery; whatever goes wrong in there refuses."""
    try:
        gateway = accounts.connect(account)
    except Misconfigured as trouble:
        raise Refused(503, str(trouble)) from trouble
    if wire.headers.get("content-type", "").split(";")[0].strip().lower() != gateway.webhook_type:
        raise Refused(415, "content type")
    try:
        gateway.verify_webhook(wire)
    except Misconfigured as trouble:
        services.book_key_fetch(account)
        raise Refused(503, str(trouble), wire.body) from trouble
    except Exception as trouble:
        services.book_key_fetch(account)
        raise Refused(401, "not verified", wire.body) from trouble
    return gateway


def _heard(account: Account, gateway: Gateway, wire: Wire) -> HttpResponse:
    try:
        return _keep_and_apply(account, gateway, wire)
    except IntegrityError:  # its twin came at the same moment; this one was rolled back, and meets the other now
        return _keep_and_apply(account, gateway, wire)


def _keep_and_apply(account: Account, gateway: Gateway, wire: Wire) -> HttpResponse:
    """Keep, deduplicate and apply in one transaction; a repeat of what was read is answered as the first one was."""
    with transaction.atomic():
        delivery, is_new = _keep(account, wire)
        # A knock may sound the same each time and still be about something new; asking once more harms nothing.
        is_heard = not is_new and delivery.result != Delivery.Result.UNREADABLE
        # The row comes first: an archive writes down what it has before the row leaves, so one of both is seen.
        is_archived = is_new and ArchivedDelivery.objects.filter(account=account, digest=delivery.digest).exists()
        if (is_heard or is_archived) and gateway.can.webhooks is Webhooks.SPEAK:
            if is_archived:
                transaction.set_rollback(True)
            return HttpResponse(gateway.webhook_answer, content_type="application/json")
        try:
            said = gateway.read_webhook(wire)
        except BadWebhook as trouble:
            delivery.result, delivery.why = Delivery.Result.UNREADABLE, masked(str(trouble))[:300]
            log.warning("A verified delivery for %s cannot be read: %s", account, trouble)
        else:
            services.hear_delivery(delivery, said, is_believed=gateway.can.webhooks is Webhooks.SPEAK)
        delivery.save(update_fields=("refund", "result", "why"))  # and not the body once more
    about = {"account": account.slug, "refund": delivery.refund.number if delivery.refund else ""}
    log.info("Delivery %d for %s: %s", delivery.pk, account, delivery.result, extra=about)
    if delivery.result == Delivery.Result.UNREADABLE:
        return HttpResponse(status=400)
    return HttpResponse(gateway.webhook_answer, content_type="application/json")


def _keep(account: Account, wire: Wire) -> tuple[Delivery, bool]:
    """The delivery as a row, and whether it is the first with this body. Raises IntegrityError for one of two twins."""
    digest = hashlib.sha256(wire.body).hexdigest()
    if known := Delivery.objects.select_for_update().filter(account=account, digest=digest).first():
        return known, False
    first = Delivery.objects.create(
        account=account,
        digest=digest,
        received_at=timezone.now(),
        headers={name: masked(wire.headers[name]) for name in KEPT_HEADERS if name in wire.headers},
        body=masked(wire.body.decode(errors="backslashreplace").replace("\0", "\\x00")),
    )
    return first, True
