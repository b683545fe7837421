"""The way of a refund as a line of steps, built from its journal: what is behind it, where it stands, what is ahead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from refunds import services
from refunds.admin.timeline import who
from refunds.models import Event, Refund, Status

Names = Mapping[Status, Any]

NAMES: Names = {
    Status.REQUESTED: gettext_lazy("Requested"),
    Status.APPROVED: gettext_lazy("Approved"),
    Status.SENDING: gettext_lazy("Sent"),
    Status.PROCESSING: gettext_lazy("Accepted by the gateway"),
    Status.SUCCEEDED: gettext_lazy("Done"),
    # Where the way leaves the line.
    Status.RETURNED: gettext_lazy("Returned with a question"),
    Status.REJECTED: gettext_lazy("Rejected"),
    Status.WITHDRAWN: gettext_lazy("Withdrawn"),
    Status.UNKNOWN: gettext_lazy("Unknown: nobody knows"),
    Status.FAILED: gettext_lazy("Failed: no money moved"),
    Status.REVERSED: gettext_lazy("Reversed: the bank returned it"),
}
BY_HAND: Names = {
    Status.PROCESSING: gettext_lazy("Transfer to be made"),
    Status.SUCCEEDED: gettext_lazy("Transferred"),
}
MADE_THERE: Names = {Status.REQUESTED: gettext_lazy("Made at the gateway")}

LINE = (Status.REQUESTED, Status.APPROVED, Status.SENDING, Status.PROCESSING, Status.SUCCEEDED)
LINE_BY_HAND = (Status.REQUESTED, Status.APPROVED, Status.PROCESSING, Status.SUCCEEDED)
LINE_MADE_THERE = (Status.REQUESTED, Status.PROCESSING, Status.SUCCEEDED)
# From these the way goes on; from every other one beside the line it does not.
GOES_ON = {Status.RETURNED: Status.APPROVED, Status.UNKNOWN: Status.PROCESSING}


@dataclass(frozen=True)
class Stage:
    """`place` is "passed", "now" or "ahead"; `who` and `at` are of the step that led there, if any was told."""

    name: str
    place: str
    status: Status
    at: datetime | None = None
    who: str = ""
    note: str = ""


@dataclass
class Way:
    """What the journal says of the way so far: the step that led to each status that still counts."""

    line: Sequence[Status]
    led_to: dict[Status, Event] = field(default_factory=dict)
    approvals: list[Event] = field(default_factory=list)
    untold: str = ""
    moments: dict[Status, datetime | None] = field(default_factory=dict)

    def follow(self, event: Event) -> None:
        if event.step == "approved by one":
            self.approvals.append(event)
        if event.from_status == event.to_status:
            return
        status = self.on_the_line(Status(event.to_status))
        if status in self.line:
            self._forget_after(self.line.index(status))
            self.led_to.setdefault(status, event)
        else:
            self.led_to[status] = event
        if status == Status.UNKNOWN:
            self.led_to.pop(Status.SUCCEEDED, None)  # it was doubted again

    def on_the_line(self, status: Status) -> Status:
        return Status.PROCESSING if status == Status.SENDING and status not in self.line else status

    def _forget_after(self, place: int) -> None:
        """What a step back has undone."""
        for status in self.line[place + 1 :]:
            self.led_to.pop(status, None)
        if place == 0:
            self.approvals = []


def stages(refund: Refund, events: Sequence[Event]) -> list[Stage]:
    """The line for one refund; `events` is its journal, oldest first."""
    way, names = _way(refund)
    way.untold = _("not told separately")
    if len(events) < refund.version:  # then its own moments are what the desk still knows
        way.untold = _("in the archive")
        way.moments = {**dict(zip(LINE, _moments(refund), strict=False)), Status(refund.status): refund.final_at}
    for event in events:
        way.follow(event)
    if refund.source == Refund.Source.GATEWAY and events:
        way.led_to.setdefault(Status.REQUESTED, events[0])
    now = way.on_the_line(Status(refund.status))
    passed = _passed(way, now)
    ahead = _ahead(way, now)
    first = _to_go(refund, way) if ahead[:1] == [Status.APPROVED] else ""
    return [
        *(_stage(names, status, "passed", way) for status in passed),
        _stage(names, now, "now", way),
        *(
            Stage(str(names[status]), "ahead", status, note=first if status == Status.APPROVED else "")
            for status in ahead
        ),
    ]


def _way(refund: Refund) -> tuple[Way, Names]:
    if refund.source == Refund.Source.GATEWAY:
        return Way(LINE_MADE_THERE), {**NAMES, **MADE_THERE}
    if services.is_made_by_hand(refund):
        return Way(LINE_BY_HAND), {**NAMES, **BY_HAND}
    return Way(LINE), NAMES


def _moments(refund: Refund) -> tuple[datetime | None, ...]:
    return refund.requested_at, refund.approved_at, refund.sent_at


def _passed(way: Way, now: Status) -> list[Status]:
    """Up to the last one that was reached, also those that nobody told of separately."""
    if now in way.line:
        return list(way.line[: way.line.index(now)])
    reached = [place for place, status in enumerate(way.line) if status in way.led_to]
    return list(way.line[: max(reached) + 1]) if reached else []


def _ahead(way: Way, now: Status) -> list[Status]:
    if now in way.line:
        return list(way.line[way.line.index(now) + 1 :])
    if now not in GOES_ON:
        return []
    return [status for status in way.line[way.line.index(GOES_ON[now]) :] if status not in way.led_to]


def _stage(names: Names, status: Status, place: str, way: Way) -> Stage:
    name, event = str(names[status]), way.led_to.get(status)
    if event is None:
        return Stage(name, place, status, way.moments.get(status), note=way.untold)
    people = [who(event)]
    if status == Status.APPROVED:
        people = [*(who(one) for one in way.approvals), *people]
    return Stage(name, place, status, event.at, ", ".join(dict.fromkeys(people)))


def _to_go(refund: Refund, way: Way) -> str:
    """How many people still have to agree."""
    missing = max(refund.approvals_needed - len(way.approvals), 1)
    given = ", ".join(who(one) for one in way.approvals)
    said = ngettext("by %(n)s person", "by %(n)s people", missing) % {"n": missing}
    return _("%(given)s, and %(n)s more") % {"given": given, "n": missing} if given else said
