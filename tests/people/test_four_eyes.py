"""Four eyes: whoever asked never decides, by whatever road and in whatever group; what was approved is what goes."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, User
from django.db import Error, connection, transaction
from django.urls import reverse
from django.utils import timezone

from gateways.sandbox import Sandbox
from refunds import people, policy, services
from refunds.errors import RefundError
from refunds.models import Allowance, Approval, Attempt, Declaration, Refund, Rule, Scope, Status
from refunds.services import send
from tests.builders import allow, limit_to, make_account, make_rule, person, stand_in
from tests.house import point_at
from tests.people.rooms import a_colleague, asked_by, browser_of, in_groups, paid, propose, standing, taken_back

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _ground(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.MEDIA_ROOT = str(tmp_path)
    point_at(Sandbox(pace=1000), monkeypatch)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def would_go(refund: Refund, seen: int | None = None) -> bool:
    """Whether a worker that takes it now would carry it to the gateway."""
    return send.claim(refund.pk, seen, is_probe=False) is not None


# --- I27: six roads ---

ROLES = {
    "an agent": ("Agents",),
    "an approver": ("Approvers",),
    "an agent and approver": ("Agents", "Approvers"),
    "finance": ("Finance",),
    "an auditor": ("Auditors",),
    "a gateway admin": ("Gateway admins",),
    "a user admin": ("User admins",),
    "a superuser": (),
    "a superuser and approver": ("Approvers",),
}
MAY_APPROVE = ("an approver", "an agent and approver")
LIST = "admin:refunds_refund_changelist"


def by_the_step_page(me: User, refund: Refund) -> None:
    browser_of(me).post(reverse("admin:refunds_refund_step", args=(refund.pk, "approve")), {"seen": refund.version})


def by_the_bulk_page(me: User, refund: Refund) -> None:
    """What the page offers is sent back as it stands there."""
    browser = browser_of(me)
    chosen = {"action": "approve_selected", "_selected_action": [refund.pk]}
    page = browser.post(reverse(LIST), chosen).content.decode()
    seen = re.findall(r'name="(seen_\d+)" value="(\d+)"', page)
    browser.post(reverse(LIST), {**chosen, "confirmed": "yes", **dict(seen)})


def by_a_hand_made_post(me: User, refund: Refund) -> None:
    chosen = {"action": "approve_selected", "_selected_action": [refund.pk], "select_across": "0", "index": "0"}
    browser_of(me).post(reverse(LIST), {**chosen, "confirmed": "yes", f"seen_{refund.pk}": refund.version})


def by_the_service(me: User, refund: Refund) -> None:
    services.approve_refund(refund.pk, me, seen=refund.version)


def in_a_shell(me: User, refund: Refund) -> None:
    Approval.objects.create(
        refund=refund,
        revision=refund.revision,
        approver=me,
        requester_id=refund.requested_by_id,
        digest=policy.digest(refund),
        approved_at=timezone.now(),
    )
    refund.approve()
    refund.approved_at = timezone.now()
    refund.save()


def by_raw_sql(me: User, refund: Refund, requester: int | None = None) -> None:
    now, named = timezone.now(), requester or refund.requested_by_id
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO refunds_approval (refund_id, revision, approver_id, requester_id, digest, approved_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [refund.pk, refund.revision, me.pk, named, policy.digest(refund), now],
        )
        cursor.execute(
            "UPDATE refunds_refund SET status = 'approved', approved_at = %s WHERE id = %s", [now, refund.pk]
        )


ROADS = (by_the_step_page, by_the_bulk_page, by_a_hand_made_post, by_the_service, in_a_shell, by_raw_sql)


def one_who_is(role: str) -> User:
    return in_groups("me", *ROLES[role], is_superuser="superuser" in role)


@pytest.mark.promise("I27")
@pytest.mark.parametrize("whose", ["own", "another's"])
@pytest.mark.parametrize("road", ROADS, ids=lambda road: road.__name__)
@pytest.mark.parametrize("role", ROLES)
def test_nobody_brings_their_own_refund_to_the_gateway(role: str, road: Any, whose: str) -> None:
    me = one_who_is(role)
    refund = asked_by(me if whose == "own" else a_colleague())
    with suppress(RefundError, Error), transaction.atomic():
        road(me, Refund.objects.get(pk=refund.pk))
    approved_by_me = Approval.objects.filter(refund=refund, approver=me).exists()
    goes = would_go(refund)
    assert goes == (whose != "own" and role in MAY_APPROVE)
    assert not (whose == "own" and approved_by_me)
    assert goes or Refund.objects.get(pk=refund.pk).status == Status.REQUESTED


@pytest.mark.promise("I27")
@pytest.mark.parametrize(
    "lie",
    ["another requester", "no approval needed", "a rule that asks for nobody", "fewer", "too few", "one's deputy"],
)
def test_the_database_believes_no_lie_about_who_asked(lie: str) -> None:
    me = one_who_is("an agent and approver")
    refund, other = asked_by(me), person("bob", "Approvers")
    rule = make_rule("2")
    of_two = asked_by(me)
    Rule.objects.filter(pk=rule.pk).update(ended_at=timezone.now())
    sql: dict[str, Callable[[], Any]] = {
        "another requester": partial(by_raw_sql, me, refund, other.pk),
        "no approval needed": partial(
            raw, "UPDATE refunds_refund SET approvals_needed = 0, status = 'approved' WHERE id = %s", refund.pk
        ),
        "a rule that asks for nobody": partial(
            raw,
            "UPDATE refunds_refund SET approvals_needed = 0, rule_id = %s, revision = 2 WHERE id = %s",
            *(make_rule("0").pk, refund.pk),
        ),
        "fewer": partial(raw, "UPDATE refunds_refund SET approvals_needed = 1 WHERE id = %s", of_two.pk),
        "too few": partial(raw, "UPDATE refunds_refund SET status = 'approved' WHERE id = %s", refund.pk),
        "one's deputy": lambda: Approval.objects.create(
            refund=refund,
            revision=1,
            approver=other,
            requester=me,
            acting_for=me,
            digest=policy.digest(refund),
            approved_at=timezone.now(),
        ),
    }
    with pytest.raises(Error), transaction.atomic():
        sql[lie]()
    assert not would_go(refund)


def raw(sql: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.mark.promise("I27")
def test_no_deputy_approves_with_the_word_of_who_asked() -> None:
    me, deputy = one_who_is("an agent and approver"), person("bob", "Approvers")
    allow(deputy, "approve", 1, 1)
    allow(me, "approve", 5000, 5000)
    stand_in(deputy, me)
    refund = asked_by(me)
    with pytest.raises(RefundError):
        services.approve_refund(refund.pk, deputy, seen=refund.version)
    assert not would_go(refund)


@pytest.mark.promise("I27", "I32")
@pytest.mark.parametrize("road", ["page", "service", "sql"])
@pytest.mark.parametrize("who", ["proposer", "requester", "superuser", "agent", "third person"])
def test_a_declaration_is_confirmed_by_a_third_person_alone(who: str, road: str) -> None:
    requester = a_colleague()
    refund = propose(standing(Status.UNKNOWN, requester))
    requester.groups.set(Group.objects.filter(name="Finance"))
    by = {
        "proposer": person("a-proposer"),
        "requester": User.objects.get(pk=requester.pk),
        "superuser": in_groups("root", "Finance", is_superuser=True),
        "agent": person("ann", "Agents"),
        "third person": person("fin", "Finance"),
    }[who]
    roads: dict[str, Callable[[], Any]] = {
        "page": lambda: browser_of(by).post(
            reverse("admin:refunds_refund_confirm", args=(refund.pk,)), {"seen": refund.version}
        ),
        "service": lambda: services.confirm_outcome(refund.pk, by, seen=refund.version),
        "sql": lambda: raw(
            "UPDATE refunds_declaration SET confirmed_by_id = %s, confirmed_at = proposed_at WHERE refund_id = %s",
            *(by.pk, refund.pk),
        ),
    }
    with suppress(RefundError, Error), transaction.atomic():
        roads[road]()
    is_done = Declaration.objects.filter(refund=refund, confirmed_by=by).exists()
    nobodys_rights = road == "sql" and who in ("superuser", "agent")  # the database knows persons, and no groups
    assert is_done == (who == "third person" or nobodys_rights)


# --- I28: between the approval and the gateway ---


def approved_one(gateway: str = "payerly") -> Refund:
    refund = asked_by(a_colleague(), payment=paid(gateway))
    return services.approve_refund(refund.pk, person("bob", "Approvers"), seen=refund.version)


def lost_one() -> Refund:
    """Unknown at a gateway that takes the same order again."""
    refund = standing(Status.UNKNOWN, a_colleague(), payment=paid("paynow"))
    Attempt.objects.create(refund=refund, kind="send", fence=1, started_at=timezone.now())
    return refund


def tell(**changes: Any) -> Callable[[Refund, User], None]:
    return lambda refund, approver: _told(Refund.objects.filter(pk=refund.pk).update(**changes))


def _told(n_rows: int) -> None:
    assert n_rows == 1


def demote(refund: Refund, approver: User) -> None:
    approver.groups.clear()


def deactivate(refund: Refund, approver: User) -> None:
    User.objects.filter(pk=approver.pk).update(is_active=False)


def crown(refund: Refund, approver: User) -> None:
    User.objects.filter(pk=approver.pk).update(is_superuser=True)


def lower_the_limit(refund: Refund, approver: User) -> None:
    Allowance.objects.create(
        person=approver, act="approve", currency=refund.payment.currency, largest=999, per_day=9999
    )


def leave_another_currency(refund: Refund, approver: User) -> None:
    Allowance.objects.create(person=approver, act="approve", currency="JPY", largest=10**6, per_day=10**6)


def take_the_account_away(refund: Refund, approver: User) -> None:
    limit_to(approver, make_account("bank", gateway="manual"))


def bind_to_another_rule(refund: Refund, approver: User) -> None:
    Refund.objects.filter(pk=refund.pk).update(rule=make_rule("1"))


TROUBLES: dict[str, Callable[[Refund, User], None]] = {
    "nothing": lambda refund, approver: None,
    "revision": tell(revision=2),
    "ticket": tell(ticket="T-666"),
    "internal note": tell(internal_note="Never mind."),
    "approvals needed": tell(approvals_needed=2),
    "rule": bind_to_another_rule,
    "deactivated": deactivate,
    "demoted": demote,
    "made a superuser": crown,
    "limit lowered": lower_the_limit,
    "limit in another currency only": leave_another_currency,
    "account taken away": take_the_account_away,
    "too late": lambda refund, approver: None,
}


def the_worker(refund: Refund) -> bool:
    return would_go(refund)


def send_now(refund: Refund) -> bool:
    refund.refresh_from_db(fields=["version"])
    services.send_now(refund.pk, person("bert", "Approvers"), seen=refund.version)
    return would_go(refund)


def the_repeat(refund: Refund) -> bool:
    return would_go(refund, refund.version)


@pytest.mark.promise("I28")
@pytest.mark.parametrize("road", [the_worker, send_now, the_repeat], ids=lambda road: road.__name__)
@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_was_approved_is_looked_at_once_more(trouble: str, road: Any) -> None:
    refund = lost_one() if road is the_repeat else approved_one()
    approver = refund.approvals.get().approver
    TROUBLES[trouble](refund, approver)
    with time_machine.travel(timezone.now() + timedelta(days=7, minutes=1) * (trouble == "too late")):
        if trouble == "too late" and road is the_repeat:  # the gateway would still know the key
            Attempt.objects.filter(refund=refund).update(started_at=timezone.now())
        assert road(refund) == (trouble == "nothing")
    now_is = Refund.objects.get(pk=refund.pk)
    if trouble != "nothing":
        assert now_is.status == (Status.UNKNOWN if road is the_repeat else Status.REQUESTED)


FROZEN = {
    "key": "8f14e45f-ceea-467f-a0e6-000000000001",
    "amount": 1,
    "public_note": "Another",
    "reason_word": "OTHER",
    "reason_id": 2,
    "requested_by_id": 77,
    "payment_id": 77,
    "account_id": 77,
}


@pytest.mark.promise("I28", "I7")
@pytest.mark.parametrize("column", FROZEN)
def test_the_other_parts_of_what_was_approved_cannot_change(column: str) -> None:
    refund = approved_one()
    with pytest.raises(Error), transaction.atomic():
        raw(f"UPDATE refunds_refund SET {column} = %s WHERE id = %s", FROZEN[column], refund.pk)
    with pytest.raises(Error), transaction.atomic():
        raw("UPDATE refunds_payment SET currency = 'USD' WHERE id = %s", refund.payment_id)
    assert would_go(refund)


# --- I29: stale pages ---


def _asks_back(refund: Refund) -> None:
    asked = services.return_refund(refund.pk, person("bert", "Approvers"), "Which?", seen=refund.version)
    services.resubmit_refund(refund.pk, a_colleague(), "The blue one.", seen=asked.version)


def _approves_and_takes_back(refund: Refund) -> None:
    done = services.approve_refund(refund.pk, person("bert", "Approvers"), seen=refund.version)
    services.unapprove_refund(refund.pk, person("bert"), "A second thought.", seen=done.version)


def _withdraws(refund: Refund) -> None:
    services.withdraw_refund(refund.pk, a_colleague(), seen=refund.version)


def _rejects(refund: Refund) -> None:
    services.reject_refund(refund.pk, person("bert", "Approvers"), "No.", seen=refund.version)


MEANWHILE = (_asks_back, _approves_and_takes_back, _withdraws, _rejects)
ROUNDS = 200
STALE = r"has changed since you opened it|is now, so|Nothing was done|please look again"


@pytest.mark.once
@pytest.mark.promise("I29")
def test_a_page_that_is_no_longer_true_approves_nothing(trials: Any) -> None:
    refund = asked_by(a_colleague())
    browser = browser_of(person("bob", "Approvers"))
    url = reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    chosen = {"action": "approve_selected", "_selected_action": [refund.pk], "confirmed": "yes"}
    unseen, silent = 0, 0
    for number in range(ROUNDS):
        with taken_back():
            MEANWHILE[number % len(MEANWHILE)](refund)
            if number % 2:
                answer = browser.post(url, {"seen": refund.version})
            else:
                answer = browser.post(reverse(LIST), {**chosen, f"seen_{refund.pk}": refund.version}, follow=True)
            unseen += Approval.objects.filter(refund=refund, approver__username="bob").exists()
            silent += not re.search(STALE, answer.content.decode())
    assert (unseen, silent) == (0, 0)
    trials(ROUNDS)


@pytest.mark.once
@pytest.mark.promise("I29")
@pytest.mark.parametrize(
    "seen", ["", "-1", "0", "2", "1e0", "\N{SUPERSCRIPT ONE}", "99999999999999999999", "abc", None]
)
def test_a_form_without_a_true_version_approves_nothing(seen: str | None) -> None:
    refund = asked_by(a_colleague())
    browser = browser_of(person("bob", "Approvers"))
    fields = {} if seen is None else {"seen": seen}
    answer = browser.post(reverse("admin:refunds_refund_step", args=(refund.pk, "approve")), fields)
    assert answer.status_code == 409
    assert "has changed since you opened it" in answer.content.decode()
    posted = {} if seen is None else {f"seen_{refund.pk}": seen}
    chosen = {"action": "approve_selected", "_selected_action": [refund.pk], "confirmed": "yes"}
    page = browser.post(reverse(LIST), {**chosen, **posted}, follow=True).content.decode()
    assert re.search("Nothing was done|has changed since", page)
    assert not Approval.objects.exists()


@pytest.mark.once
@pytest.mark.promise("I29")
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"select_across": "1"}, "Pick the rows one by one"),
        ({"select_across": "yes"}, "Pick the rows one by one"),
        ({"_selected_action": list(range(1, 52))}, "At most 50 at a time; you picked 51."),
        ({"_selected_action": [], "index": "0"}, "Items must be selected"),
        ({"action": "delete_selected"}, "No action selected"),
        ({"action": "make_me_king"}, "No action selected"),
    ],
)
def test_a_hand_made_selection_fails_with_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    refund = asked_by(a_colleague())
    usual = {"action": "approve_selected", "_selected_action": [refund.pk], "confirmed": "yes"}
    posted = {**usual, f"seen_{refund.pk}": refund.version, **fields}
    page = browser_of(person("bob", "Approvers")).post(reverse(LIST), posted, follow=True).content.decode()
    assert sentence in page
    assert not Approval.objects.exists()


# --- I30: the next click ---

TAKEN = {
    "group": lambda user: user.groups.clear(),
    "activity": lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    "staff": lambda user: User.objects.filter(pk=user.pk).update(is_staff=False),
    "account": lambda user: limit_to(user, make_account("bank", gateway="manual")),
    "right of the group": lambda user: Group.objects.get(name="Approvers").permissions.clear(),
    "crowned": lambda user: User.objects.filter(pk=user.pk).update(is_superuser=True),
}


@pytest.mark.once
@pytest.mark.promise("I30")
@pytest.mark.parametrize("what", TAKEN)
def test_what_was_taken_away_is_gone_with_the_next_click(what: str) -> None:
    refund, user = asked_by(a_colleague()), person("bob", "Approvers")
    browser = browser_of(user)
    url = reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    assert browser.get(url).status_code == 200
    TAKEN[what](user)
    assert browser.get(url).status_code in (302, 403, 404)
    assert browser.post(url, {"seen": refund.version}).status_code in (302, 403, 404)
    assert Refund.objects.get(pk=refund.pk).status == Status.REQUESTED
    assert not Approval.objects.exists()


@pytest.mark.once
@pytest.mark.promise("I30")
def test_what_was_given_is_there_with_the_next_click() -> None:
    refund, user = asked_by(a_colleague()), person("nobody")
    limit_to(user, make_account("bank", gateway="manual"))
    browser, url = browser_of(user), reverse("admin:refunds_refund_step", args=(refund.pk, "approve"))
    assert browser.get(url).status_code == 404
    Scope.objects.all().delete()
    assert browser.get(url).status_code == 403
    user.groups.add(Group.objects.get(name="Approvers"))
    assert browser.post(url, {"seen": refund.version}).status_code == 302
    assert Refund.objects.get(pk=refund.pk).status == Status.APPROVED


# --- I31: who makes the rules moves no money ---

MONEY = {"request_refund", "approve_refund", "declare_refund", "sync_refund", "import_payments", "dispute_payment"}
RULES = {
    *("change_rules", "change_people", "add_user", "change_user", "change_account"),
    *("add_refundreason", "change_refundreason", "add_reasonword", "change_reasonword"),
}
LOOKS = {"verify_history", "export_refund"}


@pytest.mark.once
@pytest.mark.promise("I31")
def test_no_group_administers_and_moves_money() -> None:
    for name, rights in people.GROUPS.items():
        assert not [one for one in rights if not one.startswith("view_") and one not in MONEY | RULES | LOOKS], name
        assert not (MONEY & {*rights} and RULES & {*rights}), name
    for name, rights in people.GROUPS.items():
        for other, more in people.GROUPS.items():
            both = {*rights, *more}
            assert bool(people.conflict((name, other))) == bool(MONEY & both and RULES & both), (name, other)


@pytest.mark.once
@pytest.mark.promise("I31")
def test_no_shipped_right_touches_rules_limits_or_groups_but_by_two_people() -> None:
    """Whoever may add or change these rows directly would need nobody else."""
    by_two = ("rule", "allowance", "delegation", "scope", "change", "group", "permission")
    direct = {f"{verb}_{model}" for verb in ("add", "change", "delete") for model in by_two}
    for name, rights in people.GROUPS.items():
        assert not direct & {*rights}, name
        assert not [right for right in rights if right.startswith("delete_")], name
