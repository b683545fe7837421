"""The line of decisions: its order, the place in it, who else is looking, its filters and its groups."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from refunds import risk, services
from refunds.admin import looking, queue
from refunds.errors import BadInput
from refunds.models import Preference, Refund, RefundReason
from tests.builders import again, alice, ask, bert, bob, limit_to, make_account, make_payment, person
from tests.people.desk import log_in, prove, step, words

pytestmark = pytest.mark.django_db
LIST = "/admin/refunds/refund/"


@pytest.fixture(autouse=True)
def ground(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at anything, and there is a second account, which is live."""
    cache.clear()
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,live-eu:payerly")
    monkeypatch.setenv("LIVE_EU_URL", "https://127.0.0.1:9/v1")
    monkeypatch.setenv("LIVE_EU_TOKEN", "token-for-tests-0123456789")


def desk_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page_of(refund: Refund) -> str:
    return reverse("admin:refunds_refund_change", args=(refund.pk,))


def waits(amount: int, currency: str = "EUR", by: User | None = None, **fields: Any) -> Refund:
    """A request about a customer and an order of its own."""
    number = Refund.objects.count() + 1
    payment = make_payment(
        10_000_000, currency, f"pay-{number}", order=f"order-{number}", customer_email=f"c{number}@example.com"
    )
    return ask(payment, amount, by, **fields)


def ago(**time: int) -> Any:
    """What happens in here has happened so long ago: a refund never changes its own time."""
    return time_machine.travel(timezone.now() - timedelta(**time))


def old_hand(name: str = "olga") -> User:
    """Somebody who has asked for refunds before."""
    asker = person(name, "Agents")
    payment = make_payment(10_000, reference=f"old-{name}", customer_email="")
    with ago(days=40):
        for number in range(5):
            refund = ask(payment, 100 + number, asker)
            services.withdraw_refund(refund.pk, asker, seen=refund.version)
    return asker


def listed(client: Client, **asked: Any) -> list[str]:
    """The refunds of the list, from top to bottom."""
    text = words(client.get(LIST, asked))
    return [f"R-{number}" for number in re.findall(r'class="desk-two">R-(\d+)', text)]


def numbers(*refunds: Refund) -> list[str]:
    return [refund.number for refund in refunds]


# --- Order ---


def test_the_gravest_sign_comes_first_and_equals_stand_by_waiting_time() -> None:
    olga = old_hand()
    with ago(hours=3):
        older = waits(1001, by=olga)
    plain = waits(1000, by=olga)
    new, large, very = waits(1002), waits(50_000, by=olga), waits(500_000, by=olga)
    twice = make_payment(9000, reference="twice", customer_email="twice@example.com")
    alike = [ask(twice, 1200, olga), ask(twice, 1200, olga)]
    expected = [very, *alike, large, new, older, plain]
    assert list(queue.in_line(bob())) == expected
    assert [risk.signs(refund) for refund in queue.in_line(bob())] == [
        ["very large for EUR"],
        ["looks like another refund"],
        ["looks like another refund"],
        ["large for EUR"],
        ["among the first 5 of alice"],
        [],
        [],
    ]
    assert next(iter(queue.in_line(bob(), queue.WAITING))) == older
    assert listed(desk_of(bob()), for_me="decide") == numbers(*expected)
    by_time = listed(desk_of(bob()), for_me="decide", line="waiting")
    assert by_time == numbers(older, plain, new, large, very, *alike)


def test_an_amount_is_large_by_its_own_currency_and_never_converted(settings: Any) -> None:
    olga = old_hand()
    settings.LARGE_REFUNDS = ["EUR:500", "JPY:80000", "KWD:150"]
    signs = {
        ("EUR", 49_999): [],
        ("EUR", 50_000): ["large for EUR"],
        ("JPY", 79_999): [],
        ("JPY", 80_000): ["large for JPY"],
        ("JPY", 800_000): ["very large for JPY"],
        ("KWD", 149_999): [],
        ("KWD", 150_000): ["large for KWD"],
        ("CHF", 9_000_000): [],  # nobody has said what is large there
    }
    for (currency, amount), expected in signs.items():
        refund = waits(amount, currency, olga)
        assert risk.signs(queue.in_line(bob()).get(pk=refund.pk)) == expected, (currency, amount)


@pytest.mark.parametrize("wrong", ["EUR", "EUR:much", "XXY:5", "EUR:1.234", ":5"])
def test_a_size_that_cannot_be_read_is_refused_at_the_start(wrong: str, settings: Any) -> None:
    settings.LARGE_REFUNDS = [wrong]
    with pytest.raises(BadInput, match="LARGE_REFUNDS"):
        risk.sizes()


