"""What models and their fields are called on screen. Django's own names, which are made of the code's and belong to the
migrations, are the English ones; here they are listed to be translated, and put on when the app is ready."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy, gettext_noop

MODELS = (
    (gettext_noop("account"), gettext_noop("accounts")),
    (gettext_noop("allowance"), gettext_noop("allowances")),
    (gettext_noop("change"), gettext_noop("changes")),
    (gettext_noop("delegation"), gettext_noop("delegations")),
    (gettext_noop("delivery"), gettext_noop("deliveries")),
    (gettext_noop("payment"), gettext_noop("payments")),
    (gettext_noop("reason word"), gettext_noop("reason words")),
    (gettext_noop("refund"), gettext_noop("refunds")),
    (gettext_noop("refund reason"), gettext_noop("refund reasons")),
    (gettext_noop("rule"), gettext_noop("rules")),
    (gettext_noop("unmatched refund"), gettext_noop("unmatched refunds")),
    (gettext_noop("verification"), gettext_noop("verifications")),
)
# Those that lists, filters and forms show under the field's own name.
FIELDS = (
    gettext_noop("act"),
    gettext_noop("currency"),
    gettext_noop("deputy"),
    gettext_noop("digest"),
    gettext_noop("gateway"),
    gettext_noop("is active"),
    gettext_noop("name"),
    gettext_noop("person"),
    gettext_noop("public wording"),
    gettext_noop("reason"),
    gettext_noop("received at"),
    gettext_noop("result"),
    gettext_noop("slug"),
    gettext_noop("status"),
    gettext_noop("why"),
    gettext_noop("word"),
)


GROUPS = (
    gettext_noop("Agents"),
    gettext_noop("Approvers"),
    gettext_noop("Finance"),
    gettext_noop("Auditors"),
    gettext_noop("Gateway admins"),
    gettext_noop("User admins"),
)


def put_on(app: AppConfig) -> None:
    """Each model and field is called as before, in the reader's language."""
    for model in app.get_models():
        about = model._meta
        about.verbose_name = gettext_lazy(str(about.verbose_name))
        about.verbose_name_plural = gettext_lazy(str(about.verbose_name_plural))
        for field in about.local_fields:
            field.verbose_name = gettext_lazy(str(field.verbose_name))
