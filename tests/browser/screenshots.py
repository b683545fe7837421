"""Pictures of the screens for the README: starts a desk of its own, works at it, and takes them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "docs/screenshots"


def main() -> None:
    """Takes every picture anew; needs Chromium and nothing else."""
    from tests import chromium

    if not (executable := chromium.find()):
        sys.exit(chromium.MISSING)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with desk() as home:
        from tests.browser import scene
        from tests.browser.chrome import chrome

        work = scene.set_up()
        home.start_worker()
        scene.play(work)
        with chrome(executable) as browser:
            take_all(browser, home.url, work)
    for picture in sorted(FOLDER.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1000} kB")


@dataclass(frozen=True)
class Picture:
    """One screen: who looks at which address, in which window; `phone` and `dark` as their names say."""

    name: str
    who: str
    address: Callable[[Any], str]
    height: int = 900
    phone: bool = False
    dark: bool = False


def at(name: str, row: Callable[[Any], Any] | None = None, query: str = "") -> Callable[[Any], str]:
    """The address of a page of the admin; `row` finds in the scene what it is about."""
    from django.urls import reverse

    def address(work: Any) -> str:
        return reverse(name, args=(row(work).pk,) if row else ()) + query

    return address


def pictures() -> tuple[Picture, ...]:
    def refund(status: str) -> Callable[[Any], Any]:
        return lambda work: work.refunds[status]

    def payment(order: str) -> Callable[[Any], Any]:
        return lambda work: work.payments[order]

    line = "?for_me=decide"
    one = "admin:refunds_refund_change"
    return (
        Picture("home-agent", "agent", at("admin:index")),
        Picture("home", "approver", at("admin:index"), 1000),
        Picture("home-finance", "finance", at("admin:index"), 1250),
        Picture("home-phone", "agent", at("admin:index"), phone=True, dark=True),
        Picture("find", "agent", at("find", query="?q=SO-482")),
        Picture("payment", "agent", at("admin:refunds_payment_change", payment("SO-48219"))),
        Picture("request", "agent", at("admin:refunds_payment_request", payment("SO-48213")), 960),
        Picture("line", "approver", at("admin:refunds_refund_changelist", query=line)),
        Picture("groups", "approver", at("admin:refunds_refund_grouped", query="?by=reason")),
        Picture("decide", "approver", at(one, refund("requested")), 1000),
        Picture("refund", "finance2", at(one, refund("succeeded")), 1300),
        Picture("refund-phone", "approver", at(one, refund("succeeded")), phone=True),
        Picture("refund-dark", "approver", at(one, refund("succeeded")), dark=True),
        Picture("unknown", "finance2", at("admin:refunds_refund_unknown"), 1100),
        Picture("confirm", "finance2", at("admin:refunds_refund_confirm", refund("proposed")), 1100),
        Picture("batch", "maria", at("admin:refunds_batch_change", lambda work: work.batch)),
        Picture("file", "agent", at("admin:refunds_batch_add")),
        Picture("inbox", "finance2", at("admin:refunds_delivery_changelist")),
        Picture("unmatched", "finance2", at("admin:refunds_unmatchedrefund_changelist")),
        Picture("reports", "finance2", at("admin:refunds_refund_reports", query="?by=requested"), 1500),
        Picture(
            "account", "finance2", at("admin:refunds_account_change", lambda work: work.refunds["proposed"].account)
        ),
        Picture("rules", "gatekeeper", at("admin:refunds_rule_changelist")),
        Picture("preferences", "approver", at("preferences")),
    )


def take_all(browser: Any, url: str, work: Any) -> None:
    """Each person at a window of the right kind."""
    from tests.browser.chrome import DESKTOP, PHONE, Visitor

    visitor = Visitor(browser, url)
    visitor.go("/accounts/login/")
    take(visitor, "login")
    windows: dict[tuple[str, bool, bool], Visitor] = {}
    for picture in pictures():
        kind = (picture.who, picture.phone, picture.dark)
        if kind not in windows:
            size = PHONE if picture.phone else DESKTOP
            windows[kind] = Visitor(browser, url, "dark" if picture.dark else "light", viewport=size)
            windows[kind].log_in(picture.who)
        if not picture.phone:
            windows[kind].page.set_viewport_size({"width": DESKTOP["width"], "height": picture.height})
        windows[kind].go(picture.address(work))
        take(windows[kind], picture.name)
    take_many(windows["approver", False, False])


def take_many(approver: Any) -> None:
    """The page between picking refunds and approving them."""
    approver.page.set_viewport_size({"width": 1280, "height": 900})
    approver.go("/admin/refunds/refund/?for_me=decide")
    approver.pick("SO-48230", "SO-48219", "SO-48244")
    approver.run("Approve and send selected")
    take(approver, "approve")


def take(visitor: Any, name: str) -> None:
    visitor.page.wait_for_timeout(200)  # fonts and transitions
    visitor.page.screenshot(path=FOLDER / f"{name}.png")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def desk(pace: float = 1 / 30) -> Iterator[Any]:
    """A house of its own on a new SQLite file: sandbox, web and worker."""
    from gateways.sandbox import Sandbox

    with tempfile.TemporaryDirectory(prefix="refunds-pictures-") as folder, Sandbox(pace=pace) as sandbox:
        port = free_port()
        os.environ.update(_environment(sandbox, folder, port))
        import django

        django.setup()
        _prepare()
        from tests.house import House, until

        home = House(sandbox, f"http://127.0.0.1:{port}", dict(os.environ), Path(folder) / "log")
        with home.log.open("ab") as log:
            home.workers.append(subprocess.Popen(_web(port), cwd=ROOT, env=home.environment, stdout=log, stderr=log))
        try:
            until(lambda: answers(home.url))
            yield home
        finally:
            home.stop()


def answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/accounts/login/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _environment(sandbox: Any, folder: str, port: int) -> dict[str, str]:
    return {
        "READ_DOT_ENV": "off",
        "DJANGO_SETTINGS_MODULE": "refunds_site.settings",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
        "DEBUG": "on",
        "SECRET_KEY": "django-insecure-only-for-pictures-0123456789abcdefghijklmnop",
        "DATABASE_URL": f"sqlite:///{folder}/desk.sqlite3",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "GATEWAY_ACCOUNTS": "payerly-eu:payerly,bank:manual",
        "EVIDENCE_DIR": f"{folder}/evidence",
        "LOG_LEVEL": "WARNING",
        "PAYERLY_EU_QUIET_WINDOW_SECONDS": "2",
        **{f"PAYERLY_EU_{name}": value for name, value in sandbox.credentials("payerly").items()},
    }


def _prepare() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    call_command("createcachetable", verbosity=0)
    call_command("sync_accounts", verbosity=0)


def _web(port: int) -> list[str]:
    granian = str(Path(sys.executable).parent / "granian")
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return [granian, *options, "--blocking-threads", "4", "refunds_site.wsgi:application"]


if __name__ == "__main__":
    main()
