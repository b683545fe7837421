"""The screens through which payments come in: who may open them, what a preview shows, and what a click writes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from refunds.models import Account, Event, Payment
from refunds.services.intake import COLUMNS, read_rows, take_in
from tests.builders import alice, bob, carol, make_account, make_payment, person

pytestmark = pytest.mark.django_db

HEADER = ",".join(COLUMNS)
FIRST = 'payerly-eu,pay-1,A-1,12.50,EUR,2026-11-01T10:00:00Z,"Żak, Zoë",zoe@example.org,card,no'
SECOND = "payerly-eu,pay-2,A-2,1200,JPY,2026-11-02T10:00:00Z,山田 花子,hanako@example.com,card,yes"
TYPED = {
    "account": "payerly-eu",
    "payment_reference": "pay-1",
    "order": "A-1",
    "amount": "12.50",
    "currency": "EUR",
    "captured_at": "2026-11-01T10:00",
    "customer_name": "Żak, Zoë",
    "customer_email": "zoe@example.org",
    "method": "card",
}


@pytest.fixture(autouse=True)
def account(db: None) -> Account:
    return make_account()


@pytest.fixture
def finance() -> Client:
    return at_the_desk(person("fiona", "Finance"))


def at_the_desk(user: object) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(name: str = "import") -> str:
    return reverse(f"admin:refunds_payment_{name}")


def upload(client: Client, *lines: str, header: str = HEADER) -> Any:
    content = "\n".join((header, *lines)).encode()
    return client.post(page(), {"file": SimpleUploadedFile("payments.csv", content, "text/csv")})


def confirm(client: Client, preview: Any) -> Any:
    name = re.search(r'name="confirmed" value="(\w+)"', preview.content.decode())[1]
    return client.post(page(), {"confirmed": name})


def nothing_came_in() -> bool:
    return not Payment.objects.exists() and not Event.objects.exists()


def lines_of(reason: str, body: str) -> list[str]:
    """The line numbers that a page names beside a reason."""
    row = body[body.index(reason) :]
    return re.search(r'data-label="Lines">([^<]*)<', row)[1].split(", ")


def test_rows_with_the_same_trouble_are_told_together(finance: Client) -> None:
    strange = [FIRST.replace("payerly-eu", "nobody").replace("pay-1", f"pay-{n}") for n in range(30)]
    body = upload(finance, FIRST, *strange).content.decode()
    assert body.count("nobody") == 1
    assert lines_of("nobody", body)[:3] == ["3", "4", "5"]


def test_a_preview_shows_totals_errors_and_rows_and_writes_nothing(finance: Client) -> None:
    make_payment(captured=1250)
    body = upload(finance, FIRST, SECOND, FIRST.replace("12.50", "99.00"), "a,b").content.decode()
    assert "Take in 1 payment" in body
    assert "1,200\xa0JPY" in body
    assert "山田 花子" in body
    assert "is known with 12.50 EUR, here it has 99.00 EUR" in body
    assert "5" in lines_of("Fields in this row: 2", body)
    assert Payment.objects.count() == 1
    assert Event.objects.count() == 1


def test_a_confirmed_preview_is_taken_in_by_that_person(finance: Client) -> None:
    answer = confirm(finance, upload(finance, FIRST, SECOND))
    assert answer.url == page("changelist")
    assert (
        "2 new payments taken in: 12.50\xa0EUR, 1,200\xa0JPY. 0 known already."
        in finance.get(answer.url).content.decode()
    )
    assert set(Payment.objects.values_list("reference", "captured")) == {("pay-1", 1250), ("pay-2", 1200)}
    assert set(Event.objects.values_list("actor", "source")) == {("fiona", "person")}


def test_bad_rows_are_named_once_more_after_the_good_ones_went_in(finance: Client) -> None:
    answer = confirm(finance, upload(finance, FIRST, SECOND.replace("1200", "12.5")))
    body = answer.content.decode()
    assert "were left out" in body
    assert "3" in lines_of("amount and currency: JPY has 0 decimals", body)
    assert Payment.objects.get().reference == "pay-1"


def test_a_preview_counts_once(finance: Client) -> None:
    preview = upload(finance, FIRST)
    confirm(finance, preview)
    again = confirm(finance, preview)
    assert again.status_code == 409
    assert "This preview was used already" in again.content.decode()
    assert Payment.objects.count() == Event.objects.count() == 1


def test_a_preview_of_somebody_else_or_of_another_file_takes_nothing_in(finance: Client) -> None:
    preview = upload(finance, FIRST)
    assert confirm(at_the_desk(person("frank", "Finance")), preview).status_code == 409
    upload(finance, SECOND)
    assert confirm(finance, preview).status_code == 409
    assert nothing_came_in()


def test_what_is_taken_in_is_looked_at_again(finance: Client) -> None:
    preview = upload(finance, FIRST)
    make_payment(captured=9900)
    assert "is known with 99.00 EUR" in confirm(finance, preview).content.decode()
    assert Payment.objects.get().captured == 9900


def test_a_file_with_nothing_new_offers_no_button(finance: Client) -> None:
    make_payment(captured=1250)
    body = upload(finance, FIRST).content.decode()
    assert "Take in" not in body
    assert re.search(r"Known already</dt><dd>1", body)


def test_a_file_that_is_no_list_of_payments_comes_back_with_the_reason(finance: Client) -> None:
    for header, said in (("a,b", "missing:"), (HEADER.replace(",", ";"), "separated by commas")):
        answer = upload(finance, header=header)
        assert answer.status_code == 400
        assert said in answer.content.decode()
    answer = finance.post(page(), {"file": SimpleUploadedFile("x.csv", b"\xff\xfe")})
    assert "not UTF-8" in answer.content.decode()
    assert "required" in finance.post(page(), {}).content.decode()


def test_a_file_that_is_too_large_is_refused(finance: Client) -> None:
    answer = upload(finance, "x" * (5 * 1024 * 1024))
    assert "larger than 5 MB" in answer.content.decode()


def test_a_large_file_survives_the_way_from_preview_to_confirmation(finance: Client) -> None:
    lines = [FIRST.replace("pay-1", f"pay-{number}") for number in range(10_000)]
    assert confirm(finance, upload(finance, *lines)).status_code == 302
    assert Payment.objects.count() == 10_000


def test_a_customers_name_is_text_on_every_page(finance: Client) -> None:
    lines = FIRST.replace("A-1", "<b>A</b>"), FIRST.replace("EUR", "<i>")
    body = upload(finance, *lines).content.decode()
    assert "<b>A</b>" not in body
    assert "<i>" not in body
    assert "&lt;b&gt;A&lt;/b&gt;" in body


def test_the_template_has_our_columns_and_an_example_that_goes_nowhere(finance: Client) -> None:
    answer = finance.get(page("import_template"))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.decode().splitlines()[0] == HEADER
    example = answer.content.decode().splitlines()[1]
    assert "There is no account" in upload(finance, example).content.decode()


# --- by hand ---


def test_the_form_brings_the_same_payment_as_the_file(finance: Client) -> None:
    names = [f.attname for f in Payment._meta.fields if f.name not in ("id", "public_id", "created_at", "account")]
    finance.post(page("add"), TYPED)
    [row] = read_rows(SimpleUploadedFile("x.csv", f"{HEADER}\n{FIRST.replace('pay-1', 'pay-9')}".encode()))
    take_in([row], by=None)
    by_hand, from_file = (Payment.objects.filter(reference=name).values(*names).get() for name in ("pay-1", "pay-9"))
    assert {**by_hand, "reference": "pay-9"} == from_file


def test_a_payment_added_by_hand_opens_its_page(finance: Client) -> None:
    answer = finance.post(page("add"), {**TYPED, "currency": "eur", "disputed": "on"})
    payment = Payment.objects.get()
    assert answer.url == reverse("admin:refunds_payment_change", args=(payment.pk,))
    assert (payment.currency, bool(payment.disputed_at)) == ("EUR", True)
    assert "Typed in by hand" in Event.objects.get().text


def test_the_same_payment_by_hand_again_is_known(finance: Client) -> None:
    finance.post(page("add"), TYPED)
    answer = finance.post(page("add"), TYPED)
    assert "is known already. Nothing was changed." in finance.get(answer.url).content.decode()
    assert Payment.objects.count() == Event.objects.count() == 1


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"account": "elsewhere"}, "valid choice"),
        ({"amount": "1,5"}, "is not an amount"),
        ({"amount": "0"}, "more than zero"),
        ({"currency": "JPY"}, "JPY has 0 decimals"),
        ({"captured_at": "yesterday"}, "valid date"),
        ({"captured_at": "2040-01-01T00:00"}, "in the future"),
        ({"customer_email": "zoe"}, "not an e-mail"),
        ({"payment_reference": "pay/1"}, "Payerly takes"),
        ({"payment_reference": ""}, "required"),
    ],
)
def test_what_cannot_be_comes_back_with_the_reason_and_what_was_typed(
    finance: Client, differing: dict[str, str], said: str
) -> None:
    answer = finance.post(page("add"), {**TYPED, "order": "keep me", **differing})
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert "keep me" in answer.content.decode()
    assert nothing_came_in()


def test_another_amount_under_a_known_reference_is_refused_by_hand_too(finance: Client) -> None:
    make_payment(captured=9900)
    assert "is known with 99.00 EUR" in finance.post(page("add"), TYPED).content.decode()
    assert Payment.objects.get().captured == 9900


def test_a_switched_off_account_is_not_offered(finance: Client) -> None:
    make_account("payerly-old", is_active=False)
    body = finance.get(page("add")).content.decode()
    assert 'value="payerly-eu"' in body
    assert "payerly-old" not in body


# --- who may ---


@pytest.mark.parametrize("name", ["import", "import_template", "add"])
def test_looking_writes_nothing(finance: Client, name: str) -> None:
    assert finance.get(page(name), {**TYPED, "confirmed": "x"}).status_code == 200
    assert finance.put(page(name)).status_code == 405
    assert nothing_came_in()


@pytest.mark.parametrize("who", [alice, bob, carol, lambda: person("root", is_superuser=True)])
@pytest.mark.parametrize("name", ["import", "import_template", "add"])
def test_a_person_without_the_right_is_turned_away(finance: Client, who: Any, name: str) -> None:
    preview = upload(finance, FIRST)
    client = at_the_desk(who())
    assert client.get(page(name)).status_code == 403
    assert client.post(page(name), TYPED).status_code == 403
    assert upload(client, FIRST).status_code == 403
    assert confirm(client, preview).status_code == 403
    assert nothing_came_in()


def test_a_stranger_is_led_to_the_login() -> None:
    assert "login" in Client().post(page(), {"confirmed": "x"}).url
    assert "login" in Client().post(page("add"), TYPED).url
    assert nothing_came_in()


def test_a_form_of_another_site_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(person("fiona", "Finance"))
    assert client.post(page("add"), TYPED).status_code == 403
    assert client.post(page(), {"confirmed": "x"}).status_code == 403
    assert nothing_came_in()
