"""A bundle: approved refunds of one account, each of another payment, whose orders go out in one call.

Only the call is shared. Each refund is claimed, written down and heard by itself, so none knows of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from django.db import DatabaseError
from django.utils import timezone

from gateways.contract import Gateway
from refunds.models import Refund, Status
from refunds.services.claim import claim
from refunds.services.due import lease, take_ticket
from refunds.services.trouble import note_trouble

log = logging.getLogger(__name__)

Done = TypeVar("Done")


def gather(first: Refund, gateway: Gateway) -> list[Refund]:
    """`first`, and as many others as the call still takes: each one's turn is due, and is taken here and now.

    One that cannot be claimed is left out. Nobody waits for a call to be full.
    """
    refunds, ends = [first], timezone.now() + lease() // 5  # the rest of the lease is for the call
    due: Any = Refund.objects.filter(account=first.account_id, status=Status.APPROVED, ask_at__lte=timezone.now())
    while len(refunds) < gateway.bundle and timezone.now() < ends:
        others = due.exclude(payment__in=[one.payment_id for one in refunds])
        if not (found := others.order_by("ask_at").values_list("pk", "ask_at").first()):
            break
        if take_ticket(Refund.objects.filter(pk=found[0]), found[1]):  # so only one worker gets to it
            claimed = apart(found[0], claim, found[0], None, is_probe=False)
            refunds += [claimed] if claimed else []
    return refunds


def apart(refund_id: int, act: Callable[..., Done], *args: Any, **more: Any) -> Done | None:
    """Do something with one refund of a bundle; what goes wrong there is its own trouble, and the others go on."""
    try:
        return act(*args, **more)
    except Exception:  # noted as our own trouble with this one; its lease brings it back
        log.exception("Something went wrong with refund %s of a bundle.", refund_id)
        with suppress(DatabaseError):
            note_trouble(refund_id)
        return None
