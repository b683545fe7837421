"""Whatever a customer reads out leads to the payment or the refund; nobody finds what is not theirs to see."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateways.contract import Outcome, RefundUpdate
from gateways.money import Money
from refunds import find
from refunds.models import Payment, Refund
from refunds.services.unmatched import keep_unmatched
from tests.builders import alice, ask, carol, dora, gus, limit_to, make_account, make_payment, person, ute

pytestmark = [pytest.mark.django_db, pytest.mark.once]
CARD = "4111 1111 1111 1111"


@pytest.fixture
def sold() -> Payment:
    """Anna's payment, beside others that nothing here should find."""
    for n in range(3):
        make_payment(
            999900 + n, "KWD", f"other-{n}", order=f"B{n}", customer_name="Eve", customer_email=f"eve{n}@x.org"
        )
    return make_payment(124999, reference="9f4c-PAY-77", order="SO-48213", customer_email="Anna.Nowak@Example.com")


@pytest.fixture
def asked(sold: Payment) -> Refund:
    """A refund of it, as the gateway has told of it."""
    refund = ask(sold, 5050, ticket="ZD-10442")
    ids = {"reference": "rf_0815", "identifiers": "rf_0815 628514027321 TXN-55-Q", "details": {"rrn": "628514027321"}}
    Refund.objects.filter(pk=refund.pk).update(**ids)
    return refund


def rows(text: str, user: User | None = None) -> set[Any]:
    found = find.find(text, user or alice())
    return {hit.row for hit in (*found.payments, *found.refunds, *found.unmatched)}


@pytest.mark.parametrize(
    "said",
    ["SO-48213", "so-48213", " SO-48213 ", "9f4c-PAY-77", "anna.nowak@example.com", "ANNA.NOWAK@EXAMPLE.COM", "SO-48",
     "anna.nowak@", "nowak", "PAY-77", "1249.99", "1249,99", "1,249.99", "1.249,99", "1 249,99", "1249.99 EUR",
     "EUR 1,249.99", "eur1249.99"],
)  # fmt: skip
def test_a_payment_is_found_by_what_names_it(sold: Payment, said: str) -> None:
    assert rows(said) == {sold}


@pytest.mark.parametrize(
    "said", ["{number}", "{short}", "{spaced}", "{digits}", "{key}", "{KEY}", "rf_0815", "RF_0815", "628514027321",
             "txn-55-q", "zd-10442", "5140273", "0815", "10442", "50.50", "50,50", "50.50 eur"],
)  # fmt: skip
def test_a_refund_is_found_by_what_names_it(asked: Refund, said: str) -> None:
    number = {"number": asked.number, "short": f"r-{asked.pk}", "spaced": f"R {asked.pk}", "digits": f"{asked.pk:06d}"}
    names = {**number, "key": str(asked.key), "KEY": str(asked.key).upper()}
    assert rows(said.format(**names)) == {asked}


@pytest.mark.parametrize(
    "said", ["", " ", "R", "\0\0", "SO-48214", "1249.98", "1249.99 USD", "EUR 1249.99 EUR", "%", "_"]
)
def test_nothing_else_is_found(asked: Refund, said: str) -> None:
    assert rows(said) == set()


def test_what_is_named_comes_without_what_merely_looks_alike(sold: Payment) -> None:
    make_payment(reference="pay-9", order="SO-482130")
    assert rows("SO-48213") == {sold}


def test_every_hit_says_what_fits(asked: Refund) -> None:
    whys = {text: str(find.find(text, alice()).refunds[0].why) for text in ("rf_0815", "628514027321", "50.50")}
    assert whys == {
        "rf_0815": "the gateway's id of the refund",
        "628514027321": "told by the gateway",
        "50.50": "amount",
    }


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.50", "EUR", {1250}),
        ("12,50", "EUR", {1250}),
        ("12.5", "EUR", {1250}),
        ("1200", "JPY", {1200}),
        ("1,200", "JPY", {1200}),
        ("1200.00", "JPY", set()),
        ("1.250", "KWD", {1250, 1250000}),
        ("1,250", "EUR", {125000}),
        ("1.250,00", "EUR", {125000}),
        ("1,250.00", "EUR", {125000}),
        ("1 250,00", "EUR", {125000}),
        ("1.2.3", "EUR", set()),
        ("12,34,56", "EUR", set()),
        ("12.", "EUR", set()),
        ("1e3", "EUR", set()),
        ("-12.50", "EUR", set()),
        ("٣", "EUR", set()),
        ("12.501", "EUR", {1250100}),
    ],
)
def test_an_amount_is_read_in_every_way_that_people_write_it(text: str, currency: str, minor: set[int]) -> None:
    assert {units for code, units in find.readings(text) if code == currency} == minor


