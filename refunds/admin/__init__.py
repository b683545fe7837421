"""The desk's screens, one file each. They show, ask and call services; nothing here writes a status."""

from django.contrib import admin

from refunds.admin import (
    accounts,
    allowances,
    batches,
    changes,
    delegations,
    deliveries,
    history,
    payments,
    people,
    reasons,
    refunds,
    rules,
    unmatched,
)

# Other packages' screens, on which rows could be changed or deleted past every rule of the desk, or secrets be read.
OTHERS = ("account", "mfa", "socialaccount", "usersessions", "django_tasks_database")
for model in [model for model in admin.site._registry if model._meta.app_label in OTHERS]:
    admin.site.unregister(model)

__all__ = [
    "accounts",
    "allowances",
    "batches",
    "changes",
    "delegations",
    "deliveries",
    "history",
    "payments",
    "people",
    "reasons",
    "refunds",
    "rules",
    "unmatched",
]
