"""The screens of rules and allowances: what they say, what they ask before they propose, and who gets in."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from refunds import services
from refunds.change_words import sentence
from refunds.models import Allowance, Change, RefundReason, Rule
from refunds.services.change_kinds import wish_of
from tests.builders import (
    alice,
    allow,
    ask,
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
    ute,
)
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NEW = "admin:refunds_rule_new"
TYPED = {"demand": "2", "currency": "eur", "from_amount": "500.00", "sums": ["sums_payment"], "note": "Large ones."}


def rule_list(query: str = "") -> str:
    return reverse("admin:refunds_rule_changelist") + query


def page_of(row: Any) -> str:
    return reverse(f"admin:refunds_{row._meta.model_name}_change", args=(row.pk,))


def words(answer: Any) -> str:
    """What a page says, in one line and with ordinary blanks."""
    text = re.sub(r"<script.*?</script>|<[^>]+>", " ", answer.content.decode(), flags=re.S)
    return " ".join(text.replace("\xa0", " ").replace("&#x27;", "'").split())


def hidden(answer: Any, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', answer.content.decode())
    return found.group(1).replace("&quot;", '"') if found else ""


def propose(url: str, by: User, **typed: Any) -> Any:
    """As a person does: open the form, fill it in, look at the preview, propose; a refusal ends it earlier."""
    client = at_the_desk(by)
    typed = {"seen": hidden(client.get(url), "seen"), **typed}
    before = Change.objects.count()
    shown = client.post(url, typed)
    if not (previewed := hidden(shown, "previewed")):
        return shown
    assert Change.objects.count() == before
    return client.post(url, {**typed, "previewed": previewed})


# --- reading ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "Every refund: two approvals"),
        ({"currency": "EUR", "from_amount": 50000}, "From 500.00 EUR: two approvals"),
        ({"currency": "EUR", "to_amount": 2000}, "Up to 20.00 EUR: two approvals"),
        ({"currency": "JPY", "from_amount": 1000, "to_amount": 2000}, "1,000 JPY to 2,000 JPY: two approvals"),
        ({"currency": "KWD"}, "Any amount in KWD: two approvals"),
        ({"from_days": 1}, "Payments at least 1 day old: two approvals"),
        ({"demand": "block", "from_days": 90}, "Payments at least 90 days old: no refund at all"),
    ],
)
def test_a_rule_is_said_in_a_plain_sentence(fields: dict[str, Any], said: str) -> None:
    assert sentence(make_rule(**{"demand": "2", **fields})).replace("\xa0", " ") == said


def test_a_sentence_names_account_and_reason() -> None:
    goodwill = RefundReason.objects.get(name="Goodwill")
    rule = make_rule("0", account=make_account(), reason=goodwill, currency="EUR", to_amount=500)
    assert sentence(rule).replace("\xa0", " ") == "payerly-eu, up to 5.00 EUR, “Goodwill”: no approval"


def test_the_list_shows_what_is_in_force_and_the_rest_behind_a_filter() -> None:
    make_rule("2", currency="EUR", from_amount=50000)
    make_rule("block", from_days=77, ended_at=timezone.now())
    body = words(at_the_desk(alice()).get(rule_list()))
    assert "the strictest counts; where none matches, it takes one approval" in body
    assert "From 500.00 EUR: two approvals" in body
    assert "77 days" not in body
    body = words(at_the_desk(alice()).get(rule_list("?standing=ended")))
    assert "Payments at least 77 days old" in body
    assert "From 500.00 EUR" not in body


def test_the_page_of_a_rule_shows_its_versions_who_made_them_and_how_often_it_was_met() -> None:
    change = Change.objects.get(pk=proposed(gina(), "1", demand="2"))
    services.confirm_change(change.pk, gus())
    ask()
    change = Change.objects.get(pk=proposed(gus(), "1", demand="1"))
    services.confirm_change(change.pk, gina())
    first, last = Rule.objects.order_by("version")
    body = words(at_the_desk(carol()).get(page_of(first)))
    assert "Met by 1 refund of the last 90 days" in body
    assert re.search(
        r"2 Every refund: one approval .* in force gus .* gina 1 Every refund: two approvals .* gina .* gus", body
    )
    assert page_of(last) != page_of(first)


def proposed(by: User, subject: str = "1", **fields: Any) -> int:
    wish = {**wish_of(Rule(demand="2")), **fields}
    return services.propose_change(Change.Kind.RULE, subject, wish, by, "Because.").pk


def test_somebody_limited_to_accounts_sees_no_rule_of_another() -> None:
    mine, other = make_account(), make_account("paynow-pl")
    shown, hidden_one = make_rule("2", account=mine), make_rule("2", account=other, from_days=77)
    alma = person("alma", "Agents")
    limit_to(alma, mine)
    body = words(at_the_desk(alma).get(rule_list()))
    assert "payerly-eu: two approvals" in body
    assert "77" not in body
    assert at_the_desk(alma).get(page_of(shown)).status_code == 200
    assert at_the_desk(alma).get(page_of(hidden_one)).status_code == 302
    limit_to(gina(), mine)
    assert at_the_desk(gina()).get(reverse("admin:refunds_rule_propose", args=(2,))).status_code == 404
    assert "paynow-pl" not in at_the_desk(gina()).get(reverse(NEW)).content.decode()
    typed = {**TYPED, "account": other.pk, "seen": "{}"}
    assert at_the_desk(gina()).post(reverse(NEW), typed).status_code == 409


# --- proposing ---


@pytest.mark.promise("I31")
def test_a_rule_is_proposed_after_a_look_at_what_it_would_do() -> None:
    answer = propose(reverse(NEW), gina(), **TYPED)
    change = Change.objects.get()
    assert answer.status_code == 302
    assert answer.url == page_of(change)
    assert not Rule.objects.exists()
    assert (change.subject, change.proposed_by, change.note, change.before) == ("1", gina(), "Large ones.", {})
    assert change.after == {
        **wish_of(Rule(demand="2", currency="EUR", from_amount=50000)),
        "sums_customer": False,
        "sums_requester": False,
    }


def test_the_first_post_shows_what_would_be_otherwise() -> None:
    refund = ask(make_payment(captured=90000), 60000)
    ask(make_payment(reference="pay-2"), 1000, by=person("alma", "Agents"))
    body = words(at_the_desk(gina()).post(reverse(NEW), {**TYPED, "seen": "{}"}))
    assert "Of 2 refunds requested since" in body
    assert "One approval Two approvals 1" in body
    assert refund.number in body
    assert "Anna" not in body
    assert not Change.objects.exists()


def test_a_rule_that_names_nothing_says_that_it_matches_everything() -> None:
    typed = {"demand": "block", "note": "Stop.", "seen": "{}"}
    assert "so it matches every refund" in words(at_the_desk(gina()).post(reverse(NEW), typed))
    assert "so it matches every refund" not in words(
        at_the_desk(gina()).post(reverse(NEW), {**typed, "from_days": "1"})
    )


@pytest.mark.promise("I29")
def test_what_was_typed_after_the_preview_is_previewed_again() -> None:
    client, typed = at_the_desk(gina()), {**TYPED, "seen": "{}"}
    previewed = hidden(client.post(reverse(NEW), typed), "previewed")
    answer = client.post(reverse(NEW), {**typed, "from_amount": "5.00", "previewed": previewed})
    assert answer.status_code == 200
    assert "From 5.00 EUR" in words(answer)
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"note": " "}, "Say why"),
        ({"currency": ""}, "Amounts need a currency"),
        ({"currency": "EURO"}, "at most 3 characters"),
        ({"currency": "XYZ"}, "not an ISO 4217 code"),
        ({"from_amount": "1,5"}, "not an amount"),
        ({"from_amount": "-1"}, "not an amount"),
        ({"currency": "JPY", "from_amount": "1.5"}, "JPY has 0 decimals"),
        ({"to_amount": "499.99"}, "The band ends before it begins"),
        ({"demand": "3"}, "Select a valid choice"),
        ({"from_days": "-1"}, "greater than or equal to 0"),
        ({"seen": ""}, "does not say what it has shown"),
        ({"seen": "[]"}, "does not say what it has shown"),
        ({"seen": "{nonsense"}, "does not say what it has shown"),
        ({"seen": '{"demand": "1"}', "previewed": True}, "has changed while you were writing"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_typed_is_lost(typed: dict[str, Any], said: str) -> None:
    client = at_the_desk(gina())
    posted = {**TYPED, "seen": "{}", "reason": RefundReason.objects.get(name="Goodwill").pk, "from_days": "7"}
    if "previewed" in typed:
        typed = {**typed, "previewed": hidden(client.post(reverse(NEW), posted), "previewed")}
    answer = client.post(reverse(NEW), {**posted, **typed})
    assert answer.status_code == 409
    assert said in words(answer)
    body = answer.content.decode()
    assert ("Large ones." in body) == ("note" not in typed)
    assert ('value="7"' in body) == ("from_days" not in typed)
    assert not Change.objects.exists()


def test_two_new_rules_can_wait_side_by_side() -> None:
    url, client = reverse(NEW), at_the_desk(gina())
    for days in ("10", "20"):
        typed = {"demand": "block", "from_days": days, "note": "Old.", "seen": "{}"}
        client.post(url, {**typed, "previewed": hidden(client.post(url, typed), "previewed")})
    assert sorted(Change.objects.values_list("subject", flat=True)) == ["1", "2"]
    for change in Change.objects.all():
        services.confirm_change(change.pk, gus())
    assert sorted(Rule.objects.values_list("from_days", flat=True)) == [10, 20]


@pytest.mark.promise("I31")
def test_a_rule_is_changed_and_ended_by_proposals() -> None:
    rule = make_rule("2", currency="EUR", from_amount=50000, to_amount=90000, from_days=3)
    url = reverse("admin:refunds_rule_propose", args=(1,))
    body = at_the_desk(gina()).get(url).content.decode()
    for value in ("500.00", "900.00", "EUR", "3"):
        assert f'value="{value}"' in body
    assert propose(url, gina(), **TYPED).status_code == 302
    change = Change.objects.get()
    assert (change.before, change.after["to_amount"]) == (wish_of(rule), None)
    services.drop_change(change.pk, gina(), "no")
    assert propose(reverse("admin:refunds_rule_end", args=(1,)), gina(), note="Enough.").status_code == 302
    services.confirm_change(Change.objects.latest("pk").pk, gus())
    assert not Rule.objects.filter(ended_at=None).exists()


@pytest.mark.promise("I29")
def test_a_form_about_a_version_that_has_ended_proposes_nothing() -> None:
    make_rule("2", currency="EUR", from_amount=50000)
    url, client = reverse("admin:refunds_rule_propose", args=(1,)), at_the_desk(gina())
    typed = {**TYPED, "from_amount": "700.00", "seen": hidden(client.get(url), "seen")}
    previewed = hidden(client.post(url, typed), "previewed")
    Rule.objects.update(ended_at=timezone.now())
    assert client.get(url).status_code == 404
    make_rule("1", number=1, version=2)
    answer = client.post(url, {**typed, "previewed": previewed})
    assert answer.status_code == 409
    assert "has changed while you were writing" in words(answer)
    assert 'value="700.00"' in answer.content.decode()
    assert not Change.objects.exists()
    again = client.post(url, {**typed, "seen": hidden(answer, "seen"), "previewed": previewed})
    assert again.status_code == 302


def test_a_second_proposal_about_the_same_is_refused() -> None:
    make_rule("2")
    proposed(gina(), demand="1")
    client, url = at_the_desk(gus()), reverse("admin:refunds_rule_end", args=(1,))
    typed = {"note": "End it.", "seen": hidden(client.get(url), "seen")}
    answer = client.post(url, {**typed, "previewed": hidden(client.post(url, typed), "previewed")})
    assert answer.status_code == 409
    assert "A change of the same waits already" in words(answer)


# --- allowances ---


@pytest.mark.promise("I31")
def test_an_allowance_is_proposed_confirmed_shown_changed_and_ended() -> None:
    typed = {"person": alice().pk, "act": "request", "currency": "EUR", "largest": "50", "per_day": "200.00"}
    assert propose(reverse("admin:refunds_allowance_new"), gina(), note="New here.", **typed).status_code == 302
    assert not Allowance.objects.exists()
    services.confirm_change(Change.objects.get().pk, gus())
    row = Allowance.objects.get()
    assert (row.person, row.act, row.currency, row.largest, row.per_day) == (alice(), "request", "EUR", 5000, 20000)
    ask()
    for url in (reverse("admin:refunds_allowance_changelist"), page_of(row)):
        body = words(at_the_desk(carol()).get(url))
        for said in ("50.00 EUR", "200.00 EUR", "10.00 EUR"):
            assert said in body
    assert "190.00 EUR left today" in words(at_the_desk(carol()).get(page_of(row)))
    change = reverse("admin:refunds_allowance_propose", args=(row.pk,))
    assert propose(change, gina(), largest="60.00", per_day="200.00", note="More.").status_code == 302
    services.confirm_change(Change.objects.latest("pk").pk, gus())
    row.refresh_from_db()
    assert (row.largest, row.taken) == (6000, 1000)
    end = reverse("admin:refunds_allowance_end", args=(row.pk,))
    assert propose(end, gina(), note="Enough.").status_code == 302
    services.confirm_change(Change.objects.latest("pk").pk, gus())
    assert not Allowance.objects.exists()


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"largest": "300.00"}, "cannot be more than what a day allows"),
        ({"largest": ""}, "This field is required"),
        ({"largest": "1.234"}, "EUR has 2 decimals"),
        ({"currency": "XYZ"}, "not an ISO 4217 code"),
        ({"act": "declare"}, "Select a valid choice"),
        ({"act": "approve"}, "has such an allowance already"),
        ({"person": "me"}, "Select a valid choice"),
        ({"note": ""}, "Say why"),
    ],
)
def test_an_allowance_that_cannot_be_is_refused_with_what_was_typed(typed: dict[str, Any], said: str) -> None:
    allow(bob(), "approve", 1, 2)
    if typed.get("person") == "me":
        typed = {"person": gina().pk}
    usual = {"person": bob().pk, "act": "request", "currency": "EUR", "largest": "50.00", "per_day": "200.00"}
    answer = propose(reverse("admin:refunds_allowance_new"), gina(), **{**usual, "note": "Why not.", **typed})
    assert answer.status_code == 409
    assert said in words(answer)
    assert 'value="200.00"' in answer.content.decode()
    assert not Change.objects.exists()


@pytest.mark.promise("I29")
def test_a_stale_form_about_an_allowance_proposes_nothing() -> None:
    row = allow(bob(), "approve", 1000, 2000)
    client, url = at_the_desk(gina()), reverse("admin:refunds_allowance_propose", args=(row.pk,))
    seen = hidden(client.get(url), "seen")
    Allowance.objects.update(per_day=9000)
    answer = client.post(url, {"largest": "30.00", "per_day": "80.00", "note": "More.", "seen": seen})
    assert answer.status_code == 409
    assert "has changed while you were writing" in words(answer)
    assert 'value="80.00"' in answer.content.decode()


def test_a_requester_reads_what_is_left_of_the_day() -> None:
    allow(alice(), "request", 5000, 20000)
    ask()
    payment = make_payment(reference="pay-2")
    form = words(at_the_desk(alice()).get(reverse("admin:refunds_payment_request", args=(payment.pk,))))
    assert "Left of your allowance today: 190.00 EUR , at most 50.00 EUR at once" in form
    assert "Requesting: 190.00 EUR at most 50.00 EUR at once" in words(at_the_desk(alice()).get(reverse("admin:index")))
    assert "allowance" not in words(at_the_desk(bob()).get(reverse("admin:index")))


# --- who gets in ---


def screens() -> dict[str, tuple[str, set[str]]]:
    """Each page, and who may open it."""
    rule, row = make_rule("2"), allow(bob(), "approve", 1, 2)
    readers = {"alice", "bob", "dora", "carol", "gina", "root"}
    keepers = {"gina"}
    return {
        "rules": (rule_list(), readers),
        "rule": (page_of(rule), readers),
        "new rule": (reverse(NEW), keepers),
        "change of a rule": (reverse("admin:refunds_rule_propose", args=(1,)), keepers),
        "end of a rule": (reverse("admin:refunds_rule_end", args=(1,)), keepers),
        "allowances": (reverse("admin:refunds_allowance_changelist"), {"carol", "gina", "root"}),
        "allowance": (page_of(row), {"carol", "gina", "root"}),
        "new allowance": (reverse("admin:refunds_allowance_new"), keepers),
        "change of an allowance": (reverse("admin:refunds_allowance_propose", args=(row.pk,)), keepers),
        "end of an allowance": (reverse("admin:refunds_allowance_end", args=(row.pk,)), keepers),
    }


def everybody() -> dict[str, User]:
    people = {user.username: user for user in (alice(), bob(), dora(), carol(), gina(), ute())}
    return {**people, "root": person("root", is_superuser=True)}


@pytest.mark.promise("I31")
def test_only_gateway_admins_get_to_the_forms_by_get_and_by_post() -> None:
    users = everybody()
    for name, (url, allowed) in screens().items():
        for who, user in users.items():
            assert (at_the_desk(user).get(url).status_code == 200) == (who in allowed), (name, who)
            if allowed == {"gina"}:
                answer = at_the_desk(user).post(url, {"note": "forged", "seen": "{}", "demand": "0"})
                assert (answer.status_code == 403) == (who != "gina"), (name, who)
        assert not Change.objects.exists()


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(method: str) -> None:
    make_rule("2")
    for url in (reverse(NEW), reverse("admin:refunds_rule_end", args=(1,))):
        assert getattr(at_the_desk(gina()), method)(url).status_code == 405


def test_rules_and_allowances_have_no_form_of_the_admin() -> None:
    rule, row = make_rule("2"), allow(bob(), "approve", 1, 2)
    for user in (gina(), person("root", is_superuser=True)):
        for one in (rule, row):
            assert at_the_desk(user).post(page_of(one), {"demand": "0"}).status_code == 405
            delete = reverse(f"admin:refunds_{one._meta.model_name}_delete", args=(one.pk,))
            assert at_the_desk(user).post(delete, {"post": "yes"}).status_code == 403
            add = reverse(f"admin:refunds_{one._meta.model_name}_add")
            assert at_the_desk(user).get(add).status_code == 403


def test_what_does_not_exist_is_not_found() -> None:
    for name, number in (("rule_propose", 9), ("rule_end", 9), ("allowance_propose", 9), ("allowance_end", 9)):
        url = reverse(f"admin:refunds_{name}", args=(number,))
        assert at_the_desk(gina()).get(url).status_code == 404
        assert at_the_desk(gina()).post(url, {"note": "x", "seen": "{}"}).status_code == 404
