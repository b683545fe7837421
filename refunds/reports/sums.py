"""Sums of money: one for each mode and currency, since sandbox money is none and is never added to live money."""

from __future__ import annotations

from dataclasses import dataclass

from gateways.money import Money


@dataclass(frozen=True)
class Sum:
    """`mode` is that of the accounts; it is said where a person works with accounts of both."""

    money: Money
    mode: str
