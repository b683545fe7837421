"""Lists as files: the rows of the list, for those who may, and no cell that a spreadsheet would calculate."""

from __future__ import annotations

import csv
import json
import logging
from io import BytesIO, StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from openpyxl import load_workbook

from refunds import sheets
from refunds.admin.export import TABLES
from refunds.models import Delivery, Event, Payment, Refund
from refunds_site import checks
from tests.builders import ask, make_account, make_delivery, make_payment, person

FORMULAS = "=+-@\uff1d\uff0b\uff0d\uff20"
STARTS = ["", " ", "\t", "\r", "\n", "\x00", '"', ' "', '""', "\u00a0", "\u200b", "\ufeff", "\u3000", "\x1f"]
BODIES = ["1+1", "cmd|' /C calc'!A0", 'HYPERLINK("https://evil.example","x")']
PAYLOADS = [
    *(f"{start}{sign}{body}" for start in STARTS for sign in FORMULAS for body in BODIES[:2]),
    *(f"x;{sign}1" for sign in FORMULAS),
    *(f"x\n{sign}1" for sign in FORMULAS),
    *(f"{sign}{BODIES[2]}" for sign in FORMULAS),
    "\t1", "\r1", "\n1", "\x001", 'a"b', "a,b", "a;b", "a\r\nb", "'=1", "x" * 40_000, "=" * 40_000,
    "\ud800", "Zażółć", "",
]  # fmt: skip
BLANKS = ' \t\r\n\x00"\u00a0\u200b\ufeff\u3000\x1f'


def is_dangerous(cell: str) -> bool:
    return cell.lstrip(BLANKS)[:1] in tuple(FORMULAS) or cell[:1] in ("\t", "\r", "\n", "\x00")


def from_csv(content: bytes) -> list[list[str]]:
    text = content.decode("utf-8-sig")
    assert text.endswith("\r\n")
    assert text.startswith('"')
    return list(csv.reader(StringIO(text, newline=""), strict=True))


def from_xlsx(content: bytes) -> list[list[Any]]:
    book = load_workbook(BytesIO(content), read_only=False)
    (sheet,) = book.worksheets
    kinds = {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value is not None}
    assert kinds <= {"s", "inlineStr"}, kinds
    return [["" if cell.value is None else cell.value for cell in row] for row in sheet.iter_rows()]


# --- cells ---


@pytest.mark.promise("I44")
def test_no_cell_is_a_formula(trials: Any) -> None:
    """Every payload in every column of a wide table, read back from both kinds of file."""
    assert len(PAYLOADS) >= 200
    width = max(len(table.columns) for tables in TABLES.values() for table in tables)
    rows = [[payload] * width for payload in PAYLOADS]
    found = {"csv": from_csv(b"".join(sheets.as_csv(rows))), "xlsx": from_xlsx(sheets.as_xlsx(rows).read())}
    for read in found.values():
        assert len(read) == len(rows)
        assert all(len(row) == width for row in read)
        assert [cell for row in read for cell in row if is_dangerous(cell)] == []
        assert not any(
            f"{apart}{sign}" in cell for row in read for cell in row for apart in ";\t\n" for sign in FORMULAS
        )
    trials(2 * width * len(PAYLOADS))


