"""The command that lets the first people in, and the change that it leaves behind."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from refunds.models import Change
from tests.builders import alice, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def add(*words: str) -> str:
    out = StringIO()
    call_command("add_person", *words, stdout=out)
    return out.getvalue()


def groups_of(name: str) -> list[str]:
    return sorted(group.name for group in User.objects.get(username=name).groups.all())


def test_a_new_person_comes_in_with_groups_and_without_a_password() -> None:
    said = add(
        "gina", "--group", "Gateway admins", "--email", "g@example.com", "--first-name", "Gina", "--note", "First."
    )
    user = User.objects.get()
    assert (user.username, user.email, user.first_name, user.is_staff) == ("gina", "g@example.com", "Gina", True)
    assert (user.is_superuser, user.has_usable_password(), groups_of("gina")) == (False, False, ["Gateway admins"])
    assert "gina is new, and is in: Gateway admins." in said
    assert "No password is set" in said


@pytest.mark.promise("I31")
def test_what_the_command_does_is_written_down_as_a_change() -> None:
    add("ute", "--group", "User admins", "--group", "Auditors", "--note", "First day.")
    change = Change.objects.get()
    assert (change.kind, change.person, change.source, change.note) == (
        "groups",
        User.objects.get(),
        Change.Source.COMMAND,
        "First day.",
    )
    assert (change.before, change.after) == ({"groups": []}, {"groups": ["Auditors", "User admins"]})
    assert (change.proposed_by, change.confirmed_by) == (None, None)
    assert change.confirmed_at


def test_a_known_person_gets_these_groups_and_no_others() -> None:
    user = alice()
    assert "alice was known" in add("alice", "--group", "Approvers", "--group", "Finance")
    assert groups_of("alice") == ["Approvers", "Finance"]
    add("alice", "--group", "Finance", "--group", "Approvers")
    assert Change.objects.count() == 1
    assert User.objects.get().password == user.password


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new",), "at least one --group"),
        (("new", "--group", "Bosses"), "There is no group Bosses"),
        (("new", "--group", "User admins", "--group", "Agents"), "moves no money"),
        (("bad name!", "--group", "Agents"), "valid username"),
        (("", "--group", "Agents"), "cannot be blank"),
        (("new", "--group", "Agents", "--email", "nonsense"), "valid email"),
        (("new", "--group", "Agents", "--note", " "), "Say why"),
        (("root", "--group", "Agents"), "A superuser looks after the system"),
        (("known", "--group", "Finance", "--email", "k@example.com"), "known already"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(words: tuple[str, ...], said: str) -> None:
    person("root", is_superuser=True)
    person("known", "Agents")
    with pytest.raises(CommandError, match=said):
        add(*words)
    assert set(User.objects.values_list("username", flat=True)) == {"root", "known"}
    assert groups_of("known") == ["Agents"]
    assert not Change.objects.exists()


def test_somebody_who_is_switched_off_stays_so_and_the_command_says_it() -> None:
    person("old", "Agents", is_active=False)
    assert "switched off" in add("old", "--group", "Auditors")
    assert not User.objects.get().is_active


def test_the_command_never_makes_a_superuser() -> None:
    options: dict[str, Any] = {"is_superuser": True}
    with pytest.raises(TypeError):
        call_command("add_person", "eve", group=["Agents"], **options)
    assert not User.objects.exists()
