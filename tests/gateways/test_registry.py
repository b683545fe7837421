"""One table says which gateways there are."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateways.contract import Gateway
from gateways.errors import Misconfigured
from gateways.registry import GATEWAYS, build, gateway_class, names


def test_the_names_are_those_of_the_table():
    assert names() == sorted(GATEWAYS)
    assert "payerly" in names()


@pytest.mark.parametrize("name", names())
def test_each_name_leads_to_a_gateway_of_that_name(name):
    assert issubclass(gateway_class(name), Gateway)
    assert gateway_class(name).name == name


@pytest.mark.parametrize("name", ["", "PAYERLY", "nobody", "gateways.payerly.Payerly"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(Misconfigured, match="payerly"):
        build(name, {})


@pytest.mark.parametrize("name", names())
def test_a_missing_setting_is_named(name):
    needs = gateway_class(name).needs
    if needs:
        with pytest.raises(Misconfigured, match=needs[-1]):
            build(name, dict.fromkeys(needs[:-1], "https://api.example"))


def test_nothing_in_here_knows_django():
    check = "import sys, gateways.sandbox, gateways.registry as r; [r.gateway_class(n) for n in r.names()]; "
    check += "sys.exit('django' in sys.modules or 'refunds' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_a_gateway_is_imported_when_it_is_used():
    check = "import sys, gateways.registry; sys.exit('gateways.payerly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
