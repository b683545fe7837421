"""Whatever text is stored, it stays text: no page makes an element, an address or an expression of it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from refunds import guards, services
from refunds.models import (
    Account,
    Attempt,
    Batch,
    BatchRow,
    Declaration,
    Delivery,
    Event,
    Payment,
    Refund,
    RefundReason,
    UnmatchedRefund,
)
from tests.builders import ask, dora, make_delivery, make_payment, person

pytestmark = [pytest.mark.django_db, pytest.mark.once]
MARK = "xssmark"
PAYLOADS = [
    f"<script>{MARK}()</script>",
    f"</script><script>{MARK}()</script>",
    f"<img src=x onerror={MARK}()>",
    f"<svg onload={MARK}()>",
    f"<svg><script>{MARK}()</script></svg>",
    f"<iframe srcdoc='<script>{MARK}()</script>'>",
    f"<a href=javascript:{MARK}()>x</a>",
    f"javascript:{MARK}()",
    f"JaVaScRiPt:{MARK}()",
    f"java\tscript:{MARK}()",
    f"data:text/html,<script>{MARK}()</script>",
    f"vbscript:{MARK}()",
    f'" onmouseover="{MARK}()',
    f"' onmouseover='{MARK}()",
    f'" x-data="{MARK}()',
    f"' x-init='{MARK}()",
    f'" @click="{MARK}()',
    f'" :class="{MARK}()',
    f'" hx-get="/{MARK}',
    f"{{{{ {MARK} }}}}",
    f"{{% load {MARK} %}}",
    f"${{{MARK}()}}",
    f"'-{MARK}()-'",
    f'"-{MARK}()-"',
    f"`${{{MARK}()}}`",
    f"</title><script>{MARK}()</script>",
    f"</textarea><script>{MARK}()</script>",
    f"</style><script>{MARK}()</script>",
    f"</pre><img src=x onerror={MARK}()>",
    f"</select><img src=x onerror={MARK}()>",
    f"<!--><img src=x onerror={MARK}()>-->",
    f"<details open ontoggle={MARK}()>",
    f"<body onload={MARK}()>",
    f"<form action=javascript:{MARK}()><button>x",
    f"<math href=javascript:{MARK}()>x",
    f"<base href=//{MARK}.example/>",
    f"<meta http-equiv=refresh content=0;url=//{MARK}.example>",
    f"<link rel=stylesheet href=//{MARK}.example>",
    f"<{MARK}>",
    f"&lt;script&gt;{MARK}()&lt;/script&gt;",
    f"\u003cscript\u003e{MARK}()\u003c/script\u003e",
    f"<scr\0ipt>{MARK}()</script>",
]
MODELS = (Payment, Refund, Event, Attempt, Delivery, UnmatchedRefund, Declaration, Batch, BatchRow)
LIVE_TAGS = {"iframe", "object", "embed", "base", "math", MARK}
ADDRESSES = {"href", "src", "action", "formaction", "srcdoc", "data", "xlink:href", "content", "style"}


class Reader(HTMLParser):
    """Notes everything alive that the mark has got into."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.alive: list[str] = []
        self.inside = ""
        self.n_seen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag if tag in ("script", "style") else ""
        if tag in LIVE_TAGS:
            self.alive.append(self.get_starttag_text() or tag)
        for name, value in attrs:
            text = (value or "").lower()
            is_marked = MARK in text or MARK in name
            self.n_seen += is_marked
            is_code = name.startswith(("on", "x-", "@", ":", "hx-", "v-"))
            is_address = name in ADDRESSES and text.lstrip().startswith(("javascript", "data:", "vbscript", "//", MARK))
            if is_marked and (is_code or is_address or MARK in name):
                self.alive.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.n_seen += MARK in data
        if MARK in data and self.inside:
            self.alive.append(f"{self.inside}: {data}")


def cut(field: Any, payload: str) -> str:
    return payload.replace("\0", "")[: field.max_length] if field.max_length else payload.replace("\0", "")


@pytest.fixture
def poisoned() -> list[Refund]:
    """A refund and all that belongs to it for each payload, with the payload in every text that has no choices."""
    refunds = [scene(number) for number in range(len(PAYLOADS))]
    guards.remove(connection)
    for model in MODELS:
        texts = [
            field
            for field in model._meta.fields
            if isinstance(field, models.CharField | models.TextField | models.JSONField)
            and not field.choices
            and not field.unique
            and field.name not in ("status", "currency", "digest", "evidence", "reference", "actor_user", "correlation")
        ]
        for number, row in enumerate(model._default_manager.order_by("pk")):
            payload = PAYLOADS[number % len(PAYLOADS)]
            values = {field.name: poison(model, field, payload) for field in texts}
            model._default_manager.filter(pk=row.pk).update(**values)
    for number, row in enumerate(RefundReason.objects.all()):
        RefundReason.objects.filter(pk=row.pk).update(
            name=f"{number}{PAYLOADS[number]}"[:60], wording=PAYLOADS[number + 9]
        )
    Account.objects.update(paused_because=PAYLOADS[2], breaker_because=PAYLOADS[3])
    guards.install(connection)
    return refunds


