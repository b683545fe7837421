"""Pay3's wire: tokens, signatures, the list, what each answer means, and what its simulator refuses."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import jwt
import pytest
import requests
import time_machine

from gateways import tokens
from gateways.contract import Capabilities, Delivery, LookUp, Nudge, Outcome, RefundOrder, Webhooks
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.money import Money
from gateways.pay3 import TOKENS, Pay3
from gateways.sandbox import Sandbox
from tests.gateways.conftest import http_answer, listener, read_request, recorded

SECRET, WEBHOOK_SECRET = "test-secret", "webhook-secret-of-forty-eight-bytes-for-the-tests"
ORDER = RefundOrder("0f9a4c52-7d1c-4f43-9c0a-1a2b3c4d5e6f", "9824649238", Money(2, "BRL"))
REFERENCE = "a35dc551-9fb4-491c-9f9b-44d9c2ef4b32"


def pay3(url: str = "https://demo1.pay3.app", **config: str) -> Pay3:
    given = {"URL": url, "CLIENT_ID": "client-1", "API_SECRET": SECRET, "WEBHOOK_SECRET": WEBHOOK_SECRET}
    return Pay3({**given, **config})


def a_token(seconds: int = 1800, name: str = "t") -> str:
    return jwt.encode({"sub": name, "exp": int(time.time()) + seconds}, "their-own-secret-of-thirty-two-b", "HS256")


class Server:
    """Answers token calls, lists and orders as told, in turn; the last answer of each kind repeats."""

    def __init__(self) -> None:
        self.tokens = [http_answer(200, json.dumps({"accessToken": a_token()}).encode())]
        self.lists = [http_answer(200, recorded("pay3", "list_empty"))]
        self.orders = [http_answer(200, recorded("pay3", "seed_answer_repaired"))]
        self.seen: list[tuple[str, str]] = []
        self.url = ""

    def behave(self, line) -> None:
        request = read_request(line)
        kind = {b"POST /v1/client/access-token": "tokens", b"GET /v1/client/fiat-refunds": "lists"}.get(
            request.split(b"?")[0].split(b" HTTP")[0], "orders"
        )
        self.seen.append((kind, request.decode()))
        answers = getattr(self, kind)
        line.sendall(answers.pop(0) if len(answers) > 1 else answers[0])

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.seen]


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with listener(found.behave) as found.url:
        yield found


def answered(server: Server, body: bytes, status: int = 200):
    server.orders = [http_answer(status, body)]
    return pay3(server.url).refund(ORDER)


# --- what goes out ---


def test_an_order_is_signed_as_the_known_answer_says(server):
    pay3(server.url).refund(ORDER)
    request = server.seen[-1][1]
    assert request.startswith("POST /v1/client/fiat-refund ")
    assert "signature: XEqTOrwiP6tPQfQ0XOEyY/LdqhJ2mE/MZZL2ydHd4lo=" in request
    assert request.endswith('{"fiatAmount":"0.02","requestId":"9824649238","clientId":"client-1"}')
    assert "access-token: eyJ" in request
    assert "Content-Type: application/json" in request
    assert "Accept: application/json" in request


def test_the_body_is_the_printed_one_in_short():
    printed = json.loads(recorded("pay3", "seed_request_repaired"))
    body = pay3(CLIENT_ID=printed["clientId"]).body(ORDER)
    assert json.loads(body) == printed
    assert body == b'{"fiatAmount":"0.02","requestId":"9824649238","clientId":"your client id"}'


def test_the_amount_has_the_decimals_of_its_currency_and_strange_signs_are_escaped():
    order = replace(ORDER, payment_reference='a"b', amount=Money(1200, "JPY"))
    assert pay3().body(order) == b'{"fiatAmount":"1200","requestId":"a\\"b","clientId":"client-1"}'
    assert b'"fiatAmount":"12.50"' in pay3().body(replace(ORDER, amount=Money(1250, "BRL")))


def test_what_is_signed_is_what_the_body_says(server):
    order = replace(ORDER, payment_reference='a"&b', amount=Money(1250, "BRL"))
    pay3(server.url).refund(order)
    mark = hmac.new(SECRET.encode(), b'fiatAmount=12.50&requestId=a"&b', hashlib.sha256).digest()
    assert f"signature: {base64.b64encode(mark).decode()}\r\n" in server.seen[-1][1]


def test_the_list_is_asked_with_both_names(server):
    pay3(server.url).look_up(replace(ORDER, payment_reference="a&b=c"))
    request = server.seen[-1][1]
    assert request.startswith("GET /v1/client/fiat-refunds?requestId=a%26b%3Dc&clientId=client-1 HTTP/1.1")
    assert "access-token: eyJ" in request
    assert "signature" not in request


def test_every_address_can_be_another(server):
    server.orders = [http_answer(200, json.dumps({"token": a_token()}).encode())]
    with pytest.raises(NoAnswer):
        pay3(server.url, TOKEN_METHOD="PUT", TOKEN_PATH="/t", TOKEN_FIELD="token", LIST_PATH="/l").look_up(ORDER)
    assert [request.split(" HTTP")[0] for _, request in server.seen] == [
        "PUT /t",
        "GET /l?requestId=9824649238&clientId=client-1",
    ]
    with pytest.raises(NoAnswer):
        pay3(server.url, REFUND_PATH="/r").refund(ORDER)
    assert server.seen[-1][1].startswith("POST /r HTTP")


def test_the_token_body_is_a_template_and_nothing_breaks_out_of_it(server):
    pay3(server.url, CLIENT_ID='cl"ient\\', TOKEN_BODY='{"id":"{client_id}","key":"{api_secret}"}').look_up(ORDER)
    body = server.seen[0][1].split("\r\n\r\n")[1]
    assert json.loads(body) == {"id": 'cl"ient\\', "key": SECRET}


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"amount": Money(1, "BRL")}, True),
        ({"amount": Money(0, "BRL")}, False),
        ({"amount": Money(100, "JPY")}, True),
        ({"amount": Money(1000, "KWD")}, False),
        ({"payment_reference": "r" * 100}, True),
        ({"payment_reference": "r" * 101}, False),
        ({"payment_reference": ""}, False),
        ({"payment_reference": "with blank"}, False),
        ({"payment_reference": "r\n"}, False),
        ({"amount": Money(-1, "BRL")}, False),
        ({"payment_reference": "żółć"}, False),
    ],
)
def test_what_it_cannot_carry_is_refused(change, fits):
    objection = pay3().check(replace(ORDER, **change))
    assert (objection == "") == fits
    assert fits or objection.endswith(".")


def test_it_declares_only_what_is_known():
    can = Capabilities(partial=True, look_up=LookUp.BY_PAYMENT, webhooks=Webhooks.KNOCK, proves_reference=True)
    assert Pay3.can == can
    assert {"API_SECRET", "WEBHOOK_SECRET", "WEBHOOK_SECRET_PREVIOUS"} == set(Pay3.secrets)


# --- access tokens ---


def test_a_token_is_shared_by_all_calls_until_it_is_about_to_end(server):
    pay3(server.url).look_up(ORDER)
    pay3(server.url).refund(ORDER)
    assert server.kinds() == ["tokens", "lists", "orders"]


def test_another_secret_is_another_token(server):
    pay3(server.url).look_up(ORDER)
    pay3(server.url, API_SECRET="another-secret").look_up(ORDER)
    assert server.kinds() == ["tokens", "lists", "tokens", "lists"]


@pytest.mark.parametrize(("seconds", "calls"), [(1800, 1), (61, 1), (59, 2), (-5, 2)])
def test_a_token_is_renewed_a_minute_before_its_end(server, seconds, calls):
    server.tokens = [http_answer(200, json.dumps({"accessToken": a_token(seconds)}).encode())]
    for _ in range(2):
        pay3(server.url).look_up(ORDER)
    assert server.kinds().count("tokens") == calls


def test_a_token_that_is_no_jwt_lives_five_minutes():
    assert 290 < tokens.end_of("opaque") - time.time() <= 300
    assert 290 < tokens.end_of(jwt.encode({"sub": "x"}, "k" * 32, "HS256")) - time.time() <= 300


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(200, b"{}"),
        http_answer(200, b'{"accessToken":7}'),
        http_answer(200, b'{"accessToken":"with\\nline"}'),
        http_answer(200, b"<html>"),
        http_answer(401, b'{"error":"client verification failed"}'),
        http_answer(500, b""),
        b"",
    ],
)
def test_without_a_token_nothing_is_sent(server, answer):
    server.tokens = [answer]
    with pytest.raises(NotSent):
        pay3(server.url).refund(ORDER)
    with pytest.raises((NotSent, NoAnswer)):
        pay3(server.url).look_up(ORDER)
    assert set(server.kinds()) == {"tokens"}


def test_a_wish_to_wait_is_passed_on_also_from_the_token(server):
    server.tokens = [http_answer(429, b"", "Retry-After: 7")]
    with pytest.raises(NotSent) as caught:
        pay3(server.url).refund(ORDER)
    assert caught.value.retry_after == timedelta(seconds=7)


def test_many_threads_fetch_one_token():
    kept, fetched, token = tokens.Tokens(), [], a_token()

    def fetch() -> str:
        fetched.append(time.sleep(0.02))
        return token

    threads = [threading.Thread(target=kept.get, args=("owner", fetch)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1


def test_a_fetch_that_fails_is_tried_again_the_next_time(server):
    server.tokens = [http_answer(500, b""), *server.tokens]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)
    assert pay3(server.url).look_up(ORDER) == []


def test_a_look_up_is_repeated_once_with_a_fresh_token(server):
    server.lists = [http_answer(401, recorded("pay3", "not_let_in")), http_answer(200, recorded("pay3", "list"))]
    (update,) = pay3(server.url).look_up(ORDER)
    assert update.reference == REFERENCE
    assert server.kinds() == ["tokens", "lists", "tokens", "lists"]


def test_a_look_up_is_not_repeated_for_ever(server):
    server.lists = [http_answer(401, recorded("pay3", "not_let_in"))]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)
    assert server.kinds().count("lists") == 2


def test_a_401_that_is_a_business_error_keeps_the_token(server):
    server.lists = [http_answer(401, recorded("pay3", "refused"))]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)
    pay3(server.url).refund(ORDER)
    assert server.kinds() == ["tokens", "lists", "orders"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":null}', b'{"data":[]}'])
def test_a_401_that_nobody_understands_is_not_repeated(server, body):
    server.lists = [http_answer(401, body)]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)
    assert server.kinds() == ["tokens", "lists"]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_of_an_order_keeps_the_token(server, status):
    answered(server, recorded("pay3", "refused"), status)
    pay3(server.url).look_up(ORDER)
    assert server.kinds() == ["tokens", "orders", "lists"]


def test_a_text_with_another_status_is_not_about_the_token(server):
    with pytest.raises(NoAnswer):
        answered(server, recorded("pay3", "not_let_in"), 403)
    pay3(server.url).look_up(ORDER)
    assert server.kinds() == ["tokens", "orders", "lists"]


def test_an_order_is_never_repeated_but_its_refused_token_is_forgotten(server):
    server.orders = [http_answer(401, recorded("pay3", "not_let_in"))]
    with pytest.raises(NoAnswer):
        pay3(server.url).refund(ORDER)
    pay3(server.url).look_up(ORDER)
    assert server.kinds() == ["tokens", "orders", "tokens", "lists"]


def test_only_the_refused_token_is_forgotten():
    kept = tokens.Tokens()
    fresh = a_token(name="fresh")
    assert kept.get("owner", lambda: fresh) == fresh
    kept.forget("owner", "an older one")
    assert kept.get("owner", lambda: "x") == fresh
    kept.forget("owner", fresh)
    assert kept.get("owner", lambda: "x") == "x"


def test_no_secret_and_no_token_is_in_the_record(server):
    gateway = pay3(server.url)
    gateway.before(ORDER)
    gateway.refund(ORDER)
    kept = repr(gateway.http.exchanges) + repr(gateway) + repr(gateway.http)
    token = TOKENS.get((server.url, "client-1", SECRET), str)
    assert token.startswith("eyJ")
    assert [secret for secret in (SECRET, WEBHOOK_SECRET, token) if secret in kept] == []


def test_a_token_under_a_name_that_we_do_not_know_is_not_in_the_record_either(server):
    server.tokens = [http_answer(200, json.dumps({"jwt": a_token(), "refresh": "another-secret"}).encode())]
    gateway = pay3(server.url)
    with pytest.raises(NoAnswer):
        gateway.look_up(ORDER)
    assert "eyJ" not in repr(gateway.http.exchanges)
    assert "another-secret" not in repr(gateway.http.exchanges)


def test_a_token_that_another_call_fetched_is_masked_where_they_throw_it_back(server):
    pay3(server.url).look_up(ORDER)
    token = TOKENS.get((server.url, "client-1", SECRET), str)
    server.lists = [http_answer(500, token.encode())]
    gateway = pay3(server.url)
    with pytest.raises(NoAnswer):
        gateway.look_up(ORDER)
    assert token not in repr(gateway.http.exchanges)


def test_why_no_token_came_can_be_read_in_the_record(server):
    server.tokens = [http_answer(401, recorded("pay3", "not_let_in"))]
    gateway = pay3(server.url)
    with pytest.raises(NoAnswer):
        gateway.look_up(ORDER)
    assert "client verification failed" in repr(gateway.http.exchanges)


# --- answers ---


def test_the_printed_answer_is_accepted_and_not_done(server):
    update = answered(server, recorded("pay3", "seed_answer_repaired"))
    assert (update.outcome, update.code, update.reference) == (Outcome.PROCESSING, "REFUND_CREATED", REFERENCE)
    assert (update.payment_reference, update.amount) == ("9824649238", Money(2, "BRL"))


@pytest.mark.parametrize("printed", ["seed_answer", "seed_answer_with_brace"])
def test_the_answer_as_it_is_printed_is_no_json(server, printed):
    with pytest.raises(NoAnswer):
        answered(server, recorded("pay3", printed))


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("REFUND_CREATED", Outcome.PROCESSING),
        ("REFUND_INITIATED", Outcome.PROCESSING),
        ("REFUNDED", Outcome.SUCCEEDED),
        ("REFUND_COMPLETED", Outcome.SUCCEEDED),
        ("REFUND_FAILED", Outcome.FAILED),
        ("refunded", Outcome.UNCLEAR),
        ("PAID", Outcome.UNCLEAR),
    ],
)
def test_every_status_word(server, word, outcome):
    body = recorded("pay3", "seed_answer_repaired").replace(b"REFUND_CREATED", word.encode())
    assert answered(server, body).outcome is outcome
    server.lists = [http_answer(200, recorded("pay3", "list").replace(b"REFUND_INITIATED", word.encode()))]
    assert pay3(server.url).look_up(ORDER)[0].outcome is outcome


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
@pytest.mark.parametrize("code", ['"9007"', "9007"])
def test_a_business_error_is_a_refusal(server, status, code):
    body = recorded("pay3", "refused").replace(b'"9007"', code.encode())
    update = answered(server, body, status)
    assert (update.outcome, update.code, update.message) == (
        Outcome.FAILED,
        "9007",
        "Refund amount exceeds the order",
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, recorded("pay3", "not_let_in")) for status in (400, 401, 403, 404, 422)),
        *((status, recorded("pay3", "refused")) for status in (200, 409, 429, 500, 503)),
        (400, b'{"error":{}}'),
        (400, b'{"error":{"code":""}}'),
        (400, b'{"error":{"code":["9007"]}}'),
        (400, b'{"error":{"code":true}}'),
        (400, b'{"error":{"code":0}}'),
        (400, b'{"error":{"code":"0"}}'),
        (400, b'{"error":{"code":-1}}'),
        (400, b'{"error":{"code":9006.1}}'),
        (400, b'{"error":{"code":"no such code"}}'),
        (400, b'{"error":{"code":"9007","message":["x"]}}'),
        (400, b'{"error":["9007"]}'),
        (400, recorded("pay3", "seed_answer_repaired")),
        (200, recorded("pay3", "seed_answer_repaired").replace(b"{", b'{"error":{"code":"9007"},', 1)),
        (200, recorded("pay3", "seed_answer_repaired").replace(b"{", b'{"error":"down",', 1)),
        (200, recorded("pay3", "seed_answer_repaired").replace(REFERENCE.encode(), b"r" * 101)),
        (200, recorded("pay3", "seed_answer_repaired").replace(b"{", b'{"errorReason":"down",', 1)),
        (400, b'{"error":{"code":"9007"},"refundId":"a35d"}'),
        (201, recorded("pay3", "seed_answer_repaired")),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"0.02"', b"0.02")),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"0.02"', b'"0,02"')),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"0.02"', b'"0.021"')),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"refundId"', b'"refund"')),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"requestId"', b'"request"')),
        (200, recorded("pay3", "seed_answer_repaired").replace(b'"status"', b'"state"')),
    ],
)
def test_anything_else_settles_nothing(server, status, body):
    with pytest.raises(NoAnswer):
        answered(server, body, status)


def test_a_code_may_have_a_point(server):
    assert answered(server, b'{"error":{"code":"9006.1"}}', 400).code == "9006.1"


def test_echoes_are_told_as_they_stand(server):
    body = recorded("pay3", "seed_answer_repaired").replace(b'"0.02"', b'"0.03"').replace(b"9824649238", b"another")
    update = answered(server, body)
    assert (update.amount, update.payment_reference, update.key) == (Money(3, "BRL"), "another", "")
    listed = recorded("pay3", "list").replace(b'"0.02"', b'"0.03"').replace(b"9824649238", b"another")
    server.lists = [http_answer(200, listed)]
    (update,) = pay3(server.url).look_up(ORDER)
    assert (update.amount, update.payment_reference, update.key) == (Money(3, "BRL"), "another", "")


def test_what_they_tell_beside_it_has_plain_labels(server):
    server.lists = [http_answer(200, recorded("pay3", "list"))]
    (update,) = pay3(server.url).look_up(ORDER)
    assert update.details["status"] == "REFUND_INITIATED"
    assert set(update.details) == set(Pay3.detail_labels)


def test_a_list_is_told_whole_and_with_its_reason(server):
    server.lists = [http_answer(200, recorded("pay3", "list"))]
    (update,) = pay3(server.url).look_up(ORDER)
    assert (update.key, update.reference, update.outcome) == ("", REFERENCE, Outcome.PROCESSING)
    assert update.message == "There is a problem with the refund transaction"
    assert "9006.1" in update.details["errorReason"]
    inside = json.loads(recorded("pay3", "list"))
    inside["data"][0]["errorReason"] = {"errorCode": "9004", "errorDesc": "The partner failed."}
    server.lists = [http_answer(200, json.dumps(inside).encode())]
    assert pay3(server.url).look_up(ORDER)[0].message == "The partner failed."


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":["x"]}',
        b'{"data":[{"refundId":"r"}]}',
        b'{"data":[],"error":"try again"}',
        b'{"data":[],"error":{"code":"9006"}}',
        b'{"data":[],"errorReason":{"errorCode":"9004","errorDesc":"The partner failed."}}',
        b'{"data":[],"errorReason":"down"}',
        recorded("pay3", "list").replace(b"{", b'{"error":"try again",', 1),
        recorded("pay3", "list").replace(b'{"requestId"', b'{"error":"gone","requestId"'),
        recorded("pay3", "list").replace(b'"status"', b'"state"').replace(b"{", b'{"status":"REFUNDED",', 1),
        recorded("pay3", "list").replace(b'"refundId"', b'"refund"').replace(b"{", b'{"refundId":"r",', 1),
        json.dumps({"data": json.loads(recorded("pay3", "list"))["data"] * 2}).encode(),
    ],
)
def test_a_list_that_cannot_be_relied_on_is_no_absence(server, body):
    server.lists = [http_answer(200, body)]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)
    with pytest.raises(NoAnswer):
        pay3(server.url).before(ORDER)


@pytest.mark.parametrize("reason", ["null", "{}", '{"errorCode":null,"errorDesc":""}'])
def test_an_empty_list_is_an_absence_when_no_reason_stands_beside_it(server, reason):
    server.lists = [http_answer(200, f'{{"data":[],"errorReason":{reason}}}'.encode())]
    assert pay3(server.url).look_up(ORDER) == []


@pytest.mark.parametrize("status", [201, 204, 400, 403, 404, 429, 500, 503])
def test_a_list_with_another_status_is_none(server, status):
    server.lists = [http_answer(status, recorded("pay3", "list_empty"))]
    with pytest.raises(NoAnswer):
        pay3(server.url).look_up(ORDER)


def test_what_was_listed_before_is_noted(server):
    server.lists = [http_answer(200, recorded("pay3", "list"))]
    assert pay3(server.url).before(ORDER) == {"references": [REFERENCE]}


# --- webhooks ---

CLAIMS = {"requestId": "9824649238", "data": {"orderStatus": "COMPLETED"}, "type": "pay3-sdk-transaction-status"}


def bare(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def forged(head: dict, claims: object = CLAIMS, key: str = WEBHOOK_SECRET, digest: str = "sha384") -> str:
    text = f"{bare(json.dumps(head).encode())}.{bare(json.dumps(claims).encode())}"
    return f"{text}.{bare(hmac.new(key.encode(), text.encode(), digest).digest())}"


def letter(token: object) -> Delivery:
    return Delivery({}, json.dumps({"payload": token}).encode())


def test_their_webhook_nudges():
    delivery = letter(forged({"alg": "HS384"}))
    pay3().verify_webhook(delivery)
    pay3(WEBHOOK_SECRET="x" * 48, WEBHOOK_SECRET_PREVIOUS=WEBHOOK_SECRET).verify_webhook(delivery)
    assert pay3().read_webhook(delivery) == [Nudge(payment_reference="9824649238")]


def test_the_older_form_names_no_order_of_ours():
    flat = {"orderType": "FIAT", "orderId": "o-1", "orderStatus": "COMPLETED", "offerId": "f"}
    delivery = letter(forged({"alg": "HS384"}, flat))
    pay3().verify_webhook(delivery)
    assert pay3().read_webhook(delivery) == []


def test_the_secret_before_counts_only_where_there_is_one():
    for blank in ("", " "):
        with pytest.raises(BadWebhook):
            pay3(WEBHOOK_SECRET_PREVIOUS=blank).verify_webhook(letter(forged({"alg": "HS384"}, key=blank)))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_secret_may_be_base64_and_the_algorithm_another_one():
    raw = "a secret of forty-eight bytes, as a Java library."
    secret = base64.b64encode(raw.encode()).decode()
    pay3(WEBHOOK_SECRET=secret, WEBHOOK_SECRET_IS_BASE64="on").verify_webhook(letter(forged({"alg": "HS384"}, key=raw)))
    two = pay3(WEBHOOK_ALGORITHMS="HS256, HS512")
    two.verify_webhook(letter(forged({"alg": "HS256"}, digest="sha256")))
    two.verify_webhook(letter(forged({"alg": "HS512"}, digest="sha512")))
    with pytest.raises(BadWebhook):
        two.verify_webhook(letter(forged({"alg": "HS384"})))
    # A shorter secret than the algorithm likes: they give it to us, so it has to do.
    pay3(WEBHOOK_SECRET="short").verify_webhook(letter(forged({"alg": "HS384"}, key="short")))


@pytest.mark.parametrize(
    "token",
    [
        forged({"alg": "HS384"}, key="another-secret-of-forty-eight-bytes-for-the-test"),
        forged({"alg": "HS256"}, digest="sha256"),
        forged({"alg": "none"}),
        f"{bare(b'{}')}.{bare(json.dumps(CLAIMS).encode())}.",
        forged({"alg": "none"}).rsplit(".", 1)[0] + ".",
        forged({"alg": "RS256"}),
        forged({"alg": "HS384", "kid": "../../dev/null"}, key=""),
        forged({"alg": "hs384"}),
        forged({"alg": "HS384"}) + ".x",
        forged({"alg": "HS384"})[:-4],
        forged({"alg": "HS384"}, {**CLAIMS, "exp": 1}),
        forged({"alg": "HS384"}).replace(".", "=.", 1),
        forged({"alg": "HS384"}) + "\n",
        forged({"alg": "HS384"}, {**CLAIMS, "data": "x" * 9000}),
        "",
        "a.b",
        "a.b.c",
        "ż.ż.ż",
        7,
        None,
        {"alg": "HS384"},
        "x" * 9000 + ".y.z",
    ],
)
def test_a_forged_webhook_is_refused(token):
    with pytest.raises(BadWebhook):
        pay3().verify_webhook(letter(token))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"payload":', b'{"payload":"a.b.c","payload":"d"}'])
def test_a_webhook_without_a_token_is_refused(body):
    with pytest.raises(BadWebhook):
        pay3().verify_webhook(Delivery({}, body))
    with pytest.raises(BadWebhook):
        pay3().read_webhook(Delivery({}, body))


@pytest.mark.parametrize("claims", [[], {"requestId": 7}, {"requestId": "r" * 101}, {"requestId": {}}])
def test_claims_of_another_shape_are_not_read(claims):
    with pytest.raises(BadWebhook):
        pay3().read_webhook(letter(forged({"alg": "HS384"}, claims)))


# --- settings ---


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("WEBHOOK_ALGORITHMS", "none"),
        ("WEBHOOK_ALGORITHMS", "HS384,RS256"),
        ("WEBHOOK_ALGORITHMS", "hs384"),
        ("WEBHOOK_ALGORITHMS", ","),
        ("TOKEN_PATH", "v1/client/access-token"),
        ("REFUND_PATH", ".example/steal"),
        ("LIST_PATH", "@example/"),
        ("WEBHOOK_SECRET_IS_BASE64", "yes"),
        ("STATUS_FAILED", "REFUNDED"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(setting, text):
    with pytest.raises(Misconfigured):
        pay3(**{setting: text})


def test_a_secret_that_is_not_base64_is_refused():
    with pytest.raises(Misconfigured):
        pay3(WEBHOOK_SECRET="%%%", WEBHOOK_SECRET_IS_BASE64="on")


# --- the simulator is as strict as the real one ---


def token_of(sandbox: Sandbox) -> str:
    config = sandbox.credentials("pay3")
    asked = {"clientId": config["CLIENT_ID"], "secret": config["API_SECRET"]}
    return requests.post(f"{sandbox.url('pay3')}/v1/client/access-token", json=asked, timeout=5).json()["accessToken"]


def post(sandbox: Sandbox, *, token: str = "", mark: str = "", **change: object):
    config = sandbox.credentials("pay3")
    asked = {"fiatAmount": "12.00", "requestId": "9824649238", "clientId": config["CLIENT_ID"], **change}
    text = f"fiatAmount={asked['fiatAmount']}&requestId={asked['requestId']}".encode()
    good = base64.b64encode(hmac.new(config["API_SECRET"].encode(), text, hashlib.sha256).digest()).decode()
    headers = {"access-token": token or token_of(sandbox), "signature": mark or good}
    body = {name: value for name, value in asked.items() if value is not None}
    return requests.post(f"{sandbox.url('pay3')}/v1/client/fiat-refund", json=body, headers=headers, timeout=5)


def test_a_good_order_is_taken(sandbox: Sandbox):
    answer = post(sandbox)
    assert (answer.status_code, answer.json()["status"]) == (200, "REFUND_CREATED")
    assert set(answer.json()) == {"requestId", "refundId", "fiatAmount", "status"}


@pytest.mark.parametrize(
    ("change", "status", "is_auth"),
    [
        ({"token": "a.b.c"}, 401, True),
        ({"token": "nonsense"}, 401, True),
        ({"token": a_token()}, 401, True),
        ({"mark": "bm8="}, 401, False),
        ({"fiatAmount": 12}, 400, False),
        ({"fiatAmount": "12.001"}, 400, False),
        ({"fiatAmount": "0.00"}, 400, False),
        ({"fiatAmount": "-1.00"}, 400, False),
        ({"fiatAmount": "1e3"}, 400, False),
        ({"clientId": "somebody"}, 400, False),
        ({"requestId": None}, 400, False),
        ({"currency": "BRL"}, 400, False),
    ],
)
def test_the_simulator_refuses_what_pay3_would(sandbox: Sandbox, change, status, is_auth):
    answer = post(sandbox, **change)
    assert answer.status_code == status
    assert isinstance(answer.json()["error"], str) == is_auth
    assert sandbox.ledger() == []


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/v1/client/access-token", {"json": {"clientId": "x", "secret": "y"}}, 401),
        ("POST", "/v1/client/access-token", {"data": "{}"}, 415),
        ("POST", "/v1/client/fiat-refund", {"json": {}}, 401),
        ("GET", "/v1/client/fiat-refunds?requestId=1&clientId=sandbox-pay3-client", {}, 401),
        ("GET", "/v1/client/fiat-refund", {}, 404),
        ("PUT", "/v1/client/fiat-refund", {}, 404),
    ],
)
def test_the_simulator_lets_nobody_in_who_is_not_known(sandbox: Sandbox, method, path, sent, status):
    assert requests.request(method, sandbox.url("pay3") + path, timeout=5, **sent).status_code == status


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(b"{", "application/json", 400), (b"[]", "application/json", 400), (b"{}", "text/plain", 415)],
)
def test_the_simulator_reads_nothing_but_json(sandbox: Sandbox, body, kind, status):
    headers = {"access-token": token_of(sandbox), "signature": "bm8=", "Content-Type": kind}
    url = f"{sandbox.url('pay3')}/v1/client/fiat-refund"
    assert requests.post(url, data=body, headers=headers, timeout=5).status_code == status


@pytest.mark.parametrize("query", ["requestId=9824649238", "clientId=sandbox-pay3-client", "requestId=1&clientId=x"])
def test_the_simulator_lists_only_for_its_client(sandbox: Sandbox, query):
    headers = {"access-token": token_of(sandbox)}
    answer = requests.get(f"{sandbox.url('pay3')}/v1/client/fiat-refunds?{query}", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()) == (401, {"error": "client verification failed"})


def test_an_amount_is_read_in_the_currency_of_its_order(sandbox: Sandbox):
    gateway = Pay3(sandbox.credentials("pay3"))
    sandbox.payment("yen", 5000, "JPY", gateway="pay3")
    order = replace(ORDER, payment_reference="yen", amount=Money(1200, "JPY"))
    assert gateway.refund(order).amount == Money(1200, "JPY")
    assert gateway.look_up(order)[0].amount == Money(1200, "JPY")
    assert [line["minor"] for line in sandbox.ledger()] == [1200]
    assert post(sandbox, requestId="yen", fiatAmount="12.00").status_code == 400


def test_more_than_was_paid_is_refused(sandbox: Sandbox):
    sandbox.payment("9824649238", 2000, "BRL", gateway="pay3")
    assert post(sandbox).status_code == 200
    assert post(sandbox).json()["error"]["code"] == "9007"
    assert len(sandbox.ledger()) == 1


def test_every_order_is_a_new_one_there(sandbox: Sandbox):
    assert post(sandbox).json()["refundId"] != post(sandbox).json()["refundId"]
    assert len(sandbox.ledger()) == 2


def test_a_token_ends(sandbox: Sandbox):
    token = token_of(sandbox)
    with time_machine.travel(time.time() + 1801, tick=True):
        assert post(sandbox, token=token).status_code == 401
        gateway = Pay3(sandbox.credentials("pay3"))
        gateway.http.deadline = timedelta(seconds=5)
        assert gateway.refund(replace(ORDER, amount=Money(1200, "BRL"))).outcome is Outcome.PROCESSING
