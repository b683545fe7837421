"""A bundle: approved refunds of one account, each of another payment, whose orders go out in one call.

Only the call is shared. Each refund is claimed, written down and heard by itself, so none knows of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from gateways.contract import Gateway
from refunds.errors import RefundError
from refunds.models import Account, Refund, Status
from refunds.models.refund import AT_THE_GATEWAY
from refunds.services.claim import claim
from refunds.services.due import lease, take_ticket
from refunds.services.hold import hold_time
from refunds.services.trouble import note_trouble

log = logging.getLogger(__name__)

Done = TypeVar("Done")


def gather(first: Refund, gateway: Gateway) -> list[Refund]:
    """`first`, and as many others as the call still takes: each one's ticket is taken, and it is claimed, here and now.

    One that cannot be claimed is left out. Nobody waits for a call to be full.
    """
    refunds, n_tried, ends = [first], 1, timezone.now() + lease() // 5  # the rest of the lease is for the call
    while len(refunds) < gateway.bundle and n_tried < 2 * gateway.bundle and timezone.now() < ends:
        if not (found := _ready(first.account).order_by("ask_at").values_list("pk", "ask_at").first()):
            break
        if take_ticket(Refund.objects.filter(pk=found[0]), found[1]):  # so only one worker gets to it
            n_tried += 1
            claimed = apart(found[0], claim, found[0], None, is_probe=False)
            refunds += [claimed] if claimed else []
    return refunds


def _ready(account: Account) -> Any:
    """Approved refunds that seem to wait for their turn only; the claim knows. Who waits after an accident is none.

    Those that are due come first, before those whose ticket is on its way to a worker.
    """
    now = timezone.now()
    found = Refund.objects.filter(Q(ask_at__lte=now) | Q(asks=0), account=account, status=Status.APPROVED)
    found = found.filter(ask_at__isnull=False, needs_attention="", may_not_be_sent=False, payment__disputed_at=None)
    found = found.exclude(payment__refunds__status__in=AT_THE_GATEWAY)  # as all are that share the call already
    return found.exclude(approved_at__gt=now - hold_time()) if hold_time() else found


def apart(refund_id: int, act: Callable[..., Done], *args: Any, **more: Any) -> Done | None:
    """Do something with one refund of a bundle; what goes wrong there is its own trouble, and the others go on."""
    try:
        return act(*args, **more)
    except Exception:  # noted as our own trouble with this one; its lease brings it back
        log.exception("Something went wrong with refund %s of a bundle.", refund_id)
        with suppress(DatabaseError, RefundError):
            note_trouble(refund_id)
        return None
