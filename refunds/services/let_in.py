"""Letting a person in by the command line: created if unknown, and put into groups by a change that is kept."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from refunds.errors import BadInput
from refunds.models import Change
from refunds.services.changes import change_at_once, stands
from refunds.services.typed import spoken


@transaction.atomic
def let_in(name: str, groups: Iterable[str], note: str, **told: str) -> tuple[User, bool]:
    """The person, and whether they are new; `told` is what a new person is called."""
    person, note = User.objects.filter(username=name).first(), spoken(note, _("Say why."))
    is_new = person is None
    if person is None:
        person = _new(name, told)
    elif told:
        raise BadInput(
            _("%(name)s is known already. Name and e-mail address are changed in the desk.") % {"name": name}
        )
    wish = {"groups": sorted(set(groups))}
    if is_new or stands(Change.Kind.GROUPS, name, person) != wish:
        change_at_once(Change.Kind.GROUPS, name, wish, Change.Source.COMMAND, note, person=person)
    return person, is_new


def _new(name: str, told: dict[str, str]) -> User:
    person = User(username=name, is_staff=True, **told)
    person.set_unusable_password()
    try:
        person.full_clean()
    except ValidationError as trouble:
        raise BadInput(" ".join(trouble.messages)) from trouble
    person.save()
    return person
