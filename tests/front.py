"""The desk as in production: the shipped nginx with TLS, two web servers by the Procfile's line, callers outside."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parent.parent
DESK, HOOKS = "refunds.example.com", "hooks.example.com"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
MISSING = "nginx is missing: the sample configuration was not tried (on Debian: apt-get install nginx-light)"
# What docs/production.md asks for, and nothing else.
PRODUCTION = {
    "READ_DOT_ENV": "off",
    "SECRET_KEY": "q8Zr-2vJ_5xKp0WmT7nYbE4cH9sLdA6uGfR3iQoX1jV-tB_yNkMwPzCe",
    "PUBLIC_URL": f"https://{DESK}",
    "WEBHOOK_HOSTS": HOOKS,
    "PROXY_ADDRESSES": "127.0.0.1",
    "PROXY_HTTPS_HEADER": "X-Forwarded-Proto",
    "TRUSTED_PROXIES": "1",
    "EMAIL_URL": "smtp+tls://desk:a-password@mail.example.com:587",
    "EMAIL_FROM": "refunds@example.com",
    "GATEWAY_ACCOUNTS": "payerly-eu:payerly",
    "PAYERLY_EU_URL": "https://api.sandbox.payerly.tech/v1",
    "PAYERLY_EU_TOKEN": "a-token-of-sixteen-and-more",
    "WEB_THREADS": "4",
}


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Front:
    """nginx on `tls` and `plain`, and the desk's web servers on `ports`, all on loopback."""

    folder: Path
    environment: dict[str, str]
    tls: int = 0
    plain: int = 0
    ports: list[int] = field(default_factory=list)
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    nginx: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.tls, self.plain, *self.ports = free_ports(4)
        make_certificate(self.folder)
        for port in self.ports:
            self.start_web(port)
        configure(self)
        with (self.folder / "nginx.out").open("ab") as log:
            self.nginx = subprocess.Popen(nginx(self.folder), stdout=log, stderr=log)
        wait_for(self.tls)

    def start_web(self, port: int) -> None:
        (line,) = re.findall(r"^web: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**self.environment, "PORT": str(port), "PATH": path}
        with (self.folder / "web.log").open("ab") as log:
            command = ["sh", "-c", f"exec {line}"]
            self.processes[port] = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        wait_for(port)

    def stop_web(self, port: int) -> float:
        """By SIGTERM, as systemd does; returns the seconds until it had ended."""
        began = time.monotonic()
        self.processes[port].send_signal(signal.SIGTERM)
        self.processes.pop(port).wait(30)
        return time.monotonic() - began

    def stop(self) -> None:
        for process in filter(None, [self.nginx, *self.processes.values()]):
            process.terminate()
            process.wait(30)

    def log(self) -> str:
        return "".join(file.read_text() for file in sorted(self.folder.glob("*.log")))

    def ask(self, method: str, path: str, body: bytes = b"", host: str = DESK, **headers: str) -> Answer:
        """One request from outside, by TLS."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls.crt"))
        line = http.client.HTTPSConnection(host, self.tls, timeout=30, context=context)
        line._create_connection = lambda *_: socket.create_connection(("127.0.0.1", self.tls), 30)  # type: ignore[attr-defined]
        with closing(line):
            words = {name.replace("_", "-"): text for name, text in headers.items()}
            line.request(method, path, body or None, {"Host": host, **words})
            answer = line.getresponse()
            return Answer(answer.status, answer.headers, answer.read())


def free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def wait_for(port: int, seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < ends, f"Nothing answers on port {port}."
            time.sleep(0.05)


def make_certificate(folder: Path) -> None:
    """One for both names, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a desk in a test")])
    now, names = datetime.now(UTC), [x509.DNSName(DESK), x509.DNSName(HOOKS)]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "tls.crt").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def configure(front: Front) -> None:
    """The shipped file, with nothing changed but ports and paths."""
    text = (ROOT / "deploy/nginx/refunds.conf").read_text()
    changes = {
        r"listen 443 ": f"listen 127.0.0.1:{front.tls} ",
        r"listen 80;": f"listen 127.0.0.1:{front.plain};",
        r"127\.0\.0\.1:8000": f"127.0.0.1:{front.ports[0]}",
        r"127\.0\.0\.1:8001": f"127.0.0.1:{front.ports[1]}",
        r"/etc/nginx/tls/(refunds|hooks)": str(front.folder / "tls"),
        r"/var/log/nginx/refunds.log": str(front.folder / "access.log"),
        r"allow 127\.0\.0\.1;": "allow 127.0.0.9;",  # here, strangers come from loopback too
    }
    for pattern, to in changes.items():
        text, n_found = re.subn(pattern, to, text)
        assert n_found, pattern
    (front.folder / "refunds.conf").write_text(text)
    paths = "".join(
        f"{kind}_temp_path {front.folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (front.folder / "nginx.conf").write_text(
        f"{user} daemon off; pid {front.folder}/nginx.pid; worker_processes 1; events {{}}\n"
        f"http {{ {paths} access_log off; include {front.folder}/refunds.conf; }}\n"
    )


def nginx(folder: Path, *more: str) -> list[str]:
    assert NGINX
    return [NGINX, "-p", str(folder), "-e", str(folder / "nginx-error.log"), "-c", str(folder / "nginx.conf"), *more]


@pytest.fixture
def front(process_environment: dict[str, str], tmp_path: Path) -> Iterator[Front]:
    """Static files collected, nginx and two web servers at work on the test's database."""
    if not NGINX:
        pytest.skip(MISSING)
    kept = {"PATH": process_environment["PATH"], "DATABASE_URL": process_environment["DATABASE_URL"]}
    environment = {**PRODUCTION, **kept, "STATIC_ROOT": str(tmp_path / "static")}
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"]
    subprocess.run(collect, cwd=ROOT, env=environment, check=True, capture_output=True)
    folder = tmp_path / "front"
    folder.mkdir()
    made = Front(folder, environment)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        print(made.log()[-20_000:])  # shown when the test fails
