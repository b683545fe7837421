"""What the back office and a gateway say to each other. Gateways translate; they never decide and never save."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from urllib.parse import quote

from gateways import cards
from gateways.errors import BadWebhook, Misconfigured
from gateways.http import HttpClient
from gateways.money import Money


class Outcome(StrEnum):
    """What a gateway says became of a refund."""

    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNCLEAR = "unclear"  # a word we do not know


class LookUp(StrEnum):
    """By what a gateway lets us find a refund."""

    NONE = "none"
    BY_REFERENCE = "by_reference"
    BY_KEY = "by_key"
    BY_PAYMENT = "by_payment"


class Repeat(StrEnum):
    """May the same order go again after no answer?"""

    NEVER = "never"
    AFTER_ABSENCE = "after_absence"
    WITHIN_WINDOW = "within_window"


class Webhooks(StrEnum):
    """How far a delivery is believed."""

    NONE = "none"
    KNOCK = "knock"
    SPEAK = "speak"


@dataclass(frozen=True)
class Capabilities:
    """What a gateway can do; everything is off until declared."""

    partial: bool = False
    several: bool = False
    look_up: LookUp = LookUp.NONE
    repeat: Repeat = Repeat.NEVER
    cancel: bool = False
    webhooks: Webhooks = Webhooks.NONE
    proves_reference: bool = False  # a look-up by a reference that a person typed shows its payment or amount
    by_hand: bool = False  # no gateway at all: a person makes the transfer, and two declare what became of it
    bundle: int = 1  # the most orders, each of another payment, that one call can carry


@dataclass(frozen=True)
class Assumption:
    """A fact about a gateway that nobody has, and what we take for it until somebody does.

    `id` is its name in ACCEPT_ASSUMPTIONS, like brand-key-life. It is critical when, were it wrong, money could move
    twice or an end could be told that is none. `setting` is the configuration key that holds another answer.
    `shown_by_look_up`: one authenticated look-up at the real gateway that comes back readable proves it.
    `relied_on_by`: the setting that begins to rely on it; while that stands at its default, nothing does.
    """

    id: str
    text: str
    is_critical: bool = False
    shown_by_look_up: bool = False
    setting: str = ""
    relied_on_by: str = ""


@dataclass(frozen=True)
class RefundOrder:
    """One refund as a gateway is asked for it.

    `key` is our name for it (UUID, 36 characters, also the idempotency key); "" asks about the payment as a whole.
    `reason` is already the gateway's own word; `note` is public wording; `reference` is their name for it, once known;
    `before` is what they showed before we asked.
    """

    key: str
    payment_reference: str
    amount: Money
    reason: str = ""
    note: str = ""
    callback_url: str = ""
    reference: str = ""
    before: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class RefundUpdate:
    """What a gateway said about one refund: in its answer, in a look-up or in a webhook.

    `code` and `message` are their words; `occurred_at` is UTC; `details` carries what they tell beside the essentials.
    """

    outcome: Outcome
    reference: str = ""
    key: str = ""
    payment_reference: str = ""
    amount: Money | None = None
    code: str = ""
    message: str = ""
    occurred_at: datetime | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Whatever they tell beside the essentials holds no card number from here on."""
        object.__setattr__(self, "message", cards.masked(self.message))
        object.__setattr__(self, "code", cards.masked(self.code))
        object.__setattr__(self, "details", {name: cards.masked(text) for name, text in self.details.items()})


@dataclass(frozen=True)
class Nudge:
    """A knock whose words are not believed: go and ask about this payment or refund, or about whichever bears the id.

    `of_dispute`: they say that the customer disputes the payment with the bank; only a person can find out.
    """

    payment_reference: str = ""
    reference: str = ""
    of_dispute: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Delivery:
    """A webhook exactly as it arrived: header names in lower case, body as raw bytes."""

    headers: Mapping[str, str]
    body: bytes


