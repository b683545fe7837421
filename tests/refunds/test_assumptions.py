"""What is only assumed about a gateway: proved by a look-up, accepted by its owner, or in the way of a live account."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.urls import reverse

from gateways import registry
from gateways.contract import Assumption, LookUp
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox, certify
from gateways.sandbox.door import Door
from gateways.sandbox.server import Handler
from refunds import accounts, assumptions, capabilities, checks
from refunds.models import Account, Refund
from tests.builders import alice, approved, carol, make_account, make_payment, person
from tests.gateways.conftest import recorded
from tests.refunds.test_refund_screens import at_the_desk

pytestmark = pytest.mark.django_db


class Brand(Payerly):
    assumptions = (
        Assumption("payerly-grave", "Money moves once.", is_critical=True, setting="QUIET_WINDOW_SECONDS"),
        Assumption("payerly-shown", "The list is a list.", is_critical=True, shown_by_look_up=True),
        Assumption("payerly-small", "They answer in English."),
    )


@pytest.fixture(autouse=True)
def brand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.GATEWAYS, "payerly", f"{__name__}.Brand")


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """Where the account's own connector calls; for once it does not count as this machine."""
    with Door(200, recorded("payerly", "list_two")) as door:
        monkeypatch.setenv("PAYERLY_EU_URL", f"{door.url}/v1")
        monkeypatch.setattr(accounts, "is_loopback", lambda host: False)
        yield door


def words(account: Account) -> dict[str, str]:
    return {one.assumption.id.removeprefix("payerly-"): one.word for one in assumptions.standing_of(account)}


def certified(*arguments: str) -> str:
    out = StringIO()
    call_command("certify", "payerly-eu", *arguments, stdout=out)
    return out.getvalue()


# --- how it stands ---


def test_nothing_is_proved_by_our_own_sandbox() -> None:
    account = make_account()
    assert words(account) == {"grave": "assumed", "shown": "assumed", "small": "assumed"}
    assert "our sandbox is built on it" in assumptions.standing_of(account)[0].sentence


def test_an_owner_accepts_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", " payerly-grave , payerly-small,")
    account = make_account()
    assert words(account) == {"grave": "accepted", "shown": "assumed", "small": "accepted"}
    assert assumptions.unproved(account) == ["payerly-shown"]


def test_another_answer_goes_into_the_accounts_own_variable() -> None:
    variables = [one.variable for one in assumptions.standing_of(make_account())]
    assert variables == ["PAYERLY_EU_QUIET_WINDOW_SECONDS", "", ""]


def test_what_a_setting_begins_to_rely_on_is_in_nobodys_way_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    relied_on = Assumption("payerly-many", "Each stands alone.", is_critical=True, relied_on_by="BATCH")
    monkeypatch.setattr(Brand, "assumptions", (relied_on,))
    account = make_account()
    for batch in ("", "1"):
        monkeypatch.setenv("PAYERLY_EU_BATCH", batch)
        assert assumptions.unproved(account) == []
        (standing,) = assumptions.standing_of(account)
        assert (standing.word, "unless PAYERLY_EU_BATCH is set" in standing.sentence) == ("assumed", True)
    monkeypatch.setenv("PAYERLY_EU_BATCH", "2")
    assert assumptions.unproved(account) == ["payerly-many"]
    assert "unless" not in assumptions.standing_of(account)[0].sentence
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-many")
    assert assumptions.unproved(account) == []


def test_a_live_account_sends_bundles_once_its_owner_answers_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "airpay-in:airpay")
    monkeypatch.setenv("AIRPAY_IN_MODE", "live")
    critical = [one.id for one in registry.gateway_class("airpay").assumptions if one.is_critical]
    assert "airpay-bundle" in critical
    monkeypatch.setenv("AIRPAY_IN_ACCEPT_ASSUMPTIONS", ",".join(set(critical) - {"airpay-bundle"}))
    assert found() == []
    monkeypatch.setenv("AIRPAY_IN_BATCH", "10")
    (error,) = found()
    assert error.startswith("E018 Account airpay-in is live, but nobody has proved or accepted airpay-bundle: ")


@pytest.mark.parametrize("answer", ["list_two", "list_empty"])
def test_only_refunds_that_are_shown_prove_anything(door: Door, answer: str) -> None:
    door.answer = recorded("payerly", answer)
    make_payment()
    shown = assumptions.show(Account.objects.get())
    assert list(shown.proved) == (["payerly-shown"] if answer == "list_two" else [])
    assert bool(shown.why_not) == (answer == "list_empty")
    assert words(Account.objects.get())["shown"] == ("proved" if answer == "list_two" else "assumed")


