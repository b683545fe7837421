"""Every address, action and step against the written matrix: each role, each method, each status; default deny."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver, reverse

from gateways.sandbox import Sandbox
from refunds.admin import accounts, disputes, steps
from refunds.models import Payment, Refund, RefundReason, Status
from tests.builders import make_account, make_payment, make_sign
from tests.house import point_at
from tests.people import matrix
from tests.people.matrix import ACTIONS, ROLES, SCREENS, STATUSES, Screen, Step
from tests.people.rooms import (
    THINGS,
    a_colleague,
    a_lost_one,
    a_proposal,
    a_refund,
    as_role,
    browser_of,
    effect,
    in_groups,
    one_of,
    paid,
    propose,
    standing,
    taken_back,
)

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.promise("I46")]


@pytest.fixture(autouse=True)
def _ground(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Accounts at gateways that nobody calls, a folder for evidence, and no words about what was refused."""
    settings.MEDIA_ROOT = str(tmp_path)
    point_at(Sandbox(pace=1000), monkeypatch)
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# --- The table is about all there is ---


def addresses(resolver: Any = None, space: str = "") -> Iterator[str]:
    """Each address of the URLconf by its name, or by its pattern where it has none."""
    for pattern in (resolver or get_resolver()).url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from addresses(pattern, space + (f"{pattern.namespace}:" if pattern.namespace else ""))
        else:
            yield space + (pattern.name or str(pattern.pattern) or "/")


def test_every_address_has_its_row_and_every_row_its_address() -> None:
    rows = [screen.url for screen in SCREENS]
    assert sorted(rows) == sorted(set(addresses()))


def test_every_model_action_and_step_has_its_row() -> None:
    everything = RequestFactory().get("/")
    everything.user = User(is_superuser=True, is_active=True)
    registered = {model._meta.label: screen for model, screen in admin.site._registry.items()}
    assert {*registered} == {*ACTIONS}
    for label, screen in registered.items():
        assert [getattr(action, "__name__", action) for action in screen.actions or ()] == [*ACTIONS[label]], label
        assert {*screen.get_actions(everything)} <= {*ACTIONS[label]}, label
    on_pages_of_their_own = ["declare", "confirm", "drop"]
    assert [step.name for step in matrix.STEPS] == [*steps.STEPS, *on_pages_of_their_own]
    assert {*accounts.STEPS} == {*matrix.ACCOUNT_STEPS}
    assert {*disputes.STEPS} == {*matrix.DISPUTE_STEPS}
    assert {*STATUSES} == {*Status.values}


def test_the_page_about_roles_says_what_the_table_says() -> None:
    assert matrix.PAGE.read_text() == "".join(matrix.page()), "python -m tests.people.matrix"


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.url)
def test_a_row_has_a_sign_for_each_role(screen: Screen) -> None:
    assert len(screen.get) == len(screen.post) == len(ROLES)
    assert {*screen.get, *screen.post} <= {*matrix.SIGNS}


# --- Each address, by each role and method ---

WORDS: dict[str, Any] = {
    "/": lambda: "/",
    "admin:<path:object_id>/": lambda: f"/admin/refunds/refund/{a_refund().pk}/",
    "admin/autocomplete/": lambda: "/admin/autocomplete/",
    "admin:(?P<url>.*)$": lambda: "/admin/nowhere/at/all/",
    "admin:app_list": lambda: ("refunds",),
    "admin:view_on_site": lambda: (1, 1),
    "admin:refunds_account_step": lambda: (make_account().pk, "pause"),
    "admin:refunds_refund_result": lambda: ("of-somebody-else",),
    "admin:refunds_refund_step": lambda: (a_refund().pk, "approve"),
    "admin:refunds_refund_pack": lambda: (a_refund().pk,),
    "admin:refunds_refund_declare": lambda: (standing(Status.UNKNOWN, a_colleague()).pk,),
    "admin:refunds_refund_confirm": lambda: (a_proposal().pk,),
    "admin:refunds_refund_drop": lambda: (a_proposal().pk,),
    "admin:refunds_refund_evidence": lambda: (lambda of: (of.pk, of.declarations.get().pk))(a_proposal()),
    "admin:refunds_batch_rehearsal": lambda: ("a" * 64,),
    "admin:refunds_batch_refused": lambda: (THINGS["batch"]().pk,),
    "admin:refunds_delivery_replay": lambda: (THINGS["delivery"]().pk,),
    "admin:refunds_payment_dispute": lambda: (make_payment().pk, "dispute"),
    "admin:refunds_payment_request": lambda: (make_payment().pk,),
    "admin:refunds_unmatchedrefund_match": lambda: tuple(row.pk for row in a_lost_one()),
    "admin:refunds_unmatchedrefund_dismiss": lambda: (a_lost_one()[0].pk,),
    "account_reset_password_from_key": lambda: ("abc", "set-password"),
    "mfa_edit_webauthn": lambda: (1,),
    "mfa_remove_webauthn": lambda: (1,),
    "webhook": lambda: (make_account().slug,),
    "statusz": lambda: (make_sign(), "/statusz")[1],
}
OF_A_ROW = re.compile(r"admin:\w+?_([a-z]+)_(change|history|delete|invite|propose|end|confirm|drop|groups|accounts)")
TABLES = {"refund": "refunds", "payment": "payments", "delivery": "deliveries"}


