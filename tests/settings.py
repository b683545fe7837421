"""The tests' environment, set before the real settings are read, so that no .env and no demo leaks into a test."""

import os

os.environ.update(
    READ_DOT_ENV="off",
    SECRET_KEY="only-for-tests-" + "0123456789abcdef" * 4,
    DEBUG="off",
    HTTPS="off",
    ALLOWED_HOSTS="testserver,127.0.0.1,localhost",
    PUBLIC_URL="https://refunds.example",
    GATEWAY_ACCOUNTS="payerly-eu:payerly",
    PAYERLY_EU_URL="http://127.0.0.1:9/payerly/v1",
    PAYERLY_EU_TOKEN="token-for-tests-0123456789",
    LOG_LEVEL="WARNING",
    SECOND_FACTOR="optional",  # most tests log people in without one; those about it demand it
    ACCEPT_OPTIONAL_SECOND_FACTOR="on",
    DATABASE_URL=os.environ.get("TEST_DATABASE_URL") or "sqlite:///:memory:",
    DJANGO_SETTINGS_MODULE="refunds_site.settings",  # for the processes that tests start
)
for name in ("SECRET_KEY_FILE", "DATABASE_URL_FILE", "PAYERLY_EU_TOKEN_FILE", "PAYERLY_EU_MODE", "TASKS_BACKEND"):
    os.environ.pop(name, None)

from refunds_site.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick; nobody attacks a test
