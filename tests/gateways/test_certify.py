"""The contract's stories can fail: each sees the one connector that was broken for it, and no other story does."""

from __future__ import annotations

import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateways import registry
from gateways.airpay import Airpay
from gateways.contract import Capabilities, LookUp, Outcome, RefundUpdate, Repeat, Webhooks
from gateways.errors import BadWebhook, NoAnswer, NotSent
from gateways.http import HttpClient
from gateways.payerly import Payerly
from gateways.sandbox.certify import CONTRACT, Verdict, run, run_one
from gateways.signing import strict_base64
from gateways.strictjson import parse
from tests.toy import simulator


def last(gateway):
    return gateway.http.exchanges[-1]


class NamesItsDetailsForNobody(Payerly):
    def refund(self, order):
        return replace(super().refund(order), details={"colour": "red"})


class SaysAnotherAmount(Payerly):
    def refund(self, order):
        update = super().refund(order)
        return replace(update, amount=replace(order.amount, minor=order.amount.minor + 1))


class WritesNoBodyDown(Payerly):
    def body(self, order):
        return super().body(order) if last_caller_is_refund() else b""


def last_caller_is_refund() -> bool:
    return sys._getframe(2).f_code.co_name == "refund"


class SendsANewKeyEachTime(Payerly):
    def refund(self, order):
        return super().refund(replace(order, key=str(uuid.uuid4())))


class TakesNoForAMaybe(Payerly):
    def refund(self, order):
        update = super().refund(order)
        return replace(update, outcome=Outcome.UNCLEAR) if update.outcome is Outcome.FAILED else update


class CallsALostAnswerUnsent(Payerly):
    def refund(self, order):
        try:
            return super().refund(order)
        except NoAnswer as error:
            raise NotSent("It was surely lost.") from error


class CallsARedirectARefusal(Payerly):
    def refund(self, order):
        try:
            return super().refund(order)
        except NoAnswer:
            if last(self).status == 307:
                return RefundUpdate(Outcome.FAILED, code="307")
            raise


class FollowsARedirect(Payerly):
    def refund(self, order):
        try:
            return super().refund(order)
        except NoAnswer:
            if last(self).status == 307:
                root = self.config["URL"].removesuffix("/payerly/v1")
                HttpClient(root).send("GET", last(self).response_headers["location"], headers={})
            raise


class CallsARefusedConnectionLost(Payerly):
    def refund(self, order):
        try:
            return super().refund(order)
        except NotSent as error:
            raise NoAnswer("Who knows.") from error


class BelievesAPage(Payerly):
    def refund(self, order):
        try:
            return super().refund(order)
        except NoAnswer:
            if last(self).status == 200 and "<html>" in last(self).response_body:
                return RefundUpdate(Outcome.SUCCEEDED, key=order.key)
            raise


class CallsAStrangersNotFoundAnAbsence(Payerly):
    def look_up(self, order):
        try:
            return super().look_up(order)
        except NoAnswer:
            if last(self).status == 404:
                return []
            raise


class ThrowsSomethingElse(Payerly):
    def look_up(self, order):
        try:
            return super().look_up(order)
        except NoAnswer:
            raise KeyError("items") from None


class TakesEveryWordForSuccess(Payerly):
    def refund(self, order):
        update = super().refund(order)
        return replace(update, outcome=Outcome.SUCCEEDED) if update.outcome is Outcome.UNCLEAR else update


class EchoesItself(Payerly):
    def refund(self, order):
        return replace(super().refund(order), amount=order.amount)


class HidesNothing(Payerly):
    def __init__(self, config):
        super().__init__(config)
        self.http = HttpClient(self.config["URL"])


class NeverSeesTheEnd(Payerly):
    def look_up(self, order):
        found = super().look_up(order)
        return [replace(one, outcome=Outcome.PROCESSING) for one in found] if order.reference else found


class TakesAFailureForSuccess(Payerly):
    def look_up(self, order):
        return [
            replace(one, outcome=Outcome.SUCCEEDED) if one.outcome is Outcome.FAILED else one
            for one in super().look_up(order)
        ]


class FindsOnlyWhatItKnows(Payerly):
    def look_up(self, order):
        return [one for one in super().look_up(order) if one.reference == order.reference]


class CancelsInWordsOnly(Payerly):
    can = replace(Payerly.can, cancel=True)

    def cancel(self, order):
        return RefundUpdate(Outcome.CANCELLED, key=order.key)


class ReadsNothing(Payerly):
    def read_webhook(self, delivery):
        parse_or_refuse(delivery.body)
        return []


def parse_or_refuse(body: bytes) -> None:
    try:
        parse(body)
    except ValueError as error:
        raise BadWebhook("It cannot be read.") from error


class BelievesAnySignature(Payerly):
    def verify_webhook(self, delivery):
        if not self.config["SIGNKEY_PEM"]:
            super().verify_webhook(delivery)
        strict_base64(delivery.headers.get("signature", ""))
        parse_or_refuse(delivery.body)


