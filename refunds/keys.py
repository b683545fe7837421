"""The public keys that webhooks are signed with: fetched once, pinned, and never silently replaced."""

from __future__ import annotations

import logging

from django.db import transaction

from gateways.errors import GatewayError
from refunds import accounts
from refunds.models import Account, Notice
from refunds.services.notices import book_for_the_channel

log = logging.getLogger(__name__)


def fetch_webhook_key(account_id: int) -> None:
    """Pin the account's key if there is none; a changed one waits for a gateway admin. Talks to the gateway."""
    account = Account.objects.get(pk=account_id)
    try:
        key = accounts.connect(account).webhook_key()
    except GatewayError as trouble:
        log.warning("The webhook key of %s could not be fetched: %s", account, trouble)
        return
    if key and not account.webhook_key:
        Account.objects.filter(pk=account_id, webhook_key="").update(webhook_key=key)
        log.info("Pinned the webhook key of %s.", account)
    elif key == account.webhook_key:
        Account.objects.filter(pk=account_id).update(webhook_key_offered="")
    elif key:
        with transaction.atomic():
            Account.objects.filter(pk=account_id).update(webhook_key_offered=key)
            if key != account.webhook_key_offered:
                book_for_the_channel(account, Notice.Kind.KEY, "")
        log.warning("%s signs its webhooks with another key now; a gateway admin has to accept it.", account)
