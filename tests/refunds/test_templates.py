"""Every template of the desk is one that Django can read, also where no test opens its page."""

from __future__ import annotations

import pytest
from django.template.loader import get_template

from tests.house import ROOT

pytestmark = pytest.mark.once
TEMPLATES = sorted(str(path.relative_to(ROOT / "templates")) for path in (ROOT / "templates").rglob("*.html"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_it_compiles(name: str) -> None:
    get_template(name)
