"""The unknown desk, declaring on the pages, and the unmatched refunds: what is shown, offered, asked and refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import services
from refunds.admin import unknown
from refunds.models import Account, Attempt, Declaration, Refund, Status, UnmatchedRefund
from refunds.services.unmatched import keep_unmatched
from tests.builders import (
    PDF,
    PNG,
    again,
    alice,
    bob,
    carol,
    dora,
    erik,
    make_account,
    make_delivery,
    make_payment,
    person,
)
from tests.refunds.test_declare import lost, propose
from tests.refunds.test_record import standing_in
from tests.refunds.test_refund_screens import at_the_desk, page_of, step_of

pytestmark = pytest.mark.django_db
S = Status
DESK = "/admin/refunds/refund/unknown/"
WRITTEN = {"outcome": "succeeded", "note": "Seen on the statement.", "ticket": "T-1"}


def root() -> Any:
    return person("root", is_superuser=True)


def gina() -> Any:
    return person("gina", "Gateway admins")


def body(client: Client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, url
    return answer.content.decode()


def at(name: str, *names: Any) -> str:
    return reverse(f"admin:refunds_{name}", args=names)


def shown_at(account: Account, **words: Any) -> UnmatchedRefund:
    words = {"reference": "txn-9", "payment_reference": "pay-1", "amount": Money(1000, "EUR"), **words}
    return keep_unmatched(account, RefundUpdate(Outcome.SUCCEEDED, **words), "It could be one of ours.")


# --- who may open and press what ---

MAY_DECLARE = (dora,)
MAY_READ = (alice, bob, carol, dora, root)
EVERYBODY = (*MAY_READ, gina)


def own_pages(refund: Refund) -> list[str]:
    return [at(f"refund_{name}", refund.pk) for name in ("declare", "confirm", "drop")] + [step_of(refund, "found")]


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("method", ["get", "post"])
def test_only_finance_opens_and_sends_the_pages_that_declare(who: Any, method: str, quiet: Account) -> None:
    refund = propose(lost(payment=make_payment(account=quiet)), by=erik())
    for url in own_pages(refund):
        answer = getattr(at_the_desk(who()), method)(url, {"seen": 1})  # a stale page, so that nothing happens
        expected = (200, 409) if who in MAY_DECLARE else (403,)
        assert answer.status_code in expected, url
    assert again(refund).version == refund.version


@pytest.mark.parametrize("who", EVERYBODY)
def test_the_unknown_desk_is_for_those_who_may_view_refunds(who: Any) -> None:
    lost()
    client = at_the_desk(who())
    assert client.get(DESK).status_code == (200 if who in MAY_READ else 403)
    assert client.post(DESK).status_code in (403, 405)
    assert (DESK in client.get("/admin/").content.decode()) == (who in MAY_READ)


@pytest.mark.parametrize("who", EVERYBODY)
def test_unmatched_refunds_are_read_by_some_and_decided_by_finance(who: Any, quiet: Account) -> None:
    refund = lost(payment=make_payment(account=quiet))
    row = shown_at(quiet)
    client = at_the_desk(who())
    page = at("unmatchedrefund_change", row.pk)
    reads = who in (carol, dora, root, gina)
    assert client.get(page).status_code == (200 if reads else 403)
    assert client.get(at("unmatchedrefund_changelist")).status_code == (200 if reads else 403)
    assert (at("unmatchedrefund_changelist") in client.get("/admin/").content.decode()) == reads
    for url in (at("unmatchedrefund_match", row.pk, refund.pk), at("unmatchedrefund_dismiss", row.pk)):
        assert client.get(url).status_code == 405
        assert client.post(url, {"seen": 1}).status_code == (409 if who in MAY_DECLARE else 403)
    assert UnmatchedRefund.objects.get().settled_at is None
    assert again(refund).version == refund.version


@pytest.mark.parametrize("who", [alice, bob, carol, root])
def test_who_may_not_declare_is_offered_nothing_to_press(who: Any, quiet: Account) -> None:
    refund = propose(lost(payment=make_payment(account=quiet)), by=dora())
    shown_at(quiet)
    client = at_the_desk(who())
    for page in (page_of(refund), DESK):
        text = body(client, page)
        assert not [url for url in own_pages(refund) if url in text]
    assert "somebody of Finance has to confirm" in body(client, page_of(refund))


def test_a_gateway_admin_reads_of_unmatched_refunds_and_not_of_customers(quiet: Account) -> None:
    refund = lost(payment=make_payment(account=quiet))
    answer = at_the_desk(gina()).get(at("unmatchedrefund_change", shown_at(quiet).pk))
    text = answer.content.decode()
    assert answer.context["candidates"] == []
    assert "txn-9" in text
    assert str(refund) not in text
    assert "Anna Nowak" not in text


# --- declaring ---


def test_an_outcome_is_declared_on_the_pages_by_two_people(evidence_folder: Path) -> None:
    refund = lost()
    desk = at_the_desk(dora())
    declare = at("refund_declare", refund.pk)
    assert declare in body(desk, page_of(refund))
    assert 'name="seen" value="' in body(desk, declare)
    assert Declaration.objects.count() == 0, "GET only asks"
    evidence = SimpleUploadedFile("statement.pdf", PDF)
    desk.post(declare, {**WRITTEN, "seen": refund.version, "evidence": evidence})
    text = body(desk, page_of(refund))
    assert "It waits for a second person: you proposed it" in text
    assert at("refund_confirm", refund.pk) not in text

    desk = at_the_desk(erik())
    confirm = at("refund_confirm", refund.pk)
    assert confirm in body(desk, page_of(refund))
    asked = body(desk, confirm)
    for words in ("10.00\xa0EUR", "pay-1", "Anna Nowak", "payerly-eu", ">sandbox<", "dora", "statement.pdf", "T-1"):
        assert words in asked, words
    assert again(refund).status == "unknown", "GET only asks"
    answer = desk.post(confirm, {"seen": again(refund).version})
    assert (answer.status_code, answer.url, again(refund).status) == (302, page_of(refund), "succeeded")
    assert "Declared by two people" in body(desk, page_of(refund))


def test_the_proposer_is_refused_a_confirmation_that_is_forced() -> None:
    refund = propose(lost())
    answer = at_the_desk(dora()).post(at("refund_confirm", refund.pk), {"seen": refund.version})
    assert answer.status_code == 409
    assert "somebody else has to confirm it" in answer.content.decode()
    assert again(refund).status == "unknown"


def test_the_requester_is_not_offered_to_confirm() -> None:
    alice().groups.add(*dora().groups.all())
    refund = propose(lost())
    client = at_the_desk(type(alice()).objects.get(username="alice"))
    text = body(client, page_of(refund))
    assert "you asked for this refund yourself" in text
    assert at("refund_confirm", refund.pk) not in text
    assert client.post(at("refund_confirm", refund.pk), {"seen": refund.version}).status_code == 409
    assert again(refund).status == "unknown"


def test_a_refused_declaration_loses_nothing_but_the_file_and_says_so(evidence_folder: Path) -> None:
    refund = lost()
    typed = {"outcome": "failed", "note": "Not in their list.", "ticket": "T-77", "reference": "txn-4"}
    posted = {**typed, "seen": refund.version - 1, "evidence": SimpleUploadedFile("list.png", PNG)}
    answer = at_the_desk(dora()).post(at("refund_declare", refund.pk), posted)
    text = answer.content.decode()
    assert answer.status_code == 409
    assert "has changed since you opened it" in text
    assert "the file has to be chosen again" in text
    for words in ("Not in their list.", "T-77", "txn-4", f'name="seen" value="{refund.version}"'):
        assert words in text, words
    assert 'value="failed" required checked' in text
    assert Declaration.objects.count() == 0


@pytest.mark.parametrize(
    ("left_out", "why"),
    [("outcome", "went back or not"), ("note", "how you know"), ("ticket", "Attach evidence")],
)
def test_what_is_left_out_is_asked_for(left_out: str, why: str) -> None:
    refund = lost()
    posted = {**WRITTEN, "seen": refund.version, left_out: ""}
    answer = at_the_desk(dora()).post(at("refund_declare", refund.pk), posted)
    assert answer.status_code == 409
    assert why in answer.content.decode()
    assert Declaration.objects.count() == 0


def test_a_failure_that_cannot_be_confirmed_yet_says_until_when() -> None:
    refund = propose(standing_in(S.UNKNOWN), "failed")
    client = at_the_desk(erik())
    for url in (page_of(refund), at("refund_confirm", refund.pk), DESK):
        assert "no failure can be confirmed" in body(client, url)
    assert ">Confirm: no money moved</" not in body(client, at("refund_confirm", refund.pk))
    Refund.objects.filter(pk=refund.pk).update(sent_at=timezone.now() - timedelta(hours=1))
    assert ">Confirm: no money moved</button>" in body(client, at("refund_confirm", refund.pk))


def test_a_proposal_is_dropped_with_a_reason_and_stays_on_the_page() -> None:
    refund = propose(lost())
    client, drop = at_the_desk(erik()), at("refund_drop", refund.pk)
    assert drop in body(client, page_of(refund))
    assert client.post(drop, {"seen": refund.version, "text": " "}).status_code == 409
    answer = client.post(drop, {"seen": refund.version - 1, "text": "It is another transfer."})
    assert answer.status_code == 409
    assert "It is another transfer." in answer.content.decode()
    client.post(drop, {"seen": refund.version, "text": "It is another transfer."})
    text = body(client, page_of(refund))
    assert "A proposal that was dropped" in text
    assert "It is another transfer." in text
    assert at("refund_declare", refund.pk) in text


def test_a_void_proposal_says_so_and_is_confirmed_by_nobody() -> None:
    refund = propose(lost())
    services.check_refund(refund.pk, bob())
    client = at_the_desk(erik())
    assert "no longer counts" in body(client, page_of(refund))
    answer = client.get(at("refund_confirm", refund.pk))
    assert answer.status_code == 409
    assert "Nothing is proposed" in answer.content.decode()
    assert client.get(DESK).context["to_confirm"].total == 0
    piles = {pile.title: pile.number for pile in client.get("/admin/").context["piles"]}
    assert piles["Waiting for you to confirm"] == 0


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.SENDING])
def test_nothing_is_offered_to_declare_where_nothing_is_open(status: Status) -> None:
    refund = lost(status)
    client = at_the_desk(dora())
    assert at("refund_declare", refund.pk) not in body(client, page_of(refund))
    answer = client.post(at("refund_declare", refund.pk), {**WRITTEN, "seen": refund.version})
    assert answer.status_code == 409


# --- the evidence ---


@pytest.fixture
def evidence(evidence_folder: Path) -> str:
    file = SimpleUploadedFile("Auszug März.html.txt", b"the list says: repaid")
    declared = propose(lost(), evidence=file).declarations.get()
    return at("refund_evidence", declared.refund_id, declared.pk)


@pytest.mark.parametrize("who", EVERYBODY)
def test_evidence_is_saved_never_opened_and_only_by_those_who_see_the_refund(who: Any, evidence: str) -> None:
    answer = at_the_desk(who()).get(evidence)
    if who is gina:
        assert answer.status_code == 403
        return
    assert b"".join(answer.streaming_content) == b"the list says: repaid"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''Auszug%20M%C3%A4rz.html.txt"
    assert "sandbox" in answer["Content-Security-Policy"]


def test_evidence_has_no_other_door(evidence: str, evidence_folder: Path) -> None:
    assert Client().get(evidence).status_code == 302
    client = at_the_desk(dora())
    assert client.post(evidence).status_code == 405
    other = lost(payment=make_payment(reference="pay-2"))
    declared = Declaration.objects.get()
    assert client.get(at("refund_evidence", other.pk, declared.pk)).status_code == 404
    assert client.get(f"/{declared.evidence.name}").status_code == 404
    next(evidence_folder.iterdir()).unlink()
    assert client.get(evidence).status_code == 404


# --- the unknown desk ---


def test_an_empty_desk_is_friendly() -> None:
    assert "Nothing is unknown" in body(at_the_desk(dora()), DESK)


def test_exposure_is_told_by_account_and_currency(quiet: Account) -> None:
    lost(), lost(payment=make_payment(reference="pay-2"))
    lost(payment=make_payment(reference="pay-3", currency="JPY"))
    lost(payment=make_payment(account=quiet))
    lost(S.PROCESSING, payment=make_payment(reference="pay-4"))
    told = [(str(one.account), one.number, one.money.minor, one.money.currency) for one in unknown.exposure(dora())]
    assert told == [("payerly-eu", 2, 2000, "EUR"), ("payerly-eu", 1, 1000, "JPY"), ("quiet-eu", 1, 1000, "EUR")]
    assert "20.00\xa0EUR" in body(at_the_desk(dora()), DESK)


def test_the_oldest_comes_first_by_when_it_became_unknown() -> None:
    first = lost()
    second = lost(payment=make_payment(reference="pay-2"))
    answer = at_the_desk(dora()).get(DESK)
    assert [row.refund for row in answer.context["unknown"].rows] == [first, second]
    became = first.events.filter(to_status="unknown").first()
    assert answer.context["unknown"].rows[0].since == became.at


def test_a_row_says_what_was_tried_and_where_to_look(quiet: Account) -> None:
    refund = lost(payment=make_payment(account=quiet))
    now = timezone.now()
    kept = {"refund": refund, "started_at": now, "finished_at": now, "outcome": "no_answer"}
    Attempt.objects.create(kind="send", fence=1, said="first", **kept)
    Attempt.objects.create(kind="look_up", fence=1, said="The line was cut.", **kept)
    text = body(at_the_desk(dora()), DESK)
    for words in (
        "The line was cut.",
        "Transactions, then Refunds: compare the payment and the amount.",
        f'href="https://quiet.example/pay/pay-1?of={refund.key}"',
        f">{refund.key}<",
        ">10.00 EUR<",
        ">sandbox<",
        "Anna Nowak",
        step_of(refund, "found"),
        at("refund_declare", refund.pk),
    ):
        assert words in text, words


def test_only_a_web_address_becomes_a_link(quiet: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    lost(payment=make_payment(account=quiet))
    monkeypatch.setenv("QUIET_EU_SCREEN_URL", "javascript:alert({payment})")
    assert "javascript:" not in body(at_the_desk(dora()), DESK)


def test_an_account_that_cannot_be_used_hides_nothing(quiet: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    refund = lost(payment=make_payment(account=quiet))
    other = lost()
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly")
    text = body(at_the_desk(dora()), DESK)
    assert "not named in GATEWAY_ACCOUNTS" in text
    assert str(refund) in text
    assert str(other) in text
    Account.objects.filter(pk=quiet.pk).update(gateway="gone")
    text = body(at_the_desk(dora()), DESK)
    assert "There is no gateway named" in text
    assert str(other) in text


def test_a_reference_is_named_only_where_that_helps(quiet: Account) -> None:
    theirs, payerlys = lost(payment=make_payment(account=quiet)), lost()
    client = at_the_desk(dora())
    text = body(client, DESK)
    assert step_of(theirs, "found") in text
    assert step_of(payerlys, "found") not in text
    page = body(client, step_of(theirs, "found"))
    assert '<input class="desk-input" id="text" name="text"' in page
    assert str(theirs.key) in page
    answer = client.post(step_of(theirs, "found"), {"seen": theirs.version, "text": "txn-5"})
    assert (answer.status_code, again(theirs).reference) == (302, "txn-5")
    answer = client.post(step_of(payerlys, "found"), {"seen": payerlys.version, "text": "txn-6"})
    assert answer.status_code == 409


def test_transfers_to_make_say_payee_amount_and_reason(bank: Account) -> None:
    refund = lost(S.PROCESSING, payment=make_payment(account=bank))
    client = at_the_desk(dora())
    text = body(client, DESK)
    assert "Transfers to make" in text
    for words in ("Anna Nowak", "10.00\xa0EUR", "Goods returned", at("refund_declare", refund.pk)):
        assert words in text, words
    propose(refund, reference="SEPA-7")
    text = body(client, DESK)
    assert "Do not transfer again" in text
    assert at("refund_declare", refund.pk) not in text


def test_what_asks_for_attention_is_there_once(bank: Account) -> None:
    lost(needs_attention="unknown and odd")
    lost(S.PROCESSING, payment=make_payment(account=bank), needs_attention="by hand and odd")
    odd = lost(S.SUCCEEDED, payment=make_payment(reference="pay-3"), needs_attention="They said no afterwards.")
    answer = at_the_desk(dora()).get(DESK)
    assert [row.refund for row in answer.context["attention"].rows] == [odd]
    assert "They said no afterwards." in answer.content.decode()
    assert answer.content.decode().count("unknown and odd") == 1


def test_proposals_that_wait_are_told_apart_for_proposer_and_second_person() -> None:
    refund = propose(lost(S.PROCESSING))
    confirm = at("refund_confirm", refund.pk)
    assert confirm in body(at_the_desk(erik()), DESK)
    assert confirm not in body(at_the_desk(dora()), DESK)


def test_the_desk_is_bounded_and_says_the_true_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown, "MOST_ROWS", 2)
    for place in range(3):
        lost(payment=make_payment(reference=f"pay-{place}"))
    answer = at_the_desk(dora()).get(DESK)
    assert len(answer.context["unknown"].rows) == 2
    assert "The 2 oldest of 3 unknown refunds." in answer.content.decode()


def test_the_number_of_queries_of_a_row_is_bounded(django_assert_max_num_queries: Any) -> None:
    for place in range(10):
        propose(lost(payment=make_payment(reference=f"pay-{place}")))
    client = at_the_desk(dora())
    with django_assert_max_num_queries(40 + 12 * 10):
        client.get(DESK)


# --- unmatched refunds ---


def test_this_is_it_gives_the_refund_their_reference(quiet: Account) -> None:
    refund = lost(payment=make_payment(account=quiet))
    row = shown_at(quiet)
    client, match = at_the_desk(dora()), at("unmatchedrefund_match", row.pk, refund.pk)
    text = body(client, at("unmatchedrefund_change", row.pk))
    assert match in text
    assert "same payment, same amount" in text.lower()
    assert ">sandbox<" in text
    answer = client.post(match, {"seen": refund.version - 1})
    assert (answer.status_code, again(refund).reference) == (409, "")
    answer = client.post(match, {"seen": refund.version})
    assert (answer.url, again(refund).reference) == (page_of(refund), "txn-9")
    assert f"it is {refund}" in body(client, at("unmatchedrefund_changelist"))


def test_none_of_ours_needs_a_note_and_keeps_what_was_typed(quiet: Account) -> None:
    row = shown_at(quiet)
    client, dismiss = at_the_desk(dora()), at("unmatchedrefund_dismiss", row.pk)
    assert client.post(dismiss, {"note": " "}).status_code == 409
    client.post(dismiss, {"note": "The shop's own test."})
    assert UnmatchedRefund.objects.get().settled_by == dora()
    answer = client.post(dismiss, {"note": "A second note."})
    assert answer.status_code == 409
    assert "left the list" in answer.content.decode()
    assert "The shop's own test." in body(client, at("unmatchedrefund_change", row.pk)).replace("&#x27;", "'")


def test_a_suggestion_that_cannot_be_taken_says_why() -> None:
    refund = lost()
    row = shown_at(refund.account)
    text = body(at_the_desk(dora()), at("unmatchedrefund_change", row.pk))
    assert "does not show enough to prove" in text
    assert at("unmatchedrefund_match", row.pk, refund.pk) not in text


def test_the_list_shows_what_is_open_first_and_filters() -> None:
    account = make_account()
    rows = [shown_at(account, reference=f"txn-{place}") for place in range(3)]
    services.dismiss_unmatched(rows[2].pk, dora(), "Not ours.")
    client, url = at_the_desk(dora()), at("unmatchedrefund_changelist")
    text = body(client, url)
    assert text.index("txn-1") < text.index("txn-0") < text.index("txn-2")
    assert "txn-2" not in body(client, f"{url}?standing=open")
    assert "txn-1" not in body(client, f"{url}?standing=settled")
    assert body(client, f"{url}?account__id__exact={account.pk}").count("txn-1")


def test_one_that_came_by_webhook_leads_to_its_delivery() -> None:
    account = make_account()
    delivery = make_delivery(account)
    update = RefundUpdate(Outcome.SUCCEEDED, reference="txn-9", payment_reference="pay-77")
    row = keep_unmatched(account, update, "A webhook speaks of it.", delivery=delivery)
    text = body(at_the_desk(dora()), at("unmatchedrefund_change", row.pk))
    assert at("delivery_change", delivery.pk) in text
    assert "A webhook speaks of it." in text
    assert "not known here" in text
    assert "No amount said" in text


def test_unmatched_refunds_are_changed_and_deleted_by_nobody() -> None:
    row = shown_at(make_account())
    for user in (dora(), root()):
        client = at_the_desk(user)
        assert client.post(at("unmatchedrefund_change", row.pk), {"note": "x"}).status_code in (403, 405)
        assert client.post(at("unmatchedrefund_delete", row.pk), {"post": "yes"}).status_code == 403
    assert UnmatchedRefund.objects.get().note == ""


# --- home ---


def test_home_counts_what_waits_for_finance(quiet: Account, bank: Account) -> None:
    propose(lost(), by=dora())
    lost(S.PROCESSING, payment=make_payment(account=bank))
    shown_at(quiet)
    piles = {pile.title: pile for pile in at_the_desk(erik()).get("/admin/").context["piles"]}
    for title in (
        "Unknown whether money moved",
        "Waiting for you to confirm",
        "Transfers to make",
        "Unmatched refunds",
    ):
        assert (piles[title].number, [one.money for one in piles[title].sums]) == (1, [Money(1000, "EUR")]), title
    assert piles["Unknown whether money moved"].link == DESK
    mine = {pile.title: pile.number for pile in at_the_desk(dora()).get("/admin/").context["piles"]}
    assert mine["Waiting for you to confirm"] == 0