@pytest.mark.parametrize(
    "text", ["Zażółć", 'a "quoted" word', "a, b; c", "two\nlines", "12.50", "R-000042", "", "a=b", "'s"]
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert sheets.safe(text) == text
    assert from_csv(b"".join(sheets.as_csv([[text, "x"]]))) == [[text, "x"]]
    assert from_xlsx(sheets.as_xlsx([[text, "x"]]).read()) == [[text, "x"]]


# --- lists ---

pytestmark = pytest.mark.once


@pytest.fixture
def may_export(db: None) -> None:
    kind = ContentType.objects.get_for_model(Refund)
    right, _ = Permission.objects.get_or_create(
        content_type=kind, codename="export_refund", defaults={"name": "Can export lists"}
    )
    for name in ("Finance", "Auditors"):
        Group.objects.get(name=name).permissions.add(right)


@pytest.fixture
def books(may_export: None) -> Refund:
    first = ask(make_payment(reference="-pay-1", order="+2", customer_name="@x", customer_email="anna@example.com"))
    ask(make_payment(currency="JPY", reference="pay-2", order="order-2"), amount=700)
    make_delivery(first.account, '{"a": 1}')
    return first


def desk(group: str, **fields: Any) -> Client:
    client = Client()
    client.force_login(person(group.lower().replace(" ", "-") or "nobody", group, **fields))
    return client


def take(client: Client, model: str, query: str = "", table: str = "", form: str = "csv") -> Any:
    table = table or {"delivery": "deliveries"}.get(model, f"{model}s")
    return client.post(f"/admin/refunds/{model}/export/{query}", {"table": table, "format": form})


def rows_of(answer: Any, form: str = "csv") -> list[dict[str, str]]:
    assert answer.status_code == 200, answer
    content = b"".join(answer.streaming_content)
    head, *rest = from_csv(content) if form == "csv" else from_xlsx(content)
    return [dict(zip(head, row, strict=True)) for row in rest]


@pytest.mark.django_db
@pytest.mark.promise("I44")
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_list_becomes_a_file(books: Refund, form: str) -> None:
    answer = take(desk("Finance"), "refund", form=form)
    assert answer["Content-Disposition"].startswith('attachment; filename="refunds-20')
    assert answer["Content-Disposition"].endswith(f'.{form}"')
    rows = {row["number"]: row for row in rows_of(answer, form)}
    row = rows[books.number]
    assert len(rows) == 2
    assert (row["amount"], row["currency"], row["payment_reference"]) == ("10.00", "EUR", "'-pay-1")
    assert row["requested_at"] == f"{books.requested_at:%Y-%m-%dT%H:%M:%S}Z"
    assert (row["order"], row["customer_name"]) == ("'+2", "'@x")
    assert {row["amount"] for row in rows.values()} == {"10.00", "700"}


@pytest.mark.django_db
def test_payments_deliveries_and_the_journal_are_files_too(books: Refund) -> None:
    client = desk("Auditors")
    payments = rows_of(take(client, "payment"))
    assert {(row["captured"], row["held"], row["currency"]) for row in payments} == {
        ("50.00", "10.00", "EUR"),
        ("5000", "700", "JPY"),
    }
    (delivery,) = rows_of(take(client, "delivery"))
    assert delivery["account"] == "payerly-eu"
    assert "body" not in delivery
    assert len(rows_of(take(client, "refund", table="journal"))) == Event.objects.exclude(refund=None).count()
    lines = rows_of(take(client, "payment", table="journal"))
    assert [row["line"] for row in lines] == [
        str(pk) for pk in Event.objects.order_by("pk").values_list("pk", flat=True)
    ]
    assert json.loads(lines[0]["data"])["amount"] == 5000


@pytest.mark.django_db
def test_filters_and_search_are_kept(books: Refund) -> None:
    client = desk("Finance")
    assert [row["payment_reference"] for row in rows_of(take(client, "refund", "?q=pay-2"))] == ["pay-2"]
    assert rows_of(take(client, "refund", "?status__exact=succeeded")) == []
    assert len(rows_of(take(client, "payment", "?currency__exact=JPY"))) == 1
    assert len(rows_of(take(client, "refund", "?q=pay-2", table="journal"))) == 1
    page = client.get("/admin/refunds/refund/?q=pay-2").content.decode()
    assert 'action="export/?q=pay-2"' in page
    assert take(client, "refund", "?status__exact[]=x&p=zz").status_code in (302, 400)
    assert take(client, "refund", "?payment__account__slug__startswith=p").status_code == 400


ROLES = {
    "Agents": 403,
    "Approvers": 403,
    "Finance": 200,
    "Auditors": 200,
    "Gateway admins": 403,
    "User admins": 403,
    "": 403,
}


@pytest.mark.django_db
@pytest.mark.parametrize(("group", "status"), ROLES.items())
@pytest.mark.parametrize("model", ["refund", "payment", "delivery"])
def test_who_may_export(books: Refund, group: str, status: int, model: str) -> None:
    client = desk(group)
    assert take(client, model).status_code == status
    for method in ("get", "head", "put"):
        assert getattr(client, method)(f"/admin/refunds/{model}/export/").status_code == 405
    shown = client.get(f"/admin/refunds/{model}/").content.decode()
    assert ("Export what is listed" in shown) == (status == 200)


@pytest.mark.django_db
def test_nobody_exports_without_a_token_or_a_login_or_as_superuser(books: Refund) -> None:
    assert Client().post("/admin/refunds/refund/export/", {"table": "refunds", "format": "csv"}).status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person("fin", "Finance"))
    assert take(strict, "refund").status_code == 403
    assert take(desk("", is_superuser=True), "refund").status_code == 403


