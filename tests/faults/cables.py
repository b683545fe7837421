"""Machines on one desk: network namespaces, each with a cable to the database and one to the gateway, to be pulled.

All addresses are of 127.0.0.0/8, led over real links, since plain HTTP is spoken to loopback alone. The machines' own
loopback keeps 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

DATABASE, GATEWAY = 1, 2  # the two networks
HERE = 1  # our own number in each of them


@dataclass
class Cables:
    """`machines` numbers their machines from 11; what was laid is taken away again by `remove`."""

    name: str
    block: int  # of 127.<block>.<network>.<machine>
    laid: list[Sequence[str]] = field(default_factory=list)

    def address(self, network: int, machine: int = HERE) -> str:
        return f"127.{self.block}.{network}.{machine}"

    def lay_network(self, network: int) -> None:
        bridge = f"{self.name}b{network}"
        self._lay(("ip", "link", "add", bridge, "type", "bridge"), ("ip", "link", "del", bridge))
        run("ip", "link", "set", bridge, "up")
        run("sysctl", "-qw", f"net.ipv4.conf.{bridge}.route_localnet=1")
        run("ip", "addr", "add", f"{self.address(network)}/32", "dev", bridge)
        # Longer than loopback's own route, which would keep these addresses at home.
        way = (self.address(network, 0) + "/24", "dev", bridge, "src", self.address(network))
        run("ip", "route", "add", *way, "table", "local")

    def lay_machine(self, machine: int) -> None:
        space = self.space(machine)
        self._lay(("ip", "netns", "add", space), ("ip", "netns", "del", space))
        self._inside(machine, "ip", "link", "set", "lo", "up")
        self._inside(machine, "ip", "addr", "del", "127.0.0.1/8", "dev", "lo")
        self._inside(machine, "ip", "addr", "add", "127.0.0.1/32", "dev", "lo")
        for network in (DATABASE, GATEWAY):
            ours, theirs = self._ends(network, machine)
            run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
            run("ip", "link", "set", ours, "master", f"{self.name}b{network}", "up")
            run("ip", "link", "set", theirs, "netns", space)
            self._inside(machine, "ip", "link", "set", theirs, "up")
            self._inside(machine, "sysctl", "-qw", f"net.ipv4.conf.{theirs}.route_localnet=1")
            self._inside(machine, "ip", "addr", "add", f"{self.address(network, machine)}/24", "dev", theirs)

    def space(self, machine: int) -> str:
        return f"{self.name}n{machine}"

    def pull(self, machine: int, *networks: int) -> None:
        for network in networks:
            run("ip", "link", "set", self._ends(network, machine)[0], "down")

    def plug_in(self, machine: int, *networks: int) -> None:
        for network in networks:
            run("ip", "link", "set", self._ends(network, machine)[0], "up")

    def remove(self) -> None:
        while self.laid:
            subprocess.run(self.laid.pop(), check=False)

    def _ends(self, network: int, machine: int) -> tuple[str, str]:
        return f"{self.name}o{network}{machine}", f"{self.name}t{network}{machine}"

    def _inside(self, machine: int, *command: str) -> None:
        run("ip", "netns", "exec", self.space(machine), *command)

    def _lay(self, command: Sequence[str], undo: Sequence[str]) -> None:
        run(*command)
        self.laid.append(undo)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def cables(machines: Sequence[int]) -> Iterator[Cables]:
    """Raises OSError or CalledProcessError where no network may be made."""
    laid = Cables(f"rd{os.getpid() % 10_000}", 64 + os.getpid() % 128)
    try:
        for network in (DATABASE, GATEWAY):
            laid.lay_network(network)
        for machine in machines:
            laid.lay_machine(machine)
        yield laid
    finally:
        laid.remove()


def why_none() -> str:
    """Why no network can be made here, or ""."""
    if os.geteuid() != 0:
        return "Network namespaces need root."
    if not shutil.which("ip"):
        return "Network namespaces need the command ip (iproute2)."
    try:
        with cables([11]):
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        return f"No network namespaces may be made here: {said.decode(errors='replace').strip() or error}"