def address_of(name: str) -> str:
    """The address with something behind it that is really there."""
    if name in WORDS:
        words = WORDS[name]()
        return words if isinstance(words, str) else reverse(name, args=words)
    row = OF_A_ROW.fullmatch(name)
    return reverse(name, args=(THINGS[row[1]]().pk,) if row else ())


def sign_of(answer: HttpResponse) -> str:
    of_a_row = re.search(r"/(change|history)/$", answer.request["PATH_INFO"])
    if answer.status_code == 302 and of_a_row and answer["Location"] == reverse("admin:index"):
        return "0"  # the admin's own way to say that it is not there
    if answer.status_code in (301, 302):
        return ">" if answer["Location"].startswith((reverse("account_login"), reverse("admin:login"))) else "+"
    refused = {403: "x", 404: "0", 405: "m"}
    return refused.get(answer.status_code, "+" if answer.status_code < 500 else str(answer.status_code))


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.url)
def test_each_role_is_answered_as_the_table_says(screen: Screen, trials: Any) -> None:
    url, found = address_of(screen.url), {"get": "", "post": ""}
    browsers = {role: browser_of(one_of(role)) for role in ROLES}
    export = re.fullmatch(r"admin:refunds_(\w+)_export", screen.url)
    fields = {"table": TABLES[export[1]], "format": "csv"} if export else {}
    for role, browser in browsers.items():
        for method in found:
            logged_in = browser.cookies.copy()
            answer, has_changed = effect(partial(getattr(browser, method), url, fields))
            browser.cookies = logged_in
            sign = sign_of(answer)
            found[method] += sign
            assert not has_changed or (method == "post" and sign == "+" and screen.does), f"{method} by {role}"
    assert found == {"get": screen.get, "post": screen.post}
    trials(2 * len(ROLES))


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.url)
def test_no_other_method_changes_anything(screen: Screen) -> None:
    url = address_of(screen.url)
    browser = browser_of(in_groups("everything", *matrix.ROLES[:6]))
    for method in ("put", "patch", "delete", "head", "options", "trace"):
        answer, has_changed = effect(partial(getattr(browser, method), url))
        assert (answer.status_code < 500, has_changed) == (True, False), method


# --- Each step, by each role, in each status, with one's own refund and with another person's ---


@pytest.fixture
def me() -> User:
    return in_groups("me", "Agents")


def placed(step: Step, status: str, by: User) -> Refund:
    """A refund in this status, with what the step is about."""
    refund = standing(Status(status), by, payment=paid(step.gateway))
    if step.name == "attend":
        Refund.objects.filter(pk=refund.pk).update(needs_attention="Look at it.")
    if step.name in ("confirm", "drop") and status in matrix.AWAITING:
        propose(refund)
    return Refund.objects.get(pk=refund.pk)


def post(browser: Client, step: Step, refund: Refund) -> HttpResponse:
    fields = {"seen": refund.version, "text": "Because of it.", "outcome": "succeeded", "note": "So.", "ticket": "T-1"}
    name = "refunds_refund_step"
    if step.name in ("declare", "confirm", "drop"):
        return browser.post(reverse(f"admin:refunds_refund_{step.name}", args=(refund.pk,)), fields)
    return browser.post(reverse(f"admin:{name}", args=(refund.pk, step.name)), fields)


SENTENCE = re.compile(r'role="alert"[^>]*>(?:\s|<b>[^<]*</b>|<[^>]*>)*([^<]{20,})', re.DOTALL)


@pytest.mark.parametrize("own", [True, False], ids=["own", "another's"])
@pytest.mark.parametrize("step", matrix.STEPS, ids=lambda step: step.name)
def test_each_step_is_taken_by_whom_and_when_the_table_says(step: Step, own: bool, me: User, trials: Any) -> None:
    browser, deviations = browser_of(me), []
    for status in STATUSES:
        with taken_back():
            refund = placed(step, status, me if own else a_colleague())
            for role in ROLES if status in ("sending", step.at[0]) else WHO_ACT_OR_LOOK:
                as_role(me, role)
                found = taken(step, refund, browser if role != matrix.STRANGER else Client(), role)
                if found != (expected := step.expects(role, status, own=own)):
                    deviations.append(f"{status}, {role}: {found}, not {expected}")
    assert deviations == []
    trials(len(STATUSES) * len(WHO_ACT_OR_LOOK) + 2 * (len(ROLES) - len(WHO_ACT_OR_LOOK)))


