"""Refunds requested from a file: how strictly it is read, what is shown before, and that no row is requested twice."""

from __future__ import annotations

import io
import os
import threading
import zipfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from openpyxl import Workbook

from gateways.sandbox import Sandbox
from refunds import demo, services
from refunds.errors import BadInput, NotAllowed, WrongMoment
from refunds.models import Batch, BatchRow, Event, Payment, Refund, RefundReason
from refunds.services import batches
from refunds.services.request_rows import COLUMNS, RequestRow, read_request_rows
from refunds.services.rows import BadRow
from tests.builders import ACCOUNTS, alice, allow, ask, bob, carol, limit_to, make_account, make_payment, person
from tests.house import point_at
from tests.people.canaries import PANS
from tests.people.rooms import contents

pytestmark = pytest.mark.django_db

HEADER = "account,payment_reference,order,amount,currency,reason,ticket,internal_note"


def line(reference: str = "pay-1", amount: str = "10.00", **other: str) -> str:
    row = {"account": "payerly-eu", "payment_reference": reference, "order": "", "amount": amount, "currency": "EUR"}
    row |= {"reason": "Goods returned", "ticket": "T-1", "internal_note": ""} | other
    return ",".join(row.values())


def csv_of(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *lines)).encode()


def xlsx_of(*rows: list[Any], header: list[str] | None = None) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in (header or HEADER.split(","), *rows):
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def cells(amount: Any = "10.00", reference: Any = "pay-1") -> list[Any]:
    return ["payerly-eu", reference, None, amount, "EUR", "Goods returned", "T-1"]


def read(content: bytes) -> RequestRow | BadRow:
    (row,) = read_request_rows(content)
    return row


def sold(number: int, **fields: Any) -> Payment:
    return make_payment(reference=f"pay-{number}", **{"order": f"order-{number}", **fields})


def confirmed(*lines: str, by: Any = None) -> Batch:
    by = by or alice()
    return services.open_batch(services.dry_run(csv_of(*lines), "refunds.csv", by), by)


def work_off(batch: Batch) -> Batch:
    """All of its turns, one after the other."""
    for _ in range(100):
        batch.refresh_from_db()
        if batch.finished_at:
            return batch
        services.take_batch_turn(batch.pk, batch.ask_at)
    raise AssertionError("It never ends.")


def results(batch: Batch) -> list[str]:
    return list(batch.rows.values_list("result", flat=True))


# --- how the file is read ---


def test_csv_and_workbook_are_read_alike() -> None:
    csv_row = read(csv_of(line()))
    assert csv_row == read(xlsx_of(cells()))
    assert isinstance(csv_row, RequestRow)
    assert csv_row.amount == "10.00"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_and_the_order_of_columns_do_not_matter(mark: bytes) -> None:
    content = mark + b"Reason, amount,currency,account,order\r\nGoodwill,5.00,EUR,payerly-eu,order-1\r\n\r\n"
    row = read(content)
    assert isinstance(row, RequestRow)
    assert (row.reason, row.amount, row.order, row.line) == ("Goodwill", "5.00", "order-1", 2)


@pytest.mark.parametrize(
    ("value", "text"), [(12.5, "12.5"), (1200, "1200"), (1000.0, "1000"), (1.1, "1.1"), (317.99, "317.99"), ("7", "7")]
)
def test_a_number_in_a_workbook_is_the_one_that_was_typed(value: Any, text: str) -> None:
    row = read(xlsx_of(cells(value)))
    assert isinstance(row, RequestRow)
    assert row.amount == text


STRANGE_CELLS: dict[str, tuple[Any, str]] = {
    "a formula": ("=5+5", "is a formula"),
    "a formula that speaks of money": ("=D1", "is a formula"),
    "scientific": (1e20, "a calculation left"),
    "too long for a number": (1234567890123456, "a calculation left"),
    "a date": (date(2026, 11, 20), "a date"),
    "a span of time": (timedelta(hours=5), "a date"),
    "yes or no": (True, "a date, an error or a yes/no"),
    "an error": ("#N/A", "a date, an error or a yes/no"),
}


@pytest.mark.parametrize("kind", STRANGE_CELLS)
def test_a_cell_that_is_no_plain_value_is_refused_with_a_sentence(kind: str) -> None:
    value, why = STRANGE_CELLS[kind]
    row = read(xlsx_of(cells(value)))
    assert isinstance(row, BadRow)
    assert why in row.reason


