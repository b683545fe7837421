"""Which gateways there are: one line each, imported on first use."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from gateways.contract import Gateway
from gateways.errors import Misconfigured

GATEWAYS = {
    "airpay": "gateways.airpay.Airpay",
    "examplepay": "gateways.examplepay.ExamplePay",
    "manual": "gateways.manual.Manual",
    "pay3": "gateways.pay3.Pay3",
    "payerly": "gateways.payerly.Payerly",
    "paynow": "gateways.paynow.Paynow",
}


def names() -> list[str]:
    """The names of all gateways, in alphabetical order."""
    return sorted(GATEWAYS)


def gateway_class(gateway_name: str) -> type[Gateway]:
    """The class of a gateway. Raises Misconfigured for a name that is not in the table."""
    if gateway_name not in GATEWAYS:
        raise Misconfigured(f"There is no gateway named {gateway_name!r}; there are: {', '.join(names())}.")
    module, _, class_name = GATEWAYS[gateway_name].rpartition(".")
    found: type[Gateway] = getattr(import_module(module), class_name)
    return found


def build(gateway_name: str, config: Mapping[str, str]) -> Gateway:
    """A gateway with one account's settings. Raises Misconfigured when one is missing or cannot be right."""
    return gateway_class(gateway_name)(config)
