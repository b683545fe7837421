"""Scope: whoever is limited to one account meets nothing of another one, on no page, by no address, by no POST."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import NoReverseMatch, reverse

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from gateways.sandbox import Sandbox
from refunds import services
from refunds.admin.steps import STEPS
from refunds.errors import NotAllowed
from refunds.models import Account, Batch, Refund, RefundReason, RefusedKnock, Status
from refunds.services.unmatched import keep_unmatched
from tests.builders import limit_to, make_account, make_delivery, make_payment, person
from tests.house import point_at
from tests.people.matrix import ACTIONS, ROLES, SCREENS
from tests.people.rooms import a_colleague, browser_of, effect, in_groups, standing

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.promise("I47")]

GROUPS = ROLES[:6]
# Nothing behind these addresses belongs to an account.
OF_NO_ACCOUNT = re.compile(r"admin:(auth_\w+|refunds_refundreason_\w+|app_list|view_on_site)|webhook")
FOREIGN = ("bravoslug-eu", "bravobank-eu")
WORDS = [
    *("bravoname", "bravomail@bravo.example", "bravoorder", "bravopay", "bravoticket"),
    *("bravonote", "bravotxn", "bravobody", "bravoword", "bravobatch"),
]


class World:
    """Two accounts with the same things in them; every word of the second one begins with bravo."""

    def __init__(self) -> None:
        self.home = make_account()
        self.foreign = [make_account(FOREIGN[0]), make_account(FOREIGN[1], gateway="manual")]
        Account.objects.filter(slug__in=FOREIGN).update(paused_because="bravopause")
        self.own = self._fill(self.home, "alpha")
        self.others = [refund for account in self.foreign for refund in self._fill(account, "bravo")]
        self.payment = self.others[0].payment
        self.proposed = next(refund for refund in self.others if refund.declarations.exists())
        self.unmatched = {word: self._unmatched(word) for word in ("alpha", "bravo")}
        self.delivery = make_delivery(self.foreign[0], '{"bravobody": 1}')
        self.delivery.why, self.delivery.result = "bravowhy", "unreadable"
        self.delivery.save()
        make_delivery(self.home, "{}")
        self.batch = self._batch()
        services.note_refused(FOREIGN[0], RefusedKnock.Why.UNVERIFIED)
        wish, ute, whose = {"accounts": [FOREIGN[0]]}, person("ute", "User admins"), person("whoever", "Agents")
        services.propose_change("accounts", "whoever", wish, ute, "bravoword", person=whose)
        named = [name for refund in self.others for name in (refund.number, str(refund.key))]
        self.canaries = [*WORDS, *FOREIGN, "bravopause", "bravowhy", "bravofile.txt", *named]

    def _fill(self, account: Account, word: str) -> list[Refund]:
        made = []
        for number, status in enumerate(("requested", "returned", "unknown", "processing", "succeeded", "failed")):
            fields = {"order": f"{word}order-{number}", "customer_email": f"{word}mail@{word}.example"}
            reference = f"{word}pay-{account.pk}-{number}"
            payment = make_payment(5000, "EUR", reference, account=account, customer_name=f"{word}name", **fields)
            more = {"ticket": f"{word}ticket", "internal_note": f"{word}note"}
            refund = standing(Status(status), a_colleague(), payment=payment, **more)
            if status == "unknown":
                self._speak(refund, word)
            Refund.objects.filter(pk=refund.pk, status="failed").update(needs_attention=f"Look: {word}word.")
            made.append(Refund.objects.select_related("payment", "account").get(pk=refund.pk))
        return made

    def _speak(self, refund: Refund, word: str) -> None:
        file, by = SimpleUploadedFile(f"{word}file.txt", b"x"), in_groups("a-proposer", "Finance")
        said = {"ticket": f"{word}ticket", "evidence": file}
        services.propose_outcome(refund.pk, by, "failed", f"{word}word", seen=refund.version, **said)

    def _unmatched(self, word: str) -> Any:
        account, payment = (self.home, self.own[2].payment) if word == "alpha" else (self.foreign[0], self.payment)
        shown = {"payment_reference": payment.reference, "amount": Money(1000, "EUR")}
        return keep_unmatched(account, RefundUpdate(Outcome.SUCCEEDED, reference=f"{word}txn", **shown), f"{word}word")

    def _batch(self) -> Batch:
        """A colleague's, about a payment of the other account, and about one that nobody has."""
        who, rows = a_colleague(), f"{FOREIGN[0]},{self.payment.reference},1.00,EUR,Goodwill\nbravoslug,x,1.00,EUR,x"
        file = f"account,payment_reference,amount,currency,reason\n{rows}".encode()
        return services.open_batch(services.dry_run(file, "bravobatch.csv", who), who)

    def foreign_args(self, url: str) -> tuple[Any, ...]:
        """What of the other account stands behind this address; () for one about nothing in particular."""
        refund, proposed = self.others[0], self.proposed
        special: dict[str, tuple[Any, ...]] = {
            "admin:refunds_refund_evidence": (proposed.pk, proposed.declarations.get().pk),
            "admin:refunds_refund_confirm": (proposed.pk,),
            "admin:refunds_refund_drop": (proposed.pk,),
            "admin:refunds_refund_declare": (self.others[3].pk,),
            "admin:refunds_refund_step": (refund.pk, "approve"),
            "admin:refunds_account_step": (self.foreign[0].pk, "pause"),
            "admin:refunds_payment_dispute": (self.payment.pk, "dispute"),
            "admin:refunds_unmatchedrefund_match": (self.unmatched["bravo"].pk, proposed.pk),
        }
        rows = {
            "refund": refund,
            "payment": self.payment,
            "account": self.foreign[0],
            "batch": self.batch,
            "delivery": self.delivery,
            "unmatchedrefund": self.unmatched["bravo"],
        }
        model = url.removeprefix("admin:refunds_").split("_")[0]
        return special.get(url) or ((rows[model].pk,) if model in rows else (1,))

    def met_in(self, answer: HttpResponse) -> list[str]:
        """Words of the other account in an answer, however it is coded."""
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        text = body.decode(errors="replace") + repr(answer.headers)
        return [word for word in self.canaries if word in text]