@pytest.mark.parametrize(
    "amount", ["-5.00", "0", "0.00", "1e3", "1,5", "1 000", "12.505", "ten", "", "٣", "+5", "0x10"]
)
def test_an_amount_that_is_not_plain_is_refused(amount: str) -> None:
    sold(1)
    quoted = f'"{amount}"'
    run = services.dry_run(csv_of(line(amount=quoted)), "f.csv", alice())
    assert (run.doable, bool(run.rows[0].why_not)) == ([], True)
    run = services.dry_run(xlsx_of(cells(amount)), "f.xlsx", alice())
    assert (run.doable, bool(run.rows[0].why_not)) == ([], True)


@pytest.mark.parametrize(("stored", "text"), [(b"1.1000000000000001", "1.1"), (b"317.99000000000001", "317.99")])
def test_excels_own_spelling_of_a_typed_number_is_that_number(stored: bytes, text: str) -> None:
    row = read(with_sheet(lambda sheet: sheet.replace(b"<v>12.5</v>", b"<v>" + stored + b"</v>"), amount=12.5))
    assert isinstance(row, RequestRow)
    assert row.amount == text


@pytest.mark.parametrize("stored", [b"0.30000000000000004", b"1.0000000000000002", b"12.500000000000002", b"1E+400"])
def test_what_only_a_calculation_leaves_is_not_rounded_by_us(stored: bytes) -> None:
    row = read(with_sheet(lambda sheet: sheet.replace(b"<v>12.5</v>", b"<v>" + stored + b"</v>"), amount=12.5))
    assert isinstance(row, BadRow)
    assert "a calculation left" in row.reason


