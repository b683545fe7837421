"""What may go into an archive: payments that nothing is left to do about, and webhooks that were about no refund."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from refunds.models import (
    ArchivedChain,
    Attempt,
    BatchRow,
    Checkpoint,
    Declaration,
    Delivery,
    Event,
    Notice,
    Payment,
    Refund,
    UnmatchedRefund,
)
from refunds.models.refund import HOLDING

# Asked about for ever: a file that names this payment as disputed must not mark it again.
REMEMBERED = "dispute closed"


def payments_over(before: datetime) -> QuerySet[Payment]:
    """Payments whose refunds are all over, untouched since `before` (UTC), sealed by a checkpoint, with lines here.

    A payment that nobody has refunded stays: its one line is no longer than what an archive would leave of it.
    """
    sealed = Checkpoint.objects.order_by("-sequence").values_list("last_event", flat=True).first() or 0
    quiet = Payment.objects.filter(held=0, disputed_at=None, ask_at=None)
    return quiet.filter(Exists(_refunds()), Exists(_lines())).exclude(
        Exists(_refunds().filter(_unfinished(before)))
        | Exists(_lines().filter(Q(at__gte=before) | Q(pk__gt=sealed) | Q(refund=None, step=REMEMBERED)))
        | Exists(_of_its_refunds(Attempt).filter(Q(outcome=Attempt.Outcome.OPEN) | Q(started_at__gte=before)))
        | Exists(_of_its_refunds(Delivery).filter(received_at__gte=before))
        | Exists(_of_its_refunds(Declaration).filter(confirmed_at=None, dropped_at=None))
        | Exists(_of_its_refunds(Notice).filter(due_at__isnull=False))
        | Exists(BatchRow.objects.filter(payment=OuterRef("pk"), done_at=None))
        | Exists(_unmatched().filter(Q(payment=OuterRef("pk")) | Q(payment_reference=OuterRef("reference"))))
    )


def attempts_of(refunds: QuerySet[Refund] | list[int]) -> QuerySet[Attempt]:
    """Attempts of these refunds that no archive has yet."""
    kept = ArchivedChain.objects.filter(refund=OuterRef("refund"), last_attempt__gte=OuterRef("pk"))
    return Attempt.objects.filter(~Exists(kept), refund__in=refunds)


def deliveries_of(refunds: QuerySet[Refund] | list[int]) -> QuerySet[Delivery]:
    """Deliveries that were taken as about these refunds; those that an unmatched refund names stay with it."""
    return Delivery.objects.filter(~Exists(_naming()), refund__in=refunds)


def deliveries_about_nothing(before: datetime) -> QuerySet[Delivery]:
    """Webhooks from before that day which were about no refund of ours; what nobody could read waits for a person."""
    loose = Delivery.objects.filter(~Exists(_naming()), refund=None, received_at__lt=before)
    return loose.exclude(result=Delivery.Result.UNREADABLE)


def _refunds() -> QuerySet[Refund]:
    return Refund.objects.filter(payment=OuterRef("pk"))


def _lines() -> QuerySet[Event]:
    return Event.objects.filter(payment=OuterRef("pk"))


def _of_its_refunds(model: type[Attempt | Delivery | Declaration | Notice]) -> QuerySet:
    return model._default_manager.filter(refund__payment=OuterRef("pk"))


def _unfinished(before: datetime) -> Q:
    waits = Q(status__in=HOLDING) | Q(ask_at__isnull=False) | Q(lease_until__gte=before) | Q(requested_at__gte=before)
    return waits | ~Q(needs_attention="") | ~Q(to_confirm="")


def _unmatched() -> QuerySet[UnmatchedRefund]:
    return UnmatchedRefund.objects.filter(account=OuterRef("account"), settled_at=None)


def _naming() -> QuerySet[UnmatchedRefund]:
    return UnmatchedRefund.objects.filter(delivery=OuterRef("pk"))