def test_a_proof_says_when_and_where_and_is_void_at_another_address(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_payment()
    assumptions.show(Account.objects.get())
    account = Account.objects.get()
    host = door.url.removeprefix("http://")
    assert account.proved["payerly-shown"]["host"] == f"{host}/v1"
    assert f"at {host}/v1." in assumptions.standing_of(account)[1].sentence
    monkeypatch.setenv("PAYERLY_EU_URL", f"{door.url}/live")
    assert words(account)["shown"] == "assumed"
    assert "no longer calls" in assumptions.standing_of(account)[1].sentence


def test_this_machine_proves_nothing(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "is_loopback", lambda host: host == "127.0.0.1")
    make_payment()
    assert "sandbox of ours" in assumptions.show(Account.objects.get()).why_not
    assert Account.objects.get().proved == {}


def test_our_own_sandbox_is_known_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Handler.server_version == assumptions.OUR_SANDBOX
    monkeypatch.setattr(accounts, "is_loopback", lambda host: False)
    with Sandbox(pace=0.02) as sandbox:
        for name, value in sandbox.credentials("payerly").items():
            monkeypatch.setenv(f"PAYERLY_EU_{name}", value)
        make_payment()
        shown = assumptions.show(Account.objects.get())
    assert "sandbox of ours" in shown.why_not
    assert Account.objects.get().proved == {}


# --- certify ---


def test_certify_tells_every_story_and_the_card() -> None:
    make_account()
    told = certified()
    assert all(f"{story}" in told for story in certify.CONTRACT)
    assert "BROKEN" not in told
    assert "ASSUMED   payerly-grave, critical" in told
    for label, sentence in capabilities.card_of(Account.objects.get()).abilities:
        assert label in told
        assert sentence in told


def test_certify_works_before_the_account_has_a_row_and_keeps_nothing() -> None:
    assert "payerly-eu: Payerly, sandbox" in certified()
    assert not Account.objects.exists()


def test_certify_fails_when_the_connector_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = certify.Result("A tale", certify.Verdict.BROKEN, "It lies.")
    monkeypatch.setattr("refunds.management.commands.certify.run", lambda name: [broken])
    with pytest.raises(CommandError, match="in 1 of 1 stories"):
        certified()


def test_certify_knows_only_what_the_environment_names() -> None:
    with pytest.raises(CommandError, match="names: payerly-eu"):
        call_command("certify", "nobody")


def test_a_live_look_up_is_one_look_up_and_never_an_order(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Brand, "refund", lambda *_: pytest.fail("an order"))
    monkeypatch.setattr(Brand, "cancel", lambda *_: pytest.fail("a cancel"))
    approved(make_payment(reference="pay-77"))
    told = certified("--live-read-only")
    assert [(letter.method, letter.path) for letter in door.letters] == [("GET", "/v1/payments/pay-77/refunds")]
    assert door.letters[0].body == b""
    assert "Payment pay-77: 2 refunds shown." in told
    assert "tx-5512: succeeded, 12.50 EUR" in told
    assert "Proved by this: payerly-shown." in told
    assert "PROVED    payerly-shown, critical" in told
    assert Refund.objects.get().status == "approved"


def test_a_live_look_up_asks_for_the_payment_that_is_named(door: Door) -> None:
    make_account()
    with pytest.raises(CommandError, match="import it first"):
        certified("--live-read-only", "--payment", "elsewhere-9")
    make_payment(reference="elsewhere-9")
    make_payment(reference="newer")
    certified("--live-read-only", "--payment", "elsewhere-9")
    assert [letter.path for letter in door.letters] == ["/v1/payments/elsewhere-9/refunds"]


def test_what_is_looked_up_by_their_reference_needs_one(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    can = {**vars(Brand.can), "look_up": LookUp.BY_REFERENCE}
    monkeypatch.setattr(Brand, "can", type(Brand.can)(**can))
    refund = approved(make_payment(reference="pay-77"))
    with pytest.raises(CommandError, match="its own reference"):
        certified("--live-read-only")
    Refund.objects.filter(pk=refund.pk).update(reference="tx-1", sent_at=refund.requested_at)
    assert "Payment pay-77" in certified("--live-read-only")


@pytest.mark.parametrize(
    ("status", "answer", "sentence"),
    [(500, b"", "HTTP status 500"), (200, b"<html>", "cannot be relied on"), (401, b"{}", "HTTP status 401")],
)
def test_an_answer_that_cannot_be_read_is_an_error_and_proves_nothing(
    door: Door, status: int, answer: bytes, sentence: str
) -> None:
    make_payment()
    door.status, door.answer = status, answer
    with pytest.raises(CommandError, match=sentence):
        certified("--live-read-only")
    assert Account.objects.get().proved == {}


def test_a_live_look_up_needs_a_row_a_payment_and_a_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="sync_accounts"):
        certified("--live-read-only")
    make_account()
    with pytest.raises(CommandError, match="--payment"):
        certified("--live-read-only")
    monkeypatch.setattr(Brand, "can", type(Brand.can)())
    with pytest.raises(CommandError, match="no look-up"):
        certified("--live-read-only")
    with pytest.raises(CommandError, match="goes with"):
        certified("--payment", "x")


# --- the checks ---


def found() -> list[str]:
    return [f"{error.id.removeprefix('refunds.')} {error.msg}" for error in checks.check_assumptions(["default"])]


def test_a_sandbox_account_may_assume_what_it_likes() -> None:
    make_account()
    assert found() == []


def test_a_live_account_names_what_nobody_has_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_MODE", "live")
    (error,) = found()  # also before sync_accounts has made its row
    assert error.startswith("E018 Account payerly-eu is live, but nobody has proved or accepted")
    assert "PAYERLY_EU_ACCEPT_ASSUMPTIONS=payerly-grave,payerly-shown." in error
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-grave")
    (error,) = found()
    assert "accepted payerly-shown: " in error
    assert "PAYERLY_EU_ACCEPT_ASSUMPTIONS=payerly-grave,payerly-shown." in error
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-grave,payerly-shown")
    assert found() == []


def test_what_is_proved_need_not_be_accepted(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    make_payment(account=make_account(mode="live"))
    monkeypatch.setenv("PAYERLY_EU_MODE", "live")
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-grave")
    assert len(found()) == 1
    assumptions.show(Account.objects.get())
    assert found() == []


@pytest.mark.parametrize("mode", ["sandbox", "live"])
def test_an_id_that_nobody_assumes_is_refused(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("PAYERLY_EU_MODE", mode)
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-grave,payerly-shown,payerly-typo")
    assert found() == ["E019 PAYERLY_EU_ACCEPT_ASSUMPTIONS names payerly-typo, which nobody assumes about Payerly."]


def test_it_asks_only_a_database_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_MODE", "live")
    assert checks.check_assumptions() == []
    monkeypatch.setattr(Account._meta, "db_table", "nowhere")
    assert found() == []


def test_what_other_checks_say_is_not_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_MODE", "production")
    assert found() == []
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu")
    assert found() == []


def test_every_way_to_start_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_MODE", "live")
    monkeypatch.setenv("PAYERLY_EU_URL", "https://api.payerly.tech/v1")
    for command in (["sync_accounts"], ["worker"], ["check", "--database", "default"]):
        with pytest.raises(SystemCheckError, match=r"refunds\.E018"):
            call_command(*command, stdout=StringIO())
    assert Account.objects.get().mode == "live", "its row is there all the same, or certify could prove nothing"


# --- the page ---


def test_the_page_of_an_account_shows_the_card(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    make_payment()
    monkeypatch.setenv("PAYERLY_EU_ACCEPT_ASSUMPTIONS", "payerly-grave")
    assumptions.show(Account.objects.get())
    account = Account.objects.get()
    url = reverse("admin:refunds_account_change", args=(account.pk,))
    body = at_the_desk(person("gina", "Gateway admins")).get(url).content.decode()
    card = capabilities.card_of(account)
    assert all(label in body and sentence in body for label, sentence in card.abilities)
    for one in card.assumptions:
        assert one.assumption.id in body
        assert one.assumption.text in body
        assert one.sentence in body
    assert [one.word for one in card.assumptions] == ["accepted", "proved", "assumed"]
    assert "PAYERLY_EU_QUIET_WINDOW_SECONDS" in body


def test_an_account_that_cannot_be_used_still_shows_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAYERLY_EU_TOKEN")
    account = make_account()
    card = capabilities.card_of(account)
    assert "TOKEN" in card.trouble
    assert card.abilities
    gone = make_account("old", gateway="gone")
    assert capabilities.card_of(gone) is None
    alice()
    for one in (account, gone):
        url = reverse("admin:refunds_account_change", args=(one.pk,))
        assert at_the_desk(carol()).get(url).status_code == 200


@pytest.mark.parametrize("name", registry.names())
def test_every_gateway_has_words_for_what_it_can(name: str) -> None:
    sentences = dict(capabilities.abilities(registry.gateway_class(name)))
    assert all(text.endswith(".") for text in sentences.values()), sentences


def test_the_card_says_how_many_orders_share_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "airpay-in:airpay,payerly-eu:payerly")
    for name in registry.gateway_class("airpay").needs:
        monkeypatch.setenv(f"AIRPAY_IN_{name}", "https://airpay.example" if name == "URL" else "1" * 16)

    def said(slug: str) -> str:
        return dict(capabilities.card_of(make_account(slug)).abilities)["Orders in one call"]

    assert said("payerly-eu") == "One."
    assert said("airpay-in") == "One; up to 100 where BATCH is set."
    monkeypatch.setenv("AIRPAY_IN_BATCH", "20")
    assert said("airpay-in") == "Up to 20, each of another payment."


def plan(*pauses: timedelta) -> str:
    return capabilities.plan(pauses).replace("\N{NO-BREAK SPACE}", " ")


def test_a_plan_is_said_at_this_installations_pace(settings: object) -> None:
    seconds = [timedelta(seconds=pause) for pause in (3, 60, 3600, 86_400, 172_800)]
    assert plan(*seconds) == "After 3 s, 1 min, 1 h, 1 day, then every 2 days."
    settings.POLL_PACE = 0.5
    assert plan(*seconds[:2]) == "After 1.5 s, then every 30 s."
    assert plan(*seconds[:1]) == "Every 1.5 s."
    assert plan() == "Never by ourselves."
