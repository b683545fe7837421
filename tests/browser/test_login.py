"""Second factors in a real browser: an authenticator app, a passkey, and the proof before money moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from playwright.sync_api import Request, expect

from tests.browser.chrome import Visitor
from tests.builders import again, ask, bob
from tests.house import House
from tests.people.desk import code_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Visit = Callable[..., Visitor]


@pytest.fixture
def clock(settings: Any) -> Iterator[Any]:
    """The desk's clock stands still, so that a code is good for as long as the browser takes."""
    settings.SECOND_FACTOR = "required"
    with time_machine.travel("2026-11-20T12:00:00Z", tick=False) as clock:
        yield clock


def enter(desk: Visitor) -> None:
    """User name and password; what comes then is for the test to see."""
    desk.go("/accounts/login/")
    desk.page.get_by_label("Username").fill("bob")
    desk.page.get_by_label("Password").fill("demo")
    desk.page.get_by_role("button", name="Log in").click()


def press(desk: Visitor, name: str) -> None:
    desk.page.get_by_role("button", name=name, exact=True).click()


def follow(desk: Visitor, name: str) -> None:
    desk.page.get_by_role("link", name=name, exact=True).click()


def credential_in(call: Request) -> list[str]:
    return parse_qs(call.post_data or "").get("credential", []) if call.method == "POST" else []


@pytest.mark.promise("I33")
def test_an_app_is_set_up_lets_in_and_proves_before_an_approval(clock: Any, house: House, visit: Visit) -> None:
    refund = ask()
    bob()
    desk = visit()

    # Whoever approves is led to setting one up.
    enter(desk)
    expect(desk.page.locator("body")).to_contain_text("Your work needs a second factor")
    follow(desk, "Set it up")
    secret = desk.page.locator("#totp-secret").inner_text()
    desk.page.get_by_label("Authenticator code").fill(code_of(secret))
    press(desk, "Set it up")
    expect(desk.page.locator("#recovery-codes li")).to_have_count(10)
    follow(desk, "I have kept them")
    expect(desk.page.locator("body")).to_contain_text("10 left")
    desk.go("/admin/")
    desk.log_out()

    # The next login takes the code.
    clock.shift(60)
    enter(desk)
    desk.page.get_by_label("Code").fill("000000")
    press(desk, "Log in")
    expect(desk.page.locator("body")).to_contain_text("Incorrect code")
    desk.page.get_by_label("Code").fill(code_of(secret))
    press(desk, "Log in")
    desk.page.wait_for_url("**/admin/")

    # Six minutes later, with the page of an approval open, the button asks who is there, and nothing typed is lost.
    desk.go(f"/admin/refunds/refund/{refund.pk}/step/return/")
    desk.page.get_by_label("What do you need to know?").fill("Which of the two parcels?")
    clock.shift(6 * 60)
    press(desk, "Return")
    expect(desk.page.locator("body")).to_contain_text("nothing is lost")
    assert again(refund).status == "requested"
    desk.page.get_by_label("Code").fill(code_of(secret))
    press(desk, "Go on")
    expect(desk.page.locator("body")).to_contain_text("went back to the requester")
    assert again(refund).events.last().text == "Which of the two parcels?"


@pytest.mark.promise("I33")
def test_a_passkey_is_added_lets_in_and_proves_before_an_approval(clock: Any, house: House, visit: Visit) -> None:
    refund = ask()
    bob()
    desk = visit()
    devtools = desk.context.new_cdp_session(desk.page)
    devtools.send("WebAuthn.enable")
    device = {"protocol": "ctap2", "transport": "internal", "hasUserVerification": True, "isUserVerified": True}
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": device})

    said: list[str] = []
    desk.page.on("request", lambda call: said.extend(credential_in(call)))

    enter(desk)
    follow(desk, "Add one")
    desk.page.get_by_label("Name").fill("Bob's laptop")
    press(desk, "Add a passkey")
    expect(desk.page.locator("#recovery-codes li")).to_have_count(10)
    follow(desk, "I have kept them")
    expect(desk.page.locator("body")).to_contain_text("Bob's laptop")
    desk.go("/admin/")
    desk.log_out()

    clock.shift(60)
    enter(desk)
    expect(desk.page.get_by_role("button", name="Use your passkey")).to_be_visible()
    assert "_auth" not in str(desk.context.cookies())
    press(desk, "Use your passkey")
    desk.page.wait_for_url("**/admin/")

    clock.shift(6 * 60)
    desk.go(f"/admin/refunds/refund/{refund.pk}/step/approve/")
    expect(desk.page.locator("body")).to_contain_text("Is it really you?")
    press(desk, "Use your passkey")
    press(desk, "Approve and send")
    expect(desk.page.locator("body")).to_contain_text("is approved")
    assert again(refund).status == "approved"

    # What the passkey has said once is no proof a second time.
    other = ask(refund.payment, 200)
    clock.shift(6 * 60)
    token = next(cookie["value"] for cookie in desk.context.cookies() if cookie["name"].endswith("desk-csrf"))
    again_at = f"{house.url}/accounts/again/passkey/"
    assert desk.context.request.post(again_at, form={"csrfmiddlewaretoken": token, "credential": said[-1]}).ok
    desk.go(f"/admin/refunds/refund/{other.pk}/step/approve/")
    assert "/again/" in desk.page.url

    # Whoever cancels it in the browser reads a sentence, and nothing happens.
    cancel = "navigator.credentials.get = () => Promise.reject(new DOMException('no', 'NotAllowedError'))"
    desk.page.evaluate(f"() => {{ {cancel} }}")
    press(desk, "Use your passkey")
    expect(desk.page.get_by_text("The passkey was not used")).to_be_visible()
    assert again(other).status == "requested"
    assert Authenticator.objects.filter(type="webauthn").count() == 1
