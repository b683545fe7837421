"""Every screen, light and dark, on a desk and on a phone: nothing complains, nothing sticks out, nothing calls home."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import NoReverseMatch, reverse

from refunds.models import Account
from tests.browser import scene
from tests.browser.chrome import DESKTOP, PHONE, Visitor
from tests.builders import again
from tests.house import House, until

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LISTS = (
    "payment",
    "refund",
    "refundreason",
    "account",
    "delivery",
    "unmatchedrefund",
    "batch",
    "rule",
    "allowance",
    "delegation",
    "change",
)
SMALLEST_BUTTON = 40  # pixels high, on a phone
LARGEST_PAGE = 100_000  # bytes of HTML, compressed
LARGEST_SHIFT = 0.1  # what browsers' makers call good
AXE, GRAVE = Axe(), ("serious", "critical")
SHIFTED = """() => new Promise(told => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(it => { sum += it.hadRecentInput ? 0 : it.value }))
        .observe({type: "layout-shift", buffered: true});
    setTimeout(() => told(sum), 20);
})"""
STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
IS_DARK = "document.documentElement.classList.contains('dark')"
TOUCHED = ".desk-button, select, button:not(#searchbar-submit), input:not([type=checkbox], [type=radio], [type=hidden])"
SIDEWAYS = """[...document.querySelectorAll('.simplebar-content-wrapper, .desk-card')]
    .map(it => it.scrollWidth - it.clientWidth).find(wide => wide > 0) || 0"""
SMALL_BUTTONS = """([touched, least]) => [...document.querySelectorAll(touched)]
    .filter(it => it.offsetParent && it.offsetHeight < least)
    .map(it => `${it.innerText || it.name} is ${it.offsetHeight} px high`)"""


def import_pages() -> Iterator[str]:
    for name in ("import", "add"):
        try:
            yield reverse(f"admin:refunds_payment_{name}")
        except NoReverseMatch:
            continue


def pages(desk: scene.Scene) -> Iterator[str]:
    """Every address of the desk that a person can open by a link."""
    yield reverse("admin:index")
    yield from (reverse(f"admin:refunds_{name}_changelist") for name in LISTS)
    yield reverse("admin:refunds_payment_changelist") + "?q=nobody"
    yield from (reverse("find") + f"?q={text}" for text in ("", "SO-48", "nobody"))
    for order in ("SO-48213", "SO-48230"):
        yield reverse("admin:refunds_payment_change", args=(desk.payments[order].pk,))
    yield reverse("admin:refunds_payment_request", args=(desk.payments["SO-48213"].pk,))
    yield from (reverse("admin:refunds_refund_change", args=(refund.pk,)) for refund in desk.refunds.values())
    steps = {"requested": ("approve", "return", "reject"), "returned": ("resubmit", "withdraw"), "failed": ("retry",)}
    for status, names in {**steps, "succeeded": ("check",)}.items():
        yield from (reverse("admin:refunds_refund_step", args=(desk.refunds[status].pk, name)) for name in names)
    yield from import_pages()
    for name, model in (("refundreason", "reason"), ("account", "account")):
        yield reverse(f"admin:refunds_{name}_change", args=(getattr(desk.refunds["requested"], model).pk,))
    yield reverse("admin:refunds_refund_changelist") + "?for_me=decide"
    yield from (reverse("admin:refunds_refund_grouped") + f"?by={by}" for by in ("reason", "customer"))
    for name in ("change", "replay"):
        yield reverse(f"admin:refunds_delivery_{name}", args=(desk.refunds["succeeded"].deliveries.first().pk,))
    yield from (reverse("admin:refunds_delivery_refused"), reverse("admin:refunds_batch_add"))
    yield reverse("admin:refunds_batch_change", args=(desk.batch.pk,))
    yield reverse("admin:refunds_refund_unknown")
    yield reverse("admin:refunds_refund_reports")
    yield reverse("admin:refunds_refund_reports") + "?from=2026-01-02&to=2026-01-01"
    for status in ("unknown", "by hand"):
        yield reverse("admin:refunds_refund_declare", args=(desk.refunds[status].pk,))
    for name in ("confirm", "drop"):
        yield reverse(f"admin:refunds_refund_{name}", args=(desk.refunds["proposed"].pk,))
    yield from (reverse("admin:refunds_unmatchedrefund_change", args=(row.pk,)) for row in desk.unmatched)
    yield from (reverse("admin:auth_user_changelist"), reverse("admin:auth_user_add"))
    yield reverse("admin:auth_user_change", args=(desk.staff["agent"].pk,))
    yield reverse("admin:auth_user_change", args=(desk.staff["invited"].pk,))
    yield reverse("admin:auth_user_invite", args=(desk.staff["invited"].pk,))
    yield from (reverse("account_change_password"), reverse("account_logout"), reverse("account_reauthenticate"))
    yield from (reverse(f"mfa_{name}") for name in ("index", "activate_totp", "add_webauthn"))
    yield from ruling_pages(desk)


def ruling_pages(desk: scene.Scene) -> Iterator[str]:
    """Rules, allowances, deputies, changes, and the forms that propose them."""
    yield reverse("admin:refunds_rule_changelist") + "?standing=ended"
    for name, row in desk.rows.items():
        yield reverse(f"admin:refunds_{name}_change", args=(row.pk,))
        yield reverse(f"admin:refunds_{name}_new")
        number = row.number if name == "rule" else row.pk
        yield reverse(f"admin:refunds_{name}_end", args=(number,))
        if name != "delegation":
            yield reverse(f"admin:refunds_{name}_propose", args=(number,))
    for change in desk.changes.values():
        yield from (
            reverse(f"admin:refunds_change_{page}", args=(change.pk,)) for page in ("change", "confirm", "drop")
        )
    agent = desk.staff["agent2"].pk
    yield from (reverse(f"admin:auth_user_{page}", args=(agent,)) for page in ("change", "groups", "accounts"))


def previewed(visitor: Visitor) -> None:
    """The page between the two posts of a proposal."""
    visitor.page.set_viewport_size(DESKTOP)
    visitor.go(reverse("admin:refunds_rule_new"))
    visitor.page.get_by_label("Only payments at least so many days old").fill("1")
    visitor.page.get_by_label("Why").fill("Let two people look.")
    visitor.page.get_by_role("button", name="Show what it would do").click()
    assert visitor.page.get_by_role("button", name="Propose it").count() == 1


def rehearsed(visitor: Visitor) -> None:
    """The page between a file of refunds and its batch."""
    visitor.page.set_viewport_size(DESKTOP)
    visitor.go(reverse("admin:refunds_batch_add"))
    file: Any = {"name": "refunds.csv", "mimeType": "text/csv", "buffer": scene.FILE.encode()}
    visitor.page.set_input_files("input[type=file]", files=[file])
    visitor.page.get_by_role("button", name="Show what would be requested").click()
    assert visitor.page.get_by_role("button", name="Request 2 refunds").count() == 1


def judge(visitor: Visitor) -> Iterator[str]:
    """What is wrong with the page that is open, at both widths."""
    page = visitor.page
    if (shift := page.evaluate(SHIFTED)) > LARGEST_SHIFT:
        yield f"{page.url} moves under the reader's eyes ({shift:.2f})"
    if page.evaluate(IS_DARK) != (visitor.scheme == "dark"):
        yield f"{page.url} is not {visitor.scheme}"
    page.set_viewport_size(DESKTOP)
    if wide := page.evaluate(STICKING_OUT):
        yield f"{page.url} sticks out by {wide} px at {DESKTOP['width']}"
    if wide := page.evaluate(SIDEWAYS):
        yield f"{page.url} has a part that scrolls sideways by {wide} px"
    page.set_viewport_size(PHONE)
    if wide := page.evaluate(STICKING_OUT):
        yield f"{page.url} sticks out by {wide} px at {PHONE['width']}"
    yield from (f"{page.url}: {small}" for small in page.evaluate(SMALL_BUTTONS, [TOUCHED, SMALLEST_BUTTON]))
    yield from (f"{page.url} bars people: {bar}" for bar in barriers(visitor))


def barriers(visitor: Visitor) -> Iterator[str]:
    """What axe-core finds grave on the page, as it is seen now."""
    found = AXE.run(visitor.page, options={"resultTypes": ["violations"]}).response["violations"]
    for one in found:
        if one["impact"] in GRAVE:
            yield f"{one['id']} ({one['help']}): " + "; ".join(node["html"][:150] for node in one["nodes"][:3])


def confirmations(visitor: Visitor, desk: scene.Scene) -> Iterator[None]:
    """The pages that come after an action of a list."""
    waits, over = desk.refunds["requested"].number, desk.refunds["rejected"].number
    for address, action, words in (
        ("admin:refunds_refund_changelist", "Approve and send selected", (waits, over)),
        ("admin:refunds_refund_changelist", "Reject…", (waits,)),
        ("admin:refunds_payment_changelist", "Request a refund of what is free", ("SO-48213", "SO-48230")),
    ):
        visitor.page.set_viewport_size(DESKTOP)
        visitor.go(reverse(address))
        visitor.pick(*words)
        visitor.run(action)
        assert visitor.page.locator("input[name=confirmed]").count() == 1
        yield


@pytest.fixture
def desk(house: House, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> scene.Scene:
    monkeypatch.setenv("GATEWAY_ACCOUNTS", scene.ACCOUNTS)
    settings.MEDIA_ROOT = str(tmp_path / "evidence")
    desk = scene.set_up()
    house.start_worker()
    until(lambda: Account.objects.get(slug="payerly-eu").webhook_key)
    scene.play(desk)
    until(lambda: not again(desk.refunds["succeeded"]).to_confirm)
    return desk


@pytest.mark.once
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_screen_is_clean(scheme: str, desk: scene.Scene, visit: Callable[..., Visitor]) -> None:
    visitor = visit(scheme=scheme)
    visitor.go(reverse("account_login"))
    wrong = list(judge(visitor))
    visitor.page.set_viewport_size(DESKTOP)
    visitor.log_in("maria")
    for address in pages(desk):
        answer = visitor.go(address)
        assert answer.status == 200, address
        if (size := len(gzip.compress(answer.body()))) > LARGEST_PAGE:
            wrong.append(f"{address} has {size} bytes, compressed")
        wrong += judge(visitor)
    for _ in confirmations(visitor, desk):
        wrong += judge(visitor)
    previewed(visitor)
    wrong += judge(visitor)
    rehearsed(visitor)
    wrong += judge(visitor)
    assert wrong == []
