"""What the identity provider says about people: its groups become ours, and what it takes away is gone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from refunds import people
from refunds.errors import BadInput
from refunds.models import Change
from refunds.services.changes import change_at_once, stands
from refunds.services.persons import end_sessions, switch_off


def mapping() -> dict[str, set[str]]:
    """OIDC_GROUPS, like "refund-approvers=Approvers;support=Agents": their name → ours, which may be several."""
    found: dict[str, set[str]] = {}
    for pair in filter(None, (part.strip() for part in settings.OIDC_GROUPS.split(";"))):
        theirs, ours = (word.strip() for word in pair.rpartition("=")[::2])
        if not theirs or ours not in people.GROUPS:
            raise BadInput(f"OIDC_GROUPS: {pair!r} has to be theirs=ours, with ours one of {', '.join(people.GROUPS)}.")
        found.setdefault(theirs, set()).add(ours)
    return found


def ours(theirs: Iterable[Any]) -> set[str]:
    known = mapping()
    return {name for group in theirs if isinstance(group, str) for name in known.get(group, ())}


def why_nothing(theirs: Iterable[Any]) -> str:
    """Why a person of these groups gets none of ours, or ""."""
    wanted = ours(theirs)
    if not wanted:
        return _("None of your groups at %(issuer)s opens anything here. Ask a user admin which one you need.") % {
            "issuer": settings.OIDC_NAME
        }
    if trouble := people.conflict(wanted):
        return _("Your groups at %(issuer)s do not go together here. %(trouble)s Ask a user admin.") % {
            "issuer": settings.OIDC_NAME,
            "trouble": trouble,
        }
    return ""


@transaction.atomic
def take_over(person: User, theirs: Iterable[Any]) -> bool:
    """Exactly the groups that theirs stand for; none where they stand for nothing or do not go together.

    Each change is kept as one of the identity provider's. A superuser is in no group of the desk.
    """
    theirs, name = list(theirs), person.get_username()
    wanted = set() if person.is_superuser or why_nothing(theirs) else ours(theirs)
    wish = {"groups": sorted(wanted)}
    if changed := stands(Change.Kind.GROUPS, name, person) != wish:
        note = f"As {settings.OIDC_NAME} says."
        change_at_once(Change.Kind.GROUPS, name, wish, Change.Source.PROVIDER, note, person=person)
    if person.is_staff != bool(wanted):
        person.is_staff = bool(wanted)
        person.save(update_fields=["is_staff"])
    return changed


# --- Everybody at once, from a SCIM 2.0 list ---


def sync(resources: list[dict[str, Any]]) -> list[str]:
    """Groups and switched-off accounts of everybody who came in by this issuer; says what was done."""
    if resources and not any(isinstance(one.get("groups"), list) for one in resources):
        raise BadInput("The list names no groups at all. Ask for the attribute groups; nothing was changed.")
    listed: dict[str, dict[str, Any]] = {}
    for one in resources:
        for name in {str(one[name]) for name in ("id", "externalId") if one.get(name)}:
            if name in listed:
                raise BadInput(f"The list names two people {name}. Nothing was changed.")
            listed[name] = one
    known = (
        SocialAccount.objects.filter(provider=settings.OIDC_ISSUER).select_related("user").order_by("user__username")
    )
    return [said for account in known if (said := _sync_one(account.user, listed.get(account.uid)))]


def _sync_one(person: User, told: dict[str, Any] | None) -> str:
    if told is None or str(told.get("active", True)).lower() != "true":
        if not person.is_active:
            return ""
        switch_off(person)
        return f"{person} is switched off: {'no longer listed' if told is None else 'not active'} there."
    groups = [word for group in told.get("groups") or () if isinstance(group, dict) for word in _names(group)]
    if not take_over(person, groups):
        return ""
    end_sessions(person)
    names = ", ".join(sorted(person.groups.values_list("name", flat=True)))
    return f"{person} is in {names or 'no group'} now."


def _names(group: dict[str, Any]) -> Iterable[str]:
    return (group[key] for key in ("display", "value") if isinstance(group.get(key), str))