@pytest.mark.once
def test_the_sixth_refund_of_a_person_is_no_longer_among_the_first() -> None:
    asker = person("nora", "Agents")
    refunds = [waits(1000 + number, by=asker) for number in range(6)]
    of_a_new_one = [refund for refund in queue.in_line(bob()) if risk.signs(refund)]
    assert of_a_new_one == refunds[:5]


# --- The place in it, and the next one ---


def test_next_and_before_follow_the_list_that_the_person_came_from() -> None:
    olga = old_hand()
    first, second, third = waits(1000, by=olga), waits(50_000, by=olga), waits(1002, by=olga)
    client = desk_of(bob())
    for order, expected in (("risk", [second, first, third]), ("waiting", [first, second, third])):
        filters = urlencode({"for_me": "decide", "line": order})
        kept = "?" + urlencode({"_changelist_filters": filters})
        text = words(client.get(LIST + "?" + filters))
        assert f"{page_of(first)}{kept}" in text.replace("&amp;", "&")
        for place, refund in enumerate(expected):
            text = words(client.get(page_of(refund) + kept)).replace("&amp;", "&")
            assert f"<b>{place + 1} of 3</b>" in text
            after = re.search(r'data-key="j" href="([^"]+)"', text)[1]
            before = re.search(r'data-key="k" href="([^"]+)"', text)[1]
            assert after == page_of(expected[(place + 1) % 3]) + kept
            assert before == page_of(expected[place - 1]) + kept


def test_a_decision_lands_on_the_next_one_of_the_same_line_and_says_what_was_done() -> None:
    refunds = [waits(1000), waits(1001), waits(1002)]
    goodwill = RefundReason.objects.get(name="Goodwill")
    others = [waits(2000, reason=goodwill), waits(2001, reason=goodwill)]
    kept = urlencode({"_changelist_filters": f"for_me=decide&line=waiting&reason__id__exact={goodwill.pk}"})
    client = desk_of(bob())
    log = client.post(f"{step(others[0], 'approve')}?{kept}", {"seen": 1})
    assert log["Location"] == f"{page_of(others[1])}?{kept}"
    text = words(client.get(log["Location"]))
    assert f"{others[0]} of 20.00\xa0EUR is approved (sandbox)." in text
    assert "<b>1 of 1</b>" in text
    assert 'data-key="j"' not in text
    done = client.post(f"{step(others[1], 'reject')}?{kept}", {"seen": 1, "text": "No."}, follow=True)
    assert "Nothing else waits for your decision." in words(done)
    # Without a list behind it, the whole line is gone through.
    assert client.post(step(refunds[0], "approve"), {"seen": 1})["Location"] == page_of(refunds[1])


def test_who_was_decided_meanwhile_is_passed_over() -> None:
    first, second, third = waits(1000), waits(1001), waits(1002)
    line = queue.in_line(bob(), queue.WAITING)
    assert queue.next_after(second, queue.place(second, line), line) == third.pk
    assert queue.next_after(third, queue.place(third, line), line) == first.pk
    place = queue.place(first, line)
    services.approve_refund(second.pk, bert(), seen=1)
    assert queue.next_after(first, place, line) == third.pk
    services.approve_refund(third.pk, bert(), seen=1)
    assert queue.next_after(first, place, line) is None
    assert queue.place(second, line) is None


def test_the_page_decides_by_a_post_with_the_version_that_it_showed() -> None:
    refund = waits(1000)
    services.return_refund(refund.pk, bert(), "Which?", seen=1)
    services.resubmit_refund(refund.pk, alice(), "That one.", seen=2)
    refund, client = again(refund), desk_of(bob())
    form = re.search(
        r'<form method="post" action="([^"]+/approve/[^"]*)">(.*?)</form>', words(client.get(page_of(refund))), re.S
    )
    assert 'name="csrfmiddlewaretoken"' in form[2]
    assert f'name="seen" value="{refund.version}"' in form[2]
    services.return_refund(refund.pk, bert(), "Which of them?", seen=3)
    services.resubmit_refund(refund.pk, alice(), "The other one.", seen=4)
    stale = client.post(form[1], {"seen": refund.version})
    assert stale.status_code == 409
    assert "has changed since you opened it" in words(stale)
    assert again(refund).status == "requested"
    client.get(form[1])
    assert again(refund).status == "requested"  # looking decides nothing


