"""`python -m gateways.sandbox`: runs until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from gateways.sandbox.server import Sandbox


def main() -> None:
    parser = argparse.ArgumentParser("python -m gateways.sandbox", description="Simulated gateways on this machine.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--state", type=Path, help="a folder that keeps ledger and keys over a restart")
    parser.add_argument("--pace", type=float, default=1.0, help="multiplies every wait of the stories")
    parser.add_argument("--known", type=Path, help="JSON of the payments and callback addresses known from the start")
    asked = parser.parse_args()
    try:
        sandbox = Sandbox(asked.port, asked.state, asked.pace)
    except (OSError, OverflowError) as error:
        sys.exit(f"The sandbox cannot start on port {asked.port}: {getattr(error, 'strerror', None) or error}.")
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    if asked.known and asked.known.exists():
        sandbox.learn(json.loads(asked.known.read_bytes()))
    with sandbox:
        print(f"Sandbox: {sandbox.root}/", flush=True)
        end.wait()


if __name__ == "__main__":
    main()
