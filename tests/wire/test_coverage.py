"""Every field that a gateway's page names has a row in coverage.md that says what becomes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

WIRE = Path(__file__).parent
ROW = re.compile(
    r"^\| (?P<where>path|header|query|request|answer header|answer) \| `(?P<field>[^`]+)` \| (?P<what>.+) \|$"
)
WHAT = ("sent", "checked", "kept", "ignored")
# The page's tables, transcribed: where → fields. A list's entries are written with [].
NAMED: dict[str, dict[str, list[str]]] = {
    "payerly": {
        "header": ["Authorization"],
        "path": ["refundId"],
        "request": [
            "paymentId",
            "callbackUrl",
            "amount",
            "amount.value",
            "amount.currency",
            "customFields",
            "customFields.cf1",
            "customFields.cf2",
            "customFields.cf3",
            "customFields.cf4",
            "customFields.cf5",
        ],
        "answer header": ["Date"],
        "answer": [
            "type",
            "object",
            "error",
            "object.refundId",
            "object.paymentId",
            "object.txnId",
            "object.orderId",
            "object.createdAt",
            "object.callbackUrl",
            "object.amount",
            "object.amount.value",
            "object.amount.currency",
            "object.convAmount",
            "object.convAmount.value",
            "object.convAmount.currency",
            "object.additionalInfo",
            "object.additionalInfo.rrn",
            "object.customFields",
            "object.customFields.cf1",
            "object.customFields.cf2",
            "object.customFields.cf3",
            "object.customFields.cf4",
            "object.customFields.cf5",
            "object.status",
            "object.status.changedAt",
            "object.status.value",
            "object.status.description",
            "error.code",
            "error.description",
            "error.traceId",
            "error.details",
            "error.details[].value",
            "error.details[].description",
            "error.details[].fields",
            "error.details[].fields[].name",
            "error.details[].fields[].type",
            "error.details[].fields[].value",
        ],
    },
    "paynow": {
        "path": ["paymentId"],
        "header": ["Signature", "Idempotency-Key", "User-Agent", "Accept", "Content-Type"],
        "request": ["amount", "reason"],
        "answer": ["refundId", "status"],
    },
    "airpay": {
        "header": ["Content-Type"],
        "request": [
            "merchant_id",
            "private_key",
            "mode",
            "transactions",
            "transactions[].amount",
            "transactions[].processor_id",
            "checksum",
        ],
        "answer": [
            "mercid",
            "mode",
            "success",
            "message",
            "transactions",
            "transactions[].airpayid",
            "transactions[].refundairpayid",
            "transactions[].success",
            "transactions[].message",
        ],
    },
    "pay3": {
        "header": ["signature", "access-token", "Accept", "Content-Type"],
        "request": ["requestId", "fiatAmount", "clientId"],
        "answer": ["requestId", "refundId", "fiatAmount", "status"],
    },
    "examplepay": {
        "header": ["Content-Type", "Accept", "Authorization"],
        "request": ["merchantRefundNo", "paymentNo", "amount", "description"],
        "answer header": ["Content-Type", "Authorization"],
        "answer": [
            "code",
            "errorMessage",
            "data",
            "data.refundNo",
            "data.paymentNo",
            "data.merchantRefundNo",
            "data.amount",
            "data.currency",
        ],
    },
}


def rows(gateway: str) -> dict[tuple[str, str], str]:
    section = (WIRE / "coverage.md").read_text().split(f"\n## {gateway}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ") and "| --- |" not in line]
    found = [ROW.match(line) for line in lines[1:]]
    assert all(found), [line for line, match in zip(lines[1:], found, strict=True) if not match]
    return {(row["where"], row["field"]): row["what"] for row in found if row}


def paths(value: object, name: str = "") -> Iterator[str]:
    """amount, amount.value, details[].fields[].name: the names of everything in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{name}.{key}".lstrip(".")
            yield from paths(inner, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{name}[]")


def recorded(gateway: str) -> set[tuple[str, str]]:
    """What the printed examples hold beside the tables: seed_request*.json, and seed_answer*.json once repaired."""
    found = set()
    for kind in ("request", "answer"):
        for file in (WIRE / gateway).glob(f"seed_{kind}*.json"):
            try:
                found |= {(kind, path) for path in paths(json.loads(file.read_bytes()))}
            except ValueError:
                assert file.with_name(f"{file.stem}_repaired.json").exists(), f"{file.name} needs its repaired twin"
    return found


@pytest.mark.parametrize("gateway", NAMED)
def test_every_field_of_the_page_has_a_row(gateway: str) -> None:
    named = {(where, field) for where, fields in NAMED[gateway].items() for field in fields}
    known = rows(gateway)
    assert sorted((named | recorded(gateway)) - set(known)) == []
    assert named, "the page's tables are not transcribed"


@pytest.mark.parametrize("gateway", NAMED)
def test_every_row_says_what_becomes_of_it(gateway: str) -> None:
    assert [field for field, what in rows(gateway).items() if not what.startswith(WHAT)] == []
