"""What the export and the error pages look like in a browser: nothing sticks out, nothing complains, the file comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from refunds.models import Refund
from tests.browser.chrome import DESKTOP, PHONE, Visitor
from tests.browser.conftest import visit  # noqa: F401
from tests.builders import ask, make_payment, person

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.once]
STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_export_and_an_error(visit: Callable[..., Visitor], scheme: Any, viewport: Any) -> None:  # noqa: F811
    kind = ContentType.objects.get_for_model(Refund)
    right, _ = Permission.objects.get_or_create(
        content_type=kind, codename="export_refund", defaults={"name": "export"}
    )
    Group.objects.get(name="Finance").permissions.add(right)
    person("fin", "Finance")
    ask(make_payment())
    fin = visit(scheme=scheme, viewport=viewport)
    fin.log_in("fin")
    for name in ("refund", "payment", "delivery"):
        fin.go(f"/admin/refunds/{name}/")
        assert fin.page.evaluate(STICKING_OUT) <= 0
        picture(fin, f"{name}-{scheme}-{viewport['width']}")
        with fin.page.expect_download() as download:
            fin.page.get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename.endswith(".csv")
    answer = fin.go("/admin/nothing-here/")
    assert answer.status == 404
    assert fin.page.evaluate(STICKING_OUT) <= 0
    picture(fin, f"error-{scheme}-{viewport['width']}")
    assert [one for one in fin.complaints if "404" not in one] == []
    fin.complaints.clear()


def picture(visitor: Visitor, name: str) -> None:
    """For whoever wants to look: SCREENS=folder."""
    if folder := os.environ.get("SCREENS"):
        visitor.page.screenshot(path=f"{folder}/{name}.png")
