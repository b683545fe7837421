"""`make run`: prepares the database, then hands over to honcho, which starts web, worker and sandbox together."""

from __future__ import annotations

import json
import os
import socket
import sys
from io import StringIO
from pathlib import Path

import django
import honcho.command
import honcho.manager
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections

DEMO_PEOPLE = (
    "agent, agent2, approver, approver2, finance, finance2, gatekeeper, gatekeeper2, people, people2, auditor, admin"
)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")
    check_ports({"PORT": settings.PORT, "SANDBOX_PORT": settings.SANDBOX_PORT})
    django.setup()
    try:
        prepare()
    except CommandError as error:
        sys.exit(str(error))
    announce()
    start()


def check_ports(ports: dict[str, int]) -> None:
    """Ends with one line when a port cannot be had; names the variable that chooses another."""
    taken: list[socket.socket] = []
    for variable, port in ports.items():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
            listener.listen()
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or error
            sys.exit(f"Port {port} cannot be used ({why}): stop what runs there, or choose another: {variable}=…")
        taken.append(listener)
    for listener in taken:
        listener.close()


def prepare() -> None:
    call_command("migrate", verbosity=0, interactive=False)
    call_command("createcachetable", verbosity=0)
    call_command("check", databases=["default"], stdout=StringIO())
    call_command("sync_accounts")
    if settings.DEBUG:
        call_command("load_demo")
        tell_the_sandbox(settings.BASE_DIR / "var" / "sandbox" / "known.json")


def tell_the_sandbox(file: Path) -> None:
    """The simulated gateways start with the demo's payments, so that nobody can refund more than was paid."""
    from refunds import demo

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(demo.known_to_the_sandbox()))


def announce() -> None:
    print(f"\n  Refund desk   http://127.0.0.1:{settings.PORT}/admin/")
    if settings.DEBUG:
        print(f"  Sandbox       http://127.0.0.1:{settings.SANDBOX_PORT}/")
        print(f"  Log in as     {DEMO_PEOPLE}")
        print("  Password      demo")
        if mails := getattr(settings, "EMAIL_FILE_PATH", None):
            print(f"  E-mails       {mails}/")
    print("\n  Ctrl-C ends everything.\n", flush=True)


def start() -> None:
    binaries = Path(sys.executable).parent
    os.environ |= {
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PORT": str(settings.PORT),
        "SANDBOX_PORT": str(settings.SANDBOX_PORT),
        "PYTHONUNBUFFERED": "1",
    }
    connections.close_all()
    # After Ctrl-C a call to a gateway may end in peace.
    honcho.manager.KILL_WAIT = settings.GATEWAY_DEADLINE_SECONDS + 5
    # honcho would let .env win over real variables; the settings read it the right way round.
    honcho.command.main(["-e", os.devnull, "start", "web", "worker", *(["sandbox"] if settings.DEBUG else [])])


if __name__ == "__main__":
    main()
