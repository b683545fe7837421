"""One gateway, its sandbox, our clock: a refund lives here, is killed here, and is brought home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from gateways.sandbox import Sandbox
from refunds import services
from refunds.models import Attempt, Refund
from tests.builders import ACCOUNTS, again, alice, ask, bob, make_account, make_payment
from tests.faults import rest
from tests.faults.door import Door
from tests.faults.killer import Killer, Life
from tests.faults.table import is_order
from tests.faults.workers import Clock, Queue, work

CAPTURED = 5000
LATE = "request late"
# Our name for what becomes of the first order → the sandbox's story; a late one is held back at the door.
STORIES = {
    "ordinary": "no_webhook",
    "answer lost": "answer_lost",
    "request lost": "request_lost",
    LATE: "no_webhook",
    "acted, then 500": "error_after",
    "refused": "refused",
    "waits": "waits",
}
Act = Callable[[Refund], object]


@dataclass
class Scene:
    gateway: str
    sandbox: Sandbox
    clock: Clock
    queue: Queue
    ends: Counter[str] = field(default_factory=Counter)
    n_orders: int = 0
    story: str = ""

    def __post_init__(self) -> None:
        self.agent, self.approver = alice(), bob()  # once: their rights are looked up only once, too
        self.sandbox.desk.room_for = lambda order: True  # a gateway that pays as often as it is asked
        self.door = Door(self.sandbox, self.gateway)
        # No thread of the sandbox may be inside SQLite while we fork: the child would wait for its locks for ever.
        self.killer = Killer(self.clock, self.sandbox.desk.ledger.atomic)

    def approved(self, story: str) -> Refund:
        """A refund of a whole payment that nobody has sent, whose first order will go by this story."""
        simulator = self.sandbox.simulators[self.gateway]
        self.n_orders += 1
        self.story = story
        reference = simulator.payment_name(self.n_orders)
        self.sandbox.payment(reference, CAPTURED, simulator.currency, gateway=self.gateway)
        self.sandbox.tell(STORIES[story], payment=reference)
        account = make_account(ACCOUNTS[self.gateway])
        payment = make_payment(CAPTURED, simulator.currency, reference, account=account)
        refund = ask(payment, CAPTURED, by=self.agent)
        services.approve_refund(refund.pk, self.approver, seen=refund.version)
        self.door.expect(refund, is_late=story == LATE)
        return refund

    def sent(self, story: str) -> Refund:
        refund = self.approved(story)
        services.send_refund(refund.pk)
        return again(refund)

    def work(self, refund: Refund) -> None:
        work(refund.pk, self.clock, self.queue)

    def live(self, act: Act, refund: Refund, kill_at: int = 0, *, every: bool = False) -> Life:
        """In a process of its own, killed at that moment or not; what it had sent by then is carried out."""
        n_served = self.door.n_served
        life = self.killer.live(lambda: act(refund), kill_at, every=every)
        self.door.wait_for(n_served + life.n_written)
        if 0 < self.first_byte(life) < len(life.steps):
            assert Attempt.objects.filter(refund=refund, kind=Attempt.Kind.SEND).exists(), (
                "a byte left before the attempt"
            )
        self.demand(rest.at_any_moment(refund), refund, life)
        return life

    def first_byte(self, life: Life) -> int:
        """The step with which an order begins to leave the house; 0 if none does."""
        return life.first_byte(partial(is_order, self.gateway))

    def bring_home(self, refund: Refund, life: Life) -> None:
        """Restart until quiet; what was still on its way arrives; then look at everything, and put the refund aside."""
        self.work(refund)
        self.door.let_in()
        self.door.settle()
        self.demand(rest.at_rest(refund, self.door), refund, life)
        self.ends[again(refund).status] += 1
        Refund.objects.filter(pk=refund.pk).update(ask_at=None)
        self.queue.clear()

    def demand(self, flaws: Iterable[str], refund: Refund, life: Life) -> None:
        if found := list(flaws):
            where = f"killed at step {len(life.steps)}, {life.steps[-1].name}" if life.was_killed else "not killed"
            lines = [f"{line.sequence} {line.step}: {line.text}" for line in refund.events.all()]
            raise AssertionError(
                "\n".join([f"{self.gateway}, {self.story}, {where}:", *found, str(again(refund).status), *lines])
            )

    def killed_everywhere(
        self, prepare: Callable[[], Refund], act: Act, redo: Act, *, every: bool = False, whole: bool = True
    ) -> int:
        """Kill `act` at each moment that it has, or from an order's first byte on; returns the kills.

        `redo` is what somebody does again whose act was cut short.
        """
        life = self.unkilled(prepare, act)
        n_killed = 0
        begins = 1 if whole else life.n_moments(until=self.first_byte(life), every=every)
        for moment in range(begins, life.n_moments(every=every) + 1):
            refund = prepare()
            died = self.live(act, refund, moment, every=every)
            n_killed += died.was_killed
            if died.was_killed:
                redo(refund)
            self.bring_home(refund, died)
        print(f"{self.gateway}, {self.story}: {len(life.steps)} steps, {n_killed} kills, ends {dict(self.ends)}")
        return n_killed

    def killed_twice(self, prepare: Callable[[], Refund], part: int, parts: int) -> int:
        """Kill a life at each moment, and what recovers it at each moment again; every `parts`-th first kill."""
        life = self.unkilled(prepare, self.work)
        n_killed = 0
        for first in range(1 + part, life.n_moments() + 1, parts):
            refund = prepare()
            self.live(self.work, refund, first)
            recovery = self.live(self.work, refund)
            self.bring_home(refund, recovery)
            for second in range(1, recovery.n_moments() + 1):
                refund = prepare()
                self.live(self.work, refund, first)
                died = self.live(self.work, refund, second)
                n_killed += died.was_killed
                self.bring_home(refund, died)
        print(f"{self.gateway}, {self.story}: {len(life.steps)} steps, {n_killed} double kills, ends {dict(self.ends)}")
        return n_killed

    def unkilled(self, prepare: Callable[[], Refund], act: Act) -> Life:
        """A life without a kill, in a process whose memory is as full as it will be in all the others."""
        first = prepare()
        act(first)
        self.bring_home(first, Life([], was_killed=False))
        refund = prepare()
        life = self.live(act, refund)
        self.bring_home(refund, life)
        return life
