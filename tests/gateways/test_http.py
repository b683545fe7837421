"""One call over real sockets: what is sent, what ends it, and what may be sent again."""

from __future__ import annotations

import datetime as dt
import gzip
import random
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import requests.adapters
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateways.errors import Misconfigured, NoAnswer, NotSent
from gateways.http import HttpClient, retry_after
from tests.gateways.conftest import answering, http_answer, listener, read_request

BODY = b'{"amount":"12.50","note":"caf\xc3\xa9"}'
SHORT = timedelta(milliseconds=400)


def put(url: str, **options: object) -> tuple[HttpClient, object]:
    client = HttpClient(url, **options)  # type: ignore[arg-type]
    return client, client.send("PUT", "/refunds/1", headers={"Authorization": "Bearer s3cret-token"}, body=BODY)


def accident(url: str, kind: type[Exception], **options: object) -> str:
    client = HttpClient(url, **{"deadline": SHORT, **options})  # type: ignore[arg-type]
    with pytest.raises(kind) as caught:
        client.send("PUT", "/refunds/1", headers={"Authorization": "Bearer s3cret-token"}, body=BODY)
    exchange = client.exchanges[-1]
    assert (exchange.status, exchange.accident) == (None, str(caught.value))
    assert "s3cret" not in repr(client.exchanges) + repr(client) + str(caught.value)
    return str(caught.value)


@pytest.fixture
def shut_port() -> Iterator[int]:
    """A port where nobody listens, and that nobody else can take while it is used."""
    with socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))
        yield int(shut.getsockname()[1])


def test_exactly_these_bytes_go_out_and_the_answer_comes_back():
    with answering(http_answer(200, b'{"a":1}', "X-Trace: 7")) as (url, seen):
        _, response = put(url + "/base/")
    assert seen[0].startswith(b"PUT /base/refunds/1 HTTP/1.1\r\n")
    assert seen[0].endswith(b"\r\n\r\n" + BODY)
    assert b"User-Agent: refund-desk/" in seen[0]
    assert (response.status, response.body, response.headers["x-trace"]) == (200, b'{"a":1}', "7")


def test_every_exchange_is_kept_with_its_secrets_masked():
    with answering(http_answer(200, b"your token is s3cret-token\0", "Set-Cookie: id=1")) as (url, _):
        client, _ = put(url, secrets=["s3cret-token"])
    (exchange,) = client.exchanges
    assert exchange.request_headers["Authorization"] == "•••"
    assert exchange.response_headers["set-cookie"] == "•••"
    assert exchange.response_body == "your token is •••\ufffd"
    assert exchange.request_body == BODY.decode()
    assert (exchange.method, exchange.status, exchange.accident) == ("PUT", 200, "")
    assert exchange.started_at.tzinfo is UTC
    assert type(exchange.elapsed_ms) is int


def test_a_refused_connection_sent_nothing(shut_port):
    assert "refused" in accident(f"http://127.0.0.1:{shut_port}", NotSent)


def test_an_unknown_name_sent_nothing():
    assert "not known" in accident("https://no-such-host.invalid", NotSent)


def test_a_host_that_does_not_accept_in_time_sent_nothing():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        waiting = [socket.socket() for _ in range(3)]
        for line in waiting:
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        assert "did not accept" in accident(url, NotSent)
        for line in waiting:
            line.close()


@pytest.mark.promise("I45")
def test_an_unproven_certificate_sent_nothing(tls_server):
    assert "TLS" in accident(tls_server.url, NotSent)
    assert tls_server.seen == []


def test_a_host_that_speaks_no_tls_sent_nothing():
    with answering(b"HTTP/1.1 400 Bad\r\n\r\n") as (url, _):
        accident(url.replace("http:", "https:"), NotSent)


def test_a_handshake_that_never_ends_sent_nothing():
    with listener(lambda line: time.sleep(2)) as url:
        started = time.monotonic()
        accident(url.replace("http:", "https:"), NotSent)
    assert time.monotonic() - started < 1.5


def test_a_proven_certificate_is_spoken_to(tls_server, monkeypatch):
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", tls_server.certificate)
    _, response = put(tls_server.url)
    assert response.body == b"{}"
    assert tls_server.seen[0].endswith(BODY)


def reset(line: socket.socket) -> None:
    read_request(line)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        http_answer(200, b"no gzip at all", "Content-Encoding: gzip"),
    ],
    ids=["closed", "not HTTP", "cut off", "chunk cut off", "bad gzip"],
)
def test_an_answer_that_cannot_be_read_leaves_the_order_open(answer):
    with answering(answer) as (url, seen):
        accident(url, NoAnswer)
    assert len(seen) == 1, "an order must never be repeated by itself"


def test_a_reset_line_leaves_the_order_open():
    with listener(reset) as url:
        accident(url, NoAnswer)


def test_a_silent_server_leaves_the_order_open():
    def silent(line: socket.socket) -> None:
        read_request(line)
        time.sleep(2)

    with listener(silent) as url:
        assert "in time" in accident(url, NoAnswer)


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"]
)
def test_a_dripping_server_is_cut_off_at_the_deadline(head):
    def drip(line: socket.socket) -> None:
        read_request(line)
        line.sendall(head)
        for _ in range(100):
            line.sendall(b"H" if not head else b"x")
            time.sleep(0.05)

    with listener(drip) as url:
        started = time.monotonic()
        assert "in time" in accident(url, NoAnswer)
    assert time.monotonic() - started < 1.5


