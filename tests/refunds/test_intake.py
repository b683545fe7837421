"""Payments come in: what a row has to be, what happens with bad ones, and that nothing is ever doubled or changed."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from refunds import accounts
from refunds.errors import BadInput, NotAllowed
from refunds.history.verify import verify
from refunds.models import Account, Event, Payment
from refunds.services import intake
from refunds.services.intake import CHUNK, COLUMNS, BadRow, PaymentRow, Tally, preview, read_rows, take_in
from tests.builders import alice, bob, carol, make_account, make_payment, person

pytestmark = pytest.mark.django_db

GOOD = {
    "account": "payerly-eu",
    "payment_reference": "pay-1",
    "order": "A-1",
    "amount": "12.50",
    "currency": "EUR",
    "captured_at": "2026-11-01T10:00:00Z",
    "customer_name": "Zoë Żak",
    "customer_email": "zoe@example.org",
    "method": "card",
    "disputed": "",
}


@pytest.fixture(autouse=True)
def account(db: None) -> Account:
    return make_account()


def row(line: int = 2, **fields: str) -> PaymentRow:
    return PaymentRow(**{**GOOD, **fields}, line=line)


def rows(n: int) -> list[PaymentRow]:
    return [row(line, payment_reference=f"pay-{line}") for line in range(2, n + 2)]


def file_of(*lines: dict[str, str] | str, columns: tuple[str, ...] = COLUMNS, start: bytes = b"") -> io.BytesIO:
    """A file with our header; a line is a row's differences from the good one, or raw text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for line in lines:
        if isinstance(line, str):
            text.write(line + "\n")
        else:
            writer.writerow([{**GOOD, **line}[name] for name in columns])
    return io.BytesIO(start + text.getvalue().encode())


def trouble(**fields: str) -> str:
    """What is said about a row that differs from the good one in these fields."""
    tally = take_in([row(**fields)], by=None)
    assert not Payment.objects.exists()
    assert len(tally.bad) == 1, "The row was taken in."
    return tally.bad[0].reason


# --- reading a file ---


def test_a_file_is_read_with_its_line_numbers() -> None:
    found = read_rows(file_of({}, "", {"payment_reference": "pay-2"}))
    assert [(line.payment_reference, line.line) for line in found] == [("pay-1", 2), ("pay-2", 4)]


