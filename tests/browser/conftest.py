"""Chromium for one test; the `house` it visits is the one of tests/house.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections

from tests.browser.chrome import Visitor, chrome
from tests.house import House


@pytest.fixture
def visit(house: House, chromium_path: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser window at the house; at the end no page may have complained."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # playwright keeps an event loop in this thread
    visitors: list[Visitor] = []
    with chrome(chromium_path) as browser:

        def opened(**options: Any) -> Visitor:
            visitors.append(Visitor(browser, house.url, **options))
            return visitors[-1]

        yield opened
        complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
        for visitor in visitors:
            visitor.context.close()
        connections.close_all()  # under playwright's loop this thread had a connection of its own
    assert complaints == []