@pytest.mark.django_db
def test_an_export_leaves_a_trace(books: Refund, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    take(desk("Finance"), "refund", "?q=pay-2", form="xlsx")
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_repr) == ("finance", "Export of refunds")
    assert "exported 1 rows (refunds, xlsx), filters: q=pay-2" in entry.change_message
    assert "finance exported 1 rows (refunds, xlsx), filters: q=pay-2" in caplog.text


@pytest.mark.django_db
def test_too_much_is_refused_with_what_to_do(books: Refund, settings: Any) -> None:
    settings.EXPORT_MOST_ROWS = 1
    client = desk("Finance")
    answer = client.post("/admin/refunds/refund/export/?q=pay-", {"table": "refunds", "format": "csv"}, follow=True)
    assert "at most 1. Narrow the list" in answer.content.decode()
    assert not LogEntry.objects.exists()
    assert len(rows_of(take(client, "refund", "?q=pay-2"))) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(("table", "form"), [("users", "csv"), ("refunds", "exe"), ("", ""), ("payments", "csv")])
def test_what_is_not_offered_is_not_found(books: Refund, table: str, form: str) -> None:
    answer = desk("Finance").post("/admin/refunds/refund/export/", {"table": table, "format": form})
    assert answer.status_code == 404


@pytest.mark.django_db
def test_what_the_list_hides_the_file_hides_too(books: Refund, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's rows come from the list's own queryset."""
    from refunds.admin.refunds import RefundAdmin

    original = RefundAdmin.get_queryset
    monkeypatch.setattr(
        RefundAdmin, "get_queryset", lambda screen, request: original(screen, request).exclude(pk=books.pk)
    )
    client = desk("Finance")
    assert [row["payment_reference"] for row in rows_of(take(client, "refund"))] == ["pay-2"]
    assert {row["refund"] for row in rows_of(take(client, "refund", table="journal"))} == {
        Refund.objects.exclude(pk=books.pk).get().number
    }


@pytest.mark.django_db
def test_a_csv_file_is_written_row_by_row(books: Refund, django_assert_max_num_queries: Any) -> None:
    account = make_account()
    for number in range(30):
        make_payment(reference=f"more-{number}", account=account)
    client = desk("Finance")
    with django_assert_max_num_queries(25):
        answer = take(client, "payment")
        assert answer.streaming
        assert len(rows_of(answer)) == 32
    assert Payment.objects.count() == 32
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize(("most", "found"), [(1, 0), (50_000, 0), (0, 1), (-5, 1), (10_000_000, 1)])
def test_the_cap_has_bounds(settings: Any, most: int, found: int) -> None:
    settings.EXPORT_MOST_ROWS = most
    assert [error.id for error in checks.check_logs_and_exports()] == ["refunds.E045"] * found
