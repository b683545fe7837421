"""People: who looks after them can neither raise themselves nor mix money with rules."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse

from refunds import people
from tests.builders import alice, person
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db


def form(user: User, *groups: str, **fields: Any) -> dict[str, Any]:
    chosen = Group.objects.filter(name__in=groups).values_list("pk", flat=True)
    return {"username": user.username, "is_active": "on", "is_staff": "on", "groups": list(chosen), **fields}


def post(by: User, user: User, *groups: str, **fields: Any) -> None:
    at_the_desk(by).post(reverse("admin:auth_user_change", args=(user.pk,)), form(user, *groups, **fields))


def groups_of(user: User) -> set[str]:
    return set(user.groups.values_list("name", flat=True))


def test_groups_are_not_changed_by_the_form() -> None:
    for by in (person("uma", "User admins"), person("root", is_superuser=True)):
        post(by, alice(), "Approvers")
        assert groups_of(alice()) == {"Agents"}


@pytest.mark.parametrize(
    "both", [("User admins", "Approvers"), ("Gateway admins", "Agents"), ("User admins", "Finance")]
)
def test_nobody_both_makes_the_rules_and_moves_money(both: tuple[str, str]) -> None:
    uma = person("uma", "User admins")
    post(uma, alice(), *both)
    assert groups_of(alice()) == {"Agents"}
    assert people.conflict(both)


def test_nobody_changes_themselves_or_makes_a_superuser() -> None:
    uma = person("uma", "User admins")
    post(uma, uma, "Approvers", is_superuser="on")
    post(uma, alice(), "Agents", is_superuser="on", user_permissions=[1, 2])
    assert groups_of(uma) == {"User admins"}
    assert not User.objects.filter(is_superuser=True).exists()
    assert not alice().user_permissions.exists()


def test_a_superuser_is_left_alone_by_user_admins() -> None:
    uma, root = person("uma", "User admins"), person("root", is_superuser=True)
    post(uma, root, "Agents")
    assert groups_of(root) == set()


def test_agents_see_no_people() -> None:
    assert at_the_desk(alice()).get(reverse("admin:auth_user_changelist")).status_code == 403
