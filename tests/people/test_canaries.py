"""Twenty card numbers go into every input there is, and a canary into every secret; none of them is found again."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from gateways import registry
from gateways.contract import Gateway, Outcome, RefundUpdate
from refunds import accounts, correlation, services
from refunds.admin.export import TABLES
from refunds.models import Account, Attempt, Delivery, Payment, Refund, UnmatchedRefund
from refunds.services.hearing import Mouth
from refunds.services.rows import COLUMNS
from refunds_site import logs
from tests.builders import ACCOUNTS, PDF, again, approved, ask, make_account, make_payment, person
from tests.people.canaries import PANS, sightings
from tests.people.test_headers import addresses
from tests.refunds.test_record import standing_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def log() -> Iterator[StringIO]:
    """Everything that is logged, as production writes it."""
    stream = StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Json())
    handler.addFilter(correlation.Stamp())
    found = [logging.getLogger(name) for name in (None, "django")]
    levels = [one.level for one in found]
    for one in found:
        one.addHandler(handler)
        one.setLevel(logging.INFO)
    yield stream
    for one, level in zip(found, levels, strict=True):
        one.removeHandler(handler)
        one.setLevel(level)


@pytest.fixture
def evidence(settings: Any, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = str(tmp_path / "evidence")
    return tmp_path / "evidence"


def everything_kept() -> str:
    """Every row of every table, sessions and cache unpacked."""
    rows = [serializers.serialize("json", model.objects.all()) for model in apps.get_models()]
    sessions = [str(one.get_decoded()) for one in apps.get_model("sessions.Session").objects.all()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM site_cache")
        keys = [str(row[0]).split(":", 2)[-1] for row in cursor.fetchall()]
    return "\n".join([*rows, *sessions, *(repr(cache.get(key)) for key in keys)])


def pages(client: Client, left_out: tuple[str, ...] = ("logout",)) -> Iterator[str]:
    """Every page that this person can open."""
    for address, _ in addresses():
        if not any(word in address for word in left_out):
            answer = client.get(address)
            yield answer.content.decode() if not answer.streaming else ""
    for model in (Refund, Payment, Delivery, UnmatchedRefund, Account):
        name = model._meta.model_name
        for pk in model.objects.values_list("pk", flat=True):
            yield client.get(f"/admin/refunds/{name}/{pk}/change/").content.decode()


def desk(name: str, group: str) -> Client:
    client = Client(raise_request_exception=True)
    client.force_login(person(name, group))
    return client


# --- what people type ---

# Where the refund stands, who types, the address, and what is posted.
Post = tuple[str, str, Callable[[Refund], str], Callable[[str], dict[str, Any]]]


def at(model: str, rest: str) -> Callable[[Refund], str]:
    return lambda refund: f"/admin/refunds/{model}/{refund.payment_id if model == 'payment' else refund.pk}/{rest}/"


def step(name: str) -> Callable[[Refund], str]:
    return at("refund", f"step/{name}")


TYPED: dict[str, Post] = {
    "note of a request": ("requested", "Agents", at("payment", "request"), lambda pan: {"internal_note": pan}),
    "ticket of a request": ("requested", "Agents", at("payment", "request"), lambda pan: {"ticket": f"T {pan}"}),
    "why it is rejected": ("requested", "Approvers", step("reject"), lambda pan: {"text": f"card {pan}"}),
    "question": ("requested", "Approvers", step("return"), lambda pan: {"text": pan}),
    "why it is no longer approved": ("approved", "Approvers", step("unapprove"), lambda pan: {"text": pan}),
    "note of a declaration": (
        "unknown",
        "Finance",
        at("refund", "declare"),
        lambda pan: {"note": pan, "ticket": "T"},
    ),
    "ticket of a declaration": (
        "unknown",
        "Finance",
        at("refund", "declare"),
        lambda pan: {"note": "x"} | {"ticket": pan},
    ),
    "note of a dispute": ("requested", "Finance", at("payment", "dispute/dispute"), lambda pan: {"text": pan}),
    "many at once": (
        "requested",
        "Approvers",
        lambda refund: "/admin/refunds/refund/",
        lambda pan: {"action": "reject_selected", "confirmed": "1", "text": pan},
    ),
    "refund of what is free": (
        "requested",
        "Agents",
        lambda refund: "/admin/refunds/payment/",
        lambda pan: {"action": "request_what_is_free", "confirmed": "1", "internal_note": pan, "ticket": pan},
    ),
    "why an account is paused": (
        "requested",
        "Gateway admins",
        lambda refund: f"/admin/refunds/account/{refund.account_id}/step/pause/",
        lambda pan: {"text": pan},
    ),
    "a reason": (
        "requested",
        "Gateway admins",
        lambda refund: "/admin/refunds/refundreason/add/",
        lambda pan: {
            "name": f"r {pan}",
            "wording": pan,
            "words-TOTAL_FORMS": 0,
            "words-INITIAL_FORMS": 0,
        },
    ),
    "a payment by hand": (
        "requested",
        "Finance",
        lambda refund: "/admin/refunds/payment/add/",
        lambda pan: {
            "account": "payerly-eu",
            "payment_reference": "new-1",
            "amount": "1.00",
            "currency": "EUR",
            "captured_at": "2026-11-20T10:00",
            "customer_name": f"Anna {pan}",
        },
    ),
    "a file of refunds": (
        "requested",
        "Agents",
        lambda refund: "/admin/refunds/batch/add/",
        lambda pan: {
            "file": SimpleUploadedFile(f"{pan}.csv", f"account,order,amount,currency,reason\n,{pan},".encode())
        },
    ),
    "a header of a file of refunds": (
        "requested",
        "Agents",
        lambda refund: "/admin/refunds/batch/add/",
        lambda pan: {"file": SimpleUploadedFile("refunds.csv", f"account,order,amount,currency,{pan}".encode())},
    ),
    "a login": ("requested", "Agents", lambda refund: "/accounts/login/", lambda pan: {"login": pan, "password": pan}),
}
STANDING: dict[str, Callable[[], Refund]] = {"requested": ask, "approved": approved}
SPELT = (lambda pan: pan, lambda pan: " ".join(pan[at : at + 4] for at in range(0, len(pan), 4)))


@pytest.mark.promise("I42")
@pytest.mark.parametrize("where", TYPED)
def test_a_card_number_that_somebody_types_is_refused_and_forgotten(where: str, log: StringIO, trials: Any) -> None:
    status, group, address, typed = TYPED[where]
    refund = STANDING[status]() if status in STANDING else standing_in(status)
    client = desk("somebody", group) if where != "a login" else Client()
    seen = {"seen": refund.version, f"seen_{refund.pk}": refund.version, "seen_free": 4000}
    if "free" in where:
        seen[f"seen_{refund.payment_id}"] = 4000
    usual = {"_selected_action": [refund.payment_id if "free" in where else refund.pk], "outcome": "succeeded"}
    usual |= {"amount": "1.00", "reason": refund.reason_id}
    if where == "note of a dispute":
        seen["seen"] = again(refund).payment.version
    before, shown = n_lines(), []
    for number, pan in enumerate(PANS):
        answer = client.post(address(refund), {**usual, **seen, **typed(SPELT[number % 2](pan))}, follow=True)
        assert answer.status_code in (200, 400, 409), answer.status_code
        shown.append(answer.content.decode())
        assert "card number" in shown[-1] or where == "a login", shown[-1]
    trials(len(PANS))
    assert n_lines() == before
    assert sightings("\n".join([*shown, everything_kept(), log.getvalue()]), PANS) == []


def n_lines() -> list[int]:
    return [model.objects.count() for model in apps.get_app_config("refunds").get_models()]


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("ticket", "order 1234567890123"),
        ("internal_note", "R-42, 12.50 EUR, +48 600 700 800"),
        ("ticket", "T-4711"),
    ],
)
def test_other_numbers_are_no_trouble(field: str, words: str) -> None:
    assert getattr(ask(**{field: words}), field) == words


def test_a_payment_may_have_a_reference_that_looks_like_a_card(client: Client) -> None:
    """It is the merchant's and the gateway's name for it, and is kept, found and shown as it is."""
    ask(make_payment(reference=PANS[0], order=PANS[1]))
    client.force_login(person("alice", "Agents"))
    for term in PANS[:2]:
        assert PANS[0] in client.get("/admin/refunds/payment/", {"q": term}).content.decode()


@pytest.mark.promise("I42")
@pytest.mark.parametrize("model", ["payment", "refund", "delivery", "unmatchedrefund"])
def test_a_search_for_a_card_number_is_forgotten(model: str, log: StringIO, trials: Any) -> None:
    ask()
    client = desk("fin", "Finance")
    shown = []
    for number, pan in enumerate(PANS):
        answer = client.get(f"/admin/refunds/{model}/", {"q": f" {SPELT[number % 2](pan)}"}, follow=True)
        assert answer.request["QUERY_STRING"] == ""
        shown.append(answer.content.decode())
        assert "looks like a card number" in shown[-1]
    trials(len(shown))
    assert sightings("\n".join([*shown, everything_kept(), log.getvalue()]), PANS) == []


@pytest.mark.promise("I42")
@pytest.mark.parametrize("column", ["customer_name", "method"])
def test_a_file_with_a_card_number_is_not_kept(column: str, log: StringIO, trials: Any) -> None:
    make_account()
    client, shown = desk("fin", "Finance"), []
    for pan in PANS:
        row = dict.fromkeys(COLUMNS, "") | {"account": "payerly-eu", "payment_reference": "new-1", "amount": "1.00"}
        row |= {"currency": "EUR", "captured_at": "2026-11-20T10:00:00Z", column: pan}
        content = f"{','.join(row)}\n{','.join(row.values())}\n".encode()
        answer = client.post("/admin/refunds/payment/import/", {"file": SimpleUploadedFile("p.csv", content)})
        shown.append(answer.content.decode())
        assert answer.status_code == 400
        assert "Line 2: This holds what looks like a card number" in shown[-1]
    trials(len(PANS))
    assert not Payment.objects.exists()
    assert sightings("\n".join([*shown, everything_kept(), log.getvalue()]), PANS) == []


@pytest.mark.promise("I42")
def test_a_card_number_in_the_name_of_a_file_is_masked(evidence: Path, log: StringIO) -> None:
    client = desk("fin", "Finance")
    for number, pan in enumerate(PANS):
        refund = standing_in("unknown", make_payment(reference=f"pay-{number}"))
        file = SimpleUploadedFile(f"card {pan}.pdf", PDF)
        typed = {"seen": refund.version, "outcome": "succeeded", "note": "Seen.", "evidence": file}
        assert client.post(at("refund", "declare")(refund), typed).status_code == 302
    kept = [everything_kept(), log.getvalue(), *pages(client), *(file.name for file in evidence.iterdir())]
    assert "card 411111••••••1111.pdf" in "".join(kept)
    assert sightings("\n".join(kept), PANS) == []


# --- what gateways say ---


@pytest.mark.promise("I42")
@pytest.mark.parametrize("mouth", list(Mouth))
def test_a_card_number_that_a_gateway_says_is_masked(mouth: Mouth, log: StringIO, trials: Any) -> None:
    for number, pan in enumerate(PANS):
        refund = standing_in("sending", make_payment(reference=f"pay-{number}"))
        update = RefundUpdate(
            Outcome.FAILED if number % 2 else Outcome.UNCLEAR,
            key=str(refund.key),
            payment_reference=refund.payment.reference,
            amount=refund.money,
            code=pan,
            message=f"Card {pan} declined",
            details={"card": pan},
        )
        services.record_update(refund.pk, update, mouth)
    trials(len(PANS))
    client = desk("fin", "Finance")
    kept = "\n".join([everything_kept(), log.getvalue(), *pages(client), *exports()])
    assert "411111••••••1111" in kept
    assert sightings(kept, PANS) == []


@pytest.mark.promise("I42")
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_card_number_in_a_webhook_is_masked(
    kind: str, log: StringIO, monkeypatch: pytest.MonkeyPatch, trials: Any
) -> None:
    slug = "payerly-eu" if kind == "application/json" else "airpay-in"
    monkeypatch.setenv("GATEWAY_ACCOUNTS", "payerly-eu:payerly,airpay-in:airpay")
    for key in ("MERCHANT_ID", "USERNAME", "PASSWORD", "SECRET"):
        monkeypatch.setenv(f"AIRPAY_IN_{key}", "900100900100900100"[: 6 if key == "MERCHANT_ID" else 18])
    monkeypatch.setenv("AIRPAY_IN_URL", "http://127.0.0.1:9/airpay")
    account = make_account(slug)
    monkeypatch.setattr(type(accounts.connect(account)), "verify_webhook", lambda self, wire: None)
    monkeypatch.setattr(type(accounts.connect(account)), "webhook_type", kind)
    for pan in PANS:
        body = json.dumps({"card": pan, "text": f"Anna {pan}"}) if "json" in kind else f"card={pan}&text=Anna+{pan}"
        answer = Client().post(f"/webhooks/{slug}/", body, content_type=kind, headers={"X-Request-Id": pan})
        assert answer.status_code in (200, 202, 400), answer.status_code
    trials(len(PANS))
    assert Delivery.objects.count() == len(PANS)
    kept = "\n".join([everything_kept(), log.getvalue(), *pages(desk("fin", "Finance")), *exports()])
    assert "411111••••••1111" in kept
    assert sightings(kept, PANS) == []


def exports() -> Iterator[str]:
    """Every file that can be taken out, as an auditor."""
    kind = ContentType.objects.get_for_model(Refund)
    right, _ = Permission.objects.get_or_create(
        content_type=kind, codename="export_refund", defaults={"name": "export"}
    )
    Group.objects.get(name="Auditors").permissions.add(right)
    client = desk("exporter", "Auditors")
    for model, tables in TABLES.items():
        for table in tables:
            address = f"/admin/refunds/{model._meta.model_name}/export/"
            answer = client.post(address, {"table": table.name, "format": "csv"})
            yield b"".join(answer.streaming_content).decode()


# --- secrets ---


def canaries() -> dict[str, str]:
    """A secret for every setting that a gateway calls one."""
    found = {}
    for gateway, slug in ACCOUNTS.items():
        for key in registry.gateway_class(gateway).secrets:
            found[f"{accounts.prefix_of(slug)}_{key}"] = f"canary-{gateway}-{key.lower()}-4f1b9c77d2e84a0653"
    return found


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, settings: Any, sandbox: Any) -> list[str]:
    """Accounts at every gateway, with a canary for each secret; the sandbox knows none of them and refuses all."""
    secrets = canaries()
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    settings.SECRET_KEY = "canary-secret-key-0123456789abcdefghijklmnopqrstuvwxyz-0123456789"
    return [*secrets.values(), settings.SECRET_KEY]


@pytest.mark.promise("I42")
@pytest.mark.django_db(transaction=True)
def test_no_secret_is_found_in_anything(planted: list[str], log: StringIO, trials: Any, sandbox: Any) -> None:
    """All gateways refuse the keys; then rows, logs, pages, files and reprs are searched."""
    spoken = []
    for gateway, slug in ACCOUNTS.items():
        account = make_account(slug)
        kind = registry.gateway_class(gateway)
        connector: Gateway = accounts.connect(account)
        spoken += [repr(connector), repr(connector.http), str(connector), repr(account), repr(kind)]
        spoken += [repr(one) for one in connector.http.exchanges]
        if gateway not in sandbox.simulators:
            continue
        simulator = sandbox.simulators[gateway]
        payment = make_payment(5000, simulator.currency, simulator.payment_name(1), account=account)
        refund = services.approve_refund(
            ask(payment, 5000).pk, person("bob", "Approvers"), seen=Refund.objects.latest("pk").version
        )
        services.send_refund(refund.pk)
        services.settle_refund(refund.pk)
        Client().post(f"/webhooks/{slug}/", "{}", content_type="application/json")
    trials(len(planted))
    assert Attempt.objects.exists()
    shown = [page for client in (desk("fin", "Finance"), desk("gate", "Gateway admins")) for page in pages(client)]
    kept = "\n".join([everything_kept(), log.getvalue(), *shown, *exports(), *spoken])
    assert sightings(kept, planted) == []
