"""Who takes a step: a person, a worker of ours, or a gateway in one of its three ways of speaking."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.contrib.auth.models import User

from refunds.models import Event, Rule


class Mouth(StrEnum):
    """How a gateway told us: its answer, a look-up of ours, or a webhook."""

    ANSWER = Event.Source.ANSWER
    LOOK_UP = Event.Source.LOOK_UP
    WEBHOOK = Event.Source.WEBHOOK


@dataclass(frozen=True)
class Actor:
    """`name` is kept by value, so the journal stays true when a person is renamed."""

    name: str
    source: Event.Source
    user: User | None = None

    @classmethod
    def person(cls, user: User) -> Actor:
        return cls(user.get_username(), Event.Source.PERSON, user)

    @classmethod
    def at_the_command_line(cls, user: User) -> Actor:
        return cls(user.get_username(), Event.Source.COMMAND, user)

    @classmethod
    def rule(cls, rule: Rule) -> Actor:
        return cls(str(rule), Event.Source.RULE)

    @classmethod
    def gateway(cls, label: str, mouth: Mouth) -> Actor:
        return cls(label, Event.Source(mouth))


WORKER = Actor("worker", Event.Source.WORKER)
