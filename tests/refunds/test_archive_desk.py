"""What people see of a refund whose history lies in an archive: its pages still work, and say where it lies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from gateways.contract import Outcome, RefundUpdate
from refunds import services
from refunds.models import ArchivedChain, Refund
from refunds.services.actor import Mouth
from tests.builders import carol
from tests.people.test_export import rows_of, take
from tests.refunds.olden import archive, olden, seal
from tests.refunds.test_evidence_pack import taken, verified

pytestmark = pytest.mark.django_db
BACK = RefundUpdate(Outcome.FAILED, reference="REF-1", code="returned", message="The bank sent it back.")


@pytest.fixture
def archived(tmp_path: Path) -> Refund:
    refund = olden()
    archive(tmp_path)
    return refund


@pytest.fixture
def auditor() -> Client:
    client = Client()
    client.force_login(carol())
    return client


def page_of(client: Client, refund: Refund, of: str = "refund") -> str:
    pk = refund.pk if of == "refund" else refund.payment_id
    answer = client.get(reverse(f"admin:refunds_{of}_change", args=(pk,)))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(("of", "lines"), [("refund", "Lines 1 to 4 lie"), ("payment", "Lines 1 to 2 lie")])
def test_its_pages_say_where_its_history_lies(of: str, lines: str, archived: Refund, auditor: Client) -> None:
    page = page_of(auditor, archived, of)
    head = ArchivedChain.objects.get(refund=archived if of == "refund" else None)
    assert lines in page
    for named in (head.archive.file_name, head.archive.file_digest, head.digest):
        assert named in page


def test_its_stages_keep_the_moments_that_the_refund_itself_has(archived: Refund, auditor: Client) -> None:
    page = page_of(auditor, archived)
    assert page.count("in the archive") >= 4
    assert str(archived.final_at.year) in page


def test_its_timeline_goes_on_with_what_comes_later(archived: Refund, auditor: Client) -> None:
    services.record_update(archived.pk, BACK, Mouth.LOOK_UP)
    page = page_of(auditor, archived)
    assert "Lines 1 to 4 lie" in page
    assert "The bank sent it back." in page


def test_its_pack_is_verified_by_itself_and_goes_on_from_the_head(archived: Refund, tmp_path: Path) -> None:
    services.record_update(archived.pk, BACK, Mouth.LOOK_UP)
    seal()
    files = taken(archived, carol())
    assert "lines 1 to 4 are not in this pack" in files["README.txt"].decode()
    assert "Every line is what was written" in files["verification.txt"].decode()
    assert "DOES NOT FIT" not in files["verification.txt"].decode()
    assert verified(files, tmp_path / "whole") == (0, "Everything fits.\n")
    journal = json.loads(files["journal.json"])
    journal["chains"][0]["archived"][0]["digest"] = "0" * 64
    files["journal.json"] = json.dumps(journal).encode()
    assert f"{archived}: line 5 is not what was written." in verified(files, tmp_path / "other")[1]


@pytest.mark.parametrize(("model", "lines"), [("refund", [("1", "4")]), ("payment", [("1", "2"), ("1", "4")])])
def test_the_export_says_which_lines_lie_in_which_file(
    model: str, lines: list[tuple[str, str]], archived: Refund, auditor: Client
) -> None:
    rows = rows_of(take(auditor, model, table="archived"))
    assert sorted((row["first_sequence"], row["last_sequence"]) for row in rows) == lines
    head = ArchivedChain.objects.get(refund=archived)
    assert {row["file_sha256"] for row in rows} == {head.archive.file_digest}
