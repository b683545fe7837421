"""The house's channel: a webhook as Slack, Mattermost and others have it. It gets our number and no words of others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from gateways.errors import Misconfigured, NotSent
from gateways.http import HttpClient, retry_after
from refunds import wording
from refunds.models import Notice
from refunds.preferences import reading
from refunds.services.invite import address

DEADLINE = timedelta(seconds=10)
MOST_LINES = 20


def post(rows: Sequence[Notice]) -> None:
    """One message about all of them. Raises GatewayError, whose text names the host and never the secret path."""
    with reading("", ""):
        lines = [_line(row) for row in rows[:MOST_LINES]]
        if len(rows) > MOST_LINES:
            lines.append(_("and %(number)d more") % {"number": len(rows) - MOST_LINES})
    client, path = _client()
    body = json.dumps({"text": "\n".join(lines)}).encode()
    answer = client.send("POST", path, headers={"Content-Type": "application/json"}, body=body)
    if not 200 <= answer.status < 300:
        wait = retry_after(answer.headers.get("retry-after", ""))
        raise NotSent(f"The channel's host answered with status {answer.status}.", retry_after=wait)


def _client() -> tuple[HttpClient, str]:
    """The host, with the checks that every call of ours passes, and the secret path there."""
    url = settings.NOTICE_WEBHOOK_URL
    if not url:
        raise Misconfigured("NOTICE_WEBHOOK_URL is empty.")
    parts = urlsplit(url)
    path = parts._replace(scheme="", netloc="", fragment="").geturl()
    return HttpClient(f"{parts.scheme}://{parts.netloc}", deadline=DEADLINE, secrets=(url, path)), path


def _line(row: Notice) -> str:
    said = f"{row.account} ({row.account.mode}): {row.get_kind_display()}"
    if row.refund is None:
        link = reverse("admin:refunds_account_change", args=(row.account_id,))
    else:
        said = f"{row.refund} · {wording.amount(row.refund.money)} · {said}"
        link = reverse("admin:refunds_refund_change", args=(row.refund_id,))
    return f"{said}\n{address()}{link}"