def test_columns_may_stand_in_any_order_and_a_byte_order_mark_is_no_part_of_the_first() -> None:
    assert list(read_rows(file_of({}, columns=COLUMNS[::-1], start=b"\xef\xbb\xbf"))) == [row()]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (COLUMNS[1:], "missing: 'account'"),
        ((*COLUMNS, "note"), "unknown: 'note'"),
        ((*COLUMNS, "order"), "twice: 'order'"),
        (("Account", *COLUMNS[1:]), "missing: 'account'; unknown: 'Account'"),
        ((";".join(COLUMNS),), "separated by commas"),
        (("", *COLUMNS), "unknown: ''"),
    ],
)
def test_a_header_that_is_not_ours_is_named(columns: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_rows(file_of(columns=columns))


def test_an_empty_file_says_what_it_should_hold() -> None:
    with pytest.raises(BadInput, match=r"empty.*account,payment_reference"):
        read_rows(io.BytesIO(b""))


@pytest.mark.parametrize("content", [GOOD["customer_name"].encode("iso8859-2"), "x".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_refused_with_its_line(content: bytes) -> None:
    with pytest.raises(BadInput, match="not UTF-8 text: line 2"):
        read_rows(io.BytesIO(file_of().getvalue() + content))


@pytest.mark.parametrize("cut", range(1, 6))
def test_the_line_is_right_wherever_the_file_is_cut_into_pieces(cut: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refunds.services.rows.PIECE", cut)
    good = file_of({}, {"payment_reference": "pay-Ł€😀"}).getvalue()
    assert [row.line for row in read_rows(io.BytesIO(good))] == [2, 3]
    for wrong in (b"x\xe2\x82", b"x\xffy\n\n\n", b"\xe2\x82x\n"):
        with pytest.raises(BadInput, match="not UTF-8 text: line 4 "):
            read_rows(io.BytesIO(good + wrong))


def test_rows_are_read_one_by_one_and_the_file_stays_open() -> None:
    file = file_of({}, *({"payment_reference": f"pay-{n}"} for n in range(5000)))
    found = read_rows(file)
    assert next(found) == row()
    assert file.tell() < len(file.getvalue()) / 2
    assert len(list(found)) == 5000
    assert not file.closed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,b,c", "Fields in this row: 3 instead of 10"),
        (",".join("x" * 11), ": 11 instead"),
        (" ", ": 1 instead"),
        ('"a"b,c', "not CSV"),
        ("x" * 5000 + ",,,,,,,,,", "longer than"),
        ("x" * 200_000, "not CSV"),
    ],
)
def test_a_broken_line_is_reported_and_the_next_one_is_read(line: str, said: str) -> None:
    bad, good = read_rows(file_of(line, {}))
    assert (bad.line, good.line) == (2, 3)
    assert said in bad.reason


def test_a_quotation_mark_that_is_never_closed_is_reported_where_it_stands() -> None:
    good, bad = read_rows(file_of({}, '"payerly-eu,pay-2', {"payment_reference": "pay-3"}))
    assert (good.line, bad.line) == (2, 3)
    assert "Lines 3 to 4" in bad.reason


def test_rows_swallowed_by_two_stray_quotation_marks_are_reported() -> None:
    swallowing = 'payerly-eu,pay-2,"A'
    bad, good = read_rows(file_of(swallowing, {}, 'A",1.00,EUR,2026-11-01T10:00:00Z,,,,', {}))
    assert bad == BadRow(2, bad.reason)
    assert "Lines 2 to 4" in bad.reason
    assert good.line == 5


# --- what a row has to be ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"account": ""}, "account is missing"),
        ({"account": "elsewhere"}, "no account 'elsewhere'"),
        ({"account": "PAYERLY-EU"}, "no account"),
        ({"payment_reference": ""}, "payment_reference is missing"),
        ({"payment_reference": "pay 1"}, "without blanks"),
        ({"payment_reference": "płatność"}, "without blanks"),
        ({"payment_reference": "pay/1"}, "Payerly takes"),
        ({"payment_reference": "p" * 65}, "Payerly takes"),
        ({"payment_reference": "p" * 101}, "at most 100"),
        ({"order": "A" * 101}, "at most 100"),
        ({"method": "m" * 41}, "at most 40"),
        ({"customer_name": "n" * 201}, "at most 200"),
        ({"customer_name": "Anna\x00Nowak"}, "control character (U+0000)"),
        ({"customer_name": "Anna\nNowak"}, "control character (U+000A)"),
        ({"customer_name": "Anna\u202ekawoN"}, "direction of text"),
        ({"customer_email": "anna"}, "not an e-mail"),
        ({"customer_email": "anna@example.com,eva@example.com"}, "not an e-mail"),
        ({"disputed": "maybe"}, "yes or no"),
        ({"disputed": "1"}, "yes or no"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_reason(fields: dict[str, str], said: str) -> None:
    assert said in trouble(**fields)


@pytest.mark.parametrize("amount", ["", "0", "0.00", "-1", "+1", "1e3", "1,5", "NaN", "1.", ".5", "٣", "1_0", "1 000"])
def test_an_amount_that_is_none_is_refused(amount: str) -> None:
    assert "amount" in trouble(amount=amount)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("12.505", "EUR"), ("1200.5", "JPY"), ("1.0000", "KWD"), ("1234567890123456", "KWD"), ("1", "eur"), ("1", "XXZ")],
)
def test_an_amount_off_its_currencys_grid_is_refused(amount: str, currency: str) -> None:
    assert "amount and currency" in trouble(amount=amount, currency=currency)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("12.5", "EUR", 1250),
        ("1200", "JPY", 1200),
        ("0.005", "KWD", 5),
        ("999999999999999.999", "KWD", 10**18 - 1),
    ],
)
def test_each_currency_is_kept_on_its_own_grid(amount: str, currency: str, minor: int) -> None:
    take_in([row(amount=amount, currency=currency)], by=None)
    assert Payment.objects.get().captured == minor


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write a moment"),
        ("2026-11-01", "write a moment"),
        ("20261101T100000Z", "write a moment"),
        ("01.11.2026 10:00", "write a moment"),
        ("2026-02-30T10:00:00Z", "write a moment"),
        ("2026-11-01T10:00:00", "without a time zone"),
        ("1999-12-31T23:59:59Z", "before 2000"),
        ("0001-01-01T00:00:00+14:00", "before 2000"),
        ("9999-12-31T23:59:59-14:00", "in the future"),
    ],
)
def test_a_moment_that_is_not_certain_is_refused(text: str, said: str) -> None:
    assert said in trouble(captured_at=text)