@pytest.mark.once
@pytest.mark.parametrize("who", ["alice", "carol", "bob"])
def test_only_who_may_decide_it_meets_the_keys(who: str) -> None:
    refund = waits(1000)
    user = {"alice": alice(), "carol": person("carol", "Auditors"), "bob": bob()}[who]
    text = words(desk_of(user).get(page_of(refund)))
    assert ("data-key" in text, "keys.js" in text) == (who == "bob", who == "bob")


@pytest.mark.once
@pytest.mark.parametrize(
    "filters", ["for_me=decide&line=odd", "for_me=decide&password=x", "for_me=decide&p=99&e=1", "%ff"]
)
def test_a_line_that_cannot_be_read_breaks_no_page(filters: str) -> None:
    refund = waits(1000)
    assert desk_of(bob()).get(page_of(refund), {"_changelist_filters": filters}).status_code == 200


# --- Who else is looking ---


def test_others_see_who_is_looking_for_five_minutes_and_it_stops_nobody() -> None:
    refund, other = waits(1000), waits(1001)
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        bens, berts = log_in(person("ben", "Approvers")), log_in(bert())
        assert "look at it" not in words(bens.get(page_of(refund)))  # nobody is told of themselves
        clock.shift(125)
        seen = words(berts.get(page_of(refund)))
        assert "ben has been looking at it for 2\xa0minutes." in seen
        in_list = words(berts.get(LIST, {"for_me": "decide"}))
        assert in_list.count("ben has been looking at it for 2\xa0minutes.") == 1
        clock.shift(176)  # 301 s after Ben, 176 s after Bert
        assert "ben has" not in words(berts.get(LIST, {"for_me": "decide"}))
        assert "bert has been looking at it for 2\xa0minutes" in words(bens.get(page_of(refund)))
        bens.get(page_of(other))  # who opens another one has left
        assert "ben" not in re.sub(r"<nav.*?</nav>", "", words(berts.get(page_of(refund))), flags=re.S)
        prove(berts, berts.post(step(refund, "approve"), {"seen": 1}))
        assert again(refund).status == "approved"
        assert looking.looked_at([refund.pk], bob()) == {}


def test_a_look_is_no_row_of_ours_and_told_to_nobody_who_may_not_decide() -> None:
    refund = waits(1000)
    elsewhere = make_account("airpay-in")
    stranger = person("sven", "Approvers")
    limit_to(stranger, elsewhere)
    before = (refund.events.count(), again(refund).version)
    desk_of(bob()).get(page_of(refund))
    assert (refund.events.count(), again(refund).version) == before
    assert "bob began to look at it a moment ago." in words(desk_of(bert()).get(page_of(refund)))
    for user in (alice(), person("carol", "Auditors"), person("finn", "Finance"), stranger):
        for url in (page_of(refund), LIST, f"{LIST}?for_me=decide"):
            assert "bob began" not in words(desk_of(user).get(url)), (user, url)


@pytest.mark.once
def test_what_a_person_asked_for_in_accounts_of_others_makes_nobody_an_old_hand() -> None:
    elsewhere = make_account("live-eu", mode="live")
    for number in range(5):
        ask(make_payment(reference=f"there-{number}", account=elsewhere))
    refund = waits(1000)
    assert not risk.judged(Refund.objects.filter(pk=refund.pk), bob()).get().risk & risk.NEW_REQUESTER
    limit_to(bob(), refund.account)
    assert risk.judged(Refund.objects.filter(pk=refund.pk), bob()).get().risk & risk.NEW_REQUESTER


# --- Filters ---


def world() -> dict[str, Refund]:
    """Refunds that differ in what people filter by."""
    olga = old_hand()
    goodwill = RefundReason.objects.get(name="Goodwill")
    live = make_account("live-eu", mode="live")
    sold = make_payment(90_000, reference="live", account=live, customer_email="Live@Example.com")
    with ago(days=3):
        old = waits(3000, by=olga)
    rows = {
        "plain": waits(1000, by=olga),
        "goodwill": waits(2000, by=olga, reason=goodwill),
        "yen": waits(2000, "JPY", olga),
        "old": old,
        "live": ask(sold, 4000, olga),
    }
    done = waits(5000, by=olga)
    services.reject_refund(done.pk, bob(), "No.", seen=1)
    Refund.objects.filter(pk=done.pk).update(final_at="2026-10-05T22:30:00Z")
    Refund.objects.filter(pk=rows["plain"].pk).update(needs_attention="Look.")
    return {**rows, "done": done}


