"""The world around the services: workers that stall, a wire that loses and delays, a gateway with a ledger, and people.

A state is a tuple; `thaw` puts it into the tables, `freeze` takes it out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateways.contract import LookUp, Outcome, RefundOrder, RefundUpdate, Repeat
from gateways.errors import NoAnswer, NotSent
from gateways.money import Money
from refunds.models import Status
from tests.model import gateways
from tests.model.memory import HERE, AttemptRow, PaymentRow, RefundRow
from tests.model.rooms import NOW, ROOMS

AGES = (timedelta(), timedelta(hours=1), timedelta(hours=30))  # just now, past the quiet window, past the key's
LEASES = (None, NOW - timedelta(seconds=1), NOW + timedelta(hours=1))  # none, ended, running
ENDED, RUNNING = LEASES[1:]
LONG_AGO = NOW - timedelta(days=8)
STAGES = {
    "processing": LONG_AGO,
    **dict.fromkeys(("succeeded", "failed", "cancelled"), LONG_AGO + timedelta(minutes=1)),
    **dict.fromkeys(("returned", "revived"), LONG_AGO + timedelta(minutes=2)),
}
SAYS = {"returned": Outcome.FAILED, "revived": Outcome.SUCCEEDED}
LIVE = frozenset({"processing", "succeeded", "revived"})
State = tuple[Any, ...]
ENDS = (Status.SUCCEEDED, Status.FAILED, Status.WITHDRAWN, Status.REVERSED)
LOST, GONE = NoAnswer("lost"), NotSent("not sent")


class Entry(NamedTuple):
    """One refund in the gateway's ledger."""

    key: str
    reference: str
    state: str = "processing"


class Worker(NamedTuple):
    """A job in the middle of sending. `pc` is what it has done last; `late`: its own lease is over."""

    pc: str = "start"
    fence: int = 0
    late: bool = False
    before: tuple[str, ...] = ()
    attempt: int = 0
    answer: Entry | None = None
    seen: bool | None = None  # handed over by a look-up or an ask: whether the refund still stands as that found it


class Look(NamedTuple):
    """A look-up whose answer is on its way: what the refund was when it began, and what they showed."""

    status: str
    reference: str
    to_confirm: str
    had_arrived: bool
    shown: tuple[Entry, ...]
    stale: bool = False


@dataclass
class World:
    """What is not in our tables, beside what is; `faults` is how many may still happen."""

    faults: int = 0
    workers: dict[int, tuple[Worker, ...]] = field(default_factory=dict)
    looks: dict[int, Look | None] = field(default_factory=dict)
    ledger: dict[int, tuple[Entry, ...]] = field(default_factory=dict)
    marks: dict[int, frozenset[str]] = field(default_factory=dict)  # said, declared, alarmed, cleared, revived
    born: dict[int, int] = field(default_factory=dict)  # the version at which a look of this very step began
    broken: str = ""  # what a step has found broken


Move = tuple[str, str, Callable[[World], None]]  # name, kind (good, fault, late truth, news, person), what it does
REFUNDS = 5  # where they stand in a state
VERSION = 10  # of every refund in a thawed state; a step is seen by its having risen


def thaw(state: State) -> World:
    faults, held, refunded, captured, payment_status, refunds = state
    HERE.payment, HERE.refunds = PaymentRow(held=held, refunded=refunded, captured=captured, status=payment_status), []
    world = World(faults)
    for pk, (row, attempts, workers, look, ledger, marks) in enumerate(refunds, 1):
        HERE.refunds.append(_thaw_refund(pk, row, attempts, marks))
        world.workers[pk], world.looks[pk], world.ledger[pk], world.marks[pk] = workers, look, ledger, marks
    return world


def _thaw_refund(pk: int, row: tuple[Any, ...], attempts: tuple[Any, ...], marks: frozenset[str]) -> RefundRow:
    refund = RefundRow(version=VERSION, **dict(zip(PLAIN, row, strict=False)))
    lease, sent, asked, cancelled, parent = row[len(PLAIN) :]
    refund.__dict__.update(
        lease_until=LEASES[lease],
        sent_at=NOW - timedelta(days=9) + timedelta(minutes=sent) if sent else None,
        ask_at=NOW if asked else None,
        cancel_asked_at=NOW if cancelled else None,
        retry_of_id=parent,
        attempt_rows=[_thaw_attempt(pk, n, one) for n, one in enumerate(attempts)],
    )
    if "declared failed" in marks:
        refund.declaration_rows.append(AttemptRow(pk=pk, outcome="failed", confirmed_at=NOW, dropped_at=None))
    return refund