def test_a_moment_is_kept_in_utc() -> None:
    take_in([row(captured_at="2026-11-01 10:00:00.5+05:30")], by=None)
    assert Payment.objects.get().captured_at == datetime(2026, 11, 1, 4, 30, 0, 500_000, tzinfo=UTC)


def test_a_clock_may_be_a_little_ahead_but_not_two_days() -> None:
    soon = [(timezone.now() + timedelta(hours=hours)).isoformat() for hours in (3, 48)]
    assert "in the future" in trouble(captured_at=soon[1])
    assert take_in([row(captured_at=soon[0])], by=None).n_new == 1


def test_a_disputed_payment_is_marked() -> None:
    words = {"": False, "no": False, "No": False, "yes": True, "YES": True}
    for word in words:
        take_in([row(payment_reference=f"pay-{word}-{len(word)}", disputed=word)], by=None)
    found = {p.reference: bool(p.disputed_at) for p in Payment.objects.all()}
    assert found == {f"pay-{word}-{len(word)}": marked for word, marked in words.items()}


def test_what_looks_like_a_formula_is_data() -> None:
    take_in([row(order='=HYPERLINK("x")', customer_name="+Anna")], by=None)
    assert Payment.objects.values_list("order", "customer_name").get() == ('=HYPERLINK("x")', "+Anna")


def test_a_switched_off_account_takes_nothing_in(account: Account) -> None:
    Account.objects.update(is_active=False)
    assert "switched off" in trouble()


def test_an_account_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYERLY_EU_TOKEN", "")
    assert "Payerly needs TOKEN" in trouble()


def test_a_connector_is_built_once_for_a_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    connect = accounts.connect
    monkeypatch.setattr(accounts, "connect", lambda account: built.append(account) or connect(account))
    take_in(rows(1200), by=None)
    assert len(built) == 1


# --- taking in ---


def test_a_payment_is_kept_as_it_was_written() -> None:
    take_in([row()], by=None)
    payment = Payment.objects.get()
    kept = {name: getattr(payment, name) for name in ("reference", "order", "currency", "captured", "method", "status")}
    assert kept == {
        "reference": "pay-1",
        "order": "A-1",
        "currency": "EUR",
        "captured": 1250,
        "method": "card",
        "status": "captured",
    }
    assert (payment.customer_name, payment.customer_email) == ("Zoë Żak", "zoe@example.org")
    assert (payment.free, payment.version, payment.disputed_at) == (1250, 1, None)


def test_a_bad_row_does_not_keep_the_others_out() -> None:
    tally = take_in([row(2), BadRow(3, "broken"), row(4, amount="x"), row(5, payment_reference="pay-5")], by=None)
    assert (tally.n_new, [bad.line for bad in tally.bad]) == (2, [3, 4])
    assert set(Payment.objects.values_list("reference", flat=True)) == {"pay-1", "pay-5"}


def test_the_same_rows_again_change_nothing() -> None:
    take_in(rows(3), by=None)
    before = list(Payment.objects.order_by("pk").values())
    tally = take_in(rows(3), by=None)
    assert (tally.n_new, tally.n_known, tally.bad) == (0, 3, [])
    assert list(Payment.objects.order_by("pk").values()) == before
    assert Event.objects.count() == 3


def test_the_same_reference_at_another_account_is_another_payment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,payerly-jp:payerly")
    monkeypatch.setenv("PAYERLY_JP_URL", "http://127.0.0.1:9/payerly/v1")
    monkeypatch.setenv("PAYERLY_JP_TOKEN", "token-for-tests-0123456789")
    make_account("payerly-jp")
    assert take_in([row(), row(account="payerly-jp")], by=None).n_new == 2