QUESTIONS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "several statuses": (
        {"status__exact": ["rejected", "requested"]},
        {"plain", "goodwill", "yen", "old", "live", "done"},
    ),
    "one status": ({"status__exact": "rejected"}, {"done"}),
    "attention": ({"attention": "needed"}, {"plain"}),
    "overdue": ({"overdue": "decision"}, {"old"}),
    "mode": ({"account__mode__exact": "live"}, {"live"}),
    "amount": ({"amount_from": "20", "amount_to": "40", "currency": "eur"}, {"goodwill", "old", "live"}),
    "yen": ({"amount_from": "2000", "currency": "JPY"}, {"yen"}),
    "only a currency": ({"currency": "JPY"}, {"yen"}),
    "customer": ({"customer": "LIVE@example.com"}, {"live"}),
    "final": ({"final_from": "2026-10-05", "final_to": "2026-10-05"}, {"done"}),
    "the day after": ({"final_from": "2026-10-06", "final_to": "2026-10-07"}, set()),
    "together": ({"for_me": "decide", "status__exact": ["requested"], "currency": "EUR", "amount_to": "15"}, {"plain"}),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_filter_lists_what_it_says(question: str) -> None:
    rows, client = world(), desk_of(bob())
    asked, expected = QUESTIONS[question]
    found = set(listed(client, **asked))
    old = {refund.number for refund in Refund.objects.filter(status="withdrawn")}
    assert found - old == {rows[name].number for name in expected}
    assert question == "only a currency" or not found & old


