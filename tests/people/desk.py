"""People at the login: passwords, an authenticator app, and a clock that tests set."""

from __future__ import annotations

import base64
import hmac
import re
import struct
import time
from typing import Any
from urllib.parse import unquote

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from refunds.models import Refund

PASSWORD = "demo"


def code_of(secret: str, steps: int = 0) -> str:
    """What an app shows now (RFC 6238), or so many half minutes later."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    digest = hmac.new(base64.b32decode(secret), counter, "sha1").digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def log_in(user: User, password: str = PASSWORD, **more: str) -> Client:
    client = Client()
    client.post(reverse("account_login"), {"login": user.username, "password": password, **more})
    return client


def give_code(client: Client, code: str) -> HttpResponse:
    """At the second page of the login."""
    return client.post(reverse("mfa_authenticate"), {"code": code})


def set_up_app(client: Client) -> str:
    """The secret of a new authenticator app, set up by the pages; the code it was set up with is spent."""
    page = client.get(reverse("mfa_activate_totp")).content.decode()
    secret = re.search(r'id="totp-secret">([A-Z2-7]+)<', page)[1]
    answer = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    assert answer["Location"] == reverse("mfa_view_recovery_codes")
    return secret


def prove(client: Client, went: HttpResponse, password: str = PASSWORD, **more: str) -> HttpResponse:
    """Type the password where a request that came too late leads; the answer is what waited."""
    url = went["Location"]
    assert url.startswith(reverse("account_reauthenticate")), url
    following = {"next": unquote(url.split("next=")[1])} if "next=" in url else {}
    return client.post(url, {"password": password, **following, **more})


def is_in(client: Client) -> bool:
    return client.get(reverse("admin:index")).status_code == 200


def step(refund: Refund, name: str) -> str:
    return reverse("admin:refunds_refund_step", args=(refund.pk, name))


def words(answer: Any) -> str:
    return str(answer.content.decode())
