"""People: their groups, and whether they may come in. Whatever is taken away ends what they have open."""

from __future__ import annotations

from collections.abc import Iterable

from allauth.usersessions.models import UserSession
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils.translation import gettext as _

from refunds import people
from refunds.errors import BadInput


@transaction.atomic
def set_groups(person: User, names: Iterable[str]) -> bool:
    """Exactly these groups; says whether that changed anything. Who lost one has to log in again."""
    wanted = set(names)
    if trouble := people.conflict(wanted):
        raise BadInput(trouble)
    User.objects.select_for_update().get(pk=person.pk)
    groups = list(Group.objects.filter(name__in=wanted))
    if unknown := wanted - {group.name for group in groups}:
        raise BadInput(_("There is no group %(names)s.") % {"names": ", ".join(sorted(unknown))})
    had = set(person.groups.values_list("name", flat=True))
    if had == wanted:
        return False
    person.groups.set(groups)
    if had - wanted:
        end_sessions(person)
    return True


@transaction.atomic
def switch_off(person: User) -> None:
    """They do not come in any more, and what they have open ends now."""
    User.objects.filter(pk=person.pk).update(is_active=False)
    person.is_active = False
    end_sessions(person)


def end_sessions(person: User) -> int:
    sessions = list(UserSession.objects.filter(user=person))
    for session in sessions:
        session.end()
    return len(sessions)