@pytest.mark.parametrize("differing", [{"amount": "12.51"}, {"currency": "USD"}])
@pytest.mark.parametrize("apart", [0, CHUNK])
def test_another_amount_for_the_same_reference_is_an_error(differing: dict[str, str], apart: int) -> None:
    between = rows(apart + 2)[2:]
    tally = take_in([row(2), *between, row(9000, **differing)], by=None)
    assert [bad.line for bad in tally.bad] == [9000]
    assert "is known with 12.50 EUR" in tally.bad[0].reason
    assert Payment.objects.values_list("captured", "currency").get(reference="pay-1") == (1250, "EUR")


@pytest.mark.promise("I21")
def test_a_file_marks_a_known_payment_as_disputed_and_never_unmarks_it() -> None:
    take_in([row()], by=None)
    told = [row(4, disputed="yes"), row(5, disputed="yes"), row(6)]
    assert len(preview(told).disputed) == 1
    assert Payment.objects.get().disputed_at is None, "a preview writes nothing"
    tally = take_in(told, by=None)
    assert (tally.n_new, tally.n_known, tally.bad) == (0, 3, [])
    marked = Payment.objects.get()
    assert marked.disputed_at
    for again in (told, [row(disputed="no")]):
        assert take_in(again, by=None).disputed == {}
    assert Payment.objects.get().disputed_at == marked.disputed_at
    lines = [(line.sequence, line.step, line.text) for line in Event.objects.order_by("pk")]
    assert lines[1:] == [(2, "disputed", "From a file, line 4.")]
    assert verify().findings == []


@pytest.mark.parametrize("apart", [0, CHUNK])
def test_a_later_row_of_the_same_file_marks_a_new_payment(apart: int) -> None:
    take_in([row(2), *rows(apart + 2)[2:], row(9000, disputed="yes")], by=None)
    assert Payment.objects.get(reference="pay-1").disputed_at


def test_another_amount_marks_nothing() -> None:
    take_in([row()], by=None)
    assert take_in([row(amount="12.51", disputed="yes")], by=None).bad
    assert Payment.objects.get().disputed_at is None


def test_refunds_on_their_way_do_not_make_a_payment_a_stranger() -> None:
    make_payment(captured=1250, held=500, refunded=250)
    assert take_in([row()], by=None).n_known == 1


def test_totals_count_new_payments_per_currency() -> None:
    make_payment(captured=1250)
    new = [
        row(3, payment_reference="a", amount="1.50"),
        row(4, payment_reference="b", amount="2.25"),
        row(5, payment_reference="c", amount="1200", currency="JPY"),
    ]
    tally = preview([row(2), *new])
    assert [(str(money), money.currency) for money in tally.money] == [("3.75", "EUR"), ("1200", "JPY")]
    assert [(str(money), money.currency) for money in take_in(new, by=None).money] == [("3.75", "EUR"), ("1200", "JPY")]


def test_a_preview_says_what_will_happen_and_writes_nothing() -> None:
    make_payment(captured=1250)
    lines = [row(2), row(3, payment_reference="pay-3"), row(4, payment_reference="pay-3"), row(5, amount="")]
    tally = preview(lines)
    assert (tally.n_new, tally.n_known, [bad.line for bad in tally.bad]) == (1, 2, [5])
    assert (Payment.objects.count(), Event.objects.count()) == (1, 1)
    done = take_in(lines, by=None)
    assert (done.n_new, done.n_known, done.bad) == (tally.n_new, tally.n_known, tally.bad)


def test_ten_thousand_rows_come_in_with_one_journal_line_each() -> None:
    heard: list[int] = []
    tally = take_in(rows(10_000), by=None, progress=heard.append)
    assert (tally.n_new, tally.bad) == (10_000, [])
    assert Payment.objects.count() == Event.objects.values("payment").distinct().count() == 10_000
    assert heard == list(range(CHUNK, 10_001, CHUNK))


# --- who, and what the journal says ---


def test_the_journal_begins_with_who_took_it_in() -> None:
    finance = person("fiona", "Finance")
    take_in([row(0)], by=finance)
    take_in([row(7, payment_reference="pay-7")], by=None)
    by_hand, from_file = Event.objects.order_by("pk")
    for event in (by_hand, from_file):
        assert (event.refund, event.sequence, event.step) == (None, 1, "taken in")
        assert (event.from_status, event.to_status) == ("", "captured")
    assert (by_hand.actor, by_hand.actor_user, by_hand.source) == ("fiona", finance, "person")
    assert (from_file.actor, from_file.actor_user, from_file.source) == ("import", None, "worker")
    assert by_hand.text == "12.50 EUR, captured on 2026-11-01 10:00 UTC. Typed in by hand."
    assert "From a file, line 7." in from_file.text


