"""The inbox: knocks that were refused are counted, deliveries that were let in can be heard again, and by whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext

from gateways.contract import Outcome, RefundUpdate, Webhooks
from gateways.money import Money
from gateways.payerly import Payerly
from refunds import services
from refunds.errors import BadInput, NotAllowed
from refunds.models import Account, Delivery, Event, Payment, RefusedKnock, UnmatchedRefund
from refunds.services import knocks
from refunds.services.unmatched import keep_unmatched
from refunds.webhooks import receive
from tests.builders import again, bob, carol, dora, limit_to, make_account, make_delivery, make_payment, person
from tests.people.rooms import contents
from tests.refunds.test_record import standing_in
from tests.refunds.test_webhooks import DOOR, OURS, STRANGERS, callback, deliver, pem, signed

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def tally(monkeypatch: pytest.MonkeyPatch) -> knocks._Tally:
    """What the process has counted before is not ours."""
    make_account(webhook_key=pem(OURS))
    fresh = knocks._Tally()
    monkeypatch.setattr(knocks, "TALLY", fresh)
    return fresh


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock by which writes are held back."""
    now = [1000.0]
    monkeypatch.setattr(knocks.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, now[0] + seconds)


def browser(user: Any = None) -> Client:
    client = Client()
    client.force_login(user or dora())
    return client


def page(name: str, *args: Any) -> str:
    return reverse(f"admin:refunds_delivery_{name}", args=args)


# --- what is refused ---


def test_a_forged_delivery_is_counted_and_nothing_of_it_is_kept() -> None:
    body = callback(standing_in("processing"))
    assert deliver(body, Signature=signed(body, STRANGERS)).status_code == 401
    knock = RefusedKnock.objects.get()
    assert (knock.why, knock.n_knocks, len(knock.digest)) == ("unverified", 1, 64)
    assert not Delivery.objects.exists()


