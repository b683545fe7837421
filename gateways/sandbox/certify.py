"""The contract as stories that every connector is put through, against a sandbox of its own: for people and for tests.

A story raises Broken when the connector does not keep the contract, and DoesNotApply where it has nothing to keep.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import product

from gateways.contract import Delivery, Gateway, LookUp, Nudge, Outcome, RefundOrder, RefundUpdate, Repeat, Webhooks
from gateways.errors import BadWebhook, Misconfigured, NoAnswer, NotSent
from gateways.registry import gateway_class
from gateways.sandbox import in_one_call
from gateways.sandbox.bench import ASKED, CAPTURED, Bench, Broken, DoesNotApply, applies, must, must_raise
from gateways.sandbox.door import Door
from gateways.sandbox.server import Sandbox

PACE = 0.02
REFUSED = 1201
STATUSES = (200, 201, 302, 401, 403, 404, 409, 429, 500, 503)
FOREIGN = (b"", b"<html></html>", b"{}", b"[]", b"\xff", b'{"status":"SUCCESS"}')
SCRIBBLES = (b"", b"{}", b"[]", b"\xff\xfe", b"null", b"a=b", b'{"payload":1}', b"\x00" * 99)


class Verdict(StrEnum):
    PASSED = "passed"
    BROKEN = "broken"
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True)
class Result:
    story: str
    verdict: Verdict
    sentence: str = ""


Story = Callable[[Bench], None]
CONTRACT: dict[str, Story] = {}


def story(name: str) -> Callable[[Story], Story]:
    """Puts a function into the table under the sentence that it proves."""
    return lambda told: CONTRACT.setdefault(name, told)


def run(gateway_name: str, kind: type[Gateway] | None = None) -> Iterator[Result]:
    """Every story about one gateway, one after the other; `kind` is another connector for the same wire."""
    return (run_one(gateway_name, name, kind) for name in CONTRACT)


def run_one(gateway_name: str, name: str, kind: type[Gateway] | None = None) -> Result:
    """One story, on a fresh bench."""
    with Sandbox(pace=PACE) as sandbox, Door() as door:
        if gateway_name not in sandbox.simulators:
            return Result(name, Verdict.NOT_APPLICABLE, "It is not called over a wire.")
        sandbox.callback(gateway_name, door.url)
        try:
            CONTRACT[name](Bench(kind or gateway_class(gateway_name), sandbox, door))
        except DoesNotApply as why:
            return Result(name, Verdict.NOT_APPLICABLE, str(why))
        except Broken as flaw:
            return Result(name, Verdict.BROKEN, str(flaw))
        except Exception as error:  # whatever a connector throws, it is told and the next story goes on
            return Result(name, Verdict.BROKEN, f"It raised {type(error).__name__}: {error}")
    return Result(name, Verdict.PASSED)


@story("An order is accepted and moves its money once")
def an_order(bench: Bench) -> None:
    gateway, order = bench.gateway(), bench.order()
    why = gateway.check(order)
    must(not why, f"It says that it cannot carry an ordinary order: {why}")
    update = gateway.refund(order)
    must(isinstance(update, RefundUpdate), "Its answer is no RefundUpdate.")
    must(update.outcome in (Outcome.PROCESSING, Outcome.SUCCEEDED), f"It calls an accepted order {update.outcome}.")
    must(update.amount in (None, order.amount), f"It says {update.amount!r} for {order.amount!r}.")
    must(set(update.details) <= set(gateway.detail_labels), "Some of its details have no label in plain words.")
    must(bench.moved() == [ASKED], f"The money that moved is {bench.moved()}, not [{ASKED}].")


@story("The same order is the same bytes")
def same_bytes(bench: Bench) -> None:
    first, second = (bench.gateway().body(order) for order in [bench.order()] * 2)
    must(first or bench.kind.can.repeat is Repeat.NEVER, "Orders may be repeated, but it does not say by which bytes.")
    applies(bool(first), "Each order is written anew, so it says no bytes.")
    must(first == second, "Two connectors write one order differently.")


@story("A repeated order moves its money once")
def repeated(bench: Bench) -> None:
    applies(bench.kind.can.repeat is not Repeat.NEVER, "Orders are never repeated.")
    order = bench.order()
    first, second = bench.gateway().refund(order), bench.gateway().refund(order)
    must(len(bench.moved()) == 1, f"The same order, sent twice, moved money {len(bench.moved())} times.")
    must(first.reference == second.reference, "The same order, sent twice, has two references.")


@story("A refusal is an answer and moves nothing")
def refused(bench: Bench) -> None:
    update = bench.gateway().refund(bench.order(REFUSED))
    must(update.outcome is Outcome.FAILED, f"It calls their refusal {update.outcome}.")
    must(update.code or update.message, "It keeps neither code nor message of their refusal.")
    must(not bench.moved(), "Money moved all the same.")


@story("An order that may have been carried out is never called unsent")
def lost_answers(bench: Bench) -> None:
    for told in ("answer_lost", "error_after", "late"):
        bench.sandbox.tell(told)
        with must_raise(NoAnswer, otherwise=f"After {told} nobody knows what became of the order; it says otherwise."):
            bench.gateway().refund(bench.order())
    bench.sandbox.settle()
    must(bench.moved() == [ASKED] * 3, f"The money that moved is {bench.moved()}.")


@story("An accident is not a refusal, and no redirect is followed")
def accidents(bench: Bench) -> None:
    for told in ("request_lost", "error_page", "busy", "redirect"):
        bench.sandbox.tell(told)
        with must_raise(NoAnswer, NotSent, otherwise=f"It takes the accident {told} for an answer."):
            bench.gateway().refund(bench.order())
    followed = [call for call in bench.sandbox.requests() if call["gateway"] == "moved"]
    must(not followed, "It followed a redirect, with the order and its credentials.")
    must(not bench.moved(), "Money moved all the same.")


@story("A refused connection is called unsent")
def no_connection(bench: Bench) -> None:
    # Bound, and not listening: it refuses whoever calls, and no other server can take the port meanwhile.
    with socket.socket() as shut, must_raise(NotSent, otherwise="No byte can have left, but it does not say so."):
        shut.bind(("127.0.0.1", 0))
        bench.gateway(URL=f"http://127.0.0.1:{shut.getsockname()[1]}").refund(bench.order())


@story("Foreign answers settle nothing")
def foreign_answers(bench: Bench) -> None:
    gateway, order = bench.gateway(URL=bench.door.url), replace(bench.order(), reference="REF-1")
    asks: dict[str, Callable[[RefundOrder], object]] = {"an order": gateway.refund}
    if bench.kind.can.look_up is not LookUp.NONE:
        asks["a look-up"] = gateway.look_up
    for (what, ask), status, answer in product(asks.items(), STATUSES, FOREIGN):
        bench.door.status, bench.door.answer = status, answer
        with must_raise(NoAnswer, NotSent, otherwise=f"HTTP {status} with {answer!r} counts as an answer to {what}."):
            ask(order)


@story("A word that nobody knows is no end")
def unheard_word(bench: Bench) -> None:
    gateway, order = bench.gateway(), bench.order()
    bench.sandbox.tell("unheard_word")
    said = [gateway.refund(order)]
    if gateway.can.look_up is not LookUp.NONE:
        with suppress(NoAnswer):
            said += gateway.look_up(replace(order, reference=said[0].reference))
    ends = [str(update.outcome) for update in said if update.outcome not in (Outcome.PROCESSING, Outcome.UNCLEAR)]
    must(not ends, f"It takes a word that it cannot know for {' and '.join(ends)}.")


@story("An echo is what they said, not what was asked")
def echoes(bench: Bench) -> None:
    gateway, order = bench.gateway(), bench.order()
    bench.sandbox.tell("wrong_amount")
    said = [gateway.refund(order)]
    if gateway.can.look_up is not LookUp.NONE:
        said += gateway.look_up(replace(order, reference=said[0].reference))
    applies(any(one.amount for one in said), "No amount is on its wire.")
    theirs = replace(order.amount, minor=order.amount.minor + 1)
    must(all(one.amount in (None, theirs) for one in said), f"They showed {theirs}, and it says what was asked.")


@story("Secrets stay out of everything that is kept")
def secrets_stay(bench: Bench) -> None:
    gateway = bench.gateway()
    secrets = [gateway.config[key] for key in gateway.secrets if gateway.config[key]]
    gateway.refund(bench.order())
    gossip = bench.gateway(URL=bench.door.url)
    bench.door.status, bench.door.answer = 500, " ".join(secrets).encode()
    with must_raise(NoAnswer, NotSent, otherwise="HTTP 500 counts as an answer."):
        gossip.refund(bench.order())
    kept = repr([one.http.exchanges for one in (gateway, gossip)]) + repr(gateway) + repr(gateway.http)
    must(gossip.http.exchanges, "It keeps no record of its calls.")
    leaked = [key for key in gateway.secrets if gateway.config[key] and gateway.config[key] in kept]
    must(not leaked, f"{', '.join(leaked)} can be read in what it keeps.")


story("Of several orders in one call, each has its own end")(in_one_call.each_has_its_own_end)
story("An answer to several orders that is lost is lost to each")(in_one_call.a_lost_answer_is_everybodys)


@story("A look-up finds the refund and its end")
def look_up(bench: Bench) -> None:
    applies(bench.kind.can.look_up is not LookUp.NONE, "It offers no look-up.")
    gateway, order = bench.gateway(), bench.order()
    order = replace(order, before=gateway.before(order))
    if gateway.can.look_up is LookUp.BY_REFERENCE:
        with must_raise(NoAnswer, NotSent, otherwise="Without their reference there is nothing to ask by: no absence."):
            gateway.look_up(order)
    else:
        must(gateway.look_up(order) == [], "It finds a refund that nobody asked for.")
    known = replace(order, reference=gateway.refund(order).reference)
    bench.sandbox.settle()
    found = gateway.look_up(known)
    must(len(found) == 1, f"It finds {len(found)} refunds where there is one.")
    must(found[0].reference == known.reference, "It finds it under another reference than the answer's.")
    must(found[0].outcome is Outcome.SUCCEEDED, f"It calls a finished refund {found[0].outcome}.")
    must(set(found[0].details) <= set(gateway.detail_labels), "Some of its details have no label in plain words.")


@story("A refund that fails later is never called a success")
def fails_later(bench: Bench) -> None:
    applies(bench.kind.can.look_up is not LookUp.NONE, "It offers no look-up.")
    gateway, order = bench.gateway(), bench.order()
    order = replace(order, before=gateway.before(order))
    bench.sandbox.tell("fails_later")
    known = replace(order, reference=gateway.refund(order).reference)
    bench.sandbox.settle()
    outcomes = [update.outcome for update in gateway.look_up(known)]
    must(Outcome.SUCCEEDED not in outcomes, "It failed there, and the look-up calls it a success.")


@story("A lost answer is found again")
def lost_and_found(bench: Bench) -> None:
    can_ask = bench.kind.can.look_up in (LookUp.BY_KEY, LookUp.BY_PAYMENT)
    applies(can_ask, "It cannot be asked without their reference.")
    # All of it: a part could be anybody's where only the payment's status is shown.
    gateway, order = bench.gateway(), bench.order(CAPTURED)
    order = replace(order, before=gateway.before(order))
    bench.sandbox.tell("answer_lost")
    with must_raise(NoAnswer, NotSent, otherwise="The line was cut; it does not say so."):
        gateway.refund(order)
    bench.sandbox.settle()
    found = gateway.look_up(order)
    must(len(found) == 1, f"It finds {len(found)} refunds where there is one.")
    must(found[0].outcome is Outcome.SUCCEEDED, f"It calls a finished refund {found[0].outcome}.")
    must(found[0].key == order.key or found[0].reference, "Neither our key nor a reference says which one it is.")
    must(found[0].amount in (None, order.amount), "It shows another amount.")


@story("What waits can be cancelled, and then moves nothing")
def cancelled(bench: Bench) -> None:
    applies(bench.kind.can.cancel, "It cannot cancel.")
    gateway, order = bench.gateway(), bench.order()
    bench.sandbox.tell("waits")
    known = replace(order, reference=gateway.refund(order).reference)
    update = gateway.cancel(known)
    must(update.outcome is not Outcome.SUCCEEDED, "It takes the cancel's success for the refund's.")
    bench.sandbox.settle()
    must(not bench.moved(), "Money moved all the same.")


@story("A delivery is believed by its signature only")
def deliveries(bench: Bench) -> None:
    applies(bench.kind.can.webhooks is not Webhooks.NONE, "It is sent no webhooks about refunds.")
    gateway = bench.knowing()
    gateway.refund(bench.order())
    bench.sandbox.settle()
    must(len(bench.door.letters) == 1, f"{len(bench.door.letters)} webhooks came, not one.")
    _, _, headers, body = bench.door.letters[0]
    must(headers["content-type"].split(";")[0] == gateway.webhook_type, "They send another content type than it says.")
    gateway.verify_webhook(Delivery(headers, body))
    said = gateway.read_webhook(Delivery(headers, body))
    must(said, "It reads nothing in a true delivery.")
    if gateway.can.webhooks is Webhooks.KNOCK:
        must(all(isinstance(item, Nudge) for item in said), "What only knocks is read as a word.")
    for forged in (Delivery(headers, body[: len(body) // 2]), Delivery(headers, b""), Delivery({}, body[:-9])):
        with must_raise(BadWebhook, otherwise="It believes a delivery that was cut."):
            gateway.verify_webhook(forged)
    if gateway.webhook_key():
        with must_raise(Misconfigured, otherwise="Without their key it cannot tell; it does not say so."):
            bench.gateway().verify_webhook(Delivery(headers, body))


@story("A forged delivery is refused")
def forged_delivery(bench: Bench) -> None:
    applies(bench.kind.can.webhooks is not Webhooks.NONE, "It is sent no webhooks about refunds.")
    gateway = bench.knowing()
    bench.sandbox.tell("forged_webhook")
    gateway.refund(bench.order())
    bench.sandbox.settle()
    _, _, headers, body = bench.door.letters[0]
    with must_raise(BadWebhook, otherwise="It believes a delivery that somebody else signed."):
        gateway.verify_webhook(Delivery(headers, body))


@story("A delivery of any bytes is refused, and never an exception of another kind")
def scribbles(bench: Bench) -> None:
    gateway = bench.gateway()
    for body in SCRIBBLES:
        with must_raise(BadWebhook, Misconfigured, otherwise=f"It believes {body!r}."):
            gateway.verify_webhook(Delivery({"signature": "c2ln", "authorization": "x"}, body))
        with suppress(BadWebhook):
            said = gateway.read_webhook(Delivery({}, body))
            must(not any(isinstance(item, RefundUpdate) for item in said), f"It reads a refund in {body!r}.")
