"""The line of decisions by hand: 200 requests with at most 250 clicks or keys and no second login."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine
from playwright.sync_api import expect

from refunds import services
from refunds.models import Refund
from tests.browser.chrome import Visitor
from tests.builders import again, alice, ask, bert, bob, make_payment
from tests.house import House

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., Visitor]
LINE = "/admin/refunds/refund/?for_me=decide"
PER_DECISION = 1.25  # 250 for 200
LONGEST = 40 * 60  # seconds on the desk's clock for the whole line
GLANCE = 300  # milliseconds, a little more than what keys.js asks for before a decision


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        yield clock


@dataclass
class Hands:
    """One person's hands, and what they have done so far: clicks, keys, and every letter that is typed."""

    desk: Visitor
    count: int = 0

    def click(self, name: str, role: Any = "link") -> None:
        self.count += 1
        with self.desk.page.expect_navigation(wait_until="domcontentloaded"):
            self.desk.page.get_by_role(role, name=name).first.click()

    def key(self, key: str) -> None:
        """A key that opens another page."""
        if key == "a":
            self.desk.page.wait_for_timeout(GLANCE)
        self.count += 1
        with self.desk.page.expect_navigation(wait_until="load"):
            self.desk.page.keyboard.press(key)

    def type(self, text: str) -> None:
        expect(self.desk.page.locator("textarea#text")).to_be_focused()
        self.count += len(text)
        self.desk.page.keyboard.type(text)

    def press(self, key: str) -> None:
        """A key that stays on the page."""
        self.count += 1
        self.desk.page.keyboard.press(key)


def requests(number: int) -> list[Refund]:
    return [
        ask(make_payment(5000, reference=f"pay-{n}", order=f"order-{n}", customer_email=f"c{n}@example.com"), 1000 + n)
        for n in range(number)
    ]


@pytest.mark.once
@pytest.mark.parametrize("number", [25, pytest.param(200, marks=pytest.mark.faults)])
def test_a_line_is_decided_by_keys_and_without_a_second_login(
    number: int, house: House, visit: Visit, clock: Any
) -> None:
    requests(number)
    bob()
    desk = visit()
    desk.log_in("bob")
    proofs: list[str] = []
    desk.page.on("request", lambda call: proofs.append(call.url) if "/accounts/" in call.url else None)

    hands = Hands(desk)
    hands.click("Waiting for your decision")
    hands.click("R-0")
    expect(desk.page.locator(".desk-place b")).to_have_text(f"1 of {number}")
    hands.key("j")  # the first one is left for later
    for decision in range(number):
        clock.shift(LONGEST / number)
        if decision % 50 == 49:
            hands.key("r")
            hands.type("No")
            hands.press("Tab")
            hands.key("Enter")
        else:
            hands.key("a")
    expect(desk.page.locator("body")).to_contain_text("Nothing else waits for your decision.")

    statuses = list(Refund.objects.values_list("status", flat=True))
    assert {status: statuses.count(status) for status in {*statuses}} == {
        "approved": number - number // 50,
        **({"rejected": number // 50} if number >= 50 else {}),
    }
    assert proofs == []
    assert hands.count <= PER_DECISION * number, hands.count
    print(f"{number} requests: {hands.count} clicks and keys")


@pytest.mark.once
def test_keys_decide_only_when_they_are_meant_to(house: House, visit: Visit) -> None:
    refunds = requests(4)
    bob(), bert()
    desk, other = visit(), visit()
    desk.log_in("bob")
    other.log_in("bert")
    desk.go(LINE + "&line=waiting")
    desk.page.get_by_role("link", name=refunds[0].number).click()
    keyboard, place = desk.page.keyboard, desk.page.locator(".desk-place b")
    expect(place).to_have_text("1 of 4")

    # Not with a modifier, not while somebody types, not by holding it down.
    for press in ("Control+a", "Alt+a", "Meta+a", "Shift+A"):
        keyboard.press(press)
    desk.page.get_by_label("A sentence to copy").focus()
    keyboard.press("a")
    keyboard.press("j")
    desk.page.evaluate("document.activeElement.blur()")
    held = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'a', repeat: true, bubbles: true}))"
    desk.page.evaluate(held)
    desk.page.wait_for_timeout(300)
    expect(place).to_have_text("1 of 4")
    assert again(refunds[0]).status == "requested"

    # The keys are shown, and the line of help is opened by its own.
    expect(desk.page.get_by_text("No key works while you type.")).to_be_hidden()
    keyboard.press("?")
    expect(desk.page.get_by_text("No key works while you type.")).to_be_visible()

    # Ahead and back; at the end it begins again.
    for key, expected in (("j", "2 of 4"), ("k", "1 of 4"), ("k", "4 of 4"), ("j", "1 of 4")):
        with desk.page.expect_navigation():
            keyboard.press(key)
        expect(place).to_have_text(expected)

    # Somebody else has it open: seen, and in nobody's way.
    other.go(f"/admin/refunds/refund/{refunds[0].pk}/change/")
    expect(other.page.locator("body")).to_contain_text("bob began to look at it a moment ago.")

    # A key that bounces decides once: what comes too soon for a glance was not meant for the next refund.
    with desk.page.expect_navigation(wait_until="commit"):
        keyboard.press("a")
        keyboard.press("a")
    keyboard.press("a")
    expect(place).to_have_text("1 of 3")
    expect(desk.page.locator("body")).to_contain_text(f"{refunds[0]} of 10.00\xa0EUR is approved")
    assert [again(refund).status for refund in refunds] == ["approved", "requested", "requested", "requested"]

    # Who was slower is told so, and nothing happens twice.
    with other.page.expect_navigation():
        other.page.keyboard.press("a")
    expect(other.page.get_by_role("alert")).to_contain_text("has changed since you opened it")
    assert again(refunds[0]).approvals.count() == 1
    other.complaints.clear()  # the browser tells of the 409

    # q and r ask for words first.
    with desk.page.expect_navigation():
        keyboard.press("q")
    expect(desk.page.get_by_label("What do you need to know?")).to_be_focused()
    keyboard.type("Which of the two jars?")
    desk.page.get_by_role("button", name="Return").click()
    expect(place).to_have_text("1 of 2")
    assert again(refunds[1]).events.last().text == "Which of the two jars?"


