"""Every state that can be reached, breadth first: what is broken in it, and whether it can still come to rest."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from refunds.errors import RefundError
from tests.model.moves import moves
from tests.model.world import State, World, freeze, thaw


@dataclass
class Search:
    """What was found. `way` leads from the start to the first broken or restless state, by the fewest moves."""

    n_states: int = 0
    n_moves: int = 0
    broken: str = ""
    walked: set[str] = field(default_factory=set)  # edges of a refund's life that were taken
    way: list[str] = field(default_factory=list)


class Explorer:
    def __init__(
        self,
        begin: Callable[[], World],
        flaw: Callable[[World, State, str], str],
        rests: Callable[[World], bool],
        without: tuple[str, ...] = (),
    ) -> None:
        self.begin, self.flaw, self.rests, self.without = begin, flaw, rests, without
        self.came: dict[State, tuple[State, str] | None] = {}
        self.good_before: dict[State, list[State]] = defaultdict(list)
        self.resting: list[State] = []
        self.found = Search()

    def run(self, most: int = 200_000) -> Search:
        start = freeze(self.begin())
        self.came[start] = None
        line = deque([start])
        while line:
            state = line.popleft()
            if self.rests(thaw(state)):
                self.resting.append(state)
            for name, kind, after in self._after(state):
                if kind == "good":
                    self.good_before[after].append(state)
                if after in self.came:
                    continue
                self.came[after] = (state, name)
                if self.found.broken:
                    return self._told(after)
                line.append(after)
            assert len(self.came) < most, "the model has grown out of hand"
        self.found.n_states = len(self.came)
        return self._restless() or self.found

    def _after(self, state: State) -> Iterator[tuple[str, str, State]]:
        for name, kind, do in list(moves(thaw(state))):
            is_fault = kind in ("fault", "late truth")
            if (is_fault and not state[0]) or any(part in name for part in self.without):
                continue
            world = thaw(state)
            world.faults -= is_fault
            try:
                do(world)
            except RefundError:
                continue
            self.found.n_moves += 1
            after = freeze(world)
            self.found.broken = self.found.broken or self.flaw(world, state, name) or world.broken
            self.found.walked |= {
                f"{was[0][0]} → {now[0][0]}"
                for was, now in zip(state[5], after[5], strict=False)
                if was[0][0] != now[0][0]
            }
            yield name, kind, after

    def _told(self, state: State) -> Search:
        self.found.n_states = len(self.came)
        while (step := self.came[state]) is not None:
            state = step[0]
            self.found.way.insert(0, step[1])
        return self.found

    def _restless(self) -> Search | None:
        """Without faults and people, each state leads to one in which all rest; if not, the nearest that does not."""
        calm, line = set(self.resting), deque(self.resting)
        while line:
            for before in self.good_before[line.popleft()]:
                if before not in calm:
                    calm.add(before)
                    line.append(before)
        restless = next((state for state in self.came if state not in calm), None)
        if restless is None:
            return None
        self.found.broken = "I15: it can never come to rest"
        self.restless = restless
        return self._told(restless)
