"""Refunds that were over long ago, with all that they left: what an archive takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import transaction
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from refunds import archives, history, services
from refunds.models import Account, Archive, Attempt, Checkpoint, Delivery, Refund
from refunds.services.actor import WORKER, Mouth
from refunds.services.steps import locked, take_step
from tests.builders import approved, dora, make_account, make_payment

YEARS_AGO = timedelta(days=800)
ENDS: dict[str, Outcome] = {"succeeded": Outcome.SUCCEEDED, "failed": Outcome.FAILED}


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """The clock of the house stands there."""
    with pytest.MonkeyPatch.context() as clock:
        clock.setattr(timezone, "now", lambda: moment)
        yield


def olden(number: int = 1, end: str = "succeeded", ago: timedelta = YEARS_AGO) -> Refund:
    """A refund of 1000 minor units that came to its end so long ago, sealed, with an order, a look-up and a webhook."""
    with at(timezone.now() - ago), transaction.atomic():
        refund = approved(make_payment(reference=f"old-{number}"))
        now = timezone.now()
        claimed = {"lease_until": now, "sent_at": now, "fence": 1, "ask_at": None}
        refund = locked(refund.pk)
        take_step(refund, "sending", WORKER, move=refund.claim, **claimed)
        for kind in (Attempt.Kind.SEND, Attempt.Kind.LOOK_UP):
            exchange(refund, kind)
        webhook(refund.account, f"of refund {refund.pk}", refund=refund)
        update = RefundUpdate(ENDS[end], reference=f"REF-{number}", code="no funds" if end == "failed" else "")
        services.record_update(refund.pk, update, Mouth.LOOK_UP)
    seal(ago)
    return Refund.objects.get(pk=refund.pk)


def exchange(refund: Refund, kind: str) -> Attempt:
    traffic = [{"method": "PUT", "url": "https://gateway.example/", "response_body": "x" * 500}]
    now, answered = timezone.now(), Attempt.Outcome.ANSWERED
    return Attempt.objects.create(
        refund=refund, kind=kind, fence=1, outcome=answered, exchanges=traffic, started_at=now, finished_at=now
    )


def webhook(account: Account, body: str, result: str = "applied", refund: Refund | None = None) -> Delivery:
    digest = hashlib.sha256(body.encode()).hexdigest()
    return Delivery.objects.create(
        account=account, refund=refund, body=body, digest=digest, result=result, received_at=timezone.now()
    )


def loose(number: int = 1, ago: timedelta = YEARS_AGO) -> Delivery:
    """A webhook that was about no refund."""
    with at(timezone.now() - ago):
        return webhook(make_account(), f"about nothing, {number}", result="ignored")


def seal(ago: timedelta = timedelta()) -> None:
    """A checkpoint over everything so far, some minutes after the one before."""
    last = Checkpoint.objects.first()
    moment = timezone.now() - ago
    with at(max(moment, last.at + timedelta(minutes=2)) if last else moment):
        history.set_checkpoint()


def last_year() -> date:
    return (timezone.now() - timedelta(days=365)).date()


def archive(folder: Path) -> list[Archive]:
    """Everything that is over for a year."""
    return list(archives.archive(last_year(), folder, dora()))


def findings(folder: Path) -> list[str]:
    """What verifying everything, the files included, has to say."""
    return [*history.verify().findings, *archives.flaws_of_files(folder)]


def an_archive() -> Archive:
    """Of one refund; its file is gone."""
    olden()
    with TemporaryDirectory() as folder:
        (one,) = archive(Path(folder))
    return one


def a_begun_archive() -> Archive:
    """Of nothing."""
    now, counts = timezone.now(), dict.fromkeys(("n_payments", "n_events", "n_attempts", "n_deliveries"), 0)
    digests = {"file_digest": "0" * 64, "digest": "0" * 64}
    return Archive.objects.create(sequence=9, at=now, by=dora(), before=now.date(), file_name="x", **digests, **counts)
