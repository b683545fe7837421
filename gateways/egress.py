"""Where a call may go: which addresses are a gateway's, and which are our own network's and never called."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from gateways.errors import Misconfigured, NotSent

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
# A name ends in a label with a letter: what ends in digits, systems read as an address in disguise (127.1, 0x7f.1).
NAME = re.compile(rf"(?:{LABEL}\.)*(?!0[xX])(?=[^.]*[A-Za-z])(?:{LABEL})\.?")
HIDES_ITS_HOST = re.compile(r"[\x00-\x1f\x7f\\]")
# Public by their number, and yet inside a cloud's own network.
OURS_ALL_THE_SAME = (
    "168.63.129.16/32",
    "100.64.0.0/10",
    "192.0.0.0/24",
    "198.18.0.0/15",
    "240.0.0.0/4",
    "2001::/23",
    "fec0::/10",
)
CARRIES_IPV4 = {"64:ff9b::/96": 0, "64:ff9b:1::/48": 0, "::/96": 0, "2002::/16": 80}  # how far from the right it stands


def checked_base_url(url: str) -> str:
    """The URL without a closing slash. Raises Misconfigured unless it is https, or http on this machine; "" passes."""
    if not url:
        return ""
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise Misconfigured(f"{url!r} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or "?" in url or "#" in url:
        raise Misconfigured("A gateway's URL reads https://host/path, without a question mark.")
    if "@" in parts.netloc:
        raise Misconfigured("A gateway's URL carries no user name and no password.")
    if HIDES_ITS_HOST.search(url) or not (NAME.fullmatch(host) or _ip(host)):
        raise Misconfigured(f"{host!r} is not the name of a host: write it in plain letters, as https://host/path.")
    if parts.scheme == "http" and not is_loopback(host):
        raise Misconfigured(f"{host} must be called by https; http is for this machine only.")
    if (ip := _ip(host)) and not ip.is_loopback and why_not(ip):
        raise Misconfigured(f"{host} is {why_not(ip)}, where no gateway stands: write the gateway's own address.")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """Is this host our own machine, by a name or an address that says so?"""
    ip = _ip(host)
    return host == "localhost" if ip is None else ip.is_loopback


def addresses(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """Family and address of each place where this host may be called, checked. Raises NotSent, OSError.

    Whoever connects takes these and asks no second time: between two questions a name can move (DNS rebinding).
    """
    found = socket.getaddrinfo(host.strip("[]"), port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    may_be_home = is_loopback(host.strip("[]"))
    for _, _, _, _, place in found:
        ip = _ip(str(place[0]))
        trouble = "no address" if ip is None else why_not(ip)
        if trouble and not (may_be_home and ip and ip.is_loopback):
            raise NotSent(f"Nothing was sent: {host} leads to {place[0]}, {trouble}, where no gateway stands.")
        if may_be_home and ip and not ip.is_loopback:
            raise NotSent(f"Nothing was sent: {host} leads to {place[0]}, which is not this machine.")
    return [(family, place) for family, _, _, _, place in found]  # type: ignore[misc]


def why_not(ip: IP) -> str:
    """What speaks against calling an address, or ""."""
    inner = _carried(ip)
    if inner is not None:
        return why_not(inner)
    for named, what in (
        (ip.is_loopback, "this machine"),
        (ip.is_link_local, "a link-local address"),
        (ip.is_multicast, "a multicast address"),
        (ip.is_unspecified, "no address"),
        (ip.is_private, "a private address"),
        (not ip.is_global, "a reserved address"),
        (_is_ours(ip), "a reserved address"),
    ):
        if named:
            return what
    return ""


def _is_ours(ip: IP) -> bool:
    networks = (ipaddress.ip_network(network) for network in OURS_ALL_THE_SAME)
    return any(ip in network for network in networks if network.version == ip.version)


def _carried(ip: IP) -> ipaddress.IPv4Address | None:
    """The IPv4 address in one of version 6 that is translated or tunnelled."""
    if ip.version == 4:
        return None
    assert isinstance(ip, ipaddress.IPv6Address)
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    for network, shift in CARRIES_IPV4.items():
        if ip in ipaddress.ip_network(network) and int(ip) > 1:
            return ipaddress.IPv4Address((int(ip) >> shift) & 0xFFFF_FFFF)
    return None


def _ip(host: str) -> IP | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
