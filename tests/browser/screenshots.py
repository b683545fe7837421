"""Pictures of the screens for the README: starts a desk of its own, works at it, and takes them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
            take_what_only_people_know(browser, home.url, work)
    for picture in sorted(FOLDER.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1000} kB")


def take_all(browser: Any, url: str, work: Any) -> None:
    """As the agent, then as the approver by day, by phone and by night."""
    from tests.browser.chrome import DESKTOP, PHONE, Visitor

    done, payment = work.refunds["succeeded"], work.payments["SO-48213"]
    agent = Visitor(browser, url)
    agent.go("/accounts/login/")
    take(agent, "login")
    agent.log_in("agent")
    agent.go(f"/admin/refunds/payment/{payment.pk}/change/")
    take(agent, "payment")
    agent.go(f"/admin/refunds/payment/{payment.pk}/request/")
    agent.page.set_viewport_size({"width": 1280, "height": 960})  # with its button
    take(agent, "request")
    approver = Visitor(browser, url)
    approver.log_in("approver")
    take(approver, "home")
    approver.go(f"/admin/refunds/refund/{done.pk}/change/")
    approver.page.set_viewport_size({"width": 1280, "height": 1180})  # the whole journal
    take(approver, "refund")
    approver.page.set_viewport_size(DESKTOP)
    approver.go("/admin/refunds/refund/?for_me=decide")
    approver.pick("SO-48230", "SO-48219", "SO-48244")
    approver.run("Approve and send selected")
    take(approver, "approve")
    for name, options in {"phone": {"viewport": PHONE}, "dark": {"scheme": "dark"}}.items():
        night = Visitor(browser, url, **options)
        night.log_in("approver")
        night.go(f"/admin/refunds/refund/{done.pk}/change/")
        take(night, f"refund-{name}")


def take_what_only_people_know(browser: Any, url: str, work: Any) -> None:
    """As finance: the Unknown desk, a proposal to confirm, and what is assumed about a gateway."""
    from tests.browser.chrome import Visitor

    finance = Visitor(browser, url)
    finance.log_in("finance2")
    tall = {"width": 1280, "height": 1100}
    for name, path in {
        "unknown": "refund/unknown/",
        "reports": "refund/reports/?by=requested",
        "confirm": f"refund/{work.refunds['proposed'].pk}/confirm/",
        "account": f"account/{work.refunds['proposed'].account_id}/change/",
    }.items():
        finance.page.set_viewport_size(tall)
        finance.go(f"/admin/refunds/{path}")
        take(finance, name)


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