def taken(step: Step, refund: Refund, browser: Client, role: str) -> str:
    """What comes of it when somebody in this role posts it."""
    answer, has_changed = effect(partial(post, browser, step, refund))
    sign, where = sign_of(answer), f"{step.name} by {role} at {refund.status}"
    if has_changed:
        return "does" if sign == "+" else f"changes something and answers {sign}"
    if sign != "+":
        return sign
    assert answer.status_code == 409, where
    assert SENTENCE.search(answer.content.decode()), f"{where}: no sentence"
    return "refuses"


# The others are refused before anybody looks at the refund, which two of its statuses show.
WHO_ACT = ("Agents", "Approvers", "Finance")
WHO_ACT_OR_LOOK = (*WHO_ACT, "Auditors")
BUTTON = re.compile(r'(?:href|action)="[^"]*/refund/(\d+)/(?:step/(\w+)|(declare|confirm|drop))/"')


@pytest.mark.parametrize("own", [True, False], ids=["own", "another's"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_page_offers_exactly_what_would_be_done(status: str, own: bool, me: User, trials: Any) -> None:
    browser = browser_of(me)
    for gateway in ("payerly", "paynow", "airpay") if status in matrix.AWAITING else ("payerly",):
        refund = standing(Status(status), me if own else a_colleague(), payment=paid(gateway))
        for role in matrix.SHOWN_ROLES:
            as_role(me, role)
            page = browser.get(reverse("admin:refunds_refund_change", args=(refund.pk,))).content.decode()
            offered = {verb or other for pk, verb, other in BUTTON.findall(page) if int(pk) == refund.pk}
            assert offered == (would_do(refund, browser) if role in WHO_ACT else set()), role
    trials(len(matrix.SHOWN_ROLES))


def would_do(refund: Refund, browser: Client) -> set[str]:
    """The steps that really change something when they are posted; one that cancels has the button of that name."""
    found = {step.name for step in matrix.STEPS if effect(partial(post, browser, step, refund))[1]}
    return found - {"withdraw"} if "cancel" in found else found


# --- Each action of a list ---


@pytest.mark.parametrize("label", [label for label, actions in ACTIONS.items() if actions])
def test_each_action_is_offered_to_and_done_for_those_of_the_table(label: str, me: User, trials: Any) -> None:
    browser, url = browser_of(me), reverse(f"admin:{label.replace('.', '_').lower()}_changelist")
    for role in matrix.SHOWN_ROLES:
        as_role(me, role)
        answer = browser.get(url)
        choices = dict(answer.context["action_form"].fields["action"].choices) if offers(answer) else {}
        assert {*choices} - {""} == {name for name, (_, who) in ACTIONS[label].items() if role in who}, role
        for name, (step, who) in ACTIONS[label].items():
            for own in (True, False):
                with taken_back():
                    did = acted(browser, url, name, step, me if own else a_colleague())
                    row = next((row for row in matrix.STEPS if row.name == step), None)
                    allowed = row is None or not (row.refuses_own if own else row.refuses_others)
                    assert did == (role in who and allowed), f"{name} by {role}, own: {own}"
    trials(2 * len(matrix.SHOWN_ROLES) * len(ACTIONS[label]))


def offers(answer: HttpResponse) -> bool:
    return answer.status_code == 200 and answer.context.get("action_form") is not None


def acted(browser: Client, url: str, action: str, step: str, requester: User) -> bool:
    """A hand-made POST of the confirmation, with all that its page would have carried."""
    status = next((row.at[0] for row in matrix.STEPS if row.name == step), "")
    row: Refund | Payment = standing(Status(status), requester) if status else paid()
    seen = row.version if isinstance(row, Refund) else row.free
    words = {"text": "Because.", "reason": RefundReason.objects.get(name="Goodwill").pk}
    fields = {"action": action, "_selected_action": [row.pk], "confirmed": "yes", f"seen_{row.pk}": seen, **words}
    return effect(partial(browser.post, url, fields))[1]


# --- The steps of accounts and payments ---


@pytest.mark.parametrize("name", matrix.ACCOUNT_STEPS)
def test_each_step_of_an_account_is_for_those_of_the_table(name: str, me: User) -> None:
    browser, account = browser_of(me), make_account()
    for role in matrix.SHOWN_ROLES:
        as_role(me, role)
        answer = browser.post(reverse("admin:refunds_account_step", args=(account.pk, name)), {"text": "Audit."})
        assert (answer.status_code == 302) == (role in matrix.ACCOUNT_STEPS[name]), role


@pytest.mark.parametrize("name", matrix.DISPUTE_STEPS)
def test_each_step_of_a_dispute_is_for_those_of_the_table(name: str, me: User) -> None:
    browser = browser_of(me)
    for role in matrix.SHOWN_ROLES:
        as_role(me, role)
        with taken_back():
            payment = make_payment(disputed_at="2026-11-20T12:00Z" if name == "close" else None)
            url = reverse("admin:refunds_payment_dispute", args=(payment.pk, name))
            browser.post(url, {"seen": payment.version, "text": "A letter of the bank."})
            did = Payment.objects.get().version != payment.version
            assert did == (role in matrix.DISPUTE_STEPS[name]), role
