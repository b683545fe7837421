"""What a gateway can do, in plain words: on the account's page and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from gateways import registry
from gateways.contract import Gateway, LookUp, Repeat, Webhooks
from gateways.errors import Misconfigured
from refunds import accounts
from refunds.assumptions import Standing, standing_of
from refunds.models import Account

LOOK_UP = {
    LookUp.NONE: gettext_lazy("Not possible. People look in their screens and declare what became of it."),
    LookUp.BY_REFERENCE: gettext_lazy("By their reference: not before they have answered with one."),
    LookUp.BY_KEY: gettext_lazy("By our own key, even when their answer was lost."),
    LookUp.BY_PAYMENT: gettext_lazy("By the payment: what they show is compared with what they showed before."),
}
REPEAT = {
    Repeat.NEVER: gettext_lazy("Never. After no answer a second order could pay twice."),
    Repeat.AFTER_ABSENCE: gettext_lazy(
        "Under the same key, once a look-up has not found it and the quiet window is over."
    ),
    Repeat.WITHIN_WINDOW: gettext_lazy("Under the same key, for as long as they honour it."),
}
WEBHOOKS = {
    Webhooks.NONE: gettext_lazy("None about refunds: we ask."),
    Webhooks.KNOCK: gettext_lazy("They only knock: what they say is not believed, and we ask at once."),
    Webhooks.SPEAK: gettext_lazy("Signed: believed at once, and looked up all the same."),
}
UNITS = (("day", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1)))


@dataclass(frozen=True)
class Card:
    """Everything that is known of one account's gateway; `trouble` says why the account cannot be used."""

    label: str
    abilities: Sequence[tuple[str, str]]
    assumptions: Sequence[Standing]
    trouble: str = ""


def card_of(account: Account) -> Card | None:
    """The capability card; None for a gateway that this installation does not know (any more)."""
    try:
        kind = registry.gateway_class(account.gateway)
    except Misconfigured:
        return None
    try:
        return Card(kind.label, abilities(accounts.connect(account)), standing_of(account))
    except Misconfigured as trouble:
        return Card(kind.label, abilities(kind), standing_of(account), str(trouble))


def label_of(gateway: str) -> str:
    """What people call this gateway; one that has left the program keeps its bare name."""
    try:
        return registry.gateway_class(gateway).label
    except Misconfigured:
        return gateway


def abilities(gateway: Gateway | type[Gateway]) -> list[tuple[str, str]]:
    """Label and sentence for each capability; with its settings where they are known."""
    can = gateway.can
    if can.by_hand:
        return [
            (
                _("How it works"),
                _("A person makes the transfer; then one says what became of it, and another confirms."),
            )
        ]
    return [
        (_("Part of a payment"), _("Yes.") if can.partial else _("No, only all of it.")),
        (
            _("Several refunds of one payment"),
            _("At the same time.") if can.several else _("One after the other: the next waits."),
        ),
        (_("Orders in one call"), _bundle(gateway)),
        (_("Asking what became of it"), str(LOOK_UP[can.look_up])),
        (_("The same order again"), str(REPEAT[can.repeat])),
        (_("Cancelling there"), _("Until they have begun to pay.") if can.cancel else _("Not possible.")),
        (_("Webhooks"), str(WEBHOOKS[can.webhooks])),
        (_("When we ask"), plan(gateway.poll_plan)),
        (_("Quiet window"), _quiet(gateway.quiet_window)),
        (_("Key window"), _key(gateway)),
    ]


def plan(pauses: Sequence[timedelta]) -> str:
    """A poll plan in words, at the pace of this installation."""
    if not pauses:
        return _("Never by ourselves.")
    *first, last = [(span(pause * settings.POLL_PACE), len(list(same))) for pause, same in groupby(pauses)]
    steps = [_("%(number)s times %(span)s") % {"number": n, "span": text} if n > 1 else text for text, n in first]
    return (
        _("After %(spans)s, then every %(last)s.") % {"spans": ", ".join(steps), "last": last[0]}
        if steps
        else _("Every %(last)s.") % {"last": last[0]}
    )


def span(pause: timedelta) -> str:
    """1 day, 1 h 12 min, 15 min, 2.5 s: the two largest units that say it."""
    parts = []
    for unit, length in UNITS:
        n_units, rest = divmod(pause, length)
        if n_units:
            name = ngettext("day", "days", n_units) if unit == "day" else unit
            parts.append(f"{n_units}\N{NO-BREAK SPACE}{name}")
            pause = rest
    if pause and len(parts) < 2:
        parts.append(f"{pause.total_seconds():g}\N{NO-BREAK SPACE}s")
    return " ".join(parts[:2])


def _bundle(gateway: Gateway | type[Gateway]) -> str:
    if gateway.bundle > 1:
        return _("Up to %(number)s, each of another payment.") % {"number": gateway.bundle}
    return (
        _("One; up to %(most)s where BATCH is set.") % {"most": gateway.can.bundle}
        if gateway.can.bundle > 1
        else _("One.")
    )


def _quiet(window: timedelta) -> str:
    return (
        _("%(span)s: an order that is unseen for so long can no longer arrive.") % {"span": span(window)}
        if window
        else _("None.")
    )


def _key(gateway: Gateway | type[Gateway]) -> str:
    if gateway.key_window:
        return _("%(span)s: they honour our key for so long.") % {"span": span(gateway.key_window)}
    return _("No end of it is known.") if gateway.can.repeat is not Repeat.NEVER else _("They keep no key of ours.")
