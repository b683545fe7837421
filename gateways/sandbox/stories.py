"""What can become of an order: one table for all gateways. The last two digits of the minor amount choose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Answer(StrEnum):
    """How the call that brings an order is answered."""

    ORDINARY = "ordinary"
    REFUSED = "refused"
    LOST = "lost"
    ERROR = "error"
    LATE = "late"
    PAGE = "page"
    BUSY = "busy"
    ELSEWHERE = "elsewhere"
    DRIP = "drip"


class Does(StrEnum):
    """What one step does to a refund."""

    EXECUTE = "execute"
    STATUS = "status"
    PAY_OUT = "pay out"
    GIVE_BACK = "give back"
    WEBHOOK = "webhook"
    FORGE = "forge"


# What a refund can be; each simulator has a word of its gateway for each.
WORDS = ("waiting", "processing", "succeeded", "failed", "cancelled", "unheard")


@dataclass(frozen=True)
class Step:
    """Something that happens a while after the order; `word` is one of WORDS."""

    after: timedelta
    does: Does
    word: str = ""


def at(seconds: int, does: Does, word: str = "") -> Step:
    return Step(timedelta(seconds=seconds), does, word)


def ends(word: str, seconds: int) -> tuple[Step, ...]:
    return (at(seconds, Does.STATUS, word), at(seconds, Does.WEBHOOK))


@dataclass(frozen=True)
class Story:
    """`executes` is when the order is carried out (None: never); `only_once`: the next try goes the ordinary way."""

    name: str
    sentence: str
    answer: Answer = Answer.ORDINARY
    executes: timedelta | None = timedelta()
    moves_money: bool = True
    first_word: str = "processing"
    steps: tuple[Step, ...] = ends("succeeded", 2)
    webhook_first: bool = False
    only_once: bool = False
    shown_too_much: int = 0  # minor units that every echo shows on top
    entries: int = 1  # how often an answer that is a list names it


ORDINARY = 0
STORIES = {
    0: Story("success", "Is accepted and succeeds 2 seconds later, with a webhook. So does every amount not listed."),
    1: Story("refused", "Is refused at once, with a documented error. No money moves.", Answer.REFUSED, None),
    2: Story(
        "answer_lost",
        "Is carried out, but the line is cut before the answer. It succeeds later, and no webhook says so.",
        Answer.LOST,
        steps=(at(2, Does.STATUS, "succeeded"),),
    ),
    3: Story("slow", "Stays in processing for 30 seconds, then succeeds.", steps=ends("succeeded", 30)),
    4: Story(
        "reversed",
        "Succeeds, and 20 seconds later the bank gives the money back.",
        steps=(*ends("succeeded", 2), at(22, Does.GIVE_BACK), *ends("failed", 22)),
    ),
    5: Story(
        "request_lost",
        "Is lost on its way: the line is cut and nothing is carried out. The next try works.",
        Answer.LOST,
        None,
        only_once=True,
    ),
    6: Story("error_after", "Is carried out and answered with HTTP 500 all the same.", Answer.ERROR),
    7: Story("fails_later", "Is accepted and fails later. No money moves.", moves_money=False, steps=ends("failed", 2)),
    8: Story(
        "webhook_first",
        "The webhook (succeeded) arrives before the answer (processing).",
        steps=ends("succeeded", 0),
        webhook_first=True,
    ),
    9: Story(
        "webhook_thrice",
        "Succeeds, and the same webhook comes three times.",
        steps=(*ends("succeeded", 2), at(2, Does.WEBHOOK), at(2, Does.WEBHOOK)),
    ),
    10: Story("no_webhook", "Succeeds, and no webhook ever comes.", steps=(at(2, Does.STATUS, "succeeded"),)),
    11: Story(
        "unheard_word",
        "Is accepted with a status word that nobody knows.",
        first_word="unheard",
        steps=(at(2, Does.WEBHOOK),),
    ),
    12: Story("wrong_amount", "Every echo shows one minor unit more than was asked for.", shown_too_much=1),
    13: Story(
        "forged_webhook",
        "Succeeds, but the only webhook carries a forged signature. A look-up tells the truth.",
        steps=(at(2, Does.STATUS, "succeeded"), at(2, Does.FORGE)),
    ),
    14: Story("drip", "Is carried out, and the answer comes byte by byte, for about a minute.", Answer.DRIP),
    15: Story(
        "late", "Is answered with HTTP 504 at once, and carried out 5 seconds later.", Answer.LATE, timedelta(seconds=5)
    ),
    16: Story(
        "error_page",
        "Is answered with an HTML page (HTTP 502) and not carried out. The next try works.",
        Answer.PAGE,
        None,
        only_once=True,
    ),
    17: Story(
        "busy",
        "Is answered with HTTP 429 and Retry-After, and not carried out. The next try works.",
        Answer.BUSY,
        None,
        only_once=True,
    ),
    18: Story(
        "redirect",
        "Is answered with a redirect (HTTP 307) and not carried out. The next try works.",
        Answer.ELSEWHERE,
        None,
        only_once=True,
    ),
    19: Story(
        "two_voices",
        "The webhook says succeeded, the look-up says processing for ever.",
        steps=(at(2, Does.WEBHOOK, "succeeded"),),
    ),
    20: Story(
        "waits",
        "Waits for 60 seconds, until when it can be cancelled where the gateway cancels; then it succeeds.",
        moves_money=False,
        first_word="waiting",
        steps=(at(60, Does.STATUS, "processing"), at(62, Does.PAY_OUT), *ends("succeeded", 62)),
    ),
    21: Story(
        "expires",
        "Waits, and is cancelled there by time. No money moves.",
        moves_money=False,
        first_word="waiting",
        steps=ends("cancelled", 2),
    ),
    22: Story("left_out", "Is carried out, but where the answer is a list, it is not in it.", entries=0),
    23: Story("told_twice", "Is carried out, and where the answer is a list, it is in it twice.", entries=2),
}


def number_of(story: str | int) -> int:
    """A story by its name or number. Raises ValueError for one that is not in the table."""
    text = str(story)
    for number, known in STORIES.items():
        if text == known.name or (text.isdecimal() and int(text) == number):
            return number
    raise ValueError(f"There is no story {text!r}; there are: {', '.join(known.name for known in STORIES.values())}.")


def number_by_amount(minor: int) -> int:
    ending = minor % 100
    return ending if ending in STORIES else ORDINARY