@pytest.mark.once
def test_a_day_is_a_day_of_the_houses_time_zone(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Warsaw"
    timezone.deactivate()
    rows, client = world(), desk_of(bob())
    # 22:30 UTC on the 5th is half past midnight on the 6th there.
    assert listed(client, final_from="2026-10-06", final_to="2026-10-06") == numbers(rows["done"])
    assert listed(client, final_to="2026-10-05") == []


@pytest.mark.once
def test_a_day_is_a_day_of_the_readers_time_zone_where_one_is_chosen() -> None:
    rows, client = world(), desk_of(bob())
    Preference.objects.update_or_create(person=bob(), defaults={"time_zone": "Europe/Warsaw"})
    assert listed(client, final_from="2026-10-06", final_to="2026-10-06") == numbers(rows["done"])
    assert listed(desk_of(bert()), final_from="2026-10-06", final_to="2026-10-06") == []


@pytest.mark.once
def test_filters_by_account_and_reason_take_several_at_once() -> None:
    rows, client = world(), desk_of(bob())
    accounts = [rows["plain"].account_id, rows["live"].account_id]
    assert listed(client, for_me="decide", account__id__exact=accounts[1]) == numbers(rows["live"])
    assert len(listed(client, for_me="decide", account__id__exact=accounts)) == 5
    reasons = [rows["plain"].reason_id, rows["goodwill"].reason_id]
    assert len(listed(client, for_me="decide", reason__id__exact=reasons)) == 5


WRONG = {
    "a word for an amount": ({"amount_from": "much", "currency": "EUR"}, "much"),
    "a comma": ({"amount_from": "1,5", "currency": "EUR"}, "write digits and a point"),
    "off the grid": ({"amount_to": "1.5", "currency": "JPY"}, "JPY has 0 decimals"),
    "no currency": ({"amount_from": "5"}, "Say of which currency"),
    "an odd currency": ({"currency": "XXQ"}, "not an ISO 4217 code"),
    "a float": ({"amount_from": "1e3", "currency": "EUR"}, "write digits and a point"),
    "upside down": ({"amount_from": "9", "amount_to": "5", "currency": "EUR"}, "above the higher one"),
    "no day": ({"requested_from": "yesterday"}, "is no day"),
    "a day that is none": ({"final_to": "2026-02-30"}, "is no day"),
    "a far day": ({"final_to": "9999-12-31"}, "is no day"),
    "days upside down": ({"requested_from": "2026-11-02", "requested_to": "2026-11-01"}, "after the last one"),
    "an odd status": ({"status__exact": ["requested", "lost"]}, "“lost” is no choice"),
    "an odd part": ({"for_me": "everybody"}, "“everybody” is no choice"),
    "an odd order": ({"for_me": "decide", "line": "size"}, "“size” is no choice"),
    "an odd account": ({"account__id__exact": "x"}, "“x” is no choice"),
    "an odd reason": ({"reason__id__exact": "9999"}, "“9999” is no choice"),
    "an odd mode": ({"account__mode__exact": "play"}, "“play” is no choice"),
    "half an address": ({"customer": "anna"}, "is no e-mail address"),
    "what Django cannot read": ({"for_me__exact": "x"}, "so it shows everything"),
}


@pytest.mark.once
@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_filter_cannot_read_is_said_and_lists_nothing(wrong: str) -> None:
    waits(1000)
    asked, said = WRONG[wrong]
    answer = desk_of(bob()).get(LIST, asked, follow=True)
    assert answer.status_code == 200
    assert said in words(answer).replace("&#x27;", "'")
    assert "R-0" not in words(answer) or "shows everything" in said


@pytest.mark.once
def test_an_account_outside_of_ones_own_is_no_choice_like_one_that_is_not_there() -> None:
    refund = waits(1000)
    sven = person("sven", "Approvers")
    limit_to(sven, make_account("airpay-in"))
    texts = []
    for pk in (refund.account_id, 987654):
        text = words(desk_of(sven).get(LIST, {"account__id__exact": pk}))
        texts.append(re.findall(r"“\d+” is no choice[^<]*", text))
    assert [len(found) for found in texts] == [1, 1]


# --- Groups ---


@pytest.mark.parametrize("by", ["reason", "customer"])
def test_groups_count_sum_by_currency_and_lead_to_their_own_line(by: str) -> None:
    olga, goodwill = old_hand(), RefundReason.objects.get(name="Goodwill")
    anna = [make_payment(9000, reference="a1"), make_payment(9000, "JPY", "a2", customer_email="ANNA@example.com")]
    mine = [ask(anna[0], 1000, olga, reason=goodwill), ask(anna[1], 500, olga, reason=goodwill)]
    nobody = ask(make_payment(9000, reference="n", customer_email=""), 700, olga)
    client = desk_of(bob())
    text = words(client.get(f"{LIST}grouped/?by={by}")).replace("&amp;", "&")
    group, others = (
        ("anna@example.com", "No e-mail address known") if by == "customer" else ("Goodwill", "Goods returned")
    )
    links = dict(re.findall(r'<a href="([^"]+)">([^<]+)</a></td>', text))
    links = {name: link for link, name in links.items()}
    assert set(links) == {group, others}
    assert sorted(listed(client, **parse_qs(urlsplit(links[group]).query))) == numbers(*mine)
    assert listed(client, **parse_qs(urlsplit(links[others]).query)) == numbers(nobody)
    row = re.search(rf"<tr>(?:(?!</tr>).)*{re.escape(group)}.*?</tr>", text, re.S)[0]
    assert '<b class="desk-number">2</b>' in row
    assert "10.00\xa0EUR" in row
    assert "500\xa0JPY" in row


def test_groups_add_no_sandbox_money_to_live_money() -> None:
    live = make_account("live-eu", mode="live")
    ask(make_payment(reference="a1"), 1000)
    ask(make_payment(reference="a2", account=live, order="other"), 500)
    text = words(desk_of(bob()).get(f"{LIST}grouped/?by=customer"))
    for amount, mode in (("10.00", "sandbox"), ("5.00", "live")):
        said = f'<span class="desk-number">{amount}\xa0EUR</span> <span class="desk-mode {mode}">{mode}</span>'
        assert said in text, mode
    limit_to(bob(), live)
    assert "5.00\xa0EUR</span></span>" in words(desk_of(bob()).get(f"{LIST}grouped/?by=customer"))


@pytest.mark.once
def test_groups_hold_only_what_waits_for_this_person() -> None:
    user = person("both", "Approvers")
    user.groups.add(*alice().groups.all())
    own, foreign = waits(1000, by=user), waits(2000)
    limit_to(user, make_account("airpay-in"))
    text = words(desk_of(user).get(f"{LIST}grouped/"))
    assert "Nothing waits for your decision." in text
    assert own.requested_by != foreign.requested_by
    assert "There are no groups by “size”" in words(desk_of(bob()).get(f"{LIST}grouped/?by=size"))


@pytest.mark.once
def test_a_click_on_a_heading_is_no_order_by_risk() -> None:
    ask(make_payment())
    pages = [log_in(bob()).get(f"/admin/refunds/refund/?for_me=decide{more}").content.decode() for more in ("", "&o=2")]
    assert ["Very large amounts first" in page for page in pages] == [True, False]
    assert ["Sorted by the heading" in page for page in pages] == [False, True]
