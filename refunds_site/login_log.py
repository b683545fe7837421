"""One log line for whatever happens at the login: who came in, who did not, and whose proofs changed."""

from __future__ import annotations

import logging
from typing import Any

from allauth.account import signals as account
from allauth.core.internal.httpkit import get_client_ip
from allauth.mfa import signals as mfa
from django.contrib.auth import signals as auth
from django.dispatch import Signal

log = logging.getLogger("login")

LINES: dict[str, tuple[Signal, int]] = {
    "logged in": (auth.user_logged_in, logging.INFO),
    "logged out": (auth.user_logged_out, logging.INFO),
    "changed the password": (account.password_changed, logging.WARNING),
    "set a password by an invitation": (account.password_reset, logging.WARNING),
    "added a second factor": (mfa.authenticator_added, logging.WARNING),
    "removed a second factor": (mfa.authenticator_removed, logging.WARNING),
    "made new recovery codes": (mfa.authenticator_reset, logging.WARNING),
    "gave a wrong code": (mfa.authentication_failed, logging.WARNING),
}


def watch() -> None:
    for said, (signal, level) in LINES.items():
        signal.connect(line(said, level), weak=False, dispatch_uid=f"login log: {said}")
    auth.user_login_failed.connect(failed, dispatch_uid="login log: failed")


def line(said: str, level: int) -> Any:
    def write(sender: Any, request: Any = None, user: Any = None, **about: Any) -> None:
        if user is not None:
            kind = getattr(about.get("authenticator"), "type", "")
            log.log(level, "%s %s%s from %s", user, said, f" ({kind})" if kind else "", address(request))

    return write


def failed(sender: Any, credentials: dict[str, Any], request: Any = None, **about: Any) -> None:
    """What a stranger types as a name goes into the log with its control characters escaped, and cut."""
    log.warning("wrong password for %a from %s", str(credentials.get("username", ""))[:150], address(request))


def address(request: Any) -> str:
    return str(get_client_ip(request)) if request is not None else "the command line"
