"""Accounts: what the environment names, which rows come of it, and which connector."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from gateways import registry
from gateways.contract import Capabilities, Gateway
from gateways.errors import Misconfigured
from refunds import accounts
from refunds.models import Account
from refunds_site.environment import ENV


class Brand(Gateway):
    name = "brand"
    label = "Brand"
    needs = ("URL", "TOKEN")
    takes = {"SIGNKEY_PEM": "", "COLOUR": "blue"}
    secrets = ("TOKEN",)
    webhook_key_setting = "SIGNKEY_PEM"
    can = Capabilities()
    poll_plan = ()

    def refund(self, order):
        raise AssertionError("No test here asks for a refund.")


@pytest.fixture(autouse=True)
def brands(monkeypatch):
    monkeypatch.setattr(registry, "names", lambda: ("brand", "other"))
    monkeypatch.setattr(registry, "gateway_class", lambda name: Brand)
    monkeypatch.setattr(registry, "build", lambda name, config: Brand(config))


@pytest.fixture
def env(monkeypatch):
    def put(**variables: str) -> None:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)

    put(GATEWAY_ACCOUNTS="shop-eu:brand", SHOP_EU_URL="https://api.brand.example", SHOP_EU_TOKEN="0123456789abcdef")
    return put


def rows():
    return {row.slug: (row.gateway, row.mode, row.is_active) for row in Account.objects.all()}


def test_the_environment_names_accounts(env):
    env(GATEWAY_ACCOUNTS=" shop-eu:brand, shop-jp:other ,")
    assert accounts.configured() == {"shop-eu": "brand", "shop-jp": "other"}


def test_no_accounts_are_no_mistake(env):
    env(GATEWAY_ACCOUNTS="")
    assert accounts.configured() == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("shop-eu", "as account:gateway"),
        ("shop-eu:", "as account:gateway"),
        ("Shop:brand", "as account:gateway"),
        ("shop_eu:brand", "as account:gateway"),
        ("shop eu:brand", "as account:gateway"),
        ("-shop:brand", "as account:gateway"),
        ("shop:brand:other", "as account:gateway"),
        ("s" * 51 + ":brand", "as account:gateway"),
        ("shop:brand,shop:other", "twice"),
        ("shop:nobody", "unknown gateway 'nobody'; known are brand, other"),
    ],
)
def test_a_malformed_list_says_what_to_write(env, text, sentence):
    env(GATEWAY_ACCOUNTS=text)
    with pytest.raises(Misconfigured, match=sentence):
        accounts.configured()


def test_keys_stand_under_the_accounts_own_prefix(env):
    env(SHOP_EU_COLOUR="green", SHOP_EU_STRANGER="x", SHOP_JP_COLOUR="red")
    assert accounts.config_of("shop-eu") == {
        "URL": "https://api.brand.example",
        "TOKEN": "0123456789abcdef",
        "COLOUR": "green",
    }


def test_a_key_may_stand_in_a_file(env, tmp_path):
    (tmp_path / "token").write_text("from-a-file-0123\n")
    env(SHOP_EU_TOKEN_FILE=str(tmp_path / "token"))
    try:
        assert accounts.config_of("shop-eu")["TOKEN"] == "from-a-file-0123"
    finally:
        ENV.ENVIRON.files_cache.pop("SHOP_EU_TOKEN", None)


def test_a_missing_file_is_named(env):
    env(SHOP_EU_TOKEN_FILE="/nowhere/token")
    with pytest.raises(Misconfigured, match="SHOP_EU_TOKEN_FILE cannot be read"):
        accounts.config_of("shop-eu")


def test_a_key_is_taken_as_it_is_even_with_a_dollar_in_front(env):
    env(SHOP_EU_TOKEN="$HOME-is-no-variable")
    assert accounts.config_of("shop-eu")["TOKEN"] == "$HOME-is-no-variable"


def test_a_pem_may_be_written_on_one_line(env):
    env(SHOP_EU_SIGNKEY_PEM=r"-----BEGIN-----\nabc\n-----END-----")
    assert accounts.config_of("shop-eu")["SIGNKEY_PEM"].splitlines() == ["-----BEGIN-----", "abc", "-----END-----"]


def test_an_account_is_sandbox_until_it_says_live(env):
    assert accounts.mode_of("shop-eu") == "sandbox"
    env(SHOP_EU_MODE="Live")
    assert accounts.mode_of("shop-eu") == "live"
    env(SHOP_EU_MODE="production")
    with pytest.raises(Misconfigured, match="write sandbox or live"):
        accounts.mode_of("shop-eu")


def test_a_connector_gets_its_own_keys_and_the_pinned_webhook_key(env):
    gateway = accounts.connect(Account(slug="shop-eu", gateway="brand", webhook_key="PINNED"))
    assert gateway.config["TOKEN"] == "0123456789abcdef"
    assert gateway.config["SIGNKEY_PEM"] == "PINNED"


def test_a_webhook_key_of_the_environment_wins_over_the_pinned_one(env):
    env(SHOP_EU_SIGNKEY_PEM="OURS")
    gateway = accounts.connect(Account(slug="shop-eu", gateway="brand", webhook_key="PINNED"))
    assert gateway.config["SIGNKEY_PEM"] == "OURS"


def test_an_account_that_is_gone_gets_no_connector(env):
    with pytest.raises(Misconfigured, match="old is not named in GATEWAY_ACCOUNTS"):
        accounts.connect(Account(slug="old", gateway="brand"))


def test_an_account_never_speaks_to_another_gateway(env):
    with pytest.raises(Misconfigured, match="belongs to other"):
        accounts.connect(Account(slug="shop-eu", gateway="other"))


def test_an_account_without_its_keys_gets_no_connector(env):
    env(SHOP_EU_TOKEN=" ")
    with pytest.raises(Misconfigured, match="TOKEN"):
        accounts.connect(Account(slug="shop-eu", gateway="brand"))


def test_the_callback_url_stands_under_the_public_one(settings):
    account = Account(slug="shop-eu")
    assert accounts.callback_url(account) == "https://refunds.example/webhooks/shop-eu/"
    settings.PUBLIC_URL = ""
    assert accounts.callback_url(account) == ""


@pytest.mark.django_db
def test_sync_adds_switches_off_and_brings_back(env):
    assert accounts.sync() == ["shop-eu: added (brand, sandbox)"]
    assert accounts.sync() == []
    env(GATEWAY_ACCOUNTS="shop-jp:other")
    assert sorted(accounts.sync()) == [
        "shop-eu: switched off, GATEWAY_ACCOUNTS no longer names it",
        "shop-jp: added (other, sandbox)",
    ]
    assert rows() == {"shop-eu": ("brand", "sandbox", False), "shop-jp": ("other", "sandbox", True)}
    env(GATEWAY_ACCOUNTS="shop-eu:brand,shop-jp:other", SHOP_JP_MODE="live")
    assert sorted(accounts.sync()) == ["shop-eu: active again (sandbox)", "shop-jp: now (live)"]
    assert rows() == {"shop-eu": ("brand", "sandbox", True), "shop-jp": ("other", "live", True)}


@pytest.mark.django_db
def test_sync_leaves_what_people_decided(env):
    accounts.sync()
    Account.objects.update(paused_because="Bank holiday", webhook_key="PINNED")
    env(SHOP_EU_MODE="live")
    accounts.sync()
    account = Account.objects.get()
    assert (account.paused_because, account.webhook_key, account.mode) == ("Bank holiday", "PINNED", "live")


@pytest.mark.django_db
def test_an_account_keeps_its_gateway(env):
    accounts.sync()
    env(GATEWAY_ACCOUNTS="shop-new:brand,shop-eu:other")
    with pytest.raises(Misconfigured, match="belongs to brand"):
        accounts.sync()
    assert rows() == {"shop-eu": ("brand", "sandbox", True)}


@pytest.mark.django_db
def test_secrets_never_enter_the_database(env):
    env(SHOP_EU_TOKEN="canary-0123456789")
    accounts.sync()
    assert "canary" not in str(Account.objects.values().get())


@pytest.mark.django_db
def test_the_command_tells_what_changed(env):
    out = StringIO()
    call_command("sync_accounts", stdout=out)
    call_command("sync_accounts", stdout=out)
    assert out.getvalue().splitlines() == [
        "shop-eu: added (brand, sandbox)",
        "Accounts are as the environment says.",
    ]


@pytest.mark.django_db
def test_the_command_says_what_is_wrong_in_one_line(env):
    env(GATEWAY_ACCOUNTS="shop")
    with pytest.raises(CommandError, match="as account:gateway"):
        call_command("sync_accounts", skip_checks=True)
