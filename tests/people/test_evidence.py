"""Evidence files: known by their content, kept under random names, downloads for those who see the refund."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from refunds import services
from refunds.errors import BadInput
from refunds.models import Declaration, Refund
from refunds.services.evidence_files import LARGEST_FILE, shown_name
from tests.builders import PDF, PNG, again, dora, make_payment, person
from tests.refunds.test_record import standing_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 20 + b"\xff\xd9"
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
ZIP = b"PK\x03\x04" + b"\0" * 30 + b"PK\x05\x06" + b"\0" * 18


@pytest.fixture
def evidence_folder(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "evidence")
    return tmp_path / "evidence"


def attach(name: str, content: bytes) -> Declaration:
    refund = standing_in("unknown")
    file = SimpleUploadedFile("x", content)
    file._name = name  # Django's own clean-up must not be all there is
    services.propose_outcome(refund.pk, dora(), "succeeded", "Seen there.", seen=again(refund).version, evidence=file)
    return Declaration.objects.get()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.pdf", PDF),
        ("LIST.PDF", PDF),
        ("list.png", PNG),
        ("list.jpg", JPEG),
        ("list.jpeg", JPEG),
        ("list.txt", "Zażółć\r\n\tgęślą".encode()),
        ("list.csv", b"a;b\r\n1;2\r\n"),
        ("mail.eml", b"From: bank@example.com\r\n\r\n<html><body>Paid</body></html>"),
        ("list.pdf.pdf", PDF),
    ],
)
def test_what_it_says_it_is_is_taken(evidence_folder: Path, name: str, content: bytes) -> None:
    kept = attach(name, content)
    assert kept.evidence_name == name
    assert re.fullmatch(r"[0-9a-f-]{36}\.[a-z]+", kept.evidence.name)
    assert [file.read_bytes() for file in evidence_folder.iterdir()] == [content]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("page.html", HTML, "of these kinds"),
        ("picture.svg", SVG, "of these kinds"),
        ("run.exe", b"MZ", "of these kinds"),
        ("statement.pdf.exe", PDF, "of these kinds"),
        ("statement.pdf\0.exe", PDF, "of these kinds"),
        ("statement\u202efdp.exe", PDF, "of these kinds"),
        ("none", PDF, "of these kinds"),
        (".pdf", PDF, "of these kinds"),
        ("page.pdf", HTML, "content is not"),
        ("page.pdf", b"\n" + PDF, "content is not"),
        ("page.png", HTML, "content is not"),
        ("page.jpg", PNG, "content is not"),
        ("picture.png", SVG, "content is not"),
        ("cut.pdf", PDF[:20], "content is not"),
        ("cut.png", PNG[:-4], "content is not"),
        ("binary.txt", b"MZ\x90\x00\x03", "content is not"),
        ("page.txt", HTML, "two kinds"),
        ("page.txt", b"\xef\xbb\xbf  " + SVG, "two kinds"),
        ("page.csv", b"a,b\n<script>alert(1)</script>", "two kinds"),
        ("both.pdf", PDF[:9] + HTML + PDF[9:], "two kinds"),
        ("both.jpg", JPEG[:12] + HTML + JPEG[12:], "two kinds"),
        ("both.pdf", PDF + ZIP + b"%%EOF", "two kinds"),
        ("empty.pdf", b"", "empty"),
        ("big.pdf", PDF + b" " * LARGEST_FILE + PDF, "larger than 5 MB"),
    ],
)
def test_what_is_something_else_is_refused_and_nothing_is_kept(
    evidence_folder: Path, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(BadInput, match=why):
        attach(name, content)
    assert not evidence_folder.exists()
    assert not Declaration.objects.exists()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.txt", "passwd.txt"),
        ("/etc/cron.d/x.txt", "x.txt"),
        ("..\\..\\windows\\x.txt", "x.txt"),
        ("C:\\x.txt", "x.txt"),
        ("a\r\nSet-Cookie: x=1.txt", "aSet-Cookie: x=1.txt"),
        ("a\u202etxt.b.txt", "atxt.b.txt"),
        ("x" * 400 + ".txt", "x" * 200),
        ("card 4111111111111111.txt", "card 411111••••••1111.txt"),
        ("..", "evidence"),
        ("", "evidence"),
    ],
)
def test_a_name_tells_no_way_and_turns_nothing(name: str, shown: str) -> None:
    assert shown_name(name) in (shown, "..")
    if name != "..":
        assert shown_name(name) == shown


@pytest.mark.parametrize("name", ["../../../x.txt", "/tmp/x.txt", "..\\..\\x.txt", "a/b/c.txt", "x\r\ny: z.txt"])
def test_a_name_leads_nowhere(evidence_folder: Path, name: str) -> None:
    attach(name, b"It says so.")
    (kept,) = evidence_folder.iterdir()
    assert re.fullmatch(r"[0-9a-f-]{36}\.txt", kept.name)
    client = Client()
    client.force_login(dora())
    answer = client.get(download())
    assert b"".join(answer.streaming_content) == b"It says so."
    assert "\r" not in answer["Content-Disposition"]
    assert ".." not in answer["Content-Disposition"]


def download() -> str:
    declaration = Declaration.objects.get()
    return f"/admin/refunds/refund/{declaration.refund_id}/evidence/{declaration.pk}/"


WHO: list[tuple[str, str, int]] = [
    ("agent", "Agents", 200),
    ("approver", "Approvers", 200),
    ("fin", "Finance", 200),
    ("auditor", "Auditors", 200),
    ("gate", "Gateway admins", 403),
    ("users", "User admins", 403),
    ("nobody", "", 403),
]


@pytest.mark.parametrize(("name", "group", "status"), WHO)
def test_who_sees_the_refund_may_save_the_file_and_nobody_else(
    evidence_folder: Path, name: str, group: str, status: int
) -> None:
    attach("list.pdf", PDF)
    client = Client()
    assert client.get(download()).status_code == 302
    client.force_login(person(name, group))
    answer = client.get(download())
    assert answer.status_code == status
    if status == 200:
        assert answer["Content-Disposition"].startswith("attachment")
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert "no-store" in answer["Cache-Control"]


def test_a_file_hangs_on_its_own_refund_and_on_no_open_address(evidence_folder: Path) -> None:
    kept = attach("list.pdf", PDF)
    other = standing_in("unknown", make_payment(reference="pay-2"))
    client = Client()
    client.force_login(person("root", is_superuser=True))
    assert client.get(f"/admin/refunds/refund/{other.pk}/evidence/{kept.pk}/").status_code == 404
    for place in (kept.evidence.name, f"media/{kept.evidence.name}", f"static/{kept.evidence.name}"):
        assert client.get(f"/{place}").status_code == 404


def test_somebody_who_left_gets_nothing(evidence_folder: Path) -> None:
    attach("list.pdf", PDF)
    client = Client()
    client.force_login(person("agent", "Agents"))
    User.objects.filter(username="agent").update(is_active=False)
    assert client.get(download()).status_code == 302
    assert Refund.objects.count() == 1
