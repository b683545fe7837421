"""The page of a refund: its line of steps, its story, the customer's sentence, and what it looks like."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from refunds import services, wording
from refunds.admin.stages import Stage, stages
from refunds.admin.timeline import Line, timeline
from refunds.models import Delivery, Refund, Status
from refunds.services.actor import WORKER
from refunds.services.adopt import adopt_refund
from refunds.services.steps import locked, take_step
from tests.builders import (
    again,
    alice,
    approved,
    ask,
    bert,
    bob,
    carol,
    dora,
    make_account,
    make_delivery,
    make_payment,
    make_rule,
)
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db


@transaction.atomic
def locked_and_moved(refund: Refund, move: str, **fields: Any) -> Refund:
    refund = locked(refund.pk)
    take_step(refund, "test", WORKER, move=getattr(refund, move), **fields)
    return refund


def page(refund: Refund, query: str = "", user: Any = None) -> str:
    client = Client()
    client.force_login(user or carol())
    return client.get(reverse("admin:refunds_refund_change", args=(refund.pk,)) + query).content.decode()


def line_of(refund: Refund) -> list[Stage]:
    return stages(again(refund), list(refund.events.order_by("sequence")))


def places(refund: Refund) -> list[str]:
    """✓ behind it, → where it stands, … ahead."""
    signs = {"passed": "✓", "now": "→", "ahead": "…"}
    return [f"{signs[stage.place]}{stage.status}" for stage in line_of(refund)]


# --- the line of steps ---

REQUESTED, APPROVED, SENT = "✓requested", "✓approved", "✓sending"
WHERE = {
    Status.SENDING: [REQUESTED, APPROVED, "→sending", "…processing", "…succeeded"],
    Status.UNKNOWN: [REQUESTED, APPROVED, SENT, "→unknown", "…processing", "…succeeded"],
    Status.PROCESSING: [REQUESTED, APPROVED, SENT, "→processing", "…succeeded"],
    Status.SUCCEEDED: [REQUESTED, APPROVED, SENT, "✓processing", "→succeeded"],
    Status.FAILED: [REQUESTED, APPROVED, SENT, "→failed"],
    Status.WITHDRAWN: [REQUESTED, APPROVED, SENT, "✓processing", "→withdrawn"],
    Status.REVERSED: [REQUESTED, APPROVED, SENT, "✓processing", "✓succeeded", "→reversed"],
}


@pytest.mark.parametrize("status", WHERE)
def test_the_line_says_what_is_behind_where_it_stands_and_what_is_ahead(status: Status) -> None:
    refund = standing_in(status)
    assert places(refund) == WHERE[status]
    assert len(re.findall(r'aria-current="step"', page(refund))) == 1


def test_before_it_is_sent_the_line_says_who_is_to_act_and_how_it_ended() -> None:
    refund = ask()
    assert places(refund) == ["→requested", "…approved", "…sending", "…processing", "…succeeded"]
    services.return_refund(refund.pk, bob(), "Which?", seen=1)
    assert places(refund) == [REQUESTED, "→returned", "…approved", "…sending", "…processing", "…succeeded"]
    services.resubmit_refund(refund.pk, alice(), "This.", seen=2)
    assert places(refund) == ["→requested", "…approved", "…sending", "…processing", "…succeeded"]
    services.reject_refund(refund.pk, bob(), "No.", seen=3)
    assert places(refund) == [REQUESTED, "→rejected"]


def test_an_approval_that_was_taken_back_is_not_behind_it_any_more() -> None:
    refund = approved()
    services.unapprove_refund(refund.pk, bob(), "Too fast.", seen=refund.version)
    assert places(refund)[:2] == ["→requested", "…approved"]
    assert [stage.who for stage in line_of(refund)][1] == ""
    services.approve_refund(refund.pk, bert(), seen=again(refund).version)
    assert line_of(refund)[1].who == "bert"
    assert line_of(refund)[1].at == refund.events.last().at


def test_each_step_names_its_people_and_its_moment() -> None:
    make_rule("2")
    refund = ask()
    services.approve_refund(refund.pk, bob(), seen=1)
    assert [(stage.who, stage.note) for stage in line_of(refund)[:2]] == [("alice", ""), ("", "bob, and 1 more")]
    services.approve_refund(refund.pk, bert(), seen=2)
    first, second, third, *_ = line_of(refund)
    assert [first.who, second.who] == ["alice", "bob, bert"]
    assert (first.at, second.at) == tuple(refund.events.filter(sequence__in=(1, 3)).values_list("at", flat=True))
    assert (third.place, third.at, third.who) == ("ahead", None, "")


def test_what_never_left_the_house_is_not_behind_it() -> None:
    refund = locked_and_moved(approved(), "claim", lease_until=timezone.now())
    locked_and_moved(refund, "release")
    assert places(refund) == [REQUESTED, "→approved", "…sending", "…processing", "…succeeded"]
    assert line_of(refund)[1].who == "bob"


def test_an_end_that_is_doubted_again_is_no_end() -> None:
    refund = standing_in(Status.SUCCEEDED)
    for move in ("reverse", "doubt"):
        locked_and_moved(refund, move)
    assert places(refund) == [REQUESTED, APPROVED, SENT, "→unknown", "…processing", "…succeeded"]


def test_one_made_at_the_gateway_was_never_approved_here() -> None:
    payment = make_payment()
    update = RefundUpdate(Outcome.PROCESSING, reference="txn-9", amount=payment.money(700))
    refund = adopt_refund(payment.pk, update, keys_are_shown=False)
    assert refund is not None
    assert places(refund) == [REQUESTED, "→processing", "…succeeded"]
    assert line_of(refund)[0].name == "Made at the gateway"


def test_a_transfer_by_hand_is_accepted_by_no_gateway(monkeypatch: Any) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "manual-eu:manual")
    refund = approved(make_payment(account=make_account("manual-eu")))
    assert [stage.name for stage in line_of(refund)] == ["Requested", "Approved", "Transfer to be made", "Transferred"]


# --- what happens next ---


def test_the_moment_of_the_next_look_is_visible() -> None:
    refund = standing_in(Status.PROCESSING)
    assert wording.next_moment(refund) is None
    soon = timezone.now() + timedelta(minutes=10)
    Refund.objects.filter(pk=refund.pk).update(ask_at=soon)
    assert wording.next_moment(again(refund)) == ("We ask again", soon)
    assert wording.next_step_and_when(again(refund)).endswith(f"We ask again: {wording.moment(soon)}.")
    assert f'title="{soon:%Y-%m-%d %H:%M:%S} UTC"' in page(refund).split("desk-soon")[1]


def test_a_refund_that_waits_for_people_names_no_moment() -> None:
    refund = approved()
    assert wording.next_moment(again(refund)) == ("It goes out", refund.ask_at)
    Refund.objects.filter(pk=refund.pk).update(needs_attention="Look.")
    assert wording.next_moment(again(refund)) is None


# --- its story ---


def look_up(refund: Refund, minutes: float, said: str = "processing", **fields: Any) -> None:
    at = timezone.now() + timedelta(minutes=minutes)
    told = {"outcome": "answered", "finished_at": at, **fields}
    refund.attempts.create(kind="look_up", fence=1, said=said, started_at=at, **told)


def story(refund: Refund, *, raw: bool = False) -> list[Line]:
    return timeline(again(refund), list(refund.events.all()), raw=raw)


def test_look_ups_that_tell_nothing_new_are_one_line_with_all_of_them_inside() -> None:
    refund = standing_in(Status.PROCESSING)
    for minute in range(1, 13):
        look_up(refund, minute)
    last = story(refund)[-1]
    assert (last.kind, last.title, len(last.folded)) == ("fold", "12 look-ups, nothing new", 12)
    assert (last.at, last.folded[-1].at) == (last.folded[0].at, max(line.at for line in last.folded))
    assert page(refund).count(">Look-up<") == 12


def test_the_look_up_that_brought_news_is_not_folded() -> None:
    refund = standing_in(Status.PROCESSING)
    for minutes in (-50, -40, -30, -20):
        look_up(refund, minutes)
    kinds = [(line.kind, len(line.folded)) for line in story(refund)]
    assert kinds[:2] == [("fold", 3), ("attempt", 0)]  # the journal's lines come after the fourth


@pytest.mark.parametrize("number", [1, 2])
def test_two_look_ups_are_not_worth_folding(number: int) -> None:
    refund = standing_in(Status.PROCESSING)
    for minute in range(number):
        look_up(refund, minute + 1)
    assert "fold" not in [line.kind for line in story(refund)]


def test_an_ignored_delivery_says_why_and_stands_in_the_line_of_time() -> None:
    refund = standing_in(Status.PROCESSING)
    loose = make_delivery(refund.account, f'{{"payment": "{refund.payment.reference}"}}')
    other = make_delivery(refund.account, f'{{"payment": "{refund.payment.reference}0"}}')
    Delivery.objects.filter(pk__in=(loose.pk, other.pk)).update(result="ignored", why="It is not about a refund.")
    (line,) = [one for one in story(refund) if "beside" in one.kind]
    assert line.text == "Ignored: It is not about a refund."
    assert line.at == loose.received_at
    assert "It is not about a refund." in page(refund)


def test_deliveries_of_another_account_or_payment_are_not_told_here() -> None:
    refund = standing_in(Status.PROCESSING)
    make_delivery(make_account("paynow-pl"), f'"{refund.payment.reference}"')
    make_delivery(refund.account, '"pay-2"')
    assert [one for one in story(refund) if "beside" in one.kind] == []


def test_a_knock_about_another_refund_of_the_payment_is_told_with_its_name() -> None:
    payment = make_payment()
    refund, other = ask(payment), ask(payment, 500)
    knock = make_delivery(payment.account, "{}")
    Delivery.objects.filter(pk=knock.pk).update(result="knock", why="The gateway is asked.", refund=other)
    (line,) = [one for one in story(refund) if "beside" in one.kind]
    assert line.text.endswith(f"It was taken as one about {other}.")
    assert [one.kind for one in story(other) if "delivery" in one.kind] == ["delivery"]


def test_the_body_of_a_delivery_is_raw_and_shown_to_those_who_may_read_it() -> None:
    refund = standing_in(Status.PROCESSING)
    make_delivery(refund.account, f'{{"payment": "{refund.payment.reference}", "more": "raw-canary"}}')
    assert "raw-canary" in page(refund, user=carol())
    assert "raw-canary" not in page(refund, user=bob())


@pytest.mark.parametrize("user", [dora, alice])
def test_a_long_story_costs_no_more_questions(user: Any, django_assert_max_num_queries: Any) -> None:
    refund = standing_in(Status.UNKNOWN, make_payment(captured=100000))
    for number in range(30):
        look_up(refund, number)
        make_delivery(refund.account, f'{{"payment": "{refund.payment.reference}", "number": {number}}}')
    for amount in range(5):
        ask(refund.payment, 100 + amount)
    client = Client()
    client.force_login(user())
    with django_assert_max_num_queries(40):
        assert client.get(reverse("admin:refunds_refund_change", args=(refund.pk,))).status_code == 200


# --- for the customer ---


@pytest.fixture
def _two_languages(settings: Any) -> None:
    settings.LANGUAGES = [("en", "English"), ("pl", "Polish")]


@pytest.mark.usefixtures("_two_languages")
def test_the_customers_sentence_is_said_in_the_language_of_the_address() -> None:
    refund = ask(make_payment(captured=500000), 123456)
    english, polish = page(refund), page(refund, "?say=pl")
    assert '<option value="en" lang="en" selected>English</option>' in english
    assert '<option value="pl" lang="pl" selected>Polski</option>' in polish
    sentence = re.compile(r"<textarea[^>]*>([^<]*)</textarea>")
    assert "1,234.56\xa0EUR" in sentence.findall(english)[0]
    assert "1\xa0234,56\xa0EUR" in sentence.findall(polish)[0]
    assert "1,234.56\xa0EUR</h2>" in polish  # the page itself stays in the reader's language
    assert "selected>English" in page(refund)  # remembered nowhere


@pytest.mark.usefixtures("_two_languages")
@pytest.mark.parametrize("asked", ["", "xx", "../pl", "PL", "pl'"])
def test_a_language_that_is_not_offered_is_the_readers_own(asked: str) -> None:
    assert wording.language_of(asked) == "en"


@pytest.mark.usefixtures("_two_languages")
def test_a_page_that_follows_its_refund_keeps_the_language() -> None:
    assert 'content="3; url=?following&amp;say=pl"' in page(approved(), "?say=pl")


def test_with_one_language_nothing_is_asked(settings: Any) -> None:
    settings.LANGUAGES = [("en", "English")]
    assert 'name="say"' not in page(ask())


# --- the gateway's own screens ---


@pytest.mark.parametrize("status", [Status.PROCESSING, Status.SUCCEEDED, Status.FAILED])
def test_every_refund_that_was_sent_leads_to_the_gateways_own_screen(status: Status, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateways.payerly.Payerly.screen_url", lambda self, order: "https://screens.example/refund")
    assert 'href="https://screens.example/refund"' in page(standing_in(status))


def test_one_that_was_never_sent_has_nothing_to_show_there(monkeypatch: Any) -> None:
    monkeypatch.setattr("gateways.payerly.Payerly.screen_url", lambda self, order: "https://screens.example/refund")
    assert "screens.example" not in page(ask())


# --- what it looks like ---


def test_the_approver_is_told_what_a_refund_looks_like_on_its_page_and_before_approving() -> None:
    first, second = ask(make_payment()), ask(make_payment(reference="pay-2", order="order-2"))
    client = Client()
    client.force_login(bob())
    step = client.get(reverse("admin:refunds_refund_step", args=(second.pk, "approve"))).content.decode()
    for body in (page(second, user=bob()), step):
        assert "same customer, amount and reason" in body
        assert f">{first.number}</a>" in body


def test_what_was_sent_can_be_stopped_no_more_and_warns_nobody() -> None:
    sent = standing_in(Status.PROCESSING)
    ask(sent.payment, sent.amount)
    assert "same customer, amount and reason" not in page(sent, user=bob())