def _thaw_attempt(pk: int, n: int, one: tuple[Any, ...]) -> AttemptRow:
    kind, fence, outcome, key, before, wire, started, finished = one
    order = {**ORDER, "key": key}
    times = {"started_at": NOW - AGES[started], "finished_at": None if finished is None else NOW - AGES[finished]}
    kept = {"pk": 10 * pk + n, "refund_id": pk, "kind": kind, "fence": fence, "outcome": outcome, "wire": wire}
    shown = {} if before is None else {"references": list(before)}
    return AttemptRow(
        **kept, **times, order=order, before=shown, body_digest=ROOMS["send"].digest_of(key.encode(), None)
    )


ORDER = {"payment_reference": "pay-1", "amount": 1, "currency": "EUR", "reason": "", "note": "", "callback_url": ""}
PLAIN = (
    "status",
    "reference",
    "to_confirm",
    "needs_attention",
    "may_not_be_sent",
    "asks",
    "fence",
    "said_at",
    "heard",
    "exclusive",
)


def freeze(world: World) -> State:
    return (
        world.faults,
        HERE.payment.held,
        HERE.payment.refunded,
        HERE.payment.captured,
        HERE.payment.status,
        tuple(_freeze_refund(world, row) for row in HERE.refunds),
    )


def _freeze_refund(world: World, row: RefundRow) -> tuple[Any, ...]:
    row.asks, row.needs_attention = min(row.asks, 2), _kind_of_call(row.needs_attention)
    asked, cancelled = row.ask_at is not None, row.cancel_asked_at is not None
    lease = LEASES.index(row.lease_until) if row.status == Status.SENDING else 0
    rest = (lease, _rank(row.sent_at), asked, cancelled, row.retry_of_id)
    attempts = tuple(_freeze_attempt(one) for one in row.attempt_rows if one.kind != "look_up")
    look = world.looks.get(row.pk)
    if look and row.version != world.born.get(row.pk, VERSION):
        look = look._replace(stale=True)
    plain = tuple(getattr(row, name) for name in PLAIN)
    workers = world.workers.get(row.pk, ())
    if row.version != world.born.get(row.pk, VERSION):
        workers = tuple(one._replace(seen=one.seen and False) if one.pc == "start" else one for one in workers)
    marks = world.marks.get(row.pk, frozenset())
    return ((*plain, *rest), attempts, tuple(sorted(workers, key=repr)), look, world.ledger.get(row.pk, ()), marks)


def _freeze_attempt(one: AttemptRow) -> tuple[Any, ...]:
    before = tuple(one.before["references"]) if "references" in one.before else None
    started, finished = (time and AGES.index(NOW - time) for time in (one.started_at, one.finished_at))
    return one.kind, one.fence, one.outcome, one.order["key"], before, one.wire, started, finished


def _rank(sent_at: datetime | None) -> int:
    """1 for what was sent first; two of one payment differ only in that."""
    if sent_at is None:
        return 0
    if sent_at != NOW:
        return (sent_at - NOW + timedelta(days=9)) // timedelta(minutes=1)
    return 1 + sum(other.sent_at not in (None, NOW) for other in HERE.refunds)


def _kind_of_call(why: str) -> str:
    record, settle = ROOMS["record"], ROOMS["settle"]
    kept = not why or why in record.PASSING or why == settle.WHICH or why.startswith("They told us")
    return why if kept else "a person is called"


# --- What the gateway shows ---


REFUSED = Entry("", "", "refused")  # no entry at all: the answer to an order that they did not take


def word(entry: Entry, *, keyed: bool = False) -> RefundUpdate:
    """Their word for one entry; only who speaks of refunds by key tells the time of it."""
    if entry is REFUSED:
        return RefundUpdate(Outcome.FAILED, code="refused")
    by_key = gateways.Current.can.look_up is LookUp.BY_KEY
    said = {"code": entry.state, "occurred_at": STAGES[entry.state] if by_key else None}
    told, key = SAYS.get(entry.state) or Outcome(entry.state), entry.key if keyed or by_key else ""
    return RefundUpdate(told, entry.reference, key, "pay-1", ONE, **said)


ONE = Money(1, "EUR")


def shown(world: World, order: RefundOrder) -> tuple[Entry, ...]:
    """What a look-up shows at this moment."""
    entries = (entry for ledger in world.ledger.values() for entry in ledger)
    if gateways.Current.can.look_up is LookUp.BY_REFERENCE:
        return tuple(entry for entry in entries if entry.reference == order.reference)
    return tuple(entries)


def said_before(entry: Entry) -> Iterator[Entry]:
    """Every older word that may still be delivered, or delivered again."""
    way = {"processing": (), "returned": ("processing", "succeeded"), "revived": ("failed",)}
    for state in way.get(entry.state, ("processing",)):
        yield entry._replace(state=state)


def keeps_keys(gateway: Any) -> bool:
    """Pays one key once; of the others, the worst is believed: each order that arrives is carried out."""
    return bool(gateway.can.repeat is Repeat.WITHIN_WINDOW)


def gateway(says: Callable[[RefundOrder], Any] = lambda order: None) -> Any:
    built = gateways.Current({})
    built.says = says
    return built