def test_a_server_that_reads_nothing_is_cut_off_at_the_deadline():
    with listener(lambda line: time.sleep(3)) as url:
        client, started = HttpClient(url, deadline=SHORT), time.monotonic()
        with pytest.raises(NoAnswer):
            client.send("PUT", "/", headers={}, body=b"x" * 20_000_000)
    assert time.monotonic() - started < 1.5


def test_a_huge_answer_is_not_unpacked():
    bomb = gzip.compress(b"0" * 50_000_000)
    with answering(http_answer(200, bomb, "Content-Encoding: gzip")) as (url, _):
        assert "larger" in accident(url, NoAnswer, deadline=timedelta(seconds=5))


@pytest.mark.promise("I45")
def test_a_redirect_is_an_answer_and_is_not_followed():
    with answering(b"") as (trap, trapped):
        bomb = gzip.compress(b"0" * 50_000_000)
        answer = http_answer(307, bomb, f"Location: {trap}/refunds/1", "Content-Encoding: gzip")
        with answering(answer) as (url, _):
            accident(url, NoAnswer, deadline=timedelta(seconds=5))
        with answering(http_answer(307, b"", f"Location: {trap}/refunds/1")) as (url, _):
            _, response = put(url)
    assert response.status == 307
    assert trapped == []


def test_a_server_that_hangs_up_between_calls_does_no_harm():
    with answering(http_answer(200, b"{}", "Connection: keep-alive")) as (url, seen):
        client = HttpClient(url)
        for _ in range(3):
            assert client.send("PUT", "/", headers={}, body=BODY).status == 200
    assert len(seen) == 3
    assert len(client.exchanges) == 3


def test_no_byte_leaves_after_the_last_moment():
    with answering(http_answer(200, b"{}")) as (url, seen):
        client = HttpClient(url)
        client.not_after = datetime.now(UTC)
        with pytest.raises(NotSent, match="is over"):
            client.send("PUT", "/", headers={}, body=BODY)
        assert seen == []
        client.not_after = datetime.now(UTC) + timedelta(seconds=5)
        assert client.send("PUT", "/", headers={}, body=BODY).status == 200


@pytest.mark.promise("I45")
def test_a_proxy_and_a_netrc_in_the_environment_are_not_used(monkeypatch, tmp_path, shut_port):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{shut_port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{shut_port}")
    with answering(http_answer(200, b"{}")) as (url, seen):
        HttpClient(url).send("GET", "/", headers={})
    assert b"authorization" not in seen[0].lower()


def test_a_token_that_breaks_the_header_is_not_shown():
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(Misconfigured) as caught:
        client.send("GET", "/", headers={"Authorization": "Bearer s3cret\r\nX: 1"})
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example/v1",
        "ftp://127.0.0.1/",
        "api.example",
        "https://",
        "https://a:b@api.example/",
        "https://api.example/?x=1",
        "http://127.0.0.1.example/",
        "https://[",
        "https://host:port/",
    ],
)
def test_an_unsafe_or_broken_url_is_refused(url):
    with pytest.raises(Misconfigured):
        HttpClient(url)


@pytest.mark.parametrize("url", ["https://api.example/v1", "http://localhost:1", "http://127.8.8.8", "http://[::1]:1"])
def test_https_and_this_machine_are_fine(url):
    assert HttpClient(url).base_url == url


def test_without_a_url_nothing_is_called():
    with pytest.raises(Misconfigured, match="no URL"):
        HttpClient("").send("GET", "/", headers={})


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("99999999999999999999", 900),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Thu, 01 Jan 2099 00:00:00 GMT", 900),
        ("Thu, 01 Jan 2015 00:00:00 GMT", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_a_wish_to_wait_is_understood_or_ignored(text, seconds):
    assert retry_after(text, NOW) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.promise("I17")
def test_no_wish_to_wait_is_longer_than_a_quarter_of_an_hour_or_breaks_anything(trials):
    dice, n_played = random.Random(17), 20_000
    signs = "0123456789-+.eE:, GMTThuJan\u0663\u2003\x00infa"
    for _ in range(n_played):
        text = "".join(dice.choices(signs, k=dice.randrange(0, 32)))
        wait = retry_after(text, NOW)
        assert wait is None or timedelta() <= wait <= timedelta(minutes=15)
    trials(n_played)


class TlsServer:
    def __init__(self, url: str, certificate: str, seen: list[bytes]) -> None:
        self.url, self.certificate, self.seen = url, certificate, seen


@pytest.fixture
def tls_server(tmp_path):
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    seen: list[bytes] = []

    def behave(line: socket.socket) -> None:
        with context.wrap_socket(line, server_side=True) as safe:
            seen.append(read_request(safe))
            safe.sendall(http_answer(200, b"{}"))

    with listener(behave) as url:
        yield TlsServer(url.replace("http:", "https:").replace("127.0.0.1", "localhost"), certificate, seen)


def self_signed(folder) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    no_password = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_a_secret_that_is_learned_late_leaves_the_whole_record():
    secret = "learned-on-the-way"
    with answering(http_answer(200, secret.encode(), f"X-Token: {secret}")) as (url, _):
        client = HttpClient(url)
        client.send("GET", f"/{secret}", headers={"X-Mine": secret})
        assert secret in repr(client.exchanges)
        client.hide(secret)
        assert secret not in repr(client.exchanges)
