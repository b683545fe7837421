"""What a person prefers: written by that person alone, about themselves."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import User

from refunds.models import How, Preference


def save_preference(
    person: User, *, language: str, time_zone: str, to_decide: How, own: How, not_about: Iterable[str]
) -> Preference:
    """All of them at once; "" follows the house."""
    wishes = {"language": language, "time_zone": time_zone, "to_decide": to_decide, "own": own}
    row, _ = Preference.objects.update_or_create(person=person, defaults={**wishes, "not_about": sorted(not_about)})
    return row
