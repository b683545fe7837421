"""The desk's screens, one file each. They show, ask and call services; nothing here writes a status."""

from allauth.account.models import EmailAddress
from django.contrib import admin
from django_tasks_db.models import DBTaskResult

from refunds.admin import accounts, deliveries, history, payments, people, reasons, refunds, unmatched

# Other packages' screens, on which rows could be changed or deleted past every rule of the desk.
for model in (EmailAddress, DBTaskResult):
    admin.site.unregister(model)

__all__ = ["accounts", "deliveries", "history", "payments", "people", "reasons", "refunds", "unmatched"]
