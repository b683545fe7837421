"""Money in the air: whole minor units and an ISO 4217 code. No float, no mixing of currencies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from moneyed import CurrencyDoesNotExist, get_currency

PLAIN_AMOUNT = re.compile(r"\A[0-9]{1,15}(?:\.[0-9]{1,3})?\Z", re.ASCII)
NO_CURRENCY = "%(currency)r is not an ISO 4217 code."
NO_AMOUNT = "%(text)r is not an amount: write digits and a point, such as 12.50."
OFF_THE_GRID = "%(currency)s has %(places)s decimals; %(text)s has %(decimals)s."


class NotMoney(ValueError):
    """What was typed cannot be used; whoever shows it may say the same in another language."""

    def __init__(self, sentence: str, **values: object) -> None:
        super().__init__(sentence % values)
        self.sentence, self.values = sentence, values


@cache
def exponent(currency: str) -> int:
    """Decimals of a currency by ISO 4217: JPY 0, EUR 2, KWD 3. Raises NotMoney for a code that is not one."""
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise NotMoney(NO_CURRENCY, currency=currency)
    try:
        sub_unit: int = get_currency(currency).sub_unit
    except CurrencyDoesNotExist:
        raise NotMoney(NO_CURRENCY, currency=currency) from None
    return len(str(sub_unit)) - 1


@dataclass(frozen=True, order=False)
class Money:
    """`minor` is whole minor units (cents, yen, fils); `currency` an ISO 4217 code."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"Money counts whole minor units, not {type(self.minor).__name__}.")
        exponent(self.currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Money:
        """Read plain major units, such as "12.50". Raises NotMoney for anything else and off the currency's grid."""
        if not isinstance(text, str) or not PLAIN_AMOUNT.match(text):
            raise NotMoney(NO_AMOUNT, text=text)
        whole, _, decimals = text.partition(".")
        places = exponent(currency)
        if len(decimals) > places:
            raise NotMoney(OFF_THE_GRID, currency=currency, places=places, text=text, decimals=len(decimals))
        return cls(int(whole + decimals.ljust(places, "0")), currency)

    @property
    def major(self) -> Decimal:
        """The amount in major units, exactly on the currency's grid."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __str__(self) -> str:
        """Plain major units with all decimals of the currency: 12.50, 1200, 0.005."""
        return f"{self.major:f}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other)

    def _same(self, other: Money) -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not mix.")
        return other.minor
