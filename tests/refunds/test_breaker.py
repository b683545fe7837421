"""The breaker of an account, and the cap on its calls: nothing hammers a gateway that does not answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from refunds import services
from refunds.errors import NotAllowed, NotRefundable, WrongMoment
from refunds.models import Account, Refund
from refunds.services import breaker
from refunds.services.claim import obstacle
from tests.builders import again, approved, bob, carol, make_account, make_payment, person
from tests.refunds.test_refund_screens import at_the_desk, page_of

pytestmark = pytest.mark.django_db(transaction=True)
MINUTE = timedelta(minutes=1)


class Wire:
    """Payerly's sandbox, which can be cut off: then every call ends before its first byte."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox, self.monkeypatch = sandbox, monkeypatch

    def cut(self) -> None:
        self.monkeypatch.setenv("PAYERLY_EU_URL", "http://127.0.0.1:9/v1")

    def mend(self) -> None:
        self.monkeypatch.setenv("PAYERLY_EU_URL", self.sandbox.credentials("payerly")["URL"])

    @property
    def orders(self) -> int:
        return sum(call["method"] == "PUT" for call in self.sandbox.requests())

    def open_breaker(self, n_waiting: int = 0) -> list[Refund]:
        """Five orders that never leave; returns refunds that were not tried yet."""
        refunds = several(5 + n_waiting)
        self.cut()
        for refund in refunds[:5]:
            services.send_refund(refund.pk)
        return refunds[5:]


