"""People at the desk: each is a process with a browser of its own, who presses the buttons that a page offers.

Some press twice, close the page before the answer, send a form that has lain about, or try what is not theirs to do.
`python -m tests.soak.people SCENE.json NAME`
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from gateways.sandbox.stories import ORDINARY, STORIES
from tests.soak.browser import ACCIDENTS, Browser, Page
from tests.soak.habits import BUTTONS, LISTS, PASSWORD, PAUSES, STAFF
from tests.soak.history import FAIL, INFO, OK, History, Operation
from tests.soak.screens import Screens

DESK = "/admin/refunds/refund/"
ROWS = re.compile(rf'href="{DESK}(\d+)/change/')
OWN_PAGES = ("declare", "confirm", "drop")
OFFERED = re.compile(rf'href="{DESK}\d+/(?:step/)?({"|".join(BUTTONS)})/"')
REASON = re.compile(r'<option value="(\d+)"')


@dataclass(frozen=True)
class Form:
    """Filled in, and ready to be sent."""

    kind: str
    path: str
    fields: dict[str, str]
    refund: int = 0
    payment: int = 0
    seen: int = 0
    ticket: str = ""


@dataclass
class Person:
    name: str
    group: str
    browser: Browser
    history: History
    chance: Random
    payments: list[dict[str, Any]]
    screens: Screens
    tickets: count = field(default_factory=lambda: count(1))
    drawer: list[Form] = field(default_factory=list)
    following: int = 0  # the refund that the desk shows next

    def live(self, until: float) -> None:
        self.log_in()
        asks = 0.6 if self.group == "Agents" else 0
        while time.time() < until:
            (self.request if self.chance.random() < asks else self.look_for_work)()
            time.sleep(self.chance.uniform(0, PAUSES[self.group]))
        for form in self.drawer:
            self.send(form)

    # --- looking ---

    def look(self, path: str) -> Page | None:
        """A page to read, or None; looking is an operation too, since it must change nothing and never break."""
        return self._noted(Operation(self.name, "look", 0, 0, INFO, path=path), lambda: self.browser.ask("GET", path))

    def log_in(self) -> None:
        path = "/accounts/login/"
        while not ((page := self.look(path)) and page.status == 200):
            time.sleep(0.5)
        fields = {"login": self.name, "password": PASSWORD, "csrfmiddlewaretoken": page.hidden("csrfmiddlewaretoken")}
        asked = Operation(self.name, "log in", 0, 0, INFO, path=path)
        page = self._noted(asked, lambda: self.browser.ask("POST", path, fields))
        if not page or page.status != 302:
            sys.exit(f"{self.name} cannot log in: {page}")

    def look_for_work(self) -> None:
        if self.drawer and self.chance.random() < 0.15:
            self.send(self.drawer.pop(0))
            return
        refund, self.following = self.following or self.find(), 0
        if not refund:
            return
        page = self.look(f"{DESK}{refund}/change/")
        buttons = sorted(set(OFFERED.findall(page.text))) if page else []
        if self.chance.random() < 0.04:
            buttons = [self.chance.choice(sorted(BUTTONS))]  # an address typed by hand
        if buttons:
            verb = self.chance.choices(buttons, [BUTTONS[name] for name in buttons])[0]
            self.press(verb, refund)

    def find(self) -> int:
        """A refund in one of the lists where this person looks for work, or 0."""
        listed = self.look(DESK + self.chance.choice(LISTS[self.group]))
        rows = sorted(set(map(int, ROWS.findall(listed.text)))) if listed else []
        return self.chance.choice(rows) if rows else 0

    # --- asking for a refund ---

    def request(self) -> None:
        payment = self.chance.choice(self.payments)
        path = f"/admin/refunds/payment/{payment['pk']}/request/"
        page = self.look(path)
        free, reasons = (int(page.hidden("seen_free") or 0), REASON.findall(page.text)) if page else (0, [])
        if not reasons or (free <= 0 and self.chance.random() < 0.9):
            return
        ticket = f"soak-{self.name}-{next(self.tickets)}"
        minor = self.amount(free, payment["whole"])
        fields = {
            "amount": f"{minor // 100}.{minor % 100:02}",
            "reason": self.chance.choice(reasons),
            "ticket": ticket,
            "internal_note": "only for colleagues",
            "seen_free": str(free),
            "csrfmiddlewaretoken": page.hidden("csrfmiddlewaretoken"),
        }
        self.hand_in(Form("request", path, fields, payment=payment["pk"], ticket=ticket))

    def amount(self, free: int, whole: bool) -> int:
        """Its last two digits choose the story; nobody asks the same amount as a colleague."""
        greed = self.chance.random()
        if free > 0 and greed < (0.8 if whole else 0.1):
            return free
        mine = sorted(STAFF).index(self.name)
        hundreds = self.chance.randrange(1, max(2, min(free, 20_000) // 700 + 1)) * len(STAFF) + mine
        ending = ORDINARY if self.chance.random() < 0.4 else self.chance.choice(sorted(STORIES))
        too_much = max(free, 0) // 100 * 100 if greed > 0.92 else 0
        return too_much + hundreds * 100 + ending

    # --- pressing a button ---

    def press(self, verb: str, refund: int) -> None:
        path = f"{DESK}{refund}/{verb}/" if verb in OWN_PAGES else f"{DESK}{refund}/step/{verb}/"
        page = self.look(path)
        if not page or page.status != 200 or not (token := page.hidden("csrfmiddlewaretoken")):
            return
        seen = page.hidden("seen")
        typed = self.typed(verb, page.text)
        if typed is not None:
            fields = {"seen": seen, "csrfmiddlewaretoken": token, **typed}
            self.hand_in(Form(verb, path, fields, refund=refund, seen=int(seen or 0)))

    def typed(self, verb: str, page: str) -> dict[str, str] | None:
        """What goes into the form, after a look into the gateway's own screens; None: nothing can be said."""
        ticket = f"soak-{self.name}-{next(self.tickets)}"
        if verb == "found":
            reference = self.screens.reference_of(page)
            return {"text": reference} if reference else None
        if verb == "declare":
            by_hand = {"outcome": self.chance.choice(["succeeded", "failed"]), "reference": f"bank-{ticket}"}
            said = self.screens.what_became_of(page, by_hand)
            return {**said, "note": "We have looked at the gateway.", "ticket": ticket}
        return {"text": f"{self.name} says so"}

    # --- sending a form ---

    def hand_in(self, form: Form) -> None:
        fate = self.chance.random()
        if fate < 0.06:
            self.drawer.append(form)
        elif fate < 0.16:
            clicks = [threading.Thread(target=self.send, args=(form,)) for _ in range(2)]
            for click in clicks:
                click.start()
            for click in clicks:
                click.join()
        else:
            self.send(form, hangs_up_after=self.chance.uniform(0, 0.1) if fate < 0.21 else None)

    def send(self, form: Form, hangs_up_after: float | None = None) -> None:
        names = {name: getattr(form, name) for name in ("kind", "path", "refund", "payment", "seen", "ticket")}
        asked = Operation(actor=self.name, start=0, end=0, ended=INFO, **names)
        self._noted(asked, lambda: self.browser.ask("POST", form.path, form.fields, hangs_up_after=hangs_up_after))

    def _noted(self, asked: Operation, ask: Callable[[], Page]) -> Page | None:
        start = time.time()
        try:
            page = ask()
        except ACCIDENTS as accident:
            self.history.add(replace(asked, start=start, end=time.time(), why=repr(accident)))
            return None
        made = int(found[1]) if (found := re.fullmatch(rf"{DESK}(\d+)/change/", page.location)) else 0
        done = replace(asked, start=start, end=time.time(), status=page.status, act=page.act, made=made)
        self.history.add(replace(done, ended=how_it_ended(asked.kind, page)))
        self.following = made if self.group == "Approvers" else 0
        return page


def how_it_ended(kind: str, page: Page) -> str:
    """A step that is taken leads on to another page; everything else was refused, unless the desk itself broke."""
    if page.status >= 500:
        return INFO
    if kind == "look":
        return OK if page.status < 400 else FAIL
    return OK if page.status == 302 and not page.location.startswith("/accounts/login") else FAIL


def main(scene: Path, name: str) -> None:
    told = json.loads(scene.read_text())
    chance = Random(f"{told['seed']} {name}")
    screens = Screens(Path(told["ledger"]), {one["pk"]: one["gateway"] for one in told["payments"]})
    person = Person(
        name,
        STAFF[name],
        Browser(told["url"]),
        History(Path(told["history"])),
        chance,
        told["payments"],
        screens,
    )
    person.live(told["until"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
