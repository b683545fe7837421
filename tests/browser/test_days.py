"""A day of every role, each at a browser of their own: in both themes, at both widths, with only a name and a password.

Clicks are counted where it matters: asking, approving and looking up take at most twelve, logging in included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Locator, expect

from refunds.models import Account, Declaration, Preference, Refund
from tests.browser import scene
from tests.browser.chrome import DESKTOP, PHONE, Visitor
from tests.house import House, until, until_status

pytestmark = [pytest.mark.browser, pytest.mark.once, pytest.mark.django_db(transaction=True)]
MOST_CLICKS = 12
SELDOM = pytest.mark.faults  # the other two ways, by `make faults`
WAYS = [
    ("light", DESKTOP),
    ("dark", PHONE),
    pytest.param(("dark", DESKTOP), marks=SELDOM),
    pytest.param(("light", PHONE), marks=SELDOM),
]


@dataclass
class Person:
    """Somebody at a browser, and the clicks so far."""

    desk: Visitor
    is_on_phone: bool
    clicks: int = 0

    def log_in(self, name: str) -> None:
        self.desk.log_in(name)
        self.clicks += 1

    def click(self, name: str, role: Any = "link", within: str = "#content") -> None:
        self.clicks += 1
        self.desk.page.locator(within).get_by_role(role, name=name).first.click()

    def find(self, text: str) -> None:
        """By the box in the header; on a phone it is behind its icon."""
        page = self.desk.page
        if self.is_on_phone:
            self.clicks += 1
            page.get_by_role("link", name="Find", exact=True).click()
        box = page.locator("input[name=q]:visible").first
        box.fill(text)
        box.press("Enter")

    def choose(self, label: str, option: str) -> None:
        self.clicks += 1
        self.desk.page.get_by_label(label, exact=True).select_option(label=option)

    def fill(self, label: str, text: str) -> None:
        self.desk.page.get_by_label(label, exact=True).fill(text)

    def sees(self, words: str, where: str = "body") -> Locator:
        found = self.desk.page.locator(where).first
        expect(found).to_contain_text(words)
        return found

    def go(self, name: str, *args: Any) -> None:
        assert self.desk.go(reverse(name, args=args)).status == 200


@dataclass
class Day:
    work: scene.Scene
    house: House
    arrive: Callable[[str], Person]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]['width']}")
def day(request: Any, house: House, visit: Any, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> Day:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", scene.ACCOUNTS)
    settings.MEDIA_ROOT = str(tmp_path / "evidence")
    work = scene.set_up()
    house.start_worker()
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    scheme, size = request.param

    def arrive(name: str) -> Person:
        person = Person(visit(scheme=scheme, viewport=size), size is PHONE)
        person.log_in(name)
        return person

    return Day(work, house, arrive)


def test_everybody_gets_through_the_day(day: Day) -> None:
    ask_approve_and_look_up(day)
    decide_and_answer(day)
    leave_nothing_unknown(day)
    look_into_it(day)
    keep_the_house(day)
    look_after_people(day)


def ask_approve_and_look_up(day: Day) -> None:
    agent = day.arrive("agent")
    agent.find("so-48213")
    agent.click("Request a refund")
    agent.fill("Amount in EUR", "10.00")
    agent.choose("Reason", "Goods returned")
    agent.click("Request the refund", "button")
    agent.sees("waits for approval")
    refund = Refund.objects.get(payment__order="SO-48213")

    approver = day.arrive("approver")
    approver.click("Waiting for your decision")
    approver.click(refund.number)
    approver.sees("10.00")
    approver.click("Approve and next", "button")
    approver.sees(f"{refund.number} of 10.00")

    until_status(refund, "succeeded")
    agent.find(refund.number)
    agent.sees("succeeded", ".desk-headline")
    assert agent.clicks + approver.clicks <= MOST_CLICKS


def decide_and_answer(day: Day) -> None:
    """A question, its answer, a no, and one's own withdrawal."""
    returned, waiting = day.work.refunds["returned"], day.work.refunds["requested"]
    maria = day.arrive("maria")
    maria.find(returned.number)
    maria.click("Answer and resubmit…")
    maria.fill("Your answer", "The blue one.")
    maria.click("Answer and resubmit", "button")
    maria.sees("requested", ".desk-headline")

    approver = day.arrive("approver")
    approver.find(waiting.number)
    approver.click("Reject…")
    approver.fill("Why not?", "The return window has closed.")
    approver.click("Reject", "button")
    approver.sees("is rejected")
    maria.find(waiting.number)
    maria.sees("The return window has closed.", ".desk-timeline")


def leave_nothing_unknown(day: Day) -> None:
    """One of two people proposes what became of it, the other looks too and confirms."""
    unknown = day.work.refunds["unknown"]
    finance = day.arrive("finance")
    finance.sees("Unknown whether money moved")
    finance.find(unknown.number)
    finance.click("Declare the outcome…")
    finance.click("The money went back", "radio")
    finance.fill("How do you know?", "Their list of the day shows it, at 14:10.")
    finance.fill("Ticket", "ZD-10460")
    finance.click("Propose it", "button")
    second = day.arrive("finance2")
    second.find(unknown.number)
    second.click("Confirm")
    second.desk.page.locator(".desk-form button.primary").click()
    second.sees("succeeded", ".desk-headline")
    assert Declaration.objects.get(refund=unknown).confirmed_at
    for page in ("refunds_refund_reports", "refunds_refund_unknown", "refunds_delivery_changelist"):
        finance.go(f"admin:{page}")


def look_into_it(day: Day) -> None:
    """An auditor reads, and takes the evidence along."""
    auditor = day.arrive("auditor")
    auditor.find(day.work.refunds["rejected"].number)
    with auditor.desk.page.expect_download() as pack:
        auditor.click("Download the evidence pack", "button")
    assert pack.value.suggested_filename.endswith(".zip")
    auditor.go("admin:refunds_verification_changelist")
    auditor.click("Verify everything now", "button")
    auditor.sees("A worker looks at the whole history now.")


def keep_the_house(day: Day) -> None:
    """A gateway admin stops an account and lets it go on; another confirms what the first has proposed."""
    account = Account.objects.get(slug="payerly-eu")
    keeper = day.arrive("gatekeeper")
    keeper.go("admin:refunds_account_change", account.pk)
    keeper.fill("Why", "The bank's rails are down.")
    keeper.click("Pause the account", "button")
    keeper.sees("is paused")
    keeper.click("End the pause", "button")
    keeper.sees("sends again")
    second = day.arrive("gatekeeper2")
    second.click("Changes waiting for you to confirm")
    second.sees("gatekeeper", "#result_list")


def look_after_people(day: Day) -> None:
    """A user admin sees what waits about a person; and everybody chooses a language of their own."""
    admin = day.arrive("people2")
    admin.go("admin:auth_user_change", day.work.staff["agent2"].pk)
    admin.sees("It waits for a second person.")
    admin.go("preferences")
    admin.choose("Language", "Polski")
    admin.click("Save", "button")
    expect(admin.desk.page.locator("html")).to_have_attribute("lang", "pl")
    assert Preference.objects.get(person__username="people2").language == "pl"