REFUSED: dict[str, Callable[[Client], Any]] = {
    "type": lambda client: client.post(DOOR, b"{}", content_type="text/plain"),
    "size": lambda client: client.post(DOOR, b"x" * 70_000, content_type="application/json"),
    "unverified": lambda client: client.post(DOOR, b"{}", content_type="application/json"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_every_refusal_says_why(why: str) -> None:
    REFUSED[why](Client())
    assert list(RefusedKnock.objects.values_list("why", flat=True)) == [why]


def test_looking_at_the_door_counts_nothing() -> None:
    assert Client().get(DOOR).status_code == 405
    assert not RefusedKnock.objects.exists()


def test_without_a_key_it_is_our_own_fault() -> None:
    Account.objects.update(webhook_key="")
    assert deliver(b"{}").status_code == 503
    assert RefusedKnock.objects.get().why == "not_ready"


@pytest.mark.parametrize("slug", ["nobody", "x" * 200, "payerly-eu%00"])
def test_a_door_that_is_not_there_makes_no_row(slug: str) -> None:
    Client(raise_request_exception=False).post(f"/webhooks/{slug}/", b"{}", content_type="application/json")
    assert not RefusedKnock.objects.exists()


def test_a_flood_makes_a_few_rows_and_a_few_writes(clock: Callable[[float], None], monkeypatch: Any) -> None:
    """Of a thousand knocks in a hundred seconds each is counted, and after twenty, one in five seconds is written."""
    n_writes, write = 0, RefusedKnock.objects.get_or_create

    def counted(**fields: Any) -> Any:
        nonlocal n_writes
        n_writes += 1
        return write(**fields)

    monkeypatch.setattr(RefusedKnock.objects, "get_or_create", counted)
    for number in range(1000):
        knocks.note_refused("payerly-eu", RefusedKnock.Why.UNVERIFIED, f"{number:064}")
        clock(0.1)
    clock(10)
    knocks.note_refused("payerly-eu", RefusedKnock.Why.UNVERIFIED, "f" * 64)
    knock = RefusedKnock.objects.get()
    assert (knock.n_knocks, knock.digest) == (1001, "f" * 64)
    assert n_writes <= 42


def test_a_handful_is_counted_exactly() -> None:
    for _ in range(3):
        deliver(b"{}", Signature="AAAA")
    assert RefusedKnock.objects.get().n_knocks == 3


def test_another_hour_and_another_reason_are_rows_of_their_own(
    clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    for hours in range(3):
        monkeypatch.setattr(knocks.timezone, "now", lambda hours=hours: now + timedelta(hours=hours))
        for why in RefusedKnock.Why:
            for _ in range(3):
                knocks.note_refused("payerly-eu", why)
                clock(6)
    assert RefusedKnock.objects.count() == 3 * len(RefusedKnock.Why)
    assert set(RefusedKnock.objects.values_list("n_knocks", flat=True)) == {3}


def test_a_count_that_cannot_be_written_breaks_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError

    monkeypatch.setattr(RefusedKnock.objects, "get_or_create", away)
    assert deliver(b"{}", Signature="AAAA").status_code == 401


def test_the_answer_is_made_before_anything_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is taken when the server closes the answer, which it does once it is sent."""
    monkeypatch.setattr(HttpResponse, "close", lambda answer: None)  # it would close the test's own connection
    answer = receive(RequestFactory().post(DOOR, b"{}", content_type="text/plain"), "payerly-eu")
    assert (answer.status_code, RefusedKnock.objects.count()) == (415, 0)
    answer.close()
    assert RefusedKnock.objects.count() == 1


def test_the_sweep_forgets_after_a_month() -> None:
    old = timezone.now() - knocks.KEPT - timedelta(minutes=1)
    times = {"hour": old, "first_at": old, "last_at": old, "n_knocks": 1}
    RefusedKnock.objects.create(account=Account.objects.get(), why="size", **times)
    deliver(b"{}", Signature="AAAA")
    services.sweep()
    assert [knock.why for knock in RefusedKnock.objects.all()] == ["unverified"]


def test_the_page_says_what_to_do_about_them_and_keeps_to_the_scope() -> None:
    deliver(b"{}", Signature="AAAA")
    body = browser().get(page("refused")).content.decode()
    assert "Has the gateway&#x27;s key or our secret changed" in body
    assert page("refused") in browser().get(page("changelist")).content.decode()
    limit_to(carol(), make_account("other-eu"))
    assert "Nobody was refused" in browser(carol()).get(page("refused")).content.decode()


# --- hearing it again ---


def delivered(refund: Any, **fields: Any) -> Delivery:
    body = callback(refund, **fields)
    assert deliver(body).status_code == 200
    return Delivery.objects.latest("pk")


def test_hearing_the_same_again_writes_nothing() -> None:
    delivery = delivered(standing_in("processing"))
    services.replay_delivery(delivery.pk, dora())
    before = contents()
    replay = services.replay_delivery(delivery.pk, dora())
    assert (replay.lines, replay.why, contents()) == ([], "Nothing new.", before)
    assert Delivery.objects.get().result == "applied"


def test_one_that_was_read_too_early_is_applied_and_signed_by_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing")
    body = callback(refund)
    with monkeypatch.context() as broken:
        broken.setattr(Payerly, "read_webhook", lambda *_: [])
        deliver(body)
    assert Delivery.objects.get().result == "ignored"
    finance = dora()
    before = contents()
    rehearsed = services.rehearse_replay(Delivery.objects.get().pk, finance)
    assert [line.to_status for line in rehearsed.lines if line.refund] == ["succeeded"]
    assert contents() == before
    services.replay_delivery(Delivery.objects.get().pk, dora())
    refund, delivery = again(refund), Delivery.objects.get()
    assert (refund.status, refund.to_confirm, delivery.result) == ("succeeded", "succeeded", "applied")
    steps = list(refund.events.order_by("sequence").values_list("step", "actor", "source"))[-2:]
    assert steps == [("succeeded", "Payerly", "webhook"), ("heard again", "dora", "person")]
    after = contents()
    services.replay_delivery(delivery.pk, dora())
    assert contents() == after


@pytest.mark.parametrize("now_is", ["reversed", "failed", "succeeded", "withdrawn", "unknown"])
def test_of_a_refund_that_has_moved_on_it_is_only_evidence(now_is: str) -> None:
    """An old word of its processing turns nothing back."""
    refund = standing_in(now_is)
    body = callback(refund, status="IN_PROGRESS")
    delivery = make_delivery(refund.account, body.decode())
    Delivery.objects.filter(pk=delivery.pk).update(headers={"signature": signed(body)})
    services.replay_delivery(delivery.pk, dora())
    first = again(refund)
    assert first.status in (now_is, "processing" if now_is == "unknown" else now_is)
    lines = Event.objects.count()
    services.replay_delivery(delivery.pk, dora())
    assert (again(refund).status, Event.objects.count()) == (first.status, lines)


def test_with_a_signature_that_no_longer_fits_it_is_only_a_knock() -> None:
    refund = standing_in("processing")
    body = callback(refund)
    make_delivery(refund.account, body.decode())
    replay = services.replay_delivery(Delivery.objects.get().pk, dora())
    assert (replay.reading.is_believed, bool(replay.reading.unverified)) == (False, True)
    assert (again(refund).status, replay.result, replay.lines) == ("processing", "asked the gateway", [])


def test_what_is_not_kept_byte_for_byte_is_not_heard() -> None:
    """Whoever changes a row of the table gains no word by it."""
    refund, finance = standing_in("processing"), dora()
    delivery = delivered(refund, status="IN_PROGRESS")
    body = callback(refund, status="DECLINED")
    Delivery.objects.update(body=body.decode(), headers={"signature": signed(body)})
    before = contents()
    with pytest.raises(BadInput, match="byte for byte"):
        services.replay_delivery(delivery.pk, finance)
    assert contents() == before


def test_what_was_refused_cannot_be_heard_again() -> None:
    deliver(callback(standing_in("processing")), Signature="AAAA")
    assert not Delivery.objects.exists()
    assert browser().post(page("replay", 1)).status_code == 404


def test_only_finance_has_it_heard_and_only_of_its_accounts() -> None:
    delivery = delivered(standing_in("processing"))
    for user in (bob(), carol()):
        with pytest.raises(NotAllowed):
            services.replay_delivery(delivery.pk, user)
        assert browser(user).post(page("replay", delivery.pk)).status_code == 403
    limit_to(dora(), make_account("other-eu"))
    with pytest.raises(NotAllowed):
        services.replay_delivery(delivery.pk, dora())
    assert browser().get(page("replay", delivery.pk)).status_code == 404


def test_the_page_tries_it_out_first_and_then_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing")
    with monkeypatch.context() as broken:
        broken.setattr(Payerly, "read_webhook", lambda *_: [])
        deliver(callback(refund))
    delivery, client = Delivery.objects.get(), browser()
    client.get(page("replay", delivery.pk))
    before = contents()
    body = client.get(page("replay", delivery.pk)).content.decode()
    assert "processing → succeeded" in body
    assert "nothing has changed yet" in body
    assert contents() == before
    answer = client.post(page("replay", delivery.pk), follow=True)
    assert "It was heard again: applied." in answer.content.decode()
    assert again(refund).status == "succeeded"
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, "Heard again: applied" in entry.change_message) == (
        dora(),
        str(delivery.pk),
        True,
    )


def test_a_gateway_that_only_knocks_is_not_believed_the_second_time_either(monkeypatch: pytest.MonkeyPatch) -> None:
    refund = standing_in("processing")
    delivery = delivered(refund, status="IN_PROGRESS")
    Delivery.objects.update(result="ignored")
    can = Payerly.can.__class__(**{**vars(Payerly.can), "webhooks": Webhooks.KNOCK})
    monkeypatch.setattr(Payerly, "can", can)
    assert services.replay_delivery(delivery.pk, dora()).result == "asked the gateway"
    assert again(refund).status == "processing"


def test_in_another_language_the_page_and_the_log_know_the_same_results() -> None:
    refund = standing_in("processing")
    delivery = make_delivery(refund.account, callback(refund).decode())
    client = browser()
    body = client.get(page("replay", delivery.pk), headers={"accept-language": "pl"}).content.decode()
    with translation.override("pl"):
        assert gettext("The gateway would be asked") in body
    client.post(page("replay", delivery.pk), headers={"accept-language": "pl"})
    assert LogEntry.objects.get().change_message.startswith("Heard again: knock.")


# --- the page of one ---


def test_the_page_of_a_delivery_says_what_it_said_and_shows_the_body_to_few() -> None:
    refund = standing_in("processing")
    delivery = delivered(refund)
    url = page("change", delivery.pk)
    told = browser().get(url).content.decode()
    for word in ("It moved a refund", "succeeded", "txn-1", str(refund), "refundId", page("replay", delivery.pk)):
        assert word in told
    gate = browser(person("gus", "Gateway admins")).get(url).content.decode()
    assert [word in gate for word in ("txn-1", "refundId", page("replay", delivery.pk))] == [True, False, False]


def test_the_page_of_an_unmatched_one_leads_to_its_row() -> None:
    body = callback(paymentId="pay-77", refundId="7" * 36)
    deliver(body)
    row = UnmatchedRefund.objects.get()
    assert reverse("admin:refunds_unmatchedrefund_change", args=(row.pk,)) in (
        browser().get(page("change", Delivery.objects.get().pk)).content.decode()
    )


def test_an_unreadable_one_still_has_a_page() -> None:
    deliver(b"not json")
    told = browser().get(page("change", Delivery.objects.get().pk)).content.decode()
    assert "It could not be read" in told
    assert json.dumps("not json").strip('"') in told
    assert "It cannot be heard again." in browser().get(page("replay", Delivery.objects.get().pk)).content.decode()


# --- the unmatched list ---


def lost(reference: str, payment: str = "", amount: int = 1000) -> UnmatchedRefund:
    told = {"payment_reference": payment, "amount": Money(amount, "EUR")}
    return keep_unmatched(Account.objects.get(), RefundUpdate(Outcome.SUCCEEDED, reference=reference, **told), "Whose?")


def test_the_list_says_which_refund_it_likeliest_is_and_why() -> None:
    refund = standing_in("unknown")
    rows = [lost("txn-9", refund.payment.reference), lost("txn-8", "pay-elsewhere"), lost("txn-7")]
    best = services.best_suggestions(rows)
    assert {pk: one.refund for pk, one in best.items()} == {rows[0].pk: refund, rows[2].pk: refund}
    assert best[rows[0].pk].why.startswith("same payment, same amount")
    assert [one.refund for one in services.suggestions(rows[0])] == [refund]
    told = browser().get(reverse("admin:refunds_unmatchedrefund_changelist")).content.decode()
    assert str(refund) in told
    assert "same payment, same amount" in told
    seen_by_gus = browser(person("gus", "Gateway admins")).get(reverse("admin:refunds_unmatchedrefund_changelist"))
    assert str(refund) not in seen_by_gus.content.decode()


def test_a_refund_of_another_account_is_never_suggested() -> None:
    """Also where both accounts have rows on the list."""
    standing_in("unknown")
    home, foreign = lost("txn-9"), lost("txn-8")
    UnmatchedRefund.objects.filter(pk=foreign.pk).update(account=make_account("other-eu"))
    assert set(services.best_suggestions(list(UnmatchedRefund.objects.all()))) == {home.pk}


@pytest.mark.parametrize("n_rows", [3, 30])
def test_suggestions_for_a_list_take_two_questions(n_rows: int, django_assert_num_queries: Any) -> None:
    refund = standing_in("unknown")
    make_payment(reference="other")
    rows = [lost(f"txn-{n}", refund.payment.reference) for n in range(n_rows)]
    assert Payment.objects.count() == 2
    with django_assert_num_queries(2):
        assert len(services.best_suggestions(rows)) == n_rows