@pytest.fixture
def world(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    settings.MEDIA_ROOT = str(tmp_path)
    point_at(Sandbox(pace=1000), monkeypatch)
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,bravoslug-eu:payerly,bravobank-eu:manual")
    for name in ("URL", "TOKEN"):
        monkeypatch.setenv(f"BRAVOSLUG_EU_{name}", {"URL": "http://127.0.0.1:9/", "TOKEN": "bravo-token-123456"}[name])
    logging.disable(logging.CRITICAL)
    yield World()
    logging.disable(logging.NOTSET)


@pytest.fixture
def limited(world: World) -> dict[str, Client]:
    """One browser for each group; none of these people works with another account than the first."""
    browsers = {}
    for group in GROUPS:
        user = in_groups(f"limited-{group}".lower().replace(" ", "-"), group)
        limit_to(user, world.home)
        browsers[group] = browser_of(user)
    return browsers


# --- What is shown ---

LISTS = [screen.url for screen in SCREENS if screen.url.endswith("_changelist")]
QUESTIONS = (
    "",
    "?q=bravo",
    "?q=zulu",
    "?account__id__exact={account}",
    "?payment__account__slug__startswith=bravo",
    "?account__slug=bravoslug-eu&q=",
    "?status__exact=requested",
    "?for_me=decide",
    "?attention=needed",
    "?standing=open",
    "?batch=1",
    "?result__exact=unreadable",
    "?o=1.2&all=",
    "?e=1",
)


def plain(url: str) -> str:
    """The address, where it needs no arguments."""
    try:
        return reverse(url)
    except NoReverseMatch:
        return ""


def test_no_page_shows_anything_of_another_account(world: World, limited: dict[str, Client], trials: Any) -> None:
    pages = [plain(screen.url) for screen in SCREENS if screen.url.isascii() and "logout" not in screen.url]
    own = [
        reverse(f"admin:refunds_refund_{name}", args=(world.own[2].pk,)) for name in ("change", "history", "declare")
    ]
    own += [reverse("admin:refunds_refund_change", args=(refund.pk,)) for refund in world.own]
    own += [reverse("admin:refunds_payment_change", args=(refund.pk,)) for refund in (world.own[2].payment,)]
    own += [
        reverse("admin:refunds_account_change", args=(world.home.pk,)),
        reverse("admin:app_list", args=("refunds",)),
    ]
    own += [reverse("admin:refunds_unmatchedrefund_change", args=(world.unmatched["alpha"].pk,))]
    met, pages = [], [*filter(None, pages), *own]
    for group, browser in limited.items():
        for page in pages:
            met += [f"{group} {page}: {word}" for word in world.met_in(browser.get(page))]
    assert met == []
    trials(len(pages) * len(limited))


def test_no_question_to_a_list_tells_of_another_account(world: World, limited: dict[str, Client], trials: Any) -> None:
    met = []
    for group in ("Approvers", "Finance", "Auditors", "Gateway admins"):  # between them they may see every list
        browser = limited[group]
        for url in LISTS:
            for question in QUESTIONS:
                answer = browser.get(reverse(url) + question.format(account=world.foreign[0].pk), follow=True)
                echo = "bravoslug-eu" if "bravoslug" in question else ""  # what was typed comes back in the links
                met += [f"{group} {url}{question}: {word}" for word in world.met_in(answer) if word != echo]
    assert met == []
    trials(4 * len(LISTS) * len(QUESTIONS))


@pytest.mark.parametrize("model", ["refund", "payment", "delivery", "unmatchedrefund", "account"])
def test_asking_for_what_is_there_is_answered_as_asking_for_what_is_not(
    model: str, world: World, limited: dict[str, Client]
) -> None:
    """Neither a count nor a status tells that something begins with these letters."""
    url, questions = reverse(f"admin:refunds_{model}_changelist"), ("?q={}", "?account__slug__startswith={}")
    questions += ("?payment__account__slug__startswith={}", "?payment__customer_email__startswith={}")
    for browser in (limited["Finance"], limited["Auditors"]):
        for question in questions:
            there, nowhere = (browser.get(url + question.format(word)) for word in ("bravo", "zulus"))
            assert there.status_code == nowhere.status_code
            bodies = [one.content.decode() for one in (there, nowhere)]
            bodies = [re.sub(r'bravo|zulus|value="[A-Za-z0-9]{64}"|nonce="[^"]*"', "", body) for body in bodies]
            assert bodies[0] == bodies[1], question


def test_the_screens_are_not_empty(world: World) -> None:
    """The same crawl by people who are limited to nothing meets each word: it looks where there is something."""
    met: set[str] = set()
    for group in ("Finance", "Auditors"):
        browser = browser_of(in_groups(f"free-{group}".lower(), group))
        for url in LISTS:
            met |= {*world.met_in(browser.get(reverse(url)))}
        for url in ("refund", "payment", "account", "delivery", "unmatchedrefund"):
            name = f"admin:refunds_{url}_change"
            met |= {*world.met_in(browser.get(reverse(name, args=world.foreign_args(name))))}
        for refund in world.others:
            met |= {*world.met_in(browser.get(reverse("admin:refunds_refund_change", args=(refund.pk,))))}
    assert set(world.canaries) - met == set()


EXPORTS = [("refund", "refunds"), ("refund", "journal"), ("payment", "payments"), ("payment", "journal")]
EXPORTS += [("delivery", "deliveries")]


def exported(browser: Client, model: str, table: str, question: str = "") -> HttpResponse:
    return browser.post(reverse(f"admin:refunds_{model}_export") + question, {"table": table, "format": "csv"})


@pytest.mark.parametrize(("model", "table"), EXPORTS)
def test_no_export_tells_of_another_account(model: str, table: str, world: World, limited: dict[str, Client]) -> None:
    for group in ("Finance", "Auditors"):
        for question in ("", "?q=bravo", f"?account__id__exact={world.foreign[0].pk}"):
            answer = exported(limited[group], model, table, question)
            assert answer.status_code == 200 or question  # not every list has that filter
            assert world.met_in(answer) == []
    free = browser_of(in_groups("free", "Finance"))
    assert world.met_in(exported(free, model, table))


# --- Raw addresses ---


def of_accounts() -> list[str]:
    return [
        screen.url
        for screen in SCREENS
        if not plain(screen.url) and screen.url.startswith("admin:refunds") and not OF_NO_ACCOUNT.match(screen.url)
    ]


def test_a_raw_address_is_answered_as_if_nothing_stood_there(
    world: World, limited: dict[str, Client], trials: Any
) -> None:
    fields = {"seen": 1, "text": "Because.", "outcome": "succeeded", "note": "So.", "ticket": "T", "amount": "1.00"}
    for url in (urls := of_accounts()):
        args = world.foreign_args(url)
        address = reverse(url, args=args)
        nowhere = reverse(url, args=tuple(999_999 if isinstance(arg, int) else arg for arg in args))
        for group, browser in limited.items():
            for method in ("get", "post"):
                answer, has_changed = effect(partial(getattr(browser, method), address, fields))
                other, _ = effect(partial(getattr(browser, method), nowhere, fields))
                where = f"{method} {url} by {group}"
                assert (has_changed, world.met_in(answer)) == (False, []), where
                assert answer.status_code == other.status_code, where
                assert answer.status_code in (302, 403, 404, 405), where
    trials(2 * len(limited) * len(urls))


# --- What is posted ---


def test_no_step_is_taken_with_a_foreign_refund(world: World, limited: dict[str, Client], trials: Any) -> None:
    for browser in limited.values():
        for refund in world.others:
            for step in STEPS:
                url = reverse("admin:refunds_refund_step", args=(refund.pk, step))
                answer, has_changed = effect(partial(browser.post, url, {"seen": refund.version, "text": "Because."}))
                assert (answer.status_code, has_changed) == (404, False)
    trials(len(limited) * len(world.others) * len(STEPS))


@pytest.mark.parametrize("label", [label for label, actions in ACTIONS.items() if actions])
def test_no_action_takes_a_foreign_row(label: str, world: World, limited: dict[str, Client], trials: Any) -> None:
    rows: list[Any] = [*world.others] if label == "refunds.Refund" else [refund.payment for refund in world.others]
    seen = {f"seen_{row.pk}": row.version if label == "refunds.Refund" else row.free for row in rows}
    url = reverse(f"admin:{label.replace('.', '_').lower()}_changelist")
    goodwill = RefundReason.objects.get(name="Goodwill").pk
    for browser in limited.values():
        for action in ACTIONS[label]:
            for confirmed in ({}, {"confirmed": "yes", "text": "Because.", "reason": goodwill, **seen}):
                fields = {"action": action, "_selected_action": [row.pk for row in rows], **confirmed}
                answer, has_changed = effect(partial(browser.post, url, fields, follow=True))
                assert (has_changed, world.met_in(answer)) == (False, []), action
    trials(2 * len(limited) * len(ACTIONS[label]))


def test_an_own_row_is_not_matched_with_a_foreign_refund(world: World, limited: dict[str, Client]) -> None:
    for refund_pk in (world.proposed.pk, 999_999):
        url = reverse("admin:refunds_unmatchedrefund_match", args=(world.unmatched["alpha"].pk, refund_pk))
        fields = {"seen": world.proposed.version}
        answer, has_changed = effect(partial(limited["Finance"].post, url, fields))
        assert (answer.status_code, has_changed, world.met_in(answer)) == (404, False, [])


def test_a_file_that_names_a_foreign_account_learns_nothing(world: World, limited: dict[str, Client]) -> None:
    browser, url = limited["Finance"], reverse("admin:refunds_payment_import")
    header = "account,payment_reference,order,amount,currency,captured_at,customer_name,customer_email,method,disputed"
    answers = []
    for account in (FOREIGN[0], "zulus-eu"):
        row = f"{account},{world.payment.reference},o,77.00,EUR,2026-11-20T14:30:00Z,N,n@example.com,card,yes"
        file = SimpleUploadedFile("payments.csv", f"{header}\n{row}\n".encode())
        preview = browser.post(url, {"file": file}).content.decode()
        shown = re.sub(r'value="\w{64}"', "", preview).replace(account, "")
        answers.append(re.sub(r'name="csrfmiddlewaretoken"[^>]*>', "", shown))
    assert answers[0] == answers[1]
    assert "There is no account" in answers[0]
    taken = {"account": FOREIGN[0], "payment_reference": "p", "amount": "1.00", "currency": "EUR"}
    _, has_changed = effect(partial(browser.post, reverse("admin:refunds_payment_add"), taken))
    assert not has_changed


def test_the_line_of_decisions_leads_to_no_foreign_refund(world: World, limited: dict[str, Client]) -> None:
    own = world.own[0]
    assert all(refund.requested_at > own.requested_at for refund in world.others)
    page = limited["Approvers"].get(reverse("admin:refunds_refund_change", args=(own.pk,))).content.decode()
    assert "<b>1 of 1</b>" in page
    url = reverse("admin:refunds_refund_step", args=(own.pk, "approve"))
    answer = limited["Approvers"].post(url, {"seen": own.version})
    assert answer["Location"] == reverse("admin:refunds_refund_changelist")


# --- The services, whoever calls them ---


def test_no_service_takes_a_step_outside_of_the_scope(world: World) -> None:
    everything = in_groups("everything", "Agents", "Approvers", "Finance")
    limit_to(everything, world.home)
    requested, returned, unknown, processing, _, failed = world.others[:6]
    goodwill, pay = RefundReason.objects.get(name="Goodwill"), world.payment
    calls = {
        "request": lambda by: services.request_refund(pay.pk, 1, goodwill, by, seen_free=pay.free),
        "approve": lambda by: services.approve_refund(requested.pk, by, seen=requested.version),
        "return": lambda by: services.return_refund(requested.pk, by, "?", seen=requested.version),
        "reject": lambda by: services.reject_refund(requested.pk, by, "?", seen=requested.version),
        "resubmit": lambda by: services.resubmit_refund(returned.pk, by, "!", seen=returned.version),
        "withdraw": lambda by: services.withdraw_refund(requested.pk, by, seen=requested.version),
        "retry": lambda by: services.retry_refund(failed.pk, by, seen=failed.version),
        "check": lambda by: services.check_refund(processing.pk, by),
        "cancel": lambda by: services.ask_to_cancel(processing.pk, by, seen=processing.version),
        "attend": lambda by: services.clear_attention(failed.pk, by, "!", seen=failed.version),
        "declare": lambda by: services.propose_outcome(
            processing.pk, by, "failed", "!", seen=processing.version, ticket="T"
        ),
        "confirm": lambda by: services.confirm_outcome(unknown.pk, by, seen=unknown.version),
        "drop": lambda by: services.drop_proposal(unknown.pk, by, "!", seen=unknown.version),
        "dispute": lambda by: services.mark_disputed(pay.pk, by, "!", seen=pay.version),
        "dismiss": lambda by: services.dismiss_unmatched(world.unmatched["bravo"].pk, by, "!"),
    }
    for name, call in calls.items():
        assert refused_in_scope(partial(call, everything)), name


def refused_in_scope(call: Any) -> bool:
    answer, has_changed = effect(partial(refusal_of, call))
    return "You do not work with the account" in answer and not has_changed


def refusal_of(call: Any) -> str:
    try:
        call()
    except NotAllowed as refusal:
        return str(refusal)
    return ""


def test_an_account_of_ones_own_is_no_way_to_another(world: World) -> None:
    """Taking the account away acts on the next click, of somebody who is logged in."""
    user = in_groups("mover", "Approvers")
    limit_to(user, world.foreign[0])
    browser, url = browser_of(user), reverse("admin:refunds_refund_change", args=(world.others[0].pk,))
    assert browser.get(url).status_code == 200
    user.scopes.all().delete()
    limit_to(user, world.home)
    assert browser.get(url).status_code == 302
