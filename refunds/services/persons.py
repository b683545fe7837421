"""People's groups: what they may do from the next click on."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group, User

from refunds import people
from refunds.errors import BadInput


def set_groups(person: User, names: Iterable[str]) -> None:
    """From now on the person is in these groups and in no others."""
    wanted = set(names)
    if trouble := people.conflict(wanted):
        raise BadInput(trouble)
    groups = list(Group.objects.filter(name__in=wanted))
    if unknown := wanted - {group.name for group in groups}:
        raise BadInput(f"There is no group {sorted(unknown)[0]}.")
    person.groups.set(groups)