class ReadsCarelessly(Payerly):
    def read_webhook(self, delivery):
        json.loads(delivery.body)["type"]
        return super().read_webhook(delivery)


class MakesACallOfEach(Airpay):
    def refund_many(self, orders):
        return {
            key: update
            for order in orders
            for key, update in super(MakesACallOfEach, self).refund_many([order]).items()
        }


class GoesByPlaces(Airpay):
    def refund_many(self, orders):
        found = super().refund_many(orders)
        return dict(zip([order.key for order in orders], found.values(), strict=False))


class TakesSilenceForARefusal(Airpay):
    def refund_many(self, orders):
        silence = RefundUpdate(Outcome.FAILED, code="silence")
        return {order.key: silence for order in orders if len(orders) > 1} | super().refund_many(orders)


class EchoesAllOfThem(Airpay):
    def refund_many(self, orders):
        amounts = {order.key: order.amount for order in orders if len(orders) > 1}
        found = super().refund_many(orders)
        return {key: replace(one, amount=amounts.get(key, one.amount)) for key, one in found.items()}


class CallsALostBundleUnsent(Airpay):
    def refund_many(self, orders):
        try:
            return super().refund_many(orders)
        except NoAnswer as error:
            raise NotSent("It was surely lost.") if len(orders) > 1 else error from error


BROKEN = {
    NamesItsDetailsForNobody: "An order is accepted and moves its money once",
    SaysAnotherAmount: "An order is accepted and moves its money once",
    WritesNoBodyDown: "The same order is the same bytes",
    SendsANewKeyEachTime: "A repeated order moves its money once",
    TakesNoForAMaybe: "A refusal is an answer and moves nothing",
    CallsALostAnswerUnsent: "An order that may have been carried out is never called unsent",
    CallsARedirectARefusal: "An accident is not a refusal, and no redirect is followed",
    FollowsARedirect: "An accident is not a refusal, and no redirect is followed",
    CallsARefusedConnectionLost: "A refused connection is called unsent",
    BelievesAPage: "Foreign answers settle nothing",
    CallsAStrangersNotFoundAnAbsence: "Foreign answers settle nothing",
    ThrowsSomethingElse: "Foreign answers settle nothing",
    TakesEveryWordForSuccess: "A word that nobody knows is no end",
    EchoesItself: "An echo is what they said, not what was asked",
    HidesNothing: "Secrets stay out of everything that is kept",
    MakesACallOfEach: "Of several orders in one call, each has its own end",
    GoesByPlaces: "Of several orders in one call, each has its own end",
    TakesSilenceForARefusal: "Of several orders in one call, each has its own end",
    EchoesAllOfThem: "Of several orders in one call, each has its own end",
    CallsALostBundleUnsent: "An answer to several orders that is lost is lost to each",
    NeverSeesTheEnd: "A look-up finds the refund and its end",
    TakesAFailureForSuccess: "A refund that fails later is never called a success",
    FindsOnlyWhatItKnows: "A lost answer is found again",
    CancelsInWordsOnly: "What waits can be cancelled, and then moves nothing",
    ReadsNothing: "A delivery is believed by its signature only",
    BelievesAnySignature: "A forged delivery is refused",
    ReadsCarelessly: "A delivery of any bytes is refused, and never an exception of another kind",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_exactly_its_own_story_sees_a_broken_connector(kind):
    with ThreadPoolExecutor(6) as pool:  # they mostly wait
        results = list(pool.map(lambda story: run_one(kind.name, story, kind), CONTRACT))
    flaws = {result.story: result.sentence for result in results if result.verdict is Verdict.BROKEN}
    assert list(flaws) == [BROKEN[kind]], flaws
    assert flaws[BROKEN[kind]]


def test_there_is_a_broken_connector_for_every_story():
    assert set(BROKEN.values()) == set(CONTRACT)


def test_an_exception_of_another_kind_is_told_by_name():
    result = run_one("payerly", "Foreign answers settle nothing", ThrowsSomethingElse)
    assert result.sentence == "It raised KeyError: 'items'"


class Modest(Payerly):
    can = Capabilities(look_up=LookUp.NONE, repeat=Repeat.NEVER, webhooks=Webhooks.NONE)


def test_what_does_not_apply_says_why():
    why = {one.story: one.sentence for one in run("payerly", Modest) if one.verdict is Verdict.NOT_APPLICABLE}
    assert why["A repeated order moves its money once"] == "Orders are never repeated."
    assert why["A look-up finds the refund and its end"] == "It offers no look-up."
    assert why["A delivery is believed by its signature only"] == "It is sent no webhooks about refunds."
    assert {one.sentence for one in run("manual")} == {"It is not called over a wire."}


def test_the_sixth_gateway_keeps_the_contract_too(monkeypatch):
    monkeypatch.setitem(registry.GATEWAYS, "toy", "tests.toy.connector.Toy")
    monkeypatch.setitem(sys.modules, "gateways.sandbox.toy", simulator)
    assert [one for one in run("toy") if one.verdict is Verdict.BROKEN] == []
