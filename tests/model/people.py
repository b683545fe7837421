"""What people do. They are honest, look before they declare, and do not always wait."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

from gateways.contract import LookUp
from refunds.models import Status
from refunds.models.refund import AT_THE_GATEWAY, AWAITING
from tests.model import gateways
from tests.model.memory import ALICE, HERE, DeclarationRow, Person, RefundRow
from tests.model.rooms import ROOMS
from tests.model.world import (
    ENDS,
    LIVE,
    VERSION,
    Move,
    World,
)

BOB, DORA, ERIK = (Person(pk) for pk in (2, 3, 4))


def of_people(world: World, row: RefundRow) -> Iterator[Move]:
    pk, seen = row.pk, {"seen": VERSION}
    if row.status == Status.REQUESTED:
        yield f"approve {pk}", "person", lambda world: ROOMS["decide"].approve_refund(pk, BOB, **seen)
    if row.status == Status.APPROVED:
        yield f"un-approve {pk}", "person", lambda world: ROOMS["decide"].unapprove_refund(pk, BOB, "why", **seen)
        yield f"withdraw {pk}", "person", lambda world: ROOMS["request"].withdraw_refund(pk, ALICE, **seen)
        if row.needs_attention:
            yield f"send {pk} by hand", "person", lambda world: ROOMS["send"].send_now(pk, BOB, **seen)
    if gateways.Current.can.cancel and not ROOMS["cancel"].why_no_cancel(copy(row)):
        yield f"ask to cancel {pk}", "person", lambda world: ROOMS["cancel"].ask_to_cancel(pk, ALICE, **seen)
    if row.status in AWAITING and gateways.Current.can.look_up is not LookUp.BY_KEY:
        yield f"declare {pk}", "person", lambda world: _declare(world, pk)
    if (
        row.status in ENDS
        and row.sent_at
        and row.ask_at is None
        and any(one.state == "revived" for one in world.ledger[pk])
    ):
        yield f"check {pk}", "person", lambda world: ROOMS["settle"].check_refund(pk, DORA)
    if row.needs_attention and row.status in (*AT_THE_GATEWAY, *ENDS):
        yield f"answer the call of {pk}", "person", lambda world: _clear(world, pk)
    if row.status in RETRIED and len(HERE.refunds) < MOST_REFUNDS[0]:
        yield f"retry {pk}", "person", lambda world: _retry(world, pk)


MOST_REFUNDS = [1]  # a retry becomes the second
RETRIED = (Status.FAILED, Status.REVERSED)


def _declare(world: World, pk: int) -> None:
    """Two honest people look in the gateway's own screens and say what they see there."""
    is_there = any(one.state in LIVE for one in world.ledger[pk])
    row = HERE.refunds[pk - 1]
    says = {"outcome": "succeeded" if is_there else "failed", "reference": "", "note": "", "version": row.version}
    people = {
        "proposed_by": DORA,
        "proposed_by_id": 3,
        "confirmed_at": None,
        "dropped_at": None,
        "confirmed_by_id": None,
    }
    row.declaration_rows.append(DeclarationRow(pk=10 * pk, **says, **people))
    ROOMS["declare"].confirm_outcome(pk, ERIK, seen=row.version)
    world.marks[pk] |= {f"declared {says['outcome']}"}


def _clear(world: World, pk: int) -> None:
    ROOMS["settle"].clear_attention(pk, DORA, "looked", seen=VERSION)
    world.marks[pk] |= {"cleared"}


def _retry(world: World, pk: int) -> None:
    second = ROOMS["request"].retry_refund(pk, ALICE, seen=VERSION)
    world.workers[second.pk], world.looks[second.pk], world.ledger[second.pk] = (), None, ()
    world.marks[second.pk] = frozenset()
    HERE.refunds[-1].version = VERSION