def zipped(**parts: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return packed.getvalue()


def with_sheet(change: Callable[[bytes], bytes], *, amount: Any = "10.00") -> bytes:
    """An honest workbook, but for its sheet."""
    part = "xl/worksheets/sheet1.xml"
    packed, honest = io.BytesIO(), zipfile.ZipFile(io.BytesIO(xlsx_of(cells(amount))))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in honest.namelist():
            archive.writestr(name, change(honest.read(name)) if name == part else honest.read(name))
    return packed.getvalue()


ENTITY = b'<!DOCTYPE worksheet [<!ENTITY a "10.00">]>'
HOSTILE_FILES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "blank": lambda: b"\n\n",
    "only a header": lambda: HEADER.encode(),
    "semicolons": lambda: csv_of(line().replace(",", ";"), header=HEADER.replace(",", ";")),
    "not UTF-8": lambda: csv_of(line()) + b"\xff",
    "a column missing": lambda: csv_of("x", header="account"),
    "a column unknown": lambda: csv_of(line() + ",1", header=HEADER + ",iban"),
    "a column twice": lambda: csv_of(line() + ",1", header=HEADER + ",amount"),
    "no name of a payment": lambda: csv_of("payerly-eu,1.00,EUR,Goodwill", header="account,amount,currency,reason"),
    "2001 rows": lambda: csv_of(*(line(f"pay-{n}") for n in range(2001))),
    "2001 rows of a workbook": lambda: xlsx_of(*(cells(reference=f"pay-{n}") for n in range(2001))),
    "a broken archive": lambda: b"PK\x03\x04" + b"x" * 100,
    "half a workbook": lambda: xlsx_of(cells())[:3000],
    "an archive of something else": lambda: zipped(hello=b"<a/>"),
    "old Excel": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500,
    "a bomb": lambda: zipped(**{"xl__workbook": b" " * 40_000_000}),
    "a bomb of tags": lambda: with_sheet(lambda text: text.replace(b"</row>", b"<c/>" * 400_000 + b"</row>", 1)),
    "entities": lambda: with_sheet(lambda text: ENTITY + text.replace(b"<v>12.5</v>", b"<v>&a;</v>"), amount=12.5),
    "another coding": lambda: with_sheet(lambda text: b'<?xml version="1.0" encoding="utf-7"?>' + text),
    "UTF-16": lambda: with_sheet(lambda text: text.decode().encode("utf-16")),
    "a row at the end of the world": lambda: with_sheet(
        lambda text: text.replace(b'<row r="2"', b'<row r="1048576"').replace(b"A2", b"A1048576")
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("kind", HOSTILE_FILES)
def test_a_file_that_is_not_ours_is_refused_as_a_whole(kind: str) -> None:
    with pytest.raises(BadInput) as refusal:
        services.dry_run(HOSTILE_FILES[kind](), "f", alice())
    assert len(str(refusal.value)) > 20


class Reached(BaseException):
    """The library was asked; no net of ours catches this."""


HIDING = ("a bomb", "a bomb of tags", "entities", "another coding", "UTF-16", "a broken archive")


@pytest.mark.once
@pytest.mark.parametrize("kind", HIDING)
def test_what_could_hide_something_never_reaches_the_library(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reached(*args: Any, **options: Any) -> None:
        raise Reached

    monkeypatch.setattr("refunds.services.workbook.load_workbook", reached)
    with pytest.raises(BadInput, match=r"unpacked|can be read here"):
        read_request_rows(HOSTILE_FILES[kind]())


def test_a_workbook_of_several_sheets_is_not_guessed_about() -> None:
    book, file = Workbook(), io.BytesIO()
    book.create_sheet("December")
    book.save(file)
    with pytest.raises(BadInput, match="December"):
        read_request_rows(file.getvalue())


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("pan", PANS[:2])
def test_a_file_with_a_card_number_is_not_kept(column: str, pan: str) -> None:
    sold(1)
    row = dict(zip(COLUMNS, line().split(","), strict=True)) | {column: pan}
    with pytest.raises(BadInput, match="card number"):
        services.dry_run(csv_of(",".join(row.values())), "f.csv", alice())


def test_a_card_number_in_a_numeric_cell_is_not_kept_either() -> None:
    for pan in PANS[:2]:
        with pytest.raises(BadInput, match="card number"):
            services.dry_run(xlsx_of(cells(int(pan))), "f.xlsx", alice())


def test_a_known_reference_that_looks_like_a_card_is_a_reference() -> None:
    make_payment(reference=PANS[0])
    assert services.dry_run(csv_of(line(PANS[0])), "f.csv", alice()).doable


# --- which payment a row means ---


def why(*lines: str, by: Any = None) -> list[str]:
    return [row.why_not for row in services.dry_run(csv_of(*lines), "f.csv", by or alice()).rows]


def test_an_order_with_several_payments_names_none_of_them() -> None:
    sold(1, order="same")
    sold(2, order="same")
    told = why(line("", order="same"), line("pay-2", order="same"), line("pay-2", order="other"))
    assert "2 payments have the order" in told[0]
    assert told[1] == ""
    assert "belongs to the order 'same', not to 'other'" in told[2]


def test_what_does_not_fit_is_said_of_each_row() -> None:
    sold(1)
    told = why(
        line("nowhere"),
        line(account="nobody"),
        line(currency="USD"),
        line(reason="Because"),
        line(amount="50.01"),
        line("", order=""),
        line(ticket="T" * 201),
    )
    expected = ("no payment 'nowhere'", "no account 'nobody'", "is in EUR, not in USD", "'Because' is not in use")
    expected += ("more than is free", "Name the payment", "longer than 200")
    assert [found in text for found, text in zip(expected, told, strict=True)] == [True] * 7


def test_a_payment_of_an_account_outside_the_scope_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,other-eu:payerly")
    for name in ("URL", "TOKEN"):
        monkeypatch.setenv(f"OTHER_EU_{name}", os.environ[f"PAYERLY_EU_{name}"])
    sold(1)
    make_payment(account=make_account("other-eu"), reference="pay-9")
    limit_to(alice(), make_account("other-eu"))
    foreign, unknown = why(line("pay-1"), line("pay-1", account="nobody"))
    assert foreign.replace("payerly-eu", "nobody") == unknown
    assert why(line("pay-9", account="other-eu")) == [""]


# --- the dry run ---


def test_a_dry_run_writes_nothing() -> None:
    for number in range(1, 4):
        sold(number)
    allow(alice(), "request", 5000, 10000)
    before = contents()
    run = services.dry_run(csv_of(*(line(f"pay-{n}") for n in (1, 2, 3, 1, 7))), "f.csv", alice())
    assert len(run.doable) == 4
    assert contents() == before


def test_each_row_meets_what_the_rows_before_it_have_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the rows are rehearsed in several transactions."""
    monkeypatch.setattr("refunds.services.rehearsal.CHUNK", 2)
    for number in range(1, 6):
        sold(number)
    allow(alice(), "request", 5000, 3500)
    lines = [line(f"pay-{n}", "10.00") for n in (1, 2, 3, 4)] + [line("pay-1", "0.50"), line("pay-5", "5.00")]
    run = services.dry_run(csv_of(*lines), "f.csv", alice())
    assert [bool(row.why_not) for row in run.rows] == [False, False, False, True, False, True]
    assert [row.seen_free for row in run.rows] == [5000, 5000, 5000, 5000, 4000, 5000]
    assert "left of the day" in run.rows[3].why_not


@pytest.mark.django_db(transaction=True)
def test_two_previews_at_once_do_not_cross() -> None:
    for number in range(60):
        sold(number)
    lines, troubles = [line(f"pay-{n}") for n in range(60)], list[Any]()

    def run(content: bytes, by: Any) -> None:
        try:
            services.dry_run(content, "f.csv", by)
        except Exception as trouble:
            troubles.append(trouble)
        finally:
            connection.close()

    files = ((csv_of(*lines), alice()), (csv_of(*reversed(lines)), person("zed", "Agents")))
    threads = [threading.Thread(target=run, args=file) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


def test_what_free_amounts_allow_in_the_file_is_what_the_job_does() -> None:
    sold(1)
    batch = work_off(confirmed(line("pay-1", "30.00"), line("pay-1", "15.00"), line("pay-1", "10.00")))
    assert results(batch) == ["requested", "requested", "refused"]
    assert Payment.objects.get().held == 4500


def test_likely_duplicates_are_told() -> None:
    earlier = ask(sold(1), 1000)
    sold(2)
    sold(3)
    lines = (line("pay-1", "10.00"), line("pay-2", "1.00"), line("pay-2", "2.00"), line("pay-3"))
    rows = services.dry_run(csv_of(*lines), "f.csv", alice()).rows
    assert [(row.twins, row.earlier) for row in rows] == [([], [earlier.number]), ([4], []), ([3], []), ([], [])]


@pytest.mark.once
def test_the_same_file_read_in_two_languages_is_the_same_file() -> None:
    """Also where a row of it cannot be read; and why not is kept in English."""
    sold(1)
    content = csv_of(line("pay-1"), "too,short", line("pay-9"), line("pay-1", "50.00"), '"open')
    english = services.dry_run(content, "f.csv", alice())
    with translation.override("pl"):
        polish = services.dry_run(content, "f.csv", alice())
        batch = services.open_batch(polish, alice())
    assert polish.content_digest == english.content_digest
    assert [row.why_not for row in batch.rows.all()] == [row.why_not for row in english.rows]
    others = csv_of(line("pay-1"), "very,short", line("pay-9"), line("pay-1", "50.00"), '"open')
    assert services.dry_run(others, "f.csv", alice()).content_digest != english.content_digest


@pytest.mark.once
def test_what_is_wrong_with_the_whole_file_is_told_in_the_readers_language() -> None:
    with translation.override("pl"), pytest.raises(BadInput) as refusal:
        services.dry_run(csv_of(), "f.csv", alice())
    assert "header" not in str(refusal.value)


# --- from the file to the refunds ---


def test_why_a_row_was_refused_is_kept_in_english() -> None:
    payment = sold(1)
    batch = confirmed(line("pay-1"))
    ask(payment, 500)
    with translation.override("pl"):
        work_off(batch)
    assert "has changed" in batch.rows.get().why_not


def test_a_row_with_a_sign_that_no_database_takes_is_refused_alone() -> None:
    sold(1)
    batch = confirmed(line("pay-1"), line("pay-1", ticket="T\0x"))
    assert results(work_off(batch)) == ["requested", "refused"]
    assert batch.rows.get(line=3).given["ticket"] == "T\\x00x"


def test_every_row_becomes_one_request_as_by_hand() -> None:
    sold(1)
    sold(2)
    batch = work_off(confirmed(line("pay-1", "12.50", internal_note="Dock 4"), line("pay-2"), line("pay-3")))
    assert results(batch) == ["requested", "requested", "refused"]
    first, second = Refund.objects.order_by("pk")
    assert (first.amount, first.ticket, first.internal_note, first.requested_by) == (1250, "T-1", "Dock 4", alice())
    assert (first.status, first.approvals_needed, second.batch_row.line) == ("requested", 1, 3)
    assert list(first.events.values_list("actor", "step")) == [("alice", "requested")]


def test_an_allowance_that_is_used_up_in_the_middle_stops_the_rows_behind_it() -> None:
    for number in range(1, 4):
        sold(number)
    batch = confirmed(*(line(f"pay-{n}") for n in (1, 2, 3)))
    allow(alice(), "request", 5000, 2000)
    assert results(work_off(batch)) == ["requested", "requested", "refused"]
    assert "left of the day" in batch.rows.get(line=4).why_not


def test_a_row_that_is_skipped_doubles_nothing() -> None:
    sold(1)
    rows = services.dry_run(csv_of(line("pay-1", "50.00"), line("pay-1", "1.00")), "f.csv", alice()).rows
    assert [(row.twins, bool(row.why_not)) for row in rows] == [([], False), ([], True)]


def test_a_payment_that_changed_since_it_was_shown_is_left_to_people() -> None:
    payment = sold(1)
    batch = confirmed(line("pay-1"))
    ask(payment, 500)
    assert results(work_off(batch)) == ["refused"]
    assert "has changed" in batch.rows.get().why_not


def test_a_dispute_and_a_lost_right_stop_the_rows_that_are_left() -> None:
    sold(1)
    batch = confirmed(line("pay-1"))
    Payment.objects.update(disputed_at=timezone.now())
    assert "disputed" in work_off(batch).rows.get().why_not
    Payment.objects.update(disputed_at=None)
    batch = confirmed(line("pay-1", "11.00"))
    alice().groups.clear()
    assert "may not request" in work_off(batch).rows.get().why_not


def test_nobody_confirms_a_file_that_somebody_else_has_looked_at() -> None:
    sold(1)
    run = services.dry_run(csv_of(line()), "f.csv", alice())
    with pytest.raises(NotAllowed):
        services.open_batch(run, person("alma", "Agents"))
    with pytest.raises(NotAllowed):
        services.dry_run(csv_of(line()), "f.csv", bob())


def test_confirmed_twice_it_is_one_batch() -> None:
    sold(1)
    run = services.dry_run(csv_of(line()), "f.csv", alice())
    assert services.open_batch(run, alice()) == services.open_batch(run, alice())
    assert BatchRow.objects.count() == 1


def test_the_same_file_confirmed_by_somebody_else_meanwhile_is_looked_at_again() -> None:
    sold(1)
    run = services.dry_run(csv_of(line()), "f.csv", alice())
    first = confirmed(line(), by=person("alma", "Agents"))
    with pytest.raises(WrongMoment, match="meanwhile"):
        services.open_batch(run, alice())
    assert services.open_batch(run, alice(), knows_of=first).again_of == first


# --- jobs that die, come twice, or are lost ---


@pytest.mark.parametrize("dies_at", range(6))
def test_a_job_that_dies_anywhere_leaves_each_row_to_be_requested_once(
    dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the request and before the link, too: they are kept together or not at all."""
    for number in range(1, 4):
        sold(number)
    batch, n_writes, original = confirmed(*(line(f"pay-{n}") for n in (1, 2, 3))), 0, batches._request

    def die(row: BatchRow) -> Any:
        nonlocal n_writes
        n_writes += 1
        if n_writes == dies_at // 2 + 1 and dies_at % 2 == 0:
            raise KeyboardInterrupt
        refund = original(row)
        if n_writes == dies_at // 2 + 1:
            raise KeyboardInterrupt
        return refund

    monkeypatch.setattr(batches, "_request", die)
    with pytest.raises(KeyboardInterrupt):
        services.take_batch_turn(batch.pk, batch.ask_at)
    assert Refund.objects.count() == dies_at // 2 == BatchRow.objects.filter(result="requested").count()
    monkeypatch.setattr(batches, "_request", original)
    assert results(work_off(batch)) == ["requested"] * 3
    assert (Refund.objects.count(), Event.objects.filter(step="requested").count()) == (3, 3)
    assert set(Payment.objects.values_list("held", flat=True)) == {1000}


def test_a_ticket_of_another_moment_does_nothing() -> None:
    sold(1)
    batch = confirmed(line())
    services.take_batch_turn(batch.pk, batch.ask_at - timedelta(seconds=1))
    assert results(batch) == ["waiting"]
    work_off(batch)
    services.take_batch_turn(batch.pk, batch.confirmed_at)
    assert Refund.objects.count() == 1


def test_a_batch_whose_job_was_lost_is_handed_out_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    sold(1)
    batch, given = confirmed(line()), []
    monkeypatch.setattr("refunds.jobs.wake_batch", lambda *ticket, at_once: given.append(ticket))
    monkeypatch.setattr("django.db.transaction.on_commit", lambda do, **_: do())
    assert services.sweep() == 1
    batch.refresh_from_db()
    assert given == [(batch.pk, batch.ask_at)]
    services.take_batch_turn(*given[0])
    assert results(batch) == ["requested"]
    assert services.sweep() == 0


@pytest.mark.django_db(transaction=True)
def test_two_jobs_at_once_request_each_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hold a ticket, as after a lease that ran out while its holder was only slow."""
    n_rows = 12
    for number in range(n_rows):
        sold(number)
    batch, both, troubles = confirmed(*(line(f"pay-{n}") for n in range(n_rows))), threading.Barrier(2), list[Any]()
    monkeypatch.setattr(batches, "take_ticket", lambda *ticket: bool(both.wait(timeout=30) >= 0))

    def run() -> None:
        try:
            services.take_batch_turn(batch.pk, batch.ask_at)
        except Exception as trouble:
            troubles.append(trouble)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []
    assert results(batch) == ["requested"] * n_rows
    assert Refund.objects.count() == n_rows
    assert set(Payment.objects.values_list("held", flat=True)) == {1000}


def broken_at(reference: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    original = batches._request

    def broken(row: BatchRow) -> Any:
        refund = original(row)
        if row.payment is not None and row.payment.reference == reference:
            raise KeyError(reference)
        return refund

    monkeypatch.setattr(batches, "_request", broken)
    return monkeypatch


def test_a_row_that_fails_unexpectedly_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        sold(number)
    batch = confirmed(*(line(f"pay-{n}") for n in (1, 2, 3)))
    with monkeypatch.context() as patch:
        broken_at("pay-1", patch)
        services.take_batch_turn(batch.pk, batch.ask_at)
        assert results(batch) == ["waiting", "requested", "requested"]
        batch.refresh_from_db()
        pauses = []
        for _ in range(3):
            services.take_batch_turn(batch.pk, batch.ask_at)
            batch.refresh_from_db()
            pauses.append(batch.ask_at - timezone.now())
    assert timedelta(minutes=3) < pauses[0] < pauses[1] / 3 < pauses[2] / 9
    batch = work_off(batch)
    assert (results(batch), batch.trouble) == (["requested"] * 3, "")
    assert set(batch.rows.values_list("why_not", flat=True)) == {""}
    assert Refund.objects.count() == 3


def test_a_row_that_fails_every_time_is_named_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sold(1)
    sold(2)
    batch = confirmed(line("pay-1"), line("pay-2"))
    broken_at("pay-1", monkeypatch)
    batch = work_off(batch)
    assert batch.trouble.startswith("Not requested: line 2, after 5 tries (KeyError).")
    assert (results(batch), Refund.objects.count()) == (["waiting", "requested"], 1)
    assert Payment.objects.get(reference="pay-1").held == 0


# --- what was confirmed never changes ---


FROZEN: dict[str, Any] = {"amount": 1, "line": 9, "seen_free": 1, "given": {}, "payment_id": None, "reason_id": 2}


@pytest.mark.parametrize("column", FROZEN)
def test_a_row_never_changes_after_it_was_confirmed(column: str) -> None:
    sold(1)
    batch = confirmed(line())
    with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
        batch.rows.update(**{column: FROZEN[column]})
    work_off(batch)
    with pytest.raises(IntegrityError, match="stays as it is"), transaction.atomic():
        batch.rows.update(why_not="x")
    with pytest.raises(IntegrityError, match="never deleted"), transaction.atomic():
        batch.rows.all()._raw_delete("default")


def test_a_row_takes_no_refund_that_is_not_its_own() -> None:
    sold(1)
    other = ask(sold(2), 1000)
    batch = confirmed(line("pay-1"))
    done = {"result": "requested", "done_at": timezone.now()}
    with pytest.raises(IntegrityError, match="not what the row asked"), transaction.atomic():
        batch.rows.update(refund=other, **done)


def test_a_batch_whose_rows_are_not_what_was_confirmed_is_given_up() -> None:
    sold(1)
    sold(2)
    batch, reason = confirmed(line("pay-1")), RefundReason.objects.first()
    smuggled = {"payment": Payment.objects.get(reference="pay-2"), "amount": 5000, "reason": reason, "seen_free": 5000}
    BatchRow.objects.create(batch=batch, line=99, given={"ticket": "", "internal_note": ""}, **smuggled)
    batch = work_off(batch)
    assert "no longer what was confirmed" in batch.trouble
    assert not Refund.objects.exists()


# --- the pages ---


def browser(user: Any = None) -> Client:
    client = Client()
    client.force_login(user or alice())
    return client


def upload(client: Client, content: bytes, name: str = "refunds.csv") -> HttpResponse:
    return client.post(reverse("admin:refunds_batch_add"), {"file": SimpleUploadedFile(name, content)}, follow=True)


def confirm(client: Client, preview: Any, **fields: str) -> HttpResponse:
    return client.post(preview.request["PATH_INFO"], fields, follow=True)


def test_from_the_upload_to_the_page_of_the_batch() -> None:
    sold(1)
    client = browser()
    preview = upload(client, csv_of(line("pay-1"), line("pay-2")))
    body = preview.content.decode()
    assert "1 of 2 rows would be requested" in body
    assert "There is no payment &#x27;pay-2&#x27; in the account payerly-eu." in body
    assert not Batch.objects.exists()
    page = confirm(client, preview).content.decode()
    assert 'http-equiv="refresh"' in page
    batch = work_off(Batch.objects.get())
    page = client.get(reverse("admin:refunds_batch_change", args=(batch.pk,))).content.decode()
    assert "1 of 2 rows requested" in page
    assert 'http-equiv="refresh"' not in page
    assert reverse("admin:refunds_refund_change", args=(Refund.objects.get().pk,)) in page


def test_a_row_that_cannot_be_read_has_its_place_on_the_pages() -> None:
    sold(1)
    client = browser()
    preview = upload(client, csv_of(line("pay-1"), "payerly-eu,pay-1"))
    assert "Fields in this row: 2 instead of 8." in preview.content.decode()
    page = confirm(client, preview).content.decode()
    assert "Fields in this row: 2 instead of 8." in page
    answer = client.get(reverse("admin:refunds_batch_refused", args=(Batch.objects.get().pk,)))
    assert b"Fields in this row" in b"".join(answer.streaming_content)


def test_the_refused_rows_come_back_as_a_file_that_can_be_corrected() -> None:
    sold(1)
    client, batch = browser(), confirmed(line("pay-1"), line("pay-2", "5.00", internal_note="see; ticket"))
    answer = client.get(reverse("admin:refunds_batch_refused", args=(batch.pk,)))
    content = b"".join(answer.streaming_content)
    (row,) = read_request_rows(content)
    assert isinstance(row, RequestRow)
    assert (row.payment_reference, row.amount, row.internal_note) == ("pay-2", "5.00", "see; ticket")
    sold(2)
    assert services.dry_run(content, "f.csv", alice()).doable
    for other in (person("alma", "Agents"), bob()):
        assert browser(other).get(answer.request["PATH_INFO"]).status_code == 404


def test_what_begins_like_a_formula_comes_back_as_it_was_typed() -> None:
    sold(1)
    batch = confirmed(line("pay-1"), line("pay-2", ticket="-5 EUR", internal_note="'=1"), line("pay-3", ticket="'s"))
    answer = browser().get(reverse("admin:refunds_batch_refused", args=(batch.pk,)))
    first, second = read_request_rows(b"".join(answer.streaming_content))
    assert isinstance(first, RequestRow)
    assert isinstance(second, RequestRow)
    assert (first.ticket, first.internal_note, second.ticket) == ("-5 EUR", "=1", "'s")


def test_an_earlier_batch_is_a_link_only_for_those_who_may_see_it() -> None:
    sold(1)
    first = confirmed(line("pay-1", "1.00"))
    alma = person("alma", "Agents")
    run = services.dry_run(csv_of(line("pay-1", "1.00")), "f.csv", alma)
    second = services.open_batch(run, alma, knows_of=first)
    page, link = (reverse("admin:refunds_batch_change", args=(batch.pk,)) for batch in (second, first))
    bodies = [browser(user).get(page).content.decode() for user in (alma, bob())]
    assert ["an earlier batch" in body for body in bodies] == [True, True]
    assert [link in body for body in bodies] == [False, True]


def test_the_same_file_again_is_said_and_needs_a_tick() -> None:
    sold(1)
    first, client = work_off(confirmed(line("pay-1"))), browser()
    workbook = xlsx_of(["payerly-eu", "pay-1", None, "10.00", "EUR", "Goods returned", "T-1", None])
    preview = upload(client, workbook, "again.xlsx")
    assert reverse("admin:refunds_batch_change", args=(first.pk,)) in preview.content.decode()
    refused = confirm(client, preview, suspect="yes")
    assert (refused.status_code, Batch.objects.count()) == (409, 1)
    assert "the same file is meant" in refused.content.decode()
    confirm(client, preview, suspect="yes", again=str(first.pk))
    assert Batch.objects.get(again_of=first).person == alice()


def test_likely_duplicates_need_a_tick_and_large_totals_are_typed(settings: Any) -> None:
    settings.BULK_TYPED_TOTAL = 15
    sold(1)
    client = browser()
    preview = upload(client, csv_of(line("pay-1"), line("pay-1", "5.00")))
    for fields in ({}, {"suspect": "yes"}, {"suspect": "yes", "total_EUR": "15"}, {"total_EUR": "15.00"}):
        assert confirm(client, preview, **fields).status_code == 409
    assert not Batch.objects.exists()
    confirm(client, preview, suspect="yes", total_EUR="15.00")
    assert Batch.objects.count() == 1


def test_a_preview_is_used_once_and_by_its_person_alone() -> None:
    sold(1)
    client = browser()
    preview = upload(client, csv_of(line()))
    stranger = confirm(browser(person("alma", "Agents")), preview)
    confirm(client, preview)
    second = confirm(client, preview)
    for answer in (stranger, second):
        assert "used already" in answer.content.decode()
    assert Batch.objects.count() == 1


def test_who_sees_which_batches() -> None:
    """Agents their own; those who decide and look all of them, but none about accounts that they do not know of."""
    sold(1)
    make_payment(account=make_account("other-eu"), reference="pay-9")
    mine = confirmed(line("pay-1"))
    mixed = confirmed(line("pay-1", "1.00"), line("pay-9", account="other-eu"), line("x", account="third-eu"))
    alma, bert = person("alma", "Agents"), person("bert", "Approvers")
    limit_to(bert, make_account())
    seen = {user: set(services.batches_for(user)) for user in (alice(), alma, bob(), carol(), bert)}
    both = {mine, mixed}
    assert seen == {alice(): both, alma: set(), bob(): both, carol(): both, bert: {mine}}
    for user, batch, status in ((alma, mine, 302), (bert, mixed, 302), (bert, mine, 200), (bob(), mixed, 200)):
        answer = browser(user).get(reverse("admin:refunds_batch_change", args=(batch.pk,)))
        assert answer.status_code == status


def test_of_an_account_that_one_left_only_the_own_words_are_shown() -> None:
    sold(1, customer_name="Anna Nowak")
    make_payment(account=make_account("other-eu"), reference="pay-9", order="order-9")
    lines = (line("pay-1"), line("pay-1", "49.00"), line("pay-9", "1.00", account="other-eu"), line("pay-7"))
    batch = confirmed(*lines)
    batch = work_off(batch)
    assert results(batch) == ["requested", "refused", "refused", "refused"]
    limit_to(alice(), make_account("other-eu"))
    url, client = reverse("admin:refunds_batch_change", args=(batch.pk,)), browser()
    page = client.get(url).content.decode()
    assert page.count("You no longer work with its account.") == 2
    assert "0 of 4 rows requested" in page
    assert "Download the 2 refused rows" in page
    for told in (Refund.objects.earliest("pk").number, "order-1", "more than is free", "desk-totals"):
        assert told not in page
    for show, count in (("requested", 0), ("refused", 2), ("waiting", 0), ("all", 4)):
        answer = client.get(f"{url}?show={show}")
        assert (len(answer.context["page_of_rows"]), dict(answer.context["tabs"])[show]) == (count, count)
    refused = client.get(reverse("admin:refunds_batch_refused", args=(batch.pk,)))
    kept = read_request_rows(b"".join(refused.streaming_content))
    assert [row.payment_reference for row in kept if isinstance(row, RequestRow)] == ["pay-9", "pay-7"]
    assert "0 of 4 requested" in client.get(reverse("admin:refunds_batch_changelist")).content.decode()


def test_the_refunds_of_a_batch_are_a_list(django_assert_max_num_queries: Any) -> None:
    for number in range(1, 4):
        sold(number)
    batch = work_off(confirmed(line("pay-1"), line("pay-2")))
    other, url = ask(Payment.objects.get(reference="pay-3")), reverse("admin:refunds_refund_changelist")
    found = browser(bob()).get(f"{url}?batch={batch.pk}").content.decode()
    numbers = [refund.number for refund in Refund.objects.order_by("pk")]
    assert [number in found for number in numbers] == [True, True, False]
    assert other.number not in browser(bob()).get(f"{url}?batch=999").content.decode()
    assert browser(bob()).get(f"{url}?batch=x").status_code == 200


@pytest.mark.once
def test_the_pages_of_a_long_file_stay_small_and_quick(django_assert_max_num_queries: Any) -> None:
    account = make_account()
    Payment.objects.bulk_create(
        Payment(account=account, reference=f"p-{n}", currency="EUR", captured=5000, captured_at=timezone.now())
        for n in range(150)
    )
    client = browser()
    preview = upload(client, csv_of(*(line(f"p-{n}") for n in range(150))))
    with django_assert_max_num_queries(40):
        client.get(preview.request["PATH_INFO"] + "?show=all&p=2")
    confirm(client, preview, total_EUR="1500.00")
    batch = work_off(Batch.objects.get())
    with django_assert_max_num_queries(40):
        page = client.get(reverse("admin:refunds_batch_change", args=(batch.pk,)) + "?show=requested")
    assert page.content.decode().count("desk-one") == 100


def test_the_example_reads_without_error_in_the_demo(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DEBUG = True
    point_at(Sandbox(pace=1000), monkeypatch)
    for gateway in ("payerly", "paynow"):
        make_account(ACCOUNTS[gateway])
    demo.load()
    example = Path(demo.__file__).with_name("refunds.csv")
    run = services.dry_run(example.read_bytes(), example.name, person("agent"))
    assert [row.why_not for row in run.rows] == [""] * 5
    assert not any(row.is_suspect for row in run.rows)
    assert example.read_text() in (Path(demo.__file__).parents[2] / "docs/bulk-requests.md").read_text()