# Settings of every gateway. SCREEN_URL is a link with {payment}, {reference} or {key} in it; BATCH is the most orders
# that go out in one call, as a bundle.
COMMON_SETTINGS = {"SCREEN_URL": "", "CALLS_PER_SECOND": "", "BATCH": "1"}
CALLS_PER_SECOND = re.compile(r"\A\d{1,3}(\.\d{1,3})?\Z", re.ASCII)
BATCH = re.compile(r"\A[1-9]\d{0,3}\Z", re.ASCII)


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with {name} replaced; braces that name nothing stay as they are."""
    for name, text in values.items():
        template = template.replace("{" + name + "}", text)
    return template


def between_calls(per_second: str) -> timedelta | None:
    """How far apart calls have to be, from CALLS_PER_SECOND; None without a cap. Raises Misconfigured."""
    if not per_second:
        return None
    if not CALLS_PER_SECOND.match(per_second) or not (number := Decimal(per_second)):
        raise Misconfigured(f"CALLS_PER_SECOND is {per_second!r}: write a number like 5 or 0.5.")
    return timedelta(microseconds=int(1_000_000 / number))


def bundle_of(batch: str, label: str, most: int) -> int:
    """How many orders may share a call, from BATCH. Raises Misconfigured."""
    if not BATCH.match(batch) or int(batch) > most:
        takes = f"{most} orders" if most > 1 else "one order"
        raise Misconfigured(
            f"BATCH is {batch!r}: {label} takes {takes} in a call, so write 1{f' to {most}' * (most > 1)}."
        )
    return int(batch)


class Gateway(ABC):
    """A translator for one gateway; built from plain strings, it holds one account's credentials and nothing else."""

    name: ClassVar[str]
    label: ClassVar[str]
    needs: ClassVar[Sequence[str]]  # required configuration keys
    takes: ClassVar[Mapping[str, str]] = {}  # optional configuration keys and their defaults
    secrets: ClassVar[Sequence[str]] = ()  # which of them are never shown
    hosts: ClassVar[Mapping[str, str]] = {}  # "sandbox" and "live" base URLs by their documentation
    can: ClassVar[Capabilities]
    poll_plan: ClassVar[Sequence[timedelta]]  # pauses between look-ups; the last one repeats
    key_window: timedelta | None = None  # how long they honour a key
    quiet_window: timedelta = timedelta(minutes=15)  # after it, an unseen order can no longer arrive
    webhook_answer: ClassVar[bytes] = b""
    webhook_type: ClassVar[str] = "application/json"  # of their deliveries, not of our answer
    webhook_key_setting: ClassVar[str] = ""  # the setting that holds the key `webhook_key` fetches
    callback_setting: ClassVar[str] = ""  # the setting that holds their callbacks' address, where it is signed too
    detail_labels: ClassVar[Mapping[str, str]] = {}  # plain words for the keys of `details`
    customer_detail: ClassVar[str] = ""  # the key of `details` by which the customer's bank finds the money
    reason_words: ClassVar[Sequence[str]] = ()  # what a reason may be called here; () is anything or nothing
    payment_named: ClassVar[str] = ""  # what they call the id of a payment, for the person who types it in
    where_to_look: ClassVar[str] = ""  # for a person: which of their screens shows a refund, and what to compare
    assumptions: ClassVar[Sequence[Assumption]] = ()
    bundle: int = 1  # how many orders may share a call, as the account is set; `can.bundle` bounds it

    def __init__(self, config: Mapping[str, str]) -> None:
        missing = [key for key in self.needs if not config.get(key, "").strip()]
        if missing:
            raise Misconfigured(f"{self.label} needs {', '.join(missing)}.")
        set_by_hand = {key: text for key, text in config.items() if text}
        self.config: Mapping[str, str] = {**COMMON_SETTINGS, **self.takes, **set_by_hand}
        between_calls(self.config["CALLS_PER_SECOND"])
        self.bundle = bundle_of(self.config["BATCH"], self.label, self.can.bundle)
        self.http = HttpClient(self.config.get("URL", ""), secrets=[self.config.get(key, "") for key in self.secrets])

    @property
    def looks_before(self) -> bool:
        """Whether an order is preceded by a look at what they show."""
        return type(self).before is not Gateway.before

    @classmethod
    def settings(cls) -> tuple[str, ...]:
        """Every configuration key that it knows."""
        return (*cls.needs, *cls.takes, *COMMON_SETTINGS)

    def screen_url(self, order: RefundOrder) -> str:
        """The deep link to a refund in the gateway's own screens, or "" where none is configured."""
        names = {"key": order.key, "reference": order.reference, "payment": order.payment_reference}
        quoted = {name: quote(text, safe="") for name, text in names.items()}
        link = self.config["SCREEN_URL"]
        return "" if "{reference}" in link and not order.reference else fill(link, quoted)

    def reason_word(self, word: str, captured_at: datetime, asked_at: datetime) -> str:
        """The word of `reason_words` that goes out, where it depends on the payment's age. Both moments in UTC."""
        return word

    def check(self, order: RefundOrder) -> str:
        """A sentence about what this wire cannot carry, or "": lengths, patterns, currency. No network."""
        return ""

    def before(self, order: RefundOrder) -> Mapping[str, object]:
        """What they show before we ask, where they keep no key of ours. Raises NotSent or NoAnswer."""
        return {}

    def body(self, order: RefundOrder) -> bytes:
        """The exact bytes that `refund` sends for this order, where they are the same each time; else b""."""
        return b""

    @abstractmethod
    def refund(self, order: RefundOrder) -> RefundUpdate:
        """Ask for the refund, once. Raises NotSent or NoAnswer; a FAILED answer is a definite refusal."""

    def refund_many(self, orders: Sequence[RefundOrder]) -> Mapping[str, RefundUpdate]:
        """Ask for several refunds, each of another payment, in one call: by each order's key, what they say of it.

        An order that is not in it may or may not have been carried out. NotSent and NoAnswer speak of all of them.
        Offered where `can.bundle` is above 1; there nothing is shown before an order, and none is ever repeated.
        """
        raise Misconfigured(f"{self.label} takes one order in a call.")

    def look_up(self, order: RefundOrder) -> list[RefundUpdate]:
        """What they show: all refunds of the order's payment, or this one, by what `can.look_up` says.

        [] is a clean absence. Doubt raises NoAnswer or NotSent.

        An update that bears the order's key is about this very order. Where they keep no key of ours, a connector sets
        it only if what they show can be about nothing else.
        """
        raise Misconfigured(f"{self.label} offers no look-up.")

    def cancel(self, order: RefundOrder) -> RefundUpdate:
        """Ask to cancel a refund that is not carried out yet. Raises NotSent or NoAnswer."""
        raise Misconfigured(f"{self.label} cannot cancel a refund.")

    def webhook_key(self) -> str:
        """The public key (PEM) that they sign deliveries with, fetched now; "" where there is none."""
        return ""

    def verify_webhook(self, delivery: Delivery) -> None:
        """Raises BadWebhook unless the delivery is theirs; Misconfigured when we lack the key to tell."""
        raise BadWebhook(f"{self.label} deliveries are not accepted.")

    def read_webhook(self, delivery: Delivery) -> list[RefundUpdate | Nudge]:
        """What a verified delivery says. Raises BadWebhook when it cannot be read."""
        raise BadWebhook(f"{self.label} deliveries are not read.")
