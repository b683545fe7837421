"""The screens of changes, deputies and rights: two people, each sees what is meant, and nobody else gets in."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from refunds import services
from refunds.models import Change, Delegation, RefundReason, Rule, Scope
from refunds.services.change_kinds import wish_of
from tests.builders import (
    alice,
    allow,
    ask,
    bert,
    bob,
    carol,
    dora,
    gina,
    gus,
    limit_to,
    make_account,
    make_payment,
    make_rule,
    person,
    stand_in,
    ute,
    uwe,
)
from tests.people.test_rule_screens import hidden, page_of, words
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = [pytest.mark.django_db, pytest.mark.once]

LIST = "admin:refunds_change_changelist"


def at(change: Change, to_do: str) -> str:
    return reverse(f"admin:refunds_change_{to_do}", args=(change.pk,))


def rule_change(by: User | None = None, subject: str = "1", **fields: Any) -> Change:
    wish = {**wish_of(Rule(demand="2", currency="EUR", from_amount=50000)), **fields}
    return services.propose_change(Change.Kind.RULE, subject, wish, by or gina(), "Large ones.")


def allowance_change(largest: int = 5000) -> Change:
    subject = services.allowance_subject(alice(), "request", "EUR")
    wish = {"largest": largest, "per_day": 20000}
    return services.propose_change(Change.Kind.ALLOWANCE, subject, wish, gina(), "New here.", person=alice())


def groups_change(who: User | None = None, *groups: str) -> Change:
    who, wish = who or alice(), {"groups": sorted(groups or ("Agents", "Approvers"))}
    return services.propose_change(Change.Kind.GROUPS, who.username, wish, ute(), "New job.", person=who)


def accounts_change() -> Change:
    wish = {"accounts": [make_account().slug]}
    return services.propose_change(Change.Kind.ACCOUNTS, "alice", wish, ute(), "One shop.", person=alice())


def deputy_change() -> Change:
    now = timezone.now()
    wish = {"deputy": bert().username, "from": now.isoformat(), "until": (now + timedelta(days=3)).isoformat()}
    return services.propose_change(Change.Kind.DELEGATION, "bert bob", wish, bob(), "Away.", person=bob())


def one_of_each() -> dict[str, Change]:
    changes = (rule_change(), allowance_change(), deputy_change(), groups_change(), accounts_change())
    return {change.kind: change for change in changes}


# --- what they say ---


@pytest.mark.promise("I28")
@pytest.mark.parametrize("to_do", ["change", "confirm", "drop"])
def test_every_page_of_a_change_shows_what_is_and_what_would_be(to_do: str) -> None:
    make_rule("1", currency="EUR", from_amount=20000)
    body = words(at_the_desk(gus()).get(at(rule_change(), to_do)))
    for said in (
        "Rule 1",
        "from 200.00 EUR",
        "from 500.00 EUR",
        "one approval",
        "two approvals",
        "Large ones.",
        "gina",
    ):
        assert said in body
    for raw in ("20000", "50000", "from_amount", "sums_"):
        assert raw not in body


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (allowance_change, ("Allowance of alice for requesting in EUR", "50.00 EUR", "200.00 EUR")),
        (groups_change, ("Groups of alice", "Agents, Approvers")),
        (accounts_change, ("Accounts of alice", "all accounts", "payerly-eu")),
        (deputy_change, ("Deputy of bob", "bert", "Stands in")),
    ],
)
def test_changes_of_all_kinds_are_said_in_words(make: Any, said: tuple[str, ...]) -> None:
    change = make()
    for body in (words(at_the_desk(carol()).get(url)) for url in (page_of(change), reverse(LIST))):
        for text in said[:2]:
            assert text in body
    assert said[-1] in words(at_the_desk(carol()).get(page_of(change)))


def test_the_second_person_sees_what_a_rule_would_have_done() -> None:
    refund = ask(make_payment(captured=90000), 60000)
    body = words(at_the_desk(gus()).get(at(rule_change(), "confirm")))
    assert "Of 1 refund requested since" in body
    assert refund.number in body
    assert "Anna" not in body


def test_a_rule_about_a_reason_with_a_new_name_opens_and_says_so() -> None:
    change = rule_change(reason="Goodwill")
    RefundReason.objects.filter(name="Goodwill").update(name="Kindness")
    assert "There is no reason Goodwill" in words(at_the_desk(gus()).get(at(change, "confirm")))
    answer = at_the_desk(gus()).post(at(change, "confirm"))
    assert answer.status_code == 409
    assert not Rule.objects.exists()


# --- confirming and dropping ---


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", Change.Kind.values)
def test_a_second_person_confirms_and_the_proposer_cannot(kind: str) -> None:
    change = one_of_each()[kind]
    second = uwe() if kind in ("groups", "accounts") else gus()
    client = at_the_desk(change.proposed_by)
    assert "Confirm:" not in words(client.get(page_of(change)))
    answer = client.post(at(change, "confirm"))
    assert answer.status_code == (403 if kind == "delegation" else 409)
    change.refresh_from_db()
    assert not change.confirmed_at
    assert "Confirm:" in words(at_the_desk(second).get(at(change, "confirm")))
    assert at_the_desk(second).post(at(change, "confirm")).status_code == 302
    change.refresh_from_db()
    assert change.confirmed_by == second
    repeated = at_the_desk(second).post(at(change, "confirm"))
    assert repeated.status_code == 409
    assert "confirmed or dropped already" in words(repeated)


@pytest.mark.promise("I31")
def test_nobody_confirms_what_is_about_themselves() -> None:
    change = groups_change(uwe(), "Auditors", "User admins")
    client = at_the_desk(uwe())
    assert "It is about you" in words(client.get(at(change, "confirm")))
    answer = client.post(at(change, "confirm"))
    assert answer.status_code == 409
    assert "are the one it is about" in words(answer)
    assert [group.name for group in uwe().groups.all()] == ["User admins"]


@pytest.mark.promise("I29")
def test_a_change_of_something_that_has_changed_since_is_not_confirmed() -> None:
    change = groups_change()
    alice().groups.clear()
    assert "has changed since" in words(at_the_desk(uwe()).get(page_of(change)))
    answer = at_the_desk(uwe()).post(at(change, "confirm"))
    assert answer.status_code == 409
    assert "has changed since" in words(answer)
    assert not alice().groups.exists()


@pytest.mark.promise("I30")
def test_who_lost_the_right_in_between_confirms_nothing() -> None:
    change, client = rule_change(), at_the_desk(gus())
    assert client.get(at(change, "confirm")).status_code == 200
    gus().groups.clear()
    assert client.post(at(change, "confirm")).status_code in (403, 404)
    assert not Rule.objects.exists()


@pytest.mark.parametrize("by", [gina, gus])
def test_a_proposal_is_dropped_with_a_reason(by: Any) -> None:
    change, client = rule_change(), at_the_desk(by())
    answer = client.post(at(change, "drop"), {"text": "  "})
    assert answer.status_code == 409
    assert "Say why it shall not be" in words(answer)
    assert client.post(at(change, "drop"), {"text": "Not now."}).status_code == 302
    change.refresh_from_db()
    assert (change.dropped_by, change.dropped_because) == (by(), "Not now.")
    assert "Not now." in words(client.get(page_of(change)))
    refused = client.post(at(change, "drop"), {"text": "Once more, with feeling"})
    assert refused.status_code == 409
    assert at_the_desk(gus()).post(at(change, "confirm")).status_code == 409
    assert not Rule.objects.exists()


@pytest.mark.parametrize("to_do", ["confirm", "drop"])
def test_looking_at_the_page_does_nothing(to_do: str) -> None:
    change, client = rule_change(), at_the_desk(gus())
    assert client.get(at(change, to_do)).status_code == 200
    assert client.head(at(change, to_do)).status_code == 200
    for method in ("put", "patch", "delete"):
        assert getattr(client, method)(at(change, to_do)).status_code == 405
    change.refresh_from_db()
    assert not change.confirmed_at
    assert not change.dropped_at


@pytest.mark.parametrize("to_do", ["confirm", "drop"])
def test_a_post_from_another_site_is_refused(to_do: str) -> None:
    from django.test import Client

    change, client = rule_change(), Client(enforce_csrf_checks=True)
    client.force_login(gus())
    assert client.post(at(change, to_do), {"text": "x"}).status_code == 403
    change.refresh_from_db()
    assert not change.confirmed_at
    assert not change.dropped_at


# --- who sees which ---

SEES = {
    "alice": set(),
    "bob": {"delegation"},  # his own proposal, by its address
    "bert": set(),
    "dora": set(),
    "carol": set(Change.Kind.values),
    "gina": {"rule", "allowance", "delegation"},
    "gus": {"rule", "allowance", "delegation"},
    "ute": {"groups", "accounts"},
    "uwe": {"groups", "accounts"},
    "root": set(Change.Kind.values),
}
CONFIRM = {"gus": {"rule", "allowance", "delegation"}, "uwe": {"groups", "accounts"}, "gina": {"delegation"}}


def everybody() -> dict[str, User]:
    people = (alice(), bob(), bert(), dora(), carol(), gina(), gus(), ute(), uwe())
    return {**{user.username: user for user in people}, "root": person("root", is_superuser=True)}


@pytest.mark.promise("I31")
@pytest.mark.parametrize("name", SEES)
def test_each_sees_only_the_kinds_that_are_their_office(name: str) -> None:
    changes, user = one_of_each(), everybody()[name]
    client = at_the_desk(user)
    may_list = bool(SEES[name]) and name != "bob"
    assert client.get(reverse(LIST)).status_code == (200 if may_list else 403)
    for kind, change in changes.items():
        sees = kind in SEES[name]
        assert (client.get(page_of(change)).status_code == 200) == sees
        if may_list:
            assert (page_of(change) in client.get(reverse(LIST)).content.decode()) == sees
            filtered = client.get(reverse(LIST) + f"?kind={kind}").content.decode()
            assert (page_of(change) in filtered) == sees


@pytest.mark.promise("I31")
@pytest.mark.parametrize("name", SEES)
def test_forged_posts_about_changes_of_others_do_nothing(name: str) -> None:
    changes, user = one_of_each(), everybody()[name]
    for kind, change in changes.items():
        answer = at_the_desk(user).post(at(change, "confirm"))
        confirms = kind in CONFIRM.get(name, set())
        assert (answer.status_code == 302) == confirms, kind
        change.refresh_from_db()
        assert bool(change.confirmed_at) == confirms
        if change.proposed_by != user and not confirms:
            dropped = at_the_desk(user).post(at(change, "drop"), {"text": "mine"})
            assert dropped.status_code in (403, 404), kind
            change.refresh_from_db()
            assert not change.dropped_at


def test_what_waits_for_me_is_counted_on_the_first_page_and_in_the_navigation() -> None:
    one_of_each()
    for user, number in ((gus(), 3), (gina(), 1), (uwe(), 2), (ute(), 0)):
        body = words(at_the_desk(user).get(reverse("admin:index")))
        assert f"{number} Changes waiting for you to confirm" in body
        assert (f"Changes {number} " in body) == bool(number)
        listed = at_the_desk(user).get(reverse(LIST) + "?standing=mine").content.decode()
        assert sum(page_of(change) in listed for change in Change.objects.all()) == number
    assert "Changes waiting" not in words(at_the_desk(alice()).get(reverse("admin:index")))
    assert "Changes waiting" not in words(at_the_desk(carol()).get(reverse("admin:index")))


def test_the_list_can_be_narrowed_to_what_waits_or_is_done() -> None:
    waiting, done = rule_change(), rule_change(subject="2")
    services.confirm_change(done.pk, gus())
    for query, shown, left_out in (("?standing=waiting", waiting, done), ("?standing=done", done, waiting)):
        body = at_the_desk(carol()).get(reverse(LIST) + query).content.decode()
        assert page_of(shown) in body
        assert page_of(left_out) not in body


def test_somebody_limited_to_accounts_sees_no_change_of_a_rule_of_another() -> None:
    mine, other = make_account(), make_account("paynow-pl")
    for_mine, for_all = rule_change(account=mine.slug), rule_change(subject="2")
    hidden_one = rule_change(subject="3", account=other.slug)
    limit_to(gus(), mine)
    client = at_the_desk(gus())
    body = client.get(reverse(LIST)).content.decode()
    assert [page_of(change) in body for change in (for_mine, for_all, hidden_one)] == [True, True, False]
    assert client.post(at(hidden_one, "confirm")).status_code == 404
    assert client.post(at(hidden_one, "drop"), {"text": "x"}).status_code == 404
    assert "2 Changes waiting" in words(client.get(reverse("admin:index")))


def test_changes_have_no_form_of_the_admin() -> None:
    change = rule_change()
    for user in (gina(), person("root", is_superuser=True)):
        assert at_the_desk(user).post(page_of(change), {"note": "other"}).status_code == 405
        assert at_the_desk(user).get(reverse("admin:refunds_change_add")).status_code == 403
        delete = reverse("admin:refunds_change_delete", args=(change.pk,))
        assert at_the_desk(user).post(delete, {"post": "yes"}).status_code == 403


# --- deputies ---

DEPUTY = "admin:refunds_delegation_new"


def deputy_form(**changes: Any) -> dict[str, Any]:
    today = timezone.localdate()
    usual = {
        "deputy": bert().pk,
        "from_day": today,
        "last_day": today + timedelta(days=2),
        "note": "Away.",
        "seen": "{}",
    }
    return {**usual, **changes}


def test_an_approver_proposes_a_deputy_and_a_gateway_admin_confirms() -> None:
    client, *_ = at_the_desk(bob()), alice(), bert()
    form = client.get(reverse(DEPUTY)).content.decode()
    assert ">bert<" in form
    assert ">alice<" not in form
    assert ">bob</option>" not in form
    answer = client.post(reverse(DEPUTY), deputy_form())
    change = Change.objects.get()
    assert answer.url == page_of(change)
    assert client.get(page_of(change)).status_code == 200
    assert "waits for a gateway admin" in words(client.get(reverse("admin:refunds_delegation_changelist")))
    services.confirm_change(change.pk, gus())
    row = Delegation.objects.get()
    assert (row.person, row.deputy) == (bob(), bert())
    first, last = (timezone.localtime(moment) for moment in (row.from_at, row.until))
    assert (first.date(), first.hour, first.minute) == (timezone.localdate(), 0, 0)
    assert (last.date(), last.hour, last.minute) == (timezone.localdate() + timedelta(days=3), 0, 0)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"deputy": ""}, "This field is required"),
        ({"deputy": "alice"}, "Select a valid choice"),
        ({"deputy": "bob"}, "Select a valid choice"),
        ({"last_day": "2020-01-01"}, "It ends before it begins"),
        ({"last_day": "tomorrow"}, "Enter a valid date"),
        ({"from_day": timezone.localdate(), "last_day": timezone.localdate() + timedelta(days=200)}, "at most 90 days"),
        ({"note": " "}, "Say why"),
    ],
)
def test_a_deputy_that_cannot_be_is_refused(typed: dict[str, Any], said: str) -> None:
    if typed.get("deputy"):
        typed = {"deputy": everybody()[typed["deputy"]].pk}
    answer = at_the_desk(bob()).post(reverse(DEPUTY), deputy_form(**{"note": "Keep me.", **typed}))
    assert answer.status_code == 409
    assert said in words(answer)
    assert ("Keep me." in words(answer)) == ("note" not in typed)
    assert not Change.objects.exists()


def test_each_of_the_two_and_a_gateway_admin_end_a_delegation_and_nobody_else_sees_it() -> None:
    for who in (bob(), bert(), gina()):
        row = stand_in(bert(), bob())
        url = reverse("admin:refunds_delegation_end", args=(row.pk,))
        berta = person("berta", "Approvers")
        assert (
            page_of(row) not in at_the_desk(berta).get(reverse("admin:refunds_delegation_changelist")).content.decode()
        )
        assert at_the_desk(berta).post(url).status_code == 404
        assert at_the_desk(alice()).post(url).status_code == 404
        assert at_the_desk(carol()).get(page_of(row)).status_code == 200
        assert at_the_desk(carol()).post(url).status_code == 403
        assert at_the_desk(who).get(url).status_code == 200
        row.refresh_from_db()
        assert not row.ended_at
        assert at_the_desk(who).post(url).status_code == 302
        row.refresh_from_db()
        assert row.ended_at
        again = at_the_desk(who).post(url)
        assert again.status_code == 409
        assert "It has ended already" in words(again)


def test_only_approvers_propose_a_deputy() -> None:
    for who, user in everybody().items():
        client = at_the_desk(user)
        assert (client.get(reverse(DEPUTY)).status_code == 200) == (who in ("bob", "bert")), who
        if who not in ("bob", "bert"):
            assert client.post(reverse(DEPUTY), deputy_form()).status_code == 403
    assert not Change.objects.exists()


# --- people ---


def test_a_user_admin_proposes_other_groups_and_accounts_of_a_person() -> None:
    make_account()
    client, who = at_the_desk(ute()), alice()
    page = reverse("admin:auth_user_change", args=(who.pk,))
    assert "Propose other groups" in words(client.get(page))
    url = reverse("admin:auth_user_groups", args=(who.pk,))
    shown = client.get(url)
    assert shown.content.decode().count('type="checkbox"') >= 6
    typed = {"groups": ["Approvers"], "note": "New job.", "seen": hidden(shown, "seen")}
    assert client.post(url, typed).status_code == 302
    assert [group.name for group in alice().groups.all()] == ["Agents"]
    assert "Approvers instead of Agents" in words(client.get(page))
    services.confirm_change(Change.objects.get().pk, uwe())
    assert [group.name for group in alice().groups.all()] == ["Approvers"]
    url = reverse("admin:auth_user_accounts", args=(who.pk,))
    typed = {"accounts": ["payerly-eu"], "note": "One shop.", "seen": hidden(client.get(url), "seen")}
    assert client.post(url, typed).status_code == 302
    services.confirm_change(Change.objects.latest("pk").pk, uwe())
    assert Scope.objects.get().person == alice()
    assert "payerly-eu" in words(client.get(page))
    url = reverse("admin:auth_user_accounts", args=(who.pk,))
    typed = {"note": "All again.", "seen": hidden(client.get(url), "seen")}
    assert client.post(url, typed).status_code == 302
    assert Change.objects.latest("pk").after == {"accounts": []}


@pytest.mark.promise("I31")
@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (["Gateway admins", "Agents"], "who makes the rules moves no money"),
        (["User admins", "Finance"], "who makes the rules moves no money"),
        (["Superheroes"], "Select a valid choice"),
        (["Agents"], "That is how it is already"),
    ],
)
def test_groups_that_cannot_be_are_refused_with_what_was_ticked(groups: list[str], said: str) -> None:
    url = reverse("admin:auth_user_groups", args=(alice().pk,))
    client = at_the_desk(ute())
    answer = client.post(url, {"groups": groups, "note": "Keep me.", "seen": hidden(client.get(url), "seen")})
    assert answer.status_code == 409
    assert said in words(answer)
    assert "Keep me." in words(answer)
    assert not Change.objects.exists()


@pytest.mark.promise("I31")
@pytest.mark.parametrize("kind", ["groups", "accounts"])
def test_nobody_proposes_for_themselves_and_only_user_admins_propose_at_all(kind: str) -> None:
    make_account()
    users = everybody()
    for who, user in users.items():
        target = "ute" if who == "ute" else "alice"
        url = reverse(f"admin:auth_user_{kind}", args=(users[target].pk,))
        typed = {"groups": ["Auditors"], "accounts": ["payerly-eu"], "note": "forged", "seen": "{}"}
        answer = at_the_desk(user).post(url, typed)
        assert answer.status_code == (409 if who in ("ute", "uwe") else 403), who
        if who == "ute":
            assert "Nobody changes their own rights" in words(answer)
    assert not Change.objects.exists()


@pytest.mark.promise("I29")
def test_a_stale_form_about_groups_proposes_nothing() -> None:
    url, client = reverse("admin:auth_user_groups", args=(alice().pk,)), at_the_desk(ute())
    seen = hidden(client.get(url), "seen")
    alice().groups.clear()
    answer = client.post(url, {"groups": ["Agents", "Finance"], "note": "More.", "seen": seen})
    assert answer.status_code == 409
    assert "has changed while you were writing" in words(answer)
    assert re.findall(r'value="(\w+)"[^>]*\schecked[\s>]', answer.content.decode()) == ["Agents", "Finance"]


def test_the_page_of_a_person_offers_nothing_to_those_who_only_look() -> None:
    groups_change()
    page = reverse("admin:auth_user_change", args=(alice().pk,))
    for user in (carol(), person("root", is_superuser=True)):
        body = words(at_the_desk(user).get(page))
        assert "Agents" in body
        assert "Propose other groups" not in body
    assert "Propose other groups" not in words(
        at_the_desk(ute()).get(reverse("admin:auth_user_change", args=(ute().pk,)))
    )


def test_raw_numbers_lead_nowhere() -> None:
    for name in ("groups", "accounts"):
        assert at_the_desk(ute()).get(reverse(f"admin:auth_user_{name}", args=(987,))).status_code == 404
    for to_do in ("confirm", "drop"):
        url = reverse(f"admin:refunds_change_{to_do}", args=(987,))
        assert at_the_desk(gus()).post(url).status_code == 404
    assert at_the_desk(bob()).get(reverse("admin:refunds_delegation_end", args=(987,))).status_code == 404


def test_an_approver_with_an_allowance_reads_what_is_left() -> None:
    allow(bob(), "approve", 5000, 20000)
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=refund.version)
    assert "Approving: 190.00 EUR" in words(at_the_desk(bob()).get(reverse("admin:index")))