@pytest.fixture
def wire(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Wire:
    settings.POLL_PACE = 1.0
    return Wire(sandbox, monkeypatch)


def several(n: int) -> list[Refund]:
    """Approved refunds of one account, each of a payment of its own."""
    return [approved(make_payment(reference=f"pay-{i}")) for i in range(n)]


def account() -> Account:
    return Account.objects.get(slug="payerly-eu")


def left() -> timedelta:
    """How much longer the breaker stays open."""
    until = account().breaker_until
    return until - timezone.now() if until else timedelta()


def over() -> None:
    """As if the breaker's time had just passed."""
    Account.objects.update(breaker_until=timezone.now() - timedelta(seconds=1))


def trying(refund: Refund) -> Refund:
    """It is sent, if it may be; returns what became of it."""
    services.send_refund(refund.pk)
    return again(refund)


@pytest.mark.promise("I17")
def test_five_accidents_in_a_row_open_it_and_what_is_approved_waits(wire: Wire, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "refunds"):
        (waiting,) = wire.open_breaker(1)
    assert (account().accidents, account().breaker_because[:16]) == (5, "Nothing was sent")
    assert timedelta() < left() <= MINUTE
    assert "5 accidents in a row" in caplog.text
    wire.mend()
    waiting = trying(waiting)
    assert (waiting.status, wire.orders, waiting.asks) == ("approved", 0, 0)
    assert waiting.ask_at == account().breaker_until, "it is booked for the breaker's end"
    assert "5 times in a row" in obstacle(waiting)


@pytest.mark.parametrize("story", ["error_page", "busy"])
def test_an_answer_that_settles_nothing_is_an_accident_too(story: str, wire: Wire) -> None:
    for refund in several(5):
        wire.sandbox.tell(story)
        trying(refund)
    assert account().breaker_until


def test_an_answer_in_between_begins_the_count_anew(wire: Wire) -> None:
    refunds = several(9)
    for n, refund in enumerate(refunds):
        wire.mend() if n == 4 else wire.cut()
        trying(refund)
    assert (account().accidents, account().breaker_until) == (4, None)


def test_a_no_is_an_answer(wire: Wire) -> None:
    for refund in several(6):
        wire.sandbox.tell("refused")
        assert trying(refund).status == "failed"
    assert account().accidents == 0


@pytest.mark.promise("I17")
def test_each_further_accident_doubles_it_up_to_a_quarter_of_an_hour(wire: Wire) -> None:
    tries = wire.open_breaker(6)
    lengths = []
    for refund in tries:
        over()
        trying(refund)
        lengths.append(round(left() / MINUTE))
    assert lengths == [2, 4, 8, 15, 15, 15]


@pytest.mark.promise("I17")
def test_after_its_end_one_worker_tries_and_the_others_wait(wire: Wire, trials: Callable[[int], None]) -> None:
    n_rounds, n_workers = 20, 4
    waiting = wire.open_breaker(1)[0]
    for _ in range(n_rounds):
        over()
        barrier, probes = Barrier(n_workers), []

        def run(barrier: Barrier = barrier, probes: list[Any] = probes) -> None:
            try:
                barrier.wait(10)
                if probe := breaker.take_probe(waiting.pk):
                    probes.append(probe)
            finally:
                connection.close()

        threads = [Thread(target=run) for _ in range(n_workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(probes) == 1
        assert account().breaker_until == probes[0].until
    trials(n_rounds)


def test_while_one_tries_no_other_is_sent(wire: Wire, monkeypatch: Any) -> None:
    first, second = wire.open_breaker(2)
    over()
    wire.mend()
    seen = []

    def at_the_gateway(self: Payerly, order: Any) -> Any:
        if not seen:
            seen.append(trying(second).status)
        return refund_call(self, order)

    refund_call = Payerly.refund
    monkeypatch.setattr(Payerly, "refund", at_the_gateway)
    assert trying(first).status == "processing"
    assert (seen, wire.orders) == (["approved"], 1)
    assert account().breaker_until is None


def test_the_first_answer_closes_it_and_wakes_what_waits(wire: Wire, caplog: Any) -> None:
    sent = approved(make_payment(reference="pay-sent"))
    trying(sent)
    waiting, paused = wire.open_breaker(2)
    later = trying(waiting).ask_at
    own_pause = timezone.now() + timedelta(seconds=40)
    Refund.objects.filter(pk=paused.pk).update(asks=1, ask_at=own_pause)
    wire.mend()
    with caplog.at_level(logging.WARNING, "refunds"):
        services.settle_refund(sent.pk)
    assert (account().accidents, account().breaker_until, account().breaker_because) == (0, None, "")
    assert again(waiting).ask_at < later
    assert again(paused).ask_at == own_pause, "its own pause stays"
    assert "answers again" in caplog.text
    assert trying(waiting).status == "processing"


def test_a_probe_without_a_call_is_given_back(wire: Wire) -> None:
    (waiting,) = wire.open_breaker(1)
    over()
    ended = account().breaker_until
    waiting.payment.refunds.update(needs_attention="Look at it.")
    assert trying(waiting).status == "approved"
    assert account().breaker_until == ended


def test_what_is_at_the_gateway_is_asked_about_all_the_same(wire: Wire) -> None:
    refund = approved()
    assert trying(refund).status == "processing"
    Account.objects.update(accidents=7, breaker_until=timezone.now() + MINUTE, breaker_because="No answer.")
    services.settle_refund(refund.pk)
    assert [call["method"] for call in wire.sandbox.requests()] == ["PUT", "GET"]
    assert account().breaker_until is None, "and its answer closes the breaker"


def test_failing_look_ups_open_it_but_do_not_hold_it(wire: Wire) -> None:
    refund = approved()
    trying(refund)
    wire.cut()
    for _ in range(5):
        services.settle_refund(refund.pk)
    assert (account().accidents, bool(account().breaker_until)) == (5, True)
    until = account().breaker_until
    services.settle_refund(refund.pk)
    assert (account().accidents, account().breaker_until) == (5, until)


def test_a_good_day_costs_no_write(wire: Wire, django_assert_num_queries: Any) -> None:
    row = make_account()
    with django_assert_num_queries(1) as asked:
        breaker.note_answer(row)
    assert asked.captured_queries[0]["sql"].startswith("SELECT")


def test_other_accounts_go_on(wire: Wire) -> None:
    wire.open_breaker()
    payment = make_payment(2000, "PLN", "ABCD-123-XYZ-0AB", account=make_account("paynow-pl"))
    assert not obstacle(approved(payment))


# --- what people see and do ---


def test_everybody_whose_refund_waits_reads_why(wire: Wire) -> None:
    (waiting,) = wire.open_breaker(1)
    body = at_the_desk(bob()).get(page_of(waiting)).content.decode()
    for words in ("5 times in a row", "Nothing was sent", f"{timezone.localtime(account().breaker_until):%H:%M:%S}"):
        assert words in body
    with pytest.raises(NotRefundable, match="in a row"):
        services.send_now(waiting.pk, bob(), seen=waiting.version)


def test_a_gateway_admin_ends_the_wait_by_hand(wire: Wire) -> None:
    (waiting,) = wire.open_breaker(1)
    trying(waiting)
    desk = at_the_desk(person("gina", "Gateway admins"))
    page = reverse("admin:refunds_account_change", args=(account().pk,))
    assert "Try again now" in desk.get(page).content.decode()
    desk.post(reverse("admin:refunds_account_step", args=(account().pk, "try")))
    assert account().breaker_until <= timezone.now()
    assert again(waiting).ask_at <= timezone.now()
    wire.mend()
    assert trying(waiting).status == "processing"
    assert account().breaker_until is None
    assert "Try again now" not in desk.get(page).content.decode()


def test_nobody_else_ends_it_and_a_closed_one_cannot_be_ended(wire: Wire) -> None:
    row = make_account()
    with pytest.raises(NotAllowed):
        services.try_account_now(row.pk, carol())
    with pytest.raises(WrongMoment, match="nothing waits"):
        services.try_account_now(row.pk, person("gina", "Gateway admins"))


@pytest.mark.promise("I17")
def test_what_was_on_its_way_when_it_opened_does_not_lengthen_it() -> None:
    account = make_account()
    gateway = Payerly({"URL": "http://127.0.0.1:9", "TOKEN": "token-for-tests"})
    gateway.http.exchanges.append(None)  # somebody was asked
    for _ in range(8):
        breaker.note_accident(account, gateway, "silence")
    opened = Account.objects.get()
    assert opened.accidents == breaker.OPENS_AFTER
    assert opened.breaker_until <= timezone.now() + breaker.FIRST


@pytest.mark.promise("I54")
def test_a_clock_that_was_set_back_keeps_nobody_waiting(wire: Wire) -> None:
    refund = approved()
    Account.objects.update(accidents=5, breaker_until=timezone.now() + timedelta(days=2))
    assert obstacle(again(refund)) == ""
    services.send_refund(refund.pk)
    assert again(refund).status == "processing"
    assert Account.objects.get(slug="payerly-eu").breaker_until is None
