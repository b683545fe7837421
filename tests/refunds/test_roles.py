"""Who may do what: each role against each step, as a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User

from refunds import people, services
from refunds.errors import NotAllowed
from refunds.models import RefundReason
from tests.builders import again, approved, ask, bob, make_payment, person
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db

ROLES = ("Agents", "Approvers", "Finance", "Auditors", "Gateway admins", "User admins", "", "superuser")


def by_role(role: str) -> User:
    if role == "superuser":
        return person("a-superuser", is_superuser=True)
    return person(f"one-of-{role or 'nobody'}".lower().replace(" ", "-"), role)


def request(user: User) -> None:
    payment = make_payment()
    services.request_refund(payment.pk, 100, RefundReason.objects.first(), user, seen_free=payment.free)


def approve(user: User) -> None:
    refund = ask()
    services.approve_refund(refund.pk, user, seen=refund.version)


def reject(user: User) -> None:
    refund = ask()
    services.reject_refund(refund.pk, user, "no", seen=refund.version)


def return_(user: User) -> None:
    refund = ask()
    services.return_refund(refund.pk, user, "which?", seen=refund.version)


def unapprove(user: User) -> None:
    refund = approved()
    services.unapprove_refund(refund.pk, user, "wrong", seen=refund.version)


def send_now(user: User) -> None:
    refund = approved()
    services.send_now(refund.pk, user, seen=refund.version)


def check(user: User) -> None:
    services.check_refund(standing_in("processing").pk, user)


def retry(user: User) -> None:
    refund = standing_in("failed")
    services.retry_refund(refund.pk, user, seen=refund.version)


def attend(user: User) -> None:
    refund = standing_in("unknown", needs_attention="look")
    services.clear_attention(refund.pk, user, "seen", seen=refund.version)


ALLOWED: dict[Callable[[User], None], tuple[str, ...]] = {
    request: ("Agents",),
    approve: ("Approvers",),
    reject: ("Approvers",),
    return_: ("Approvers",),
    unapprove: ("Approvers",),
    send_now: ("Approvers",),
    check: ("Agents", "Approvers", "Finance"),
    retry: ("Agents",),
    attend: ("Finance",),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("step", ALLOWED, ids=lambda step: step.__name__)
def test_each_role_may_do_what_the_table_says(step: Callable[[User], None], role: str) -> None:
    user = by_role(role)
    if role in ALLOWED[step]:
        step(user)
        return
    with pytest.raises(NotAllowed):
        step(user)


@pytest.mark.parametrize("step", [s for s in ALLOWED if s not in (request, retry)], ids=lambda step: step.__name__)
def test_a_right_that_is_taken_away_ends_at_once(step: Callable[[User], None]) -> None:
    user = by_role(ALLOWED[step][0])
    user.groups.clear()
    with pytest.raises(NotAllowed):
        step(User.objects.get(pk=user.pk))


def test_an_inactive_person_may_do_nothing() -> None:
    user = by_role("Approvers")
    user.is_active = False
    user.save()
    with pytest.raises(NotAllowed):
        approve(user)


def test_the_six_groups_are_there_with_exactly_their_rights() -> None:
    for name, rights in people.GROUPS.items():
        held = Group.objects.get(name=name).permissions.values_list("codename", flat=True)
        assert set(held) == set(rights), name


def test_no_group_both_looks_after_people_and_moves_money() -> None:
    money = {"request_refund", "approve_refund", "declare_refund", "import_payments"}
    for name, rights in people.GROUPS.items():
        administers = any(right.endswith(("_user", "_group")) and not right.startswith("view") for right in rights)
        assert not (administers and money & set(rights)), name


def test_nobody_can_delete_anything_by_a_group() -> None:
    assert not [right for rights in people.GROUPS.values() for right in rights if right.startswith("delete")]


def test_an_approver_who_lost_the_right_voids_the_approval() -> None:
    refund = approved()
    bob().groups.clear()
    services.send_refund(refund.pk)
    refund = again(refund)
    assert (refund.status, refund.revision) == ("requested", 2)
    assert "may no longer approve" in refund.events.last().text