def test_the_customer_is_in_no_journal_row() -> None:
    take_in([row(customer_name="Canary Smith", customer_email="canary@example.com")], by=None)
    assert "anary" not in str(list(Event.objects.values()))


@pytest.mark.parametrize("who", [alice, bob, carol, lambda: person("root", is_superuser=True)])
def test_a_person_without_the_right_takes_nothing_in(who: Any) -> None:
    with pytest.raises(NotAllowed):
        take_in([row()], by=who())
    assert not Payment.objects.exists()


# --- two at once ---


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("n", [CHUNK, 3 * CHUNK])
def test_two_imports_at_once_neither_double_nor_fail(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = rows(n)
    results: list[Tally] = []
    both_have_looked = threading.Barrier(2)
    look = intake._Sift.new_ones

    def look_together(*args: Any) -> Any:
        new = look(*args)
        both_have_looked.wait(timeout=60)
        return new

    def run(which: list[PaymentRow]) -> None:
        try:
            results.append(take_in(which, by=None))
        finally:
            connection.close()

    monkeypatch.setattr(intake._Sift, "new_ones", look_together)
    threads = [threading.Thread(target=run, args=(which,)) for which in (lines, lines[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(tally.n_new for tally in results) == n
    assert sum(tally.n_known for tally in results) == n
    assert not any(tally.bad for tally in results)
    assert Payment.objects.count() == Event.objects.count() == n


@pytest.mark.parametrize(("amount", "is_known"), [("12.50", True), ("99.00", False)])
def test_a_payment_that_came_in_a_moment_before_us_is_compared(
    amount: str, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = Payment.objects.bulk_create

    def overtaken(payments: list[Payment], **options: Any) -> Any:
        make_payment(captured=1250)
        return insert(payments, **options)

    monkeypatch.setattr(Payment.objects, "bulk_create", overtaken)
    tally = take_in([row(amount=amount)], by=None)
    assert (tally.n_new, tally.n_known, len(tally.bad)) == (0, int(is_known), int(not is_known))
    assert Payment.objects.get().captured == 1250
    assert Event.objects.count() == 1


def test_a_chunk_that_fails_leaves_no_payment_without_its_journal_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr(Event.objects, "bulk_create", broken)
    with pytest.raises(RuntimeError):
        take_in(rows(3), by=None)
    assert not Payment.objects.exists()


# --- the command ---


@pytest.fixture
def import_file(tmp_path: Any) -> Any:
    def run(content: bytes) -> str:
        path = tmp_path / "payments.csv"
        path.write_bytes(content)
        out = io.StringIO()
        try:
            call_command("import_payments", str(path), stdout=out)
        except CommandError as error:
            return f"{out.getvalue()}{error}"
        return out.getvalue() + "fine"

    return run


def test_the_command_tells_what_came_in(import_file: Any) -> None:
    content = file_of({}, {"payment_reference": "pay-2", "amount": "1200", "currency": "JPY"}).getvalue()
    assert import_file(content).splitlines() == ["New payments: 2 (12.50 EUR, 1200 JPY)", "Known already: 0", "fine"]
    assert "New payments: 0\nKnown already: 2\nfine" in import_file(content)


def test_the_command_names_bad_rows_and_fails_while_the_others_go_in(import_file: Any) -> None:
    said = import_file(file_of({}, {"amount": "x", "payment_reference": "pay-2"}, "a,b").getvalue())
    assert "line 3: amount and currency" in said
    assert "line 4: Fields in this row: 2" in said
    assert said.endswith("Rows that were not taken in: 2.")
    assert Payment.objects.count() == 1


def test_the_command_says_what_is_wrong_with_a_file(import_file: Any, tmp_path: Any) -> None:
    assert "not UTF-8" in import_file(b"\xff\xfe")
    assert "missing: 'account'" in import_file(b"a,b\n")
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(CommandError, match="cannot be read"):
            call_command("import_payments", str(path))
