"""Calls go where the account's URL says, and nowhere else, whatever a URL, an id or a name server says."""

from __future__ import annotations

import ast
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateways import egress
from gateways.errors import Misconfigured, NotSent
from gateways.http import HttpClient

ROOT = Path(__file__).resolve().parents[2]
PUBLIC, HOME = "93.184.215.14", "127.0.0.1"


def call(url: str, path: str = "/refunds") -> Any:
    return HttpClient(url).send("PUT", path, headers={}, body=b"{}")


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Where sockets were connected to; nothing leaves this machine."""
    found: list[Any] = []

    def connect(self: socket.socket, place: Any) -> None:
        found.append(place[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    return found


def resolver(*answers: list[str]) -> Callable[..., Any]:
    """A name server that tells another address each time it is asked, and the last one for ever."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        told = left.pop(0) if len(left) > 1 else left[0]
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in told]
        return [(family, socket.SOCK_STREAM, 6, "", (ip, port)) for family, ip in zip(families, told, strict=True)]

    return getaddrinfo


TRICKS = [
    "http://api.example.com",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "//api.example.com",
    "api.example.com",
    "https://",
    "https:///path",
    "https://user@api.example.com",
    "https://user:pass@api.example.com",
    "https://api.example.com@evil.example",
    "https://api.example.com%40evil.example",
    "https://api.example.com\\@evil.example",
    "https://api.example.com\\.evil.example",
    "https://api.example.com#@evil.example",
    "https://api.example.com?@evil.example",
    "https://api.example.com?",
    "https://api.example.com#",
    "https://api.example.com /x",
    "https://api.exam\tple.com",
    "https://api.example.com\r\nHost: evil.example",
    "https://api.example.com\x00.evil.example",
    "https://api。example。com",
    "https://ⓐpi.example.com",
    "https://аpi.example.com",  # noqa: RUF001  its first letter is Cyrillic
    "https://127.1",
    "https://2130706433",
    "https://0x7f000001",
    "https://0x7f.0.0.1",
    "https://0177.0.0.1",
    "https://10.0.0.1",
    "https://172.16.0.1",
    "https://192.168.1.1",
    "https://169.254.169.254/latest",
    "https://168.63.129.16",
    "https://100.100.100.200",
    "https://0.0.0.0",
    "https://255.255.255.255",
    "https://224.0.0.1",
    "https://[::]",
    "https://[fe80::1]",
    "https://[fd00:ec2::254]",
    "https://[::ffff:169.254.169.254]",
    "https://[::ffff:10.0.0.1]",
    "https://[64:ff9b::a9fe:a9fe]",
    "https://[2002:a9fe:a9fe::1]",
    "https://[fe80::1%25eth0]",
    "https://[::1",
    "https://api.example.com:99999",
    "https://api.example.com:x",
    "https://-api.example.com",
    "https://api..example.com",
]


@pytest.mark.promise("I45")
@pytest.mark.parametrize("url", TRICKS)
def test_a_url_that_hides_where_it_leads_is_refused(url: str, connected: list[Any]) -> None:
    with pytest.raises(Misconfigured):
        call(url)
    assert connected == []


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "https://api.example.com/v1/",
        "https://API.Example.com:8443/pg/v2",
        "https://xn--api-7la.example.com",
        "https://93.184.215.14",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/v1",
        "http://127.0.0.1:8001/payerly/v1",
        "http://localhost:8001",
        "http://[::1]:8001",
    ],
)
def test_a_plain_url_is_fine(url: str) -> None:
    assert egress.checked_base_url(url) == url.rstrip("/")


OURS = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1",
    "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:c0a8:101::", "::7f00:1", "2001:db8::1", "fec0::1",
]  # fmt: skip


@pytest.mark.promise("I45")
@pytest.mark.parametrize("address", OURS)
@pytest.mark.parametrize("with_others", [False, True])
def test_a_name_that_leads_into_our_own_network_is_not_called(
    address: str, with_others: bool, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such address among good ones is enough: no gateway has it."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver([PUBLIC, address] if with_others else [address]))
    with pytest.raises(NotSent, match="where no gateway stands"):
        call("https://api.example.com")
    assert connected == []


@pytest.mark.promise("I45")
def test_the_address_that_was_checked_is_the_one_that_is_called(
    connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that tells a good address first and ours next (DNS rebinding) is asked only once."""
    monkeypatch.setattr(socket, "getaddrinfo", resolver([PUBLIC], [HOME]))
    with pytest.raises(NotSent, match="refused the connection"):
        call("https://api.example.com")
    assert connected == [PUBLIC]
    with pytest.raises(NotSent, match=r"leads to 127\.0\.0\.1"):
        call("https://api.example.com")
    assert connected == [PUBLIC]


@pytest.mark.promise("I45")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_machine_is_called_only_by_a_url_that_says_so(
    host: str, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = "::1" if ":" in host else HOME
    monkeypatch.setattr(socket, "getaddrinfo", resolver([home]))
    with pytest.raises(NotSent, match="refused the connection"):
        call(f"http://{host}:8001")
    assert connected == [home]
    monkeypatch.setattr(socket, "getaddrinfo", resolver([PUBLIC]))
    with pytest.raises(NotSent, match="not this machine"):
        call(f"http://{host}:8001")
    assert connected == [home]


def test_all_addresses_of_a_name_are_tried(connected: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver(["2606:2800:21f:cb07:6820:80da:af6b:8b2c", PUBLIC]))
    with pytest.raises(NotSent):
        call("https://api.example.com")
    assert connected == ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", PUBLIC]


@pytest.mark.promise("I45")
@pytest.mark.parametrize(
    "path",
    [
        "@evil.example/x",
        ".evil.example/x",
        ":8443/x",
        "/../../admin",
        "/refunds/../../admin",
        "/refunds/%2e%2e/admin",
        "/refunds/..%2fadmin",
        "/refunds/..",
        "/refunds/./x",
        "/..\\admin",
        "refunds",
    ],
)
@pytest.mark.parametrize("base", ["https://api.example.com", "https://api.example.com/v1"])
def test_an_id_leads_to_no_other_address(base: str, path: str, connected: list[Any]) -> None:
    with pytest.raises(Misconfigured):
        call(base, path)
    assert connected == []


@pytest.mark.promise("I45")
def test_only_the_connectors_client_opens_connections() -> None:
    """Whatever else would speak to the network stands in the sandbox, or listens."""
    speakers = (
        "requests",
        "urllib3",
        "http.client",
        "urllib.request",
        "socket",
        "smtplib",
        "ftplib",
        "asyncio",
        "httpx",
    )
    allowed = {
        "gateways/http.py",
        "gateways/watch.py",
        "gateways/egress.py",
        "refunds/issuer.py",
        "refunds/services/telling.py",  # names the accidents of Django's own mail client
        "refunds_site/run.py",
    }
    found = set()
    for folder in ("gateways", "refunds", "refunds_site"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name == one or name.startswith(f"{one}.") for name in names for one in speakers):
                    found.add(str(file.relative_to(ROOT)))
    assert {name for name in found if "sandbox" not in name} <= allowed


def test_every_public_address_may_be_called() -> None:
    for text in (PUBLIC, "8.8.8.8", "1.1.1.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001::8a"):
        assert egress.why_not(ipaddress.ip_address(text)) == ""
