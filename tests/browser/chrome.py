"""Chromium as the tests and the screenshots start it, and the few things that a person does at the desk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, sync_playwright

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@contextmanager
def chrome(executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


class Visitor:
    """One person at one browser window; `complaints` are what a clean page never has."""

    def __init__(self, browser: Browser, url: str, scheme: Literal["light", "dark"] = "light", **options: Any) -> None:
        self.url = url
        self.scheme = scheme
        self.complaints: list[str] = []
        self.context: BrowserContext = browser.new_context(
            **{"viewport": DESKTOP, "locale": "en-GB", "color_scheme": scheme, **options}
        )
        self.context.set_default_timeout(10_000)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._complain(f"script failed: {error}"))
        self.page.on("request", self._watch)

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{urlsplit(self.page.url).path}: {what}")

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complain(message.text)

    def _watch(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme not in ("data", "blob") and target.hostname != urlsplit(self.url).hostname:
            self._complain(f"asks {request.url}")

    def go(self, path: str) -> Response:
        answer = self.page.goto(self.url + path)
        assert answer is not None
        return answer

    def log_in(self, name: str, password: str = "demo") -> None:
        self.go("/admin/")
        self.page.get_by_label("Username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url("**/admin/")

    def log_out(self) -> None:
        """By the menu at the foot of the navigation."""
        self.page.get_by_text("unfold_more", exact=True).click()
        self.page.get_by_role("button", name="Log out").click()
        self.page.wait_for_url("**/accounts/login/**")

    def pick(self, *numbers: str) -> None:
        """Tick rows of a list."""
        for number in numbers:
            self.page.locator("tr.data-row", has_text=number).locator("input.action-select").check()

    def run(self, action: str) -> None:
        """Choose an action in the list's drop-down and start it; ends on its confirmation page."""
        self.page.locator("select[name=action]").select_option(label=action)
        self.page.get_by_role("button", name="Run").click()
        self.page.wait_for_load_state()
