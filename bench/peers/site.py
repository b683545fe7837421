"""The least site around one peer's webhook view: PEER is stripe or getpaid, and DATABASE_URL an empty database."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.utils import translation

PEER = os.environ["PEER"]
SECRET = "whsec_only-for-the-bench"

# django-getpaid 2.0.1 asks for a name that Django has dropped since.
translation.ugettext_lazy = translation.gettext_lazy  # type: ignore[attr-defined]


def database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    asked = dict(pair.split("=", 1) for pair in parts.query.split("&") if pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(asked.get("host", parts.hostname or "")),
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 60,
    }


APPS = {
    "stripe": ["django.contrib.sites", "djstripe"],
    "getpaid": ["getpaid", "bench.peers.orders"],
}
settings.configure(
    SECRET_KEY="only-for-the-bench-" + "0123456789abcdef" * 4,
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": database(os.environ["DATABASE_URL"])},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", *APPS[PEER]],
    ROOT_URLCONF="bench.peers.urls",
    USE_TZ=True,
    SITE_ID=1,
    MIGRATION_MODULES={"getpaid": None, "orders": None},
    LOGGING={"version": 1, "root": {"level": "ERROR"}},
    # dj-stripe
    STRIPE_LIVE_MODE=False,
    STRIPE_TEST_SECRET_KEY="sk_test_" + "onlyForTheBench" * 2,
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    # django-getpaid
    GETPAID_ORDER_MODEL="orders.Order",
    GETPAID_PAYMENT_MODEL="orders.Payment",
    GETPAID_BACKEND_SETTINGS={"getpaid.backends.dummy": {}},
)
django.setup()

if __name__ == "__main__":
    from bench.peers import fill

    fill.main(sys.argv[1:])
else:
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
