"""The desk in production, walked from outside: nginx with TLS, the real web server, no DEBUG, and the shipped files."""

from __future__ import annotations

import gzip
import http.client
import re
import ssl
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db import transaction

from refunds.models import Account, Delivery, Refund
from tests.builders import again, alice, make_account
from tests.front import DESK, HOOKS, ROOT, Front, nginx
from tests.house import until
from tests.refunds.test_record import standing_in
from tests.refunds.test_webhooks import OURS, callback, pem, signed

pytestmark = pytest.mark.django_db(transaction=True)
DOOR = "/webhooks/payerly-eu/"
PASSWORD = "correct horse battery staple"


def knock(front: Front, body: bytes, host: str = HOOKS) -> int:
    headers = {"Content_Type": "application/json", "Signature": signed(body)}
    return front.ask("POST", DOOR, body, host, **headers).status


def test_the_walk_from_outside(front: Front) -> None:
    check_the_settings(front)
    log_in(front)
    look_at_the_static_files(front)
    refund = standing_in("processing")
    Account.objects.update(webhook_key=pem(OURS))
    body = callback(refund)
    assert knock(front, body, DESK) == 404
    assert again(refund).status == "processing"
    assert knock(front, body) == 200
    assert again(refund).status == "succeeded"
    assert front.ask("POST", DOOR, body, HOOKS, Content_Type="application/json", Signature="AAAA").status == 401
    knock_at_other_doors(front)
    assert f'{HOOKS} "POST {DOOR}" 200' in front.log()


def check_the_settings(front: Front) -> None:
    check = [sys.executable, "manage.py", "check", "--deploy", "--database", "default", "--fail-level", "WARNING"]
    done = subprocess.run(check, cwd=ROOT, env=front.environment, capture_output=True, text=True, check=False)
    found = set(re.findall(r"\((\w+\.[EW]\d+)\)", done.stderr))
    assert found or (done.returncode, "no issues" in done.stdout) == (0, True), done.stderr
    assert found <= {"refunds.W013"}, done.stderr  # the tests' PostgreSQL comes without pg_trgm
    done = subprocess.run(nginx(front.folder, "-t"), capture_output=True, text=True, check=False)
    assert "warn" not in done.stderr
    assert done.returncode == 0, done.stderr


def log_in(front: Front) -> None:
    hashed = PBKDF2PasswordHasher().encode(PASSWORD, "salt", 1000)
    User.objects.filter(pk=alice().pk).update(password=hashed)
    page = front.ask("GET", "/accounts/login/")
    assert page.status == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    token = re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', page.body)
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    assert token
    assert cookie.startswith("__Host-desk-csrf=")
    for password, wanted in (("wrong", 200), (PASSWORD, 302)):
        typed = {"csrfmiddlewaretoken": token[1].decode(), "login": "alice", "password": password}
        answer = front.ask(
            "POST",
            "/accounts/login/",
            urlencode(typed).encode(),
            Content_Type="application/x-www-form-urlencoded",
            Cookie=cookie,
            Referer=f"https://{DESK}/accounts/login/",
            X_Forwarded_For="6.6.6.6",
            X_Real_IP="6.6.6.6",
        )
        assert answer.status == wanted
    assert any(line.startswith("__Host-desk-session=") for line in answer.headers.get_all("Set-Cookie"))
    # Whatever a stranger claims, the log names the address that nginx saw.
    assert "wrong password for 'alice' from 127.0.0.1" in until(lambda: "wrong password" in front.log() and front.log())
    assert "6.6.6.6" not in front.log()


def look_at_the_static_files(front: Front) -> None:
    page = front.ask("GET", "/accounts/login/").body.decode()
    files = re.findall(r'"(/static/[^"]+\.(?:css|js|svg))"', page)
    assert any(file.endswith(".js") for file in files)
    for file in files:
        assert re.search(r"\.[0-9a-f]{12}\.\w+$", file), file
        answer = front.ask("GET", file, Accept_Encoding="gzip")
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "max-age=315360000, public, immutable")
        if answer.headers["Content-Encoding"] == "gzip":
            assert gzip.decompress(answer.body)
        plain = re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", file)
        assert front.ask("GET", plain).headers["Cache-Control"] == "max-age=600, public"
    assert front.ask("GET", "/static/no-such.css").status == 404


def knock_at_other_doors(front: Front) -> None:
    asked = [("/", HOOKS), ("/admin/", HOOKS), ("/static/unfold/css/styles.css", HOOKS), (DOOR, DESK)]
    assert [front.ask("GET", path, host=host).status for path, host in asked] == [404] * 4
    assert [front.ask("GET", path).status for path in ("/metrics", "/readyz", "/healthz")] == [403] * 3
    assert front.ask("POST", DOOR, host=HOOKS).status == 415
    assert knock(front, b"x" * (64 * 1024 + 1)) == 413
    with pytest.raises(ssl.SSLError):
        front.ask("GET", "/", host="elsewhere.example.com")
    plain = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=10)
    plain.request("GET", "/admin/?q=anna", headers={"Host": DESK})
    answer = plain.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, f"https://{DESK}/")
    plain.close()


def test_a_file_that_only_the_new_release_has_is_found_during_an_upgrade(front: Front) -> None:
    """The page came from one web server, and its style sheet is asked of the other, which is older."""
    new = front.folder.parent / "static" / "only-here.css"
    new.write_text("a {}")
    front.stop_web(front.ports[0])
    front.start_web(front.ports[0])
    assert [front.ask("GET", "/static/only-here.css").status for _ in range(6)] == [200] * 6


@pytest.mark.faults
def test_nobody_outside_notices_that_the_web_servers_are_restarted(front: Front) -> None:
    """Callers without a pause, while each of the two is ended and begun again, twice."""
    make_account(webhook_key=pem(OURS))
    statuses: list[int] = []
    ends = threading.Event()

    def call(number: int) -> None:
        for knocks in range(100_000):
            if ends.is_set():
                return
            body = callback(txnId=f"txn-{number}-{knocks}")
            statuses.append(knock(front, body) if knocks % 2 else front.ask("GET", "/admin/").status)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for caller in callers:
        caller.start()
    time.sleep(1)
    for port in front.ports * 2:
        front.stop_web(port)
        front.start_web(port)
    time.sleep(1)
    ends.set()
    for caller in callers:
        caller.join(60)
    assert len(statuses) > 200
    assert set(statuses) == {200, 302}, {status: statuses.count(status) for status in set(statuses)}
    assert Delivery.objects.count() > 50


def test_what_a_web_server_has_begun_is_answered_before_it_ends(front: Front) -> None:
    """The delivery waits for its refund's lock when SIGTERM comes to both of them."""
    make_account(webhook_key=pem(OURS))
    refund = standing_in("processing")
    heard: list[int] = []
    caller = threading.Thread(target=lambda: heard.append(knock(front, callback(refund))))
    enders = [threading.Thread(target=front.stop_web, args=(port,)) for port in front.ports]
    with transaction.atomic():
        Refund.objects.select_for_update().get(pk=refund.pk)
        caller.start()
        time.sleep(1)
        for ender in enders:
            ender.start()
        time.sleep(1)
        assert caller.is_alive()
    for thread in (caller, *enders):
        thread.join(30)
    assert (heard, again(refund).status) == ([200], "succeeded")
