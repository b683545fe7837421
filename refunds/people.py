"""The six groups and their rights. Nobody both administers people and moves money."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

READ = (
    "view_payment",
    "view_refund",
    "view_refundreason",
    "view_reasonword",
    "view_account",
    "view_event",
    "view_attempt",
    "view_approval",
    "view_declaration",
    "view_rule",
)

GROUPS: dict[str, tuple[str, ...]] = {
    "Agents": (*READ, "request_refund", "sync_refund"),
    "Approvers": (*READ, "approve_refund", "sync_refund", "view_delegation", "view_batch"),
    "Finance": (
        *READ,
        "view_delivery",
        "view_unmatchedrefund",
        "view_batch",
        "declare_refund",
        "dispute_payment",
        "sync_refund",
        "import_payments",
        "export_refund",
        "view_raw_exchange",
    ),
    "Auditors": (
        *READ,
        "view_delivery",
        "view_unmatchedrefund",
        "view_batch",
        "view_raw_exchange",
        "view_checkpoint",
        "view_verification",
        "verify_history",
        "export_refund",
        "view_allowance",
        "view_delegation",
        "view_change",
        "view_user",
        "view_group",
    ),
    "Gateway admins": (
        "view_account",
        "change_account",
        "view_delivery",
        "view_unmatchedrefund",
        "view_refundreason",
        "add_refundreason",
        "change_refundreason",
        "view_reasonword",
        "add_reasonword",
        "change_reasonword",
        "view_rule",
        "view_allowance",
        "view_delegation",
        "view_change",
        "change_rules",
    ),
    "User admins": ("view_user", "add_user", "change_user", "view_group", "view_change", "change_people"),
}


MOVES_MONEY = frozenset({"Agents", "Approvers", "Finance"})
ADMINISTERS = frozenset({"Gateway admins", "User admins"})


def conflict(groups: Iterable[str]) -> str:
    """Why these groups do not go together in one person, or ""."""
    names = set(groups)
    if (money := names & MOVES_MONEY) and (rule := names & ADMINISTERS):
        return _("Nobody is in %(rule)s and %(money)s: who makes the rules moves no money.") % {
            "rule": sorted(rule)[0],
            "money": sorted(money)[0],
        }
    return ""


def create_groups(apps: Any) -> None:
    """Make the groups what this table says; safe to repeat. Needs the permissions to exist already."""
    group_model = apps.get_model("auth", "Group")
    permission_model = apps.get_model("auth", "Permission")
    for name, rights in GROUPS.items():
        group = group_model.objects.get_or_create(name=name)[0]
        found = permission_model.objects.filter(codename__in=rights, content_type__app_label__in=("refunds", "auth"))
        group.permissions.set(found)
