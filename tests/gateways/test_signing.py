"""Signatures: one right spelling, one right key, and shut in every doubt."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from gateways.errors import BadWebhook
from gateways.signing import V2Sha256, rsa_public_key, strict_base64, verify_rsa_sha256

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BODY = b'{"a": 1}'


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind).decode()


def test_a_key_of_2048_bits_is_one():
    assert rsa_public_key(pem(KEY)) == KEY.public_key()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a public key in PEM form"),
        ("ż", "not a public key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
        (pem(rsa.generate_private_key(public_exponent=65537, key_size=2047)), "has 2047 bits; 2048 are the least"),
    ],
    ids=["empty", "not ASCII", "elliptic", "too short"],
)
def test_any_other_is_none(text, why):
    with pytest.raises(ValueError, match=why):
        rsa_public_key(text)


def sign(body=BODY, pad=None, kind=None):
    return base64.b64encode(KEY.sign(body, pad or padding.PKCS1v15(), kind or hashes.SHA256())).decode()


def test_the_owner_s_signature_over_these_bytes_fits():
    assert verify_rsa_sha256(KEY.public_key(), sign(), BODY) is None


@pytest.mark.parametrize(
    "signature",
    [
        sign(b"other"),
        sign(kind=hashes.SHA1()),
        sign(pad=padding.PSS(padding.MGF1(hashes.SHA256()), 32)),
        base64.b64encode(b"short").decode(),
    ],
    ids=["other bytes", "SHA-1", "PSS", "short"],
)
def test_no_other_does(signature):
    with pytest.raises(BadWebhook, match="does not fit"):
        verify_rsa_sha256(KEY.public_key(), signature, BODY)


def test_base64_has_one_right_spelling():
    assert strict_base64("AAE=") == b"\0\1"
    assert len(strict_base64("A" * 2048)) == 1536


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing or too long"),
        ("A" * 2052, "missing or too long"),
        ("A" * 2049, "missing or too long"),
        ("AAE", "not base64"),
        ("AA E=", "not base64"),
        ("AAE=\n", "not base64"),
        ("A-_=", "not base64"),
        ("żźć=", "not base64"),
        ("AAF=", "one right spelling"),
    ],
)
def test_any_other_spelling_is_refused(text, why):
    with pytest.raises(BadWebhook, match=why):
        strict_base64(text)


# --- the seven lines ---

ADDRESS, NONCE, MOMENT = "https://gateway.test/x?y=1", "abcdefgh12345678", "1795176000123"
V2 = V2Sha256("app-1", "secret")
AT = datetime(2026, 11, 20, 12, 0, 0, 123000, UTC)


def header(app="app-1", sign=None, moment=MOMENT, nonce=NONCE):
    sign = sign or V2.sign("POST", ADDRESS, moment, nonce, BODY)
    return f"V2_SHA256 appId={app},sign={sign},timestamp={moment},nonce={nonce}"


def test_a_signature_is_a_sha_256_over_seven_lines():
    lines = f"app-1\nsecret\nPOST\n{ADDRESS}\n{MOMENT}\n{NONCE}\n".encode() + BODY + b"\n"
    assert V2.sign("POST", ADDRESS, MOMENT, NONCE, BODY) == hashlib.sha256(lines).hexdigest()


def test_a_true_header_tells_its_moment():
    assert V2.verify(header(), "POST", ADDRESS, BODY) == AT
    assert V2.verdict(header(), "POST", ADDRESS, BODY) == "verified"


def test_our_own_header_says_now_and_has_a_nonce_of_its_own():
    with time_machine.travel(AT, tick=False):
        first, second = (V2.header("POST", ADDRESS, BODY) for _ in range(2))
    assert V2.verify(first, "POST", ADDRESS, BODY) == AT
    assert first != second
    assert len(first.rpartition("nonce=")[2]) == 32


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [("GET", ADDRESS, BODY), ("POST", ADDRESS + "2", BODY), ("POST", ADDRESS, BODY + b" ")],
)
def test_a_header_is_for_one_call(method, url, body):
    with pytest.raises(BadWebhook, match="does not fit"):
        V2.verify(header(), method, url, body)
    assert V2.verdict(header(), method, url, body) == "does not verify"


def test_a_header_is_for_one_app_though_its_signature_be_true():
    for other in (header(app="app-2"), header(sign="0" * 64)):
        with pytest.raises(BadWebhook, match="does not fit"):
            V2.verify(other, "POST", ADDRESS, BODY)


@pytest.mark.parametrize(
    "other",
    [
        "",
        header() + "\n",
        " " + header(),
        header() + ",more=1",
        header().replace("V2_SHA256", "V1_SHA256"),
        header().replace("V2_SHA256", "v2_sha256"),
        header().replace("appId", "appid"),
        header().replace("sign=", "SIGN="),
        header(sign="A" * 64),
        header(sign="a" * 63),
        header(moment="179517600012"),
        header(moment="17951760001234"),
        header(moment="\uff11795176000123"),
        header(nonce="short12"),
        header(nonce="x" * 65),
        header(nonce="with space"),
        header(app=""),
        header(app="x" * 101),
        header(app="a,b"),
        header(app="a=b"),
    ],
)
def test_a_header_of_another_form_is_refused(other):
    with pytest.raises(BadWebhook, match="missing or written in another way"):
        V2.verify(other, "POST", ADDRESS, BODY)
    assert V2.verdict(other, "POST", ADDRESS, BODY) == ("does not verify" if other else "missing")


@pytest.mark.parametrize("app", ["!", "x" * 100, "a-b+c~d<e>f"])
def test_an_app_may_have_any_visible_name(app):
    other = V2Sha256(app, "secret")
    assert other.verify(other.header("POST", ADDRESS, BODY), "POST", ADDRESS, BODY)
