"""The evidence pack of a refund: what it holds, who may have it, and that it can be verified by itself."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from refunds import history, services
from refunds.admin import pack, pack_verify
from refunds.history import proof
from refunds.history.chain import COVERED
from refunds.models import Checkpoint, Declaration, Delivery, Event, Refund, Status
from tests.builders import (
    PDF,
    again,
    alice,
    ask,
    bob,
    carol,
    dora,
    limit_to,
    make_account,
    make_delivery,
    person,
)
from tests.people.canaries import PANS, sightings
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db

ALWAYS = [
    "journal.csv",
    "journal.json",
    "checkpoints.json",
    "verification.txt",
    "refund.html",
    "verify.py",
    "README.txt",
    "SHA256SUMS",
]


@pytest.fixture(autouse=True)
def evidence(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "kept")
    return tmp_path / "kept"


def make(refund: Refund, user: Any = None) -> Any:
    client = Client()
    client.force_login(user or carol())
    return client.post(reverse("admin:refunds_refund_pack", args=(refund.pk,)))


def taken(refund: Refund, user: Any = None) -> dict[str, bytes]:
    answer = make(refund, user)
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="{refund.number}-evidence.zip"'
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as file:
        assert file.testzip() is None
        folder = f"{refund.number}-evidence/"
        assert all(name.startswith(folder) for name in file.namelist())
        return {name.removeprefix(folder): file.read(name) for name in file.namelist()}


def verified(files: dict[str, bytes], folder: Path) -> tuple[int, str]:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    told = subprocess.run(
        [sys.executable, "-I", str(folder / "verify.py")], capture_output=True, text=True, check=False
    )
    return told.returncode, told.stdout + told.stderr


def declared(name: str = "statement.pdf") -> Refund:
    refund = standing_in(Status.UNKNOWN)
    file = SimpleUploadedFile(name, PDF)
    services.propose_outcome(refund.pk, dora(), "succeeded", "I saw it.", seen=refund.version, evidence=file)
    return again(refund)


# --- what it holds ---


def test_it_holds_the_page_the_journal_the_proof_and_how_to_verify_it() -> None:
    refund = ask(internal_note="a difficult customer", ticket="T-9")
    services.approve_refund(refund.pk, bob(), seen=1)
    files = taken(refund)
    assert list(files) == ALWAYS
    page = files["refund.html"].decode()
    for words in (refund.number, "pay-1", "anna@example.com", "T-9", "alice", "bob", str(refund.key)):
        assert words in page, words
    assert refund.approvals.get().digest in page
    assert "http" not in page.replace("html", "")  # it loads nothing
    assert not re.search(r"<(script|link|img|iframe)", page)
    assert "python3 verify.py" in files["README.txt"].decode()
    assert all(b"a difficult customer" not in content for content in files.values())


def test_the_journal_is_that_of_the_refund_and_of_its_payment() -> None:
    refund = standing_in(Status.SUCCEEDED)
    ask(refund.payment, 100)  # another one, which is not in it
    files = taken(refund)
    wanted = list(Event.objects.exclude(refund__gt=refund.pk).order_by("pk"))
    rows = list(csv.DictReader(io.StringIO(files["journal.csv"].decode("utf-8-sig"), newline="")))
    assert [(row["line"], row["step"], row["digest"]) for row in rows] == [
        (str(event.pk), event.step, event.digest) for event in wanted
    ]
    chains = {one["of"]: one["lines"] for one in json.loads(files["journal.json"])["chains"]}
    assert sorted(line["line"] for lines in chains.values() for line in lines) == [event.pk for event in wanted]
    assert list(chains) == [refund.number, f"payment {refund.payment_id}"]


def test_no_cell_of_the_journal_is_a_formula() -> None:
    refund = ask()
    services.return_refund(refund.pk, bob(), "=1+1", seen=1)
    assert b'"\'=1+1"' in taken(refund)["journal.csv"]


# --- verifying it ---


def test_the_pack_verifies_itself(tmp_path: Path) -> None:
    refund = declared()
    history.set_checkpoint()
    files = taken(refund)
    assert json.loads(files["checkpoints.json"])["checkpoints"][0]["digest"] == Checkpoint.objects.get().digest
    assert verified(files, tmp_path) == (0, "Everything fits.\n")


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("refund.html", b"alice", b"mallo", "refund.html is missing, or is not"),
        ("journal.json", b'"actor": "bob"', b'"actor": "eve"', "line 2 is not what was written."),
        ("checkpoints.json", b'"digest": "', b'"digest": "0', "does not fit its lines."),
        ("evidence/1-statement.pdf", b"PDF", b"pdf", "evidence/1-statement.pdf is missing, or is not"),
    ],
)
def test_a_pack_that_was_changed_says_so(name: str, before: bytes, after: bytes, told: str, tmp_path: Path) -> None:
    refund = declared()
    history.set_checkpoint()
    files = {one.replace(str(Declaration.objects.get().pk) + "-", "1-"): text for one, text in taken(refund).items()}
    files["SHA256SUMS"] = re.sub(rb"evidence/\d+-", b"evidence/1-", files["SHA256SUMS"])
    assert before in files[name]
    files[name] = files[name].replace(before, after, 1)
    code, said = verified(files, tmp_path)
    assert code == 1
    assert told in said


@pytest.mark.once
def test_a_line_that_the_checkpoint_has_not_sealed_is_found(tmp_path: Path) -> None:
    """Somebody who rewrites the whole chain of a pack cannot rewrite what the checkpoint says."""
    refund = ask()
    history.set_checkpoint()
    files = taken(refund)
    seals = json.loads(files["checkpoints.json"])
    number, digest = seals["checkpoints"][0]["lines"][-1]
    seals["checkpoints"][0]["lines"][-1] = [number, digest[::-1]]
    files["checkpoints.json"] = json.dumps(seals).encode()
    assert f"Line {number} is not the one that checkpoint 1 has sealed." in verified(files, tmp_path)[1]


@pytest.mark.once
def test_the_packs_own_verifier_covers_what_a_digest_covers() -> None:
    assert pack_verify.COVERED == COVERED


def test_it_says_whether_the_journal_still_holds(monkeypatch: Any) -> None:
    refund = ask()
    assert "Every line is what was written" in taken(refund)["verification.txt"].decode()
    monkeypatch.setattr("refunds.history.fold.link", lambda line, previous: "0" * 64)
    files = taken(refund)
    assert f"{refund}: line 1 (requested) is not what was written." in files["verification.txt"].decode()
    assert "is not what was written." in files["refund.html"].decode()


def test_lines_that_no_checkpoint_covers_yet_are_named() -> None:
    refund = ask()
    history.set_checkpoint()
    services.return_refund(refund.pk, bob(), "Which?", seen=1)
    text = taken(refund)["verification.txt"].decode()
    younger = refund.events.last().pk
    assert text.split()[-6:] == ["sealed", "by", "none", "yet:", "line", str(younger)]
    assert f"checkpoint 1 up to line {younger - 1}: {Checkpoint.objects.get().digest}" in text
    assert "fits its lines" in text


def test_a_checkpoint_that_does_not_fit_is_said() -> None:
    refund = ask()
    history.set_checkpoint()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(proof, "seal_of", lambda previous, lines: "0" * 64)
        assert "DOES NOT FIT ITS LINES" in taken(refund)["verification.txt"].decode()


def test_each_line_is_under_the_checkpoint_that_sealed_it(monkeypatch: Any) -> None:
    refund = ask()
    history.set_checkpoint()
    monkeypatch.setattr(history.checkpoints, "_is_due", lambda last: True)
    services.return_refund(refund.pk, bob(), "Which?", seen=1)
    history.set_checkpoint()
    seals, younger = history.seals_over(Event.objects.values_list("pk", flat=True))
    assert [(seal.checkpoint.sequence, seal.holds, len(seal.lines or [])) for seal in seals] == [
        (1, True, 2),
        (2, True, 1),
    ]
    assert younger == []


def test_a_checkpoint_over_too_many_lines_is_verified_here_and_not_handed_on(monkeypatch: Any) -> None:
    monkeypatch.setattr(proof, "MOST_LINES_OF_A_SEAL", 1)
    refund = ask()
    history.set_checkpoint()
    files = taken(refund)
    assert json.loads(files["checkpoints.json"])["checkpoints"][0]["lines"] is None
    assert "fits its lines" in files["verification.txt"].decode()


# --- raw exchanges and evidence ---


def test_raw_exchanges_are_for_those_who_may_read_them() -> None:
    refund = standing_in(Status.PROCESSING)
    exchange = {"method": "GET", "url": "https://x.example/raw-canary", "status": 200, "response_body": "{}"}
    now = timezone.now()
    told = {"kind": "look_up", "fence": 1, "outcome": "answered", "started_at": now, "finished_at": now}
    refund.attempts.create(exchanges=[exchange], **told)
    make_delivery(refund.account, f'{{"payment": "{refund.payment.reference}", "more": "raw-canary"}}')
    files = taken(refund)
    assert [name for name in files if name.startswith("exchanges/")] == [
        "exchanges/001-look_up.txt",
        "exchanges/webhook-001.txt",
    ]
    assert all(b"raw-canary" in files[name] for name in files if name.startswith("exchanges/"))
    reader = person("reader", "Auditors")
    reader.groups.clear()
    reader.user_permissions.set(Group.objects.get(name="Auditors").permissions.exclude(codename="view_raw_exchange"))
    files = taken(refund, person("reader"))
    assert all(b"raw-canary" not in content for content in files.values())
    assert "Raw exchanges with the gateway are left out" in files["README.txt"].decode()


def test_no_card_and_no_secret_is_in_it(settings: Any) -> None:
    """Even of rows that were written before anything was masked."""
    refund = standing_in(Status.PROCESSING)
    now = timezone.now()
    told = {"kind": "look_up", "fence": 1, "outcome": "answered", "started_at": now, "finished_at": now}
    refund.attempts.create(said=PANS[0], exchanges=[{"url": "x", "response_body": " ".join(PANS)}], **told)
    Delivery.objects.create(
        account=refund.account, refund=refund, received_at=now, body=" ".join(PANS), digest="1", headers={"x": PANS[1]}
    )
    Refund.objects.filter(pk=refund.pk).update(details={"note": PANS[2]})
    text = b"\n".join(taken(refund).values()).decode()
    assert sightings(text, PANS) == []


def test_evidence_is_in_it_under_a_name_that_leads_nowhere() -> None:
    refund = declared('..\\..\\a:"b.pdf')
    (name,) = [one for one in taken(refund) if one.startswith("evidence/")]
    assert name == f"evidence/{Declaration.objects.get().pk}-a__b.pdf"
    assert taken(refund)[name] == PDF


def test_a_missing_file_of_evidence_is_said_and_breaks_nothing(evidence: Path, tmp_path: Path) -> None:
    refund = declared()
    for file in evidence.iterdir():
        file.unlink()
    files = taken(refund)
    assert not [name for name in files if name.startswith("evidence/")]
    assert "MISSING" in files["README.txt"].decode()
    assert "statement.pdf: the file is missing" in files["refund.html"].decode()
    assert verified(files, tmp_path / "pack")[0] == 0
    assert "MISSING" not in taken(ask(refund.payment, 100))["README.txt"].decode()


# --- who may have it ---


@pytest.mark.parametrize(("who", "status"), [(alice, 403), (bob, 403), (dora, 200), (carol, 200)])
def test_it_is_for_those_who_may_export(who: Any, status: int) -> None:
    refund = ask()
    client = Client()
    client.force_login(who())
    address = reverse("admin:refunds_refund_pack", args=(refund.pk,))
    assert client.post(address).status_code == status
    shown = client.get(reverse("admin:refunds_refund_change", args=(refund.pk,))).content.decode()
    assert (address in shown) == (status == 200)
    assert client.get(address).status_code == 405


def test_of_another_account_there_is_none() -> None:
    refund = ask()
    limit_to(carol(), make_account("paynow-pl"))
    assert make(refund).status_code == 404


def test_whoever_is_limited_gets_no_digests_of_other_lines() -> None:
    refund = ask()
    history.set_checkpoint()
    limit_to(carol(), refund.account)
    files = taken(refund)
    assert json.loads(files["checkpoints.json"])["checkpoints"][0]["lines"] is None
    assert "limited to some accounts" in files["README.txt"].decode()
    assert "limited to some accounts" not in taken(refund, dora())["README.txt"].decode()


def test_who_made_it_is_written_down(caplog: Any) -> None:
    refund = ask()
    with caplog.at_level("INFO", pack.log.name):
        make(refund)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id, entry.object_repr) == (carol(), str(refund.pk), refund.number)
    assert entry.change_message == "made the evidence pack, with raw exchanges"
    assert f"carol made the evidence pack, with raw exchanges of {refund.number}" in caplog.text
    make(refund, alice())
    assert LogEntry.objects.count() == 1