@pytest.mark.once
def test_what_is_held_is_undone_by_a_click_from_wherever_one_has_gone(
    house: House, visit: Visit, settings: Any
) -> None:
    settings.APPROVAL_HOLD_SECONDS = 600
    refunds = requests(3)
    bob()
    desk = visit()
    desk.log_in("bob")
    desk.go(LINE + "&line=waiting")
    desk.pick(*(refund.number for refund in refunds[:2]))
    desk.run("Approve and send selected")
    desk.page.get_by_role("button", name="Approve and send: 2 refunds").click()
    expect(desk.page.get_by_role("heading", name="2 done")).to_be_visible()
    desk.page.reload()
    desk.page.get_by_role("button", name="Undo all 2 approvals").click()
    expect(desk.page.locator("table")).to_contain_text("was taken back and waits for a decision again")
    assert {again(refund).status for refund in refunds} == {"requested"}

    desk.go(f"/admin/refunds/refund/{refunds[0].pk}/change/")
    Hands(desk).key("a")
    expect(desk.page.locator(".desk-undo")).to_contain_text("unless it is taken back")
    desk.page.locator(".desk-undo").get_by_role("button", name="Undo").click()
    expect(desk.page.locator("body")).to_contain_text("It waits for your decision.")
    assert again(refunds[0]).status == "requested"


@pytest.mark.once
def test_filters_stand_in_the_address_and_lead_into_the_line(house: House, visit: Visit) -> None:
    refunds = requests(3)
    done = services.withdraw_refund(ask(make_payment(reference="x"), 1002).pk, alice(), seen=1)
    bob()
    desk = visit()
    desk.log_in("bob")
    desk.go("/admin/refunds/refund/")
    desk.page.locator("a", has_text="Filters").last.click()
    form = desk.page.locator("#filter-form")
    form.get_by_label("Waiting for my decision").check()
    form.get_by_label("requested", exact=True).check()
    form.get_by_label("From").first.fill("10.01")
    form.get_by_label("Currency").fill("EUR")
    form.get_by_role("button", name="Apply Filters").click()
    desk.page.wait_for_url("**for_me=decide**")
    assert desk.page.url.split("?")[1] == "for_me=decide&status__exact=requested&amount_from=10.01&currency=EUR"
    expect(desk.page.locator("#result_list")).not_to_contain_text(done.number)
    desk.page.get_by_role("link", name=refunds[2].number).click()
    expect(desk.page.locator(".desk-place b")).to_have_text("2 of 2")
