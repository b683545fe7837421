"""The sandbox tells its stories as its table says, and its ledger counts every movement once."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from datetime import timedelta

import pytest
import requests

from gateways.contract import Delivery, Outcome, RefundOrder
from gateways.errors import BadWebhook, NoAnswer
from gateways.money import Money
from gateways.payerly import Payerly
from gateways.sandbox import Sandbox
from gateways.sandbox.stories import STORIES

SUCCESS, DECLINED = Outcome.SUCCEEDED, Outcome.FAILED


def connect(sandbox: Sandbox, **config: str) -> Payerly:
    return Payerly({**sandbox.credentials("payerly"), **config})


def order(minor: int, callback_url: str = "", currency: str = "EUR", key: str = "") -> RefundOrder:
    return RefundOrder(key or str(uuid.uuid4()), "pay-1", Money(minor, currency), callback_url=callback_url)


def put(sandbox: Sandbox, key: str = "rf-1", body: object = None, **headers: str) -> requests.Response:
    asked = {"paymentId": "pay-1", "amount": {"value": "12.00", "currency": "EUR"}} if body is None else body
    sent = {"Authorization": "Bearer sandbox-payerly-token", "Content-Type": "application/json", **headers}
    data = asked if isinstance(asked, bytes) else json.dumps(asked)
    return requests.put(f"{sandbox.url('payerly')}/refunds/{key}", data=data, headers=sent, timeout=5)


def kinds(sandbox: Sandbox) -> list[str]:
    return [line["kind"] for line in sandbox.ledger()]


# Number, what the first call brings, what the look-up says in the end, movements of money, webhooks
TOLD = [
    (0, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (1, Outcome.FAILED, [], [], []),
    (2, NoAnswer, [SUCCESS], ["refund"], []),
    (3, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (4, Outcome.PROCESSING, [DECLINED], ["refund", "reversal"], ["SUCCESS", "DECLINED"]),
    (5, NoAnswer, [], [], []),
    (6, NoAnswer, [SUCCESS], ["refund"], ["SUCCESS"]),
    (7, Outcome.PROCESSING, [DECLINED], [], ["DECLINED"]),
    (8, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (9, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"] * 3),
    (10, Outcome.PROCESSING, [SUCCESS], ["refund"], []),
    (11, Outcome.UNCLEAR, [Outcome.UNCLEAR], ["refund"], ["ON_THE_MOON"]),
    (12, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (13, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (14, NoAnswer, [SUCCESS], ["refund"], ["SUCCESS"]),
    (15, NoAnswer, [SUCCESS], ["refund"], ["SUCCESS"]),
    (16, NoAnswer, [], [], []),
    (17, NoAnswer, [], [], []),
    (18, NoAnswer, [], [], []),
    (19, Outcome.PROCESSING, [Outcome.PROCESSING], ["refund"], ["SUCCESS"]),
    (20, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (21, Outcome.PROCESSING, [DECLINED], [], ["CANCELLED"]),
    (22, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (23, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
    (24, Outcome.PROCESSING, [SUCCESS], ["refund"], ["SUCCESS"]),
]


def test_every_story_is_tested():
    assert {number for number, *_ in TOLD} >= set(STORIES)
    assert len({story.name for story in STORIES.values()}) == len(STORIES)


@pytest.mark.parametrize(("number", "first", "found", "moved", "letters"), TOLD, ids=[str(line[0]) for line in TOLD])
def test_the_story_goes_as_its_table_says(sandbox, inbox, number, first, found, moved, letters):
    gateway, asked = connect(sandbox), order(1200 + number, inbox.url)
    gateway.http.deadline = timedelta(milliseconds=500)
    if isinstance(first, Outcome):
        assert gateway.refund(asked).outcome is first
    else:
        with pytest.raises(first):
            gateway.refund(asked)
    sandbox.settle()
    assert [update.outcome for update in gateway.look_up(asked)] == found
    assert kinds(sandbox) == moved
    assert [json.loads(body)["object"]["status"]["value"] for _, body in inbox.letters] == letters


@pytest.mark.parametrize("number", [n for n, story in STORIES.items() if story.only_once])
def test_an_order_that_was_not_carried_out_works_the_second_time(sandbox, number):
    gateway, asked = connect(sandbox), order(1200 + number)
    with pytest.raises(NoAnswer):
        gateway.refund(asked)
    assert gateway.look_up(asked) == []
    assert gateway.refund(asked).outcome is Outcome.PROCESSING
    assert len(sandbox.ledger()) == 1


def test_a_late_order_shows_up_late_and_a_repeat_moves_no_money_twice(sandbox):
    gateway, asked = connect(sandbox), order(1215)
    with pytest.raises(NoAnswer):
        gateway.refund(asked)
    assert gateway.look_up(asked) == []
    assert sandbox.ledger() == []
    assert gateway.refund(asked).outcome is Outcome.PROCESSING
    sandbox.settle()
    assert len(sandbox.ledger()) == 1
    assert len(gateway.look_up(asked)) == 1


def test_the_webhook_can_come_before_the_answer(sandbox, inbox):
    connect(sandbox).refund(order(1208, inbox.url))
    assert len(inbox.letters) == 1


def test_a_wrong_amount_is_shown_everywhere_but_in_the_ledger(sandbox, inbox):
    gateway, asked = connect(sandbox), order(1212, inbox.url)
    assert gateway.refund(asked).amount == Money(1213, "EUR")
    sandbox.settle()
    assert gateway.look_up(asked)[0].amount == Money(1213, "EUR")
    assert b'"12.13"' in inbox.letters[0][1]
    assert sandbox.ledger()[0]["minor"] == 1212


def test_webhooks_are_signed_by_the_key_it_hands_out_and_forged_ones_are_not(sandbox, inbox):
    gateway = connect(sandbox, SIGNKEY_PEM=connect(sandbox).webhook_key())
    gateway.refund(order(1200, inbox.url, key="true"))
    sandbox.settle()
    gateway.refund(order(1213, inbox.url, key="forged"))
    sandbox.settle()
    true, forged = (Delivery(*letter) for letter in inbox.letters)
    assert true.headers["user-agent"].startswith("refund-desk-sandbox")
    gateway.verify_webhook(true)
    with pytest.raises(BadWebhook):
        gateway.verify_webhook(forged)
    sandbox.webhook("true")
    sandbox.settle()
    gateway.verify_webhook(Delivery(*inbox.letters[-1]))
    sandbox.webhook("true", forged=True)
    sandbox.settle()
    with pytest.raises(BadWebhook):
        gateway.verify_webhook(Delivery(*inbox.letters[-1]))


def test_a_redirect_that_is_followed_would_be_seen(sandbox):
    with pytest.raises(NoAnswer):
        connect(sandbox).refund(order(1218))
    assert [line["gateway"] for line in sandbox.requests()] == ["payerly"]
    assert put(sandbox, body={"paymentId": "p", "amount": {"value": "1.18", "currency": "EUR"}}).status_code == 404
    assert [line["gateway"] for line in sandbox.requests()] == ["payerly", "payerly", "moved"]


def test_a_webhook_that_is_not_taken_comes_again_but_not_for_ever(sandbox, inbox):
    inbox.statuses[:] = [500, 302, 404]
    connect(sandbox).refund(order(1200, inbox.url))
    sandbox.settle()
    assert len(inbox.letters) == 4
    inbox.statuses[:] = [503] * 20
    connect(sandbox).refund(order(1200, inbox.url))
    sandbox.settle()
    assert len(inbox.letters) == 4 + 5


def test_a_receiver_that_takes_its_time_gets_each_webhook_once(sandbox, inbox):
    inbox.pause = 0.2
    connect(sandbox).refund(order(1200, inbox.url))
    sandbox.settle()
    connect(sandbox).refund(order(1208, inbox.url))
    sandbox.settle()
    assert len(inbox.letters) == 2


def test_the_same_order_at_the_same_moment_moves_money_once(sandbox):
    asked, found = order(1200), []
    threads = [threading.Thread(target=lambda: found.append(connect(sandbox).refund(asked))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({update.reference for update in found}) == 1
    assert len(found) == 20
    assert len(sandbox.ledger()) == 1


def test_another_order_under_the_same_id_is_refused(sandbox):
    assert put(sandbox).status_code == 200
    assert put(sandbox, body={"paymentId": "pay-1", "amount": {"value": "13.00", "currency": "EUR"}}).status_code == 409
    assert [line["minor"] for line in sandbox.ledger()] == [1200]


AMOUNT = {"value": "12.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, None, {"Authorization": ""}),
        (401, None, {"Authorization": "Bearer wrong"}),
        (415, None, {"Content-Type": "text/plain"}),
        (400, b"{", {}),
        (400, [], {}),
        (400, {"paymentId": "p"}, {}),
        (400, {"amount": AMOUNT}, {}),
        (400, {"paymentId": 7, "amount": AMOUNT}, {}),
        (400, {"paymentId": "p", "amount": AMOUNT, "callbackUrl": "http://desk.example/"}, {}),
        (400, {"paymentId": "p", "amount": AMOUNT, "customFields": {"cf6": "x"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": 12, "currency": "EUR"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": "12.0", "currency": "EUR"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": "12.00", "currency": "JPY"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": "12.00", "currency": "KWD"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": "0.00", "currency": "EUR"}}, {}),
        (422, {"paymentId": "p", "amount": {"value": "12.00", "currency": "eur"}}, {}),
    ],
)
def test_it_is_as_strict_as_a_real_one(sandbox, status, body, headers):
    answer = put(sandbox, body=body, **headers)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] > 0
    assert sandbox.ledger() == []


@pytest.mark.parametrize(("minor", "currency"), [(1200, "JPY"), (12_000, "KWD"), (1200, "EUR")])
def test_each_currency_has_its_decimals(sandbox, minor, currency):
    assert connect(sandbox).refund(order(minor, currency=currency)).amount == Money(minor, currency)


def test_a_registered_payment_cannot_be_exceeded(sandbox):
    sandbox.payment("pay-1", 3000, "EUR")
    gateway = connect(sandbox)
    assert gateway.refund(order(2000)).outcome is Outcome.PROCESSING
    assert gateway.refund(order(1100)).code == "2002"
    assert gateway.refund(order(1000, currency="JPY")).code == "2002"
    assert gateway.refund(order(1000)).outcome is Outcome.PROCESSING


def test_a_told_story_is_played_once_by_the_order_it_fits(sandbox):
    sandbox.tell("refused", key="rf-2")
    sandbox.tell(1, payment="another")
    gateway = connect(sandbox)
    assert gateway.refund(order(1200, key="rf-1")).outcome is Outcome.PROCESSING
    assert gateway.refund(order(1200, key="rf-2")).outcome is Outcome.FAILED
    assert gateway.refund(order(1200, key="rf-2")).outcome is Outcome.PROCESSING
    with pytest.raises(ValueError, match="no story"):
        sandbox.tell("nonsense")


def test_calls_are_listed_with_their_tokens_masked(sandbox):
    put(sandbox)
    (line,) = sandbox.requests()
    assert (line["gateway"], line["method"], line["status"]) == ("payerly", "PUT", 200)
    assert line["path"] == "/payerly/v1/refunds/rf-1"
    assert line["headers"]["authorization"] == "•••"
    assert '"12.00"' in line["body"]


def test_everything_can_be_seen_and_steered_over_http(sandbox, inbox):
    def control(name: str, **asked: object) -> int:
        return requests.post(f"{sandbox.root}/control/{name}", json=asked, timeout=5).status_code

    assert control("tell", story="no_webhook", key="rf-1") == 200
    assert control("payment", payment="pay-1", minor=1200, currency="EUR") == 200
    body = {"paymentId": "pay-1", "amount": AMOUNT, "callbackUrl": inbox.url}
    put(sandbox, body=body)
    sandbox.settle()
    assert inbox.letters == []
    assert control("webhook", key="rf-1", word="failed") == 200
    sandbox.settle()
    assert b"DECLINED" in inbox.letters[0][1]
    assert requests.get(sandbox.root + "/ledger", timeout=5).json() == sandbox.ledger()
    assert requests.get(sandbox.root + "/requests", timeout=5).json() == sandbox.requests()
    assert requests.get(sandbox.root + "/health", timeout=5).json() == {"status": "ok"}
    for name, asked in [("tell", {}), ("tell", {"story": "x"}), ("webhook", {"key": "rf-9"}), ("nothing", {})]:
        assert control(name, **asked) in (400, 404)


def test_its_page_explains_stories_and_credentials(sandbox):
    page = requests.get(sandbox.root + "/", timeout=5)
    assert page.headers["content-type"].startswith("text/html")
    assert all(f"{number:02}" in page.text and story.name in page.text for number, story in STORIES.items())
    assert sandbox.url("payerly") in page.text
    assert "src=" not in page.text


def test_a_restart_forgets_nothing_that_is_in_its_folder(tmp_path, inbox):
    asked = order(1200, inbox.url)
    with Sandbox(state=tmp_path, pace=0.2) as sandbox:
        gateway = connect(sandbox)
        reference, pem = gateway.refund(asked).reference, gateway.webhook_key()
    assert inbox.letters == []
    with Sandbox(state=tmp_path, pace=0.2) as sandbox:
        gateway = connect(sandbox)
        assert gateway.webhook_key() == pem
        assert gateway.refund(asked).reference == reference
        sandbox.settle()
        assert gateway.look_up(asked)[0].outcome is SUCCESS
        assert len(sandbox.ledger()) == len(inbox.letters) == 1


def run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gateways.sandbox", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_taken_port_is_one_line_and_an_exit_code():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = run("--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err.count("\n")) == (1, "", 1)
    assert "cannot start on port" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_by_itself_and_ends_quietly(number):
    process = run("--port", "0")
    url = process.stdout.readline().split()[-1]
    assert requests.get(url + "health", timeout=5).status_code == 200
    started = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - started < 3


def test_half_a_request_is_none():
    with Sandbox() as sandbox, socket.create_connection(("127.0.0.1", int(sandbox.root.rsplit(":", 1)[1]))) as line:
        line.sendall(b"PUT /payerly/v1/refunds/rf-1 HTTP/1.1\r\nContent-Length: 60\r\n\r\n{")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(100) == b""
        assert sandbox.requests() == []
