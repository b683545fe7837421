"""Others' webhook views, each in the least site it runs in, on the same server and the same kind of database.

They live in an environment of their own, var/bench/peers. What each does of what ours does:

- dj-stripe: verifies (HMAC), keeps the raw request, deduplicates by event id, keeps the event; of this type it applies
  nothing.
- django-getpaid: sets the payment's status. No signature, nothing kept, no deduplication, no history.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from bench import ground
from bench.load import Letter

PEERS = {"stripe": "dj-stripe", "getpaid": "django-getpaid"}
HOME = ground.ROOT / "var" / "bench" / "peers"
WANTED = Path(__file__).with_name("requirements.txt")


def rivals(server: ground.Databases, stack: ExitStack, number: int) -> dict[str, tuple[int, list[Letter]]]:
    """Each peer at work: its port, and so many letters for it; none where they cannot be installed."""
    if not _installed():
        print("The peers could not be installed: they are left out.", file=sys.stderr)
        return {}
    found = {}
    for peer, name in PEERS.items():
        environment = {**os.environ, "PEER": peer, "DATABASE_URL": server.make(f"bench_{peer}")}
        fill = [str(HOME / "bin" / "python"), "-m", "bench.peers.site", str(number)]
        said = subprocess.run(fill, cwd=ground.ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout
        letters = [
            (told["path"], told["headers"], told["body"].encode()) for told in map(json.loads, said.splitlines())
        ]
        port = stack.enter_context(ground.web(environment, door="bench.peers.site:application", home=HOME))
        found[name] = port, letters
    return found


def drop(server: ground.Databases) -> None:
    for peer in PEERS:
        server.drop(f"bench_{peer}")


def _installed() -> bool:
    if not (HOME / "bin" / "granian").exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        pip = [str(HOME / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(WANTED)]
        return subprocess.run(pip).returncode == 0
    return True
