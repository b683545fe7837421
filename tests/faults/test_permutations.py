"""Answer, webhooks, look-ups and a crash in every order: one refund comes to one end, paid once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import pytest

from gateways.contract import Webhooks
from gateways.registry import gateway_class
from tests.builders import ACCOUNTS
from tests.faults.life import ANSWER, CRASH, NO_ANSWER, Life, Message, ends_of, says, shows

pytestmark = pytest.mark.django_db

SENT = [gateway for gateway in ACCOUNTS if gateway_class(gateway).can.webhooks is not Webhooks.NONE]
SPEAKS = [gateway for gateway in SENT if gateway_class(gateway).can.webhooks is Webhooks.SPEAK]
KNOCKS = [gateway for gateway in SENT if gateway not in SPEAKS]
NO_NAME = ["airpay"]  # without its answer, nobody ever learns the name by which it can be asked
ASKED = sorted(set(SENT) - set(NO_NAME))


@dataclass(frozen=True)
class Story:
    """What comes, in whatever order, until the gateway shows nothing but its last word. `lag`: look-ups may be old.

    `ends` are where it may stand then, and whether a person is called.
    """

    gateways: Sequence[str]
    amount: int  # by which the sandbox knows the story
    messages: Sequence[Message]
    ends: Collection[tuple[str, bool]]
    lag: bool = True

    @property
    def truth(self) -> str:
        return "succeeded" if self.amount == PAYS else "failed"


PAYS, COMES_BACK, FAILS = 1000, 1004, 1007
PAID, NOT_PAID, UP_TO_PEOPLE = [("succeeded", False)], [("failed", False)], [("unknown", True)]
# A list that lags behind a webhook's failure calls a person, and the amount is held again until that is clear.
DOUBTED = [*NOT_PAID, ("failed", True)]
# It is reversed if anybody has seen the success, else it has simply failed.
REVERSED = [*NOT_PAID, ("reversed", True)]

paid, failed, under_way = says("succeeded"), says("failed"), says("processing")
see_it_paid, see_it_failed, see_it_under_way = shows("succeeded"), shows("failed"), shows("processing")
LATE = [ANSWER, paid, failed, see_it_paid, see_it_failed]

STORIES = {
    "it succeeds": Story(SENT, PAYS, [ANSWER, paid, paid, see_it_under_way, see_it_paid], PAID),
    "it fails": Story(SPEAKS, FAILS, [ANSWER, under_way, failed, see_it_under_way, see_it_failed], DOUBTED),
    "it fails while we look": Story(
        SPEAKS, FAILS, [ANSWER, under_way, shows("processing", failed), failed, see_it_failed], NOT_PAID, lag=False
    ),
    "it fails, by knocks": Story(KNOCKS, FAILS, [ANSWER, failed, failed, see_it_under_way, see_it_failed], NOT_PAID),
    "it comes back": Story(SPEAKS, COMES_BACK, [*LATE, shows("succeeded", failed)], [*DOUBTED, *REVERSED]),
    "it comes back, by knocks": Story(KNOCKS, COMES_BACK, LATE, REVERSED, lag=False),
    "no answer": Story(ASKED, PAYS, [NO_ANSWER, paid, see_it_under_way, shows("succeeded", paid)], PAID),
    "the worker dies": Story(ASKED, PAYS, [CRASH, paid, see_it_under_way, shows("succeeded", paid)], PAID),
    "no answer and no name": Story(NO_NAME, PAYS, [NO_ANSWER, paid, paid, see_it_paid], UP_TO_PEOPLE),
    "the worker dies, no name": Story(NO_NAME, PAYS, [CRASH, paid, paid, see_it_paid], UP_TO_PEOPLE),
}


@pytest.mark.promise("I3", "I4", "I5", "I20", "I36")
@pytest.mark.parametrize(
    ("name", "gateway"), [(name, gateway) for name, story in STORIES.items() for gateway in story.gateways]
)
def test_every_order_leads_to_one_end(
    name: str, gateway: str, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int], None]
) -> None:
    story = STORIES[name]
    life = Life(gateway, story.amount, monkeypatch)
    ends = ends_of(life, story.truth, story.messages, lag=story.lag)
    trials(sum(n_orders for n_orders, _ in ends.values()))
    unheard_of = {stands: order for (stands, _), (_, order) in ends.items() if stands not in story.ends}
    assert unheard_of == {}
    all_else = {what: order for (_, what), (_, order) in ends.items()}
    assert len(all_else) == 1, "\n".join(f"{dict(what)} after {order}" for what, order in all_else.items())
    end = dict(next(iter(all_else)))
    assert (end["carried out there"], end["paid there"], end["wrong"]) == (1, int(story.amount != FAILS), ())