def test_an_amount_belongs_to_its_currency(sold: Payment) -> None:
    yen = make_payment(1250, "JPY", "pay-yen")
    euro = make_payment(1250, "EUR", "pay-euro")
    assert rows("12.50") == {euro}
    assert rows("1250 JPY") == {yen}


def test_more_than_can_be_read_are_cut_and_it_says_so(sold: Payment) -> None:
    for n in range(find.MOST_HITS + 1):
        make_payment(reference=f"many-{n}", order=f"MANY-{n}")
    found = find.find("MANY-", alice())
    assert (len(found.payments), found.is_cut) == (find.MOST_HITS, True)


def test_people_limited_to_accounts_find_nothing_of_the_others(asked: Refund) -> None:
    limited = person("lena", "Agents")
    limit_to(limited, make_account("payerly-us"))
    for said in ("SO-48213", "nowak", "1249.99", asked.number, str(asked.key), "rf_0815", "628514027321", "50.50"):
        assert rows(said, limited) == set(), said


def test_an_unmatched_refund_is_found_by_those_who_may_see_it(sold: Payment) -> None:
    update = RefundUpdate(Outcome.SUCCEEDED, reference="theirs-1", payment_reference="x", amount=Money(77, "EUR"))
    row = keep_unmatched(sold.account, update, "Whose?")
    assert rows("theirs-1", dora()) == {row} == rows("0.77", dora())
    assert rows("theirs-1", alice()) == set()


# --- the page ---


def get(client: Client, who: User, text: str) -> Any:
    client.force_login(who)
    return client.get("/admin/find/", {"q": text})


def test_the_only_one_is_opened_at_once(client: Client, asked: Refund) -> None:
    assert get(client, alice(), asked.number)["Location"] == f"/admin/refunds/refund/{asked.pk}/change/"
    assert get(client, alice(), "SO-48213")["Location"] == f"/admin/refunds/payment/{asked.payment_id}/change/"


def test_several_are_listed_with_their_refunds(client: Client, asked: Refund) -> None:
    make_payment(reference="pay-2", order="SO-7", customer_email="anna.nowak@example.com")
    page = get(client, carol(), "anna.nowak@example.com").content.decode()
    assert "SO-48213" in page
    assert "SO-7" in page
    assert asked.number in page
    assert "B0" not in page


def test_nothing_found_says_what_to_do(client: Client, sold: Payment) -> None:
    page = get(client, alice(), "<b>nobody</b>").content.decode()
    assert "Nothing fits" in page
    assert "&lt;b&gt;nobody&lt;/b&gt;" in page


def test_a_card_number_is_neither_looked_for_nor_repeated(client: Client, sold: Payment) -> None:
    answer = get(client, alice(), CARD)
    assert answer.status_code == 400
    assert "looks like a card number" in answer.content.decode()
    assert CARD not in answer.content.decode()


@pytest.mark.parametrize("text", ["x" * 201, "a\0b", "\ud800"])
def test_what_nobody_reads_out_is_refused(client: Client, sold: Payment, text: str) -> None:
    client.force_login(alice())
    answer = client.get(
        "/admin/find/", QUERY_STRING="q=" + text.encode("utf-8", "surrogatepass").hex("%", 1).join(["%", ""])
    )
    assert answer.status_code in (200, 400)


def test_the_box_stands_on_the_pages_of_those_who_have_something_to_find(client: Client) -> None:
    for who, has_it in ((alice(), True), (gus(), True), (ute(), False)):
        client.force_login(who)
        assert ('action="/admin/find/"' in client.get("/admin/").content.decode()) is has_it, who
    client.force_login(ute())
    assert "Nothing fits" in client.get("/admin/find/", {"q": "nowak"}).content.decode()


def test_it_asks_the_database_the_same_whatever_there_is(client: Client, django_assert_max_num_queries: Any) -> None:
    for n in range(30):
        ask(make_payment(reference=f"many-{n}", order=f"MANY-{n}"), 100 + n)
    client.force_login(dora())
    with django_assert_max_num_queries(40):
        client.get("/admin/find/", {"q": "MANY-"})
