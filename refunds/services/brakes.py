"""What a gateway admin decides about an account: whether it sends, and whose key its webhooks are signed with."""

from __future__ import annotations

import hashlib

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from refunds import policy
from refunds.errors import NotAllowed, WrongMoment
from refunds.models import Account
from refunds.services import breaker
from refunds.services.typed import spoken


@transaction.atomic
def pause_account(account_id: int, by: User, why: str) -> Account:
    """From now on nothing is sent through it; what is at the gateway already is still asked about."""
    account = _for_a_gateway_admin(account_id, by)
    account.paused_because = spoken(why, _("Say why; everybody whose refund waits reads this."))[:200]
    account.save(update_fields=["paused_because"])
    return account


@transaction.atomic
def resume_account(account_id: int, by: User, why: str = "") -> Account:
    """What waited is sent as it comes due."""
    account = _for_a_gateway_admin(account_id, by)
    account.paused_because = ""
    account.save(update_fields=["paused_because"])
    return account


def try_account_now(account_id: int, by: User, why: str = "") -> Account:
    """End the breaker's time: one refund tries the gateway at once, and the others follow when it answers."""
    with transaction.atomic():
        account = _for_a_gateway_admin(account_id, by)
        if (until := account.breaker_until) is None:
            raise WrongMoment(_("%(account)s answers: nothing waits for it.") % {"account": account})
        account.breaker_until = min(until, timezone.now())
        account.save(update_fields=["breaker_until"])
    breaker.wake(account, until)
    return account


@transaction.atomic
def accept_key(account_id: int, by: User, seen: str) -> Account:
    """Pin the changed key that the gateway itself has offered; `seen` is the fingerprint that the person compared."""
    account = _for_a_gateway_admin(account_id, by)
    if account.webhook_key_offered in ("", account.webhook_key):
        raise WrongMoment(_("The gateway offers no other key for %(account)s.") % {"account": account})
    if fingerprint(account.webhook_key_offered) != seen:
        raise WrongMoment(
            _("The gateway offers another key than the one you saw. Nothing was done; please look again.")
        )
    account.webhook_key, account.webhook_key_offered = account.webhook_key_offered, ""
    account.save(update_fields=["webhook_key", "webhook_key_offered"])
    return account


def fingerprint(pem: str) -> str:
    """SHA-256 of a key, short enough to compare over the telephone; "" for none."""
    digest = hashlib.sha256(pem.encode()).hexdigest() if pem else ""
    return " ".join(digest[i : i + 4] for i in range(0, len(digest[:32]), 4))


def _for_a_gateway_admin(account_id: int, by: User) -> Account:
    if not by.has_perm(policy.ACCOUNTS):
        raise NotAllowed(_("Only gateway admins decide about accounts."))
    account = Account.objects.select_for_update().get(pk=account_id)
    policy.demand_in_scope(by, account)
    return account
