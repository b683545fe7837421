"""The first page: for each of a person's parts what waits for them, how the accounts do, a box to find a payment."""

from __future__ import annotations

from typing import Any

from refunds import policy, scope
from refunds.admin.desk import DeskRequest
from refunds.admin.home import accounts, agent, approver, finance
from refunds.admin.home.piles import changes_to_confirm


def home(request: DeskRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold calls this for the index page. Who has several parts sees them one below the other."""
    user, parts = request.user, []
    limit = scope.limited_to(user)
    if policy.may(user, policy.REQUEST):
        parts.append(agent.part(user, limit))
    if policy.may(user, policy.APPROVE):
        parts.append(approver.part(user))
    if policy.may(user, policy.DECLARE) or (user.has_perm("refunds.view_refund") and not parts):
        parts.append(finance.part(user, limit))
    elif user.has_perm("refunds.view_unmatchedrefund"):
        parts.append(finance.what_gateways_say(user, limit))
    own = [changes] if (changes := changes_to_confirm(request)) else []
    context.update({"parts": parts, "own_piles": own, "piles": [pile for part in parts for pile in part.piles] + own})
    context["says_mode"] = len(scope.modes(limit)) > 1
    if user.has_perm("refunds.view_account"):
        context["strip"] = accounts.strip(user, limit)
    context["may_find"] = user.has_perm("refunds.view_payment")
    return context
