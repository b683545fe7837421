"""What people do with their hands: ask, approve, reject, answer, in a real browser against the whole house."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from gateways.registry import gateway_class
from refunds.models import Refund
from tests.browser.chrome import Visitor
from tests.builders import ACCOUNTS, again, alice, ask, bob, make_payment
from tests.house import House, until, until_status

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., Visitor]


def page_of(refund: Refund) -> str:
    return f"/admin/refunds/refund/{refund.pk}/change/"


def buttons(visitor: Visitor) -> list[str]:
    return visitor.page.locator(".desk-hero .desk-button").all_inner_texts()


def ask_for_ten_of(desk: Visitor, email: str, currency: str) -> None:
    """Find the customer's payment and fill in the form, as an agent."""
    box = desk.page.locator("input[name=q]:visible")
    box.fill(email)
    box.press("Enter")  # it is the only one, and opens at once
    desk.page.get_by_role("link", name="Request a refund").click()
    expect(desk.page.get_by_label(f"Amount in {currency}")).to_have_value("50.00")
    desk.page.get_by_label(f"Amount in {currency}").fill("10.00")
    desk.page.get_by_label("Reason").select_option(label="Goods returned")
    desk.page.get_by_role("button", name="Request the refund").click()
    expect(desk.page.locator("body")).to_contain_text("waits for approval")


@pytest.mark.parametrize("gateway", [name for name in ACCOUNTS if name != "manual"])
def test_a_refund_is_asked_for_approved_in_the_list_and_comes_home(gateway: str, house: House, visit: Visit) -> None:
    payment = house.sold(gateway)
    label = gateway_class(gateway).label
    alice(), bob()
    house.open_doors()
    desk = visit()

    # Alice, an agent, finds the payment by the customer's e-mail and asks for 10.00 of it.
    desk.log_in("alice")
    ask_for_ten_of(desk, "anna@example.com", payment.currency)

    # She is offered to withdraw it, not to approve it.
    assert buttons(desk) == ["Withdraw"]
    refund = Refund.objects.get()
    desk.log_out()

    # Bob, an approver, picks it in the list, reads what will happen, and confirms.
    desk.log_in("bob")
    desk.page.get_by_role("link", name="Waiting for your decision").click()
    desk.pick(refund.number)
    desk.run("Approve and send selected")
    expect(desk.page.locator("main, .desk").first).to_contain_text(f"10.00\xa0{payment.currency}")
    assert not refund.approvals.exists()
    desk.page.get_by_role("button", name="Approve and send").click()
    expect(desk.page.locator("body")).to_contain_text("1 done")

    # The page says how it ended, and its journal who did what.
    until_status(refund, "succeeded")
    until(lambda: not again(refund).to_confirm)
    desk.go(page_of(refund))
    expect(desk.page.locator(".desk-headline .desk-tag").first).to_have_text("succeeded")
    journal = desk.page.locator(".desk-timeline > li.event").all_inner_texts()
    for line, words in zip(journal, ("alice", "bob", "worker", label), strict=False):
        assert words in line
    assert any("look-up" in line for line in journal)
    desk.page.get_by_role("button", name="Copy").click()
    expect(desk.page.get_by_role("button", name="Copied")).to_be_visible()
    (movement,) = house.sandbox.ledger()
    assert (movement["payment"], movement["minor"], movement["currency"]) == (payment.reference, 1000, payment.currency)


def test_the_agent_reads_why_a_refund_was_rejected(house: House, visit: Visit) -> None:
    refund = ask(make_payment())
    bob()
    desk = visit()
    desk.log_in("bob")
    desk.go(page_of(refund))
    desk.page.get_by_role("link", name="Reject…").click()
    desk.page.get_by_role("button", name="Reject").click()  # the browser itself asks for a reason
    assert desk.page.locator("textarea:invalid").count() == 1
    desk.page.get_by_label("Why not?").fill("The return window has closed.")
    desk.page.get_by_role("button", name="Reject").click()
    expect(desk.page.locator("body")).to_contain_text("Nothing else waits for your decision.")
    desk.log_out()

    desk.log_in("alice")
    desk.go(page_of(refund))
    expect(desk.page.locator(".desk-headline .desk-tag")).to_have_text("rejected")
    expect(desk.page.locator(".desk-timeline")).to_contain_text("The return window has closed.")
    assert buttons(desk) == []
    assert house.sandbox.ledger() == []


def test_a_returned_refund_is_answered_and_waits_again(house: House, visit: Visit) -> None:
    refund = ask(make_payment())
    bob()
    desk = visit()
    desk.log_in("bob")
    desk.go(page_of(refund))
    desk.page.get_by_role("link", name="Return…").click()
    desk.page.get_by_label("What do you need to know?").fill("Which parcel?")
    desk.page.get_by_role("button", name="Return").click()
    desk.log_out()

    desk.log_in("alice")
    desk.page.get_by_role("link", name="Returned to you with a question").click()
    desk.page.get_by_role("link", name=refund.number).click()
    expect(desk.page.locator(".desk-timeline")).to_contain_text("Which parcel?")
    desk.page.get_by_role("link", name="Answer and resubmit…").click()
    desk.page.get_by_label("Your answer").fill("The blue one.")
    desk.page.get_by_role("button", name="Answer and resubmit").click()
    expect(desk.page.locator(".desk-headline .desk-tag")).to_have_text("requested")
    expect(desk.page.locator(".desk-timeline")).to_contain_text("The blue one.")
    desk.log_out()

    desk.log_in("bob")
    desk.go(page_of(refund))
    assert "Approve and send" in buttons(desk)