def poison(model: type[models.Model], field: Any, payload: str) -> Any:
    if not isinstance(field, models.JSONField):
        return cut(field, payload)
    payload = payload.replace("\0", "")
    if field.name == "exchanges":
        headers = {payload: payload}
        return [
            {
                "method": payload,
                "url": payload,
                "request_headers": headers,
                "request_body": payload,
                "status": 200,
                "response_headers": headers,
                "response_body": payload,
                "accident": payload,
            }
        ]
    return {"key": payload, payload: payload}


def scene(number: int) -> Refund:
    refund = ask(make_payment(reference=f"pay-{number}"))
    make_delivery(refund.account, f'{{"n": {number}}}')
    now = timezone.now()
    Attempt.objects.create(refund=refund, kind="look_up", fence=1, started_at=now)
    Delivery.objects.filter(body=f'{{"n": {number}}}').update(refund=refund)
    UnmatchedRefund.objects.create(
        account=refund.account, source="look_up", reference=f"u-{number}", outcome="succeeded", why="?", seen_at=now
    )
    Declaration.objects.create(
        refund=refund, outcome="failed", version=1, note="x", ticket="T", proposed_by=dora(), proposed_at=now
    )
    row = f"{refund.account},{refund.payment.reference},1.00,EUR,Goodwill"
    file, agent = f"account,payment_reference,amount,currency,reason\n{row}\n{row}0".encode(), person("alice", "Agents")
    services.open_batch(services.dry_run(file, "refunds.csv", agent), agent)
    return refund


def alive(page: str) -> tuple[list[str], int]:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.alive, reader.n_seen


@pytest.mark.promise("I57")
def test_no_stored_text_comes_alive(poisoned: list[Refund], trials: Any) -> None:
    assert len(PAYLOADS) >= 40
    client = Client()
    evil = person("fin", "Finance", first_name=PAYLOADS[2], last_name=PAYLOADS[13])
    client.force_login(evil)
    found, n_seen, n_pages = [], 0, 0
    for address in pages():
        answer = client.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        wrong, seen = alive(answer.content.decode())
        found += [f"{address}: {one}" for one in wrong]
        n_seen, n_pages = n_seen + seen, n_pages + 1
    trials(n_pages * len(PAYLOADS))
    assert found == []
    assert n_seen > 20 * len(PAYLOADS)  # they were really there to be read


def pages() -> list[str]:
    base = "/admin/refunds"
    found = ["/admin/", f"{base}/refund/unknown/"]
    for model in (Payment, Refund, Delivery, UnmatchedRefund, Account, Batch):
        name = model._meta.model_name
        found += [f"{base}/{name}/", f"{base}/{name}/?q=pay"]
        found += [f"{base}/{name}/{pk}/change/" for pk in model.objects.values_list("pk", flat=True)]
    first = Refund.objects.first()
    return [*found, f"{base}/refund/{first.pk}/declare/", f"{base}/payment/{first.payment_id}/dispute/dispute/"]


@pytest.mark.promise("I57")
@pytest.mark.parametrize("payload", PAYLOADS[:20])
def test_what_is_typed_comes_back_as_text(payload: str) -> None:
    refund = ask()
    client = Client()
    client.force_login(person("bob", "Approvers"))
    seen, found = 0, []
    for address, typed in (
        (f"/admin/refunds/refund/{refund.pk}/step/reject/", {"text": payload, "seen": 99}),
        (f"/admin/refunds/refund/?q={payload}", None),
        (f"/accounts/login/?next={payload}", None),
    ):
        answer = client.post(address, typed) if typed else client.get(address, follow=True)
        wrong, n_here = alive(answer.content.decode())
        found, seen = [*found, *wrong], seen + n_here
    assert found == []
    assert seen


@pytest.mark.parametrize(
    "page",
    [
        f"<script>{MARK}()</script>",
        f"<p onclick='{MARK}()'>",
        f"<a href='javascript:{MARK}()'>",
        f"<p x-data='{MARK}()'>",
        f"<{MARK}>",
        f"<iframe src=/{MARK}>",
    ],
)
def test_the_reader_sees_what_is_alive(page: str) -> None:
    assert alive(page)[0]
    assert not alive(f"<p title='{MARK}'>{MARK} &lt;script&gt;</p>")[0]
