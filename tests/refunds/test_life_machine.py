"""Random lives over the real services and database, with a reference model beside them (T8).

Short and always the same here; `make faults` plays long random ones (HYPOTHESIS_PROFILE=long).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateways import registry
from gateways.contract import LookUp, Webhooks
from gateways.money import Money
from refunds import accounts, services
from refunds.errors import RefundError, SamePerson
from refunds.history.fold import Chain, flaws_of_payment, flaws_of_refund
from refunds.history.verify import verify
from refunds.models import Account, Approval, Event, Payment, Refund, Status
from tests.builders import again, alice, approved, ask, bob, dora, erik, make_account, make_delivery, make_payment
from tests.refunds import reference
from tests.refunds.reference import HOLDS, OUT_THERE
from tests.refunds.test_life import EDGES
from tests.refunds.there import FATES, LIVE, PowerCut, There, connector_of, word

S = Status
FINAL = (S.SUCCEEDED, S.FAILED, S.WITHDRAWN, S.REVERSED)
WITHOUT_MONEY = (S.FAILED, S.WITHDRAWN, S.REVERSED, S.REQUESTED, S.APPROVED, S.REJECTED, S.RETURNED)
CAPTURED = 5000
AMOUNTS = st.sampled_from((1, 1000, 2500, 5000, 5001))
PICK = st.integers(0, 11)
QUICK = {
    "derandomize": True,
    "database": None,
    "max_examples": 50,
    "stateful_step_count": 35,
    "phases": [Phase.generate],
}
PROFILES: dict[str, dict[str, Any]] = {"ci": QUICK, "long": {"max_examples": 1500, "stateful_step_count": 60}}
PLAYED: Counter[str] = Counter()


def on(*statuses: Status, **drawn: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule about one refund that stands in one of these statuses by the reference model."""

    def build(step: Callable[..., None]) -> Any:
        def taken(self: Life, pick: int, **more: Any) -> None:
            able = self.standing_in(*statuses)
            PLAYED[step.__name__] += 1
            step(self, again(Refund(pk=able[pick % len(able)])), **more)

        taken.__name__ = step.__name__
        return precondition(lambda self: self.standing_in(*statuses))(rule(pick=PICK, **drawn)(taken))

    return build


class Life(RuleBasedStateMachine):
    """Two payments at one account; `status` is what the reference model holds each refund to be."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(timezone, "now", lambda: self.now)
        self.status: dict[int, str] = {}
        self.declared: set[int] = set()
        self.foreign = 0

    def teardown(self) -> None:
        try:
            if hasattr(self, "payments"):
                assert verify().findings == []
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)
            self.patch.undo()

    @initialize(name=st.sampled_from(("payerly", "paynow", "pay3")))
    def open(self, name: str) -> None:
        kind = connector_of(name)
        self.there = There(lambda: self.now, kind)
        kind.there = self.there
        self.patch.setattr(f"{__name__}.Current", kind)
        self.patch.setitem(registry.GATEWAYS, "model", f"{__name__}.Current")
        self.patch.setattr(accounts, "connect", lambda account: kind({}))
        account = make_account("shop", gateway="model")
        Account.objects.filter(pk=account.pk).update(gateway="model")
        account.refresh_from_db()
        self.payments = [make_payment(CAPTURED, reference=f"pay-{n}", account=account) for n in (1, 2)]
        for payment, amount in zip((self.payments[0], *self.payments), (1000, 2500, 5000), strict=True):
            self.status[approved(payment, amount).pk] = S.APPROVED

    def standing_in(self, *statuses: str) -> list[int]:
        return [pk for pk, status in self.status.items() if status in statuses]

    def went(self, refund: Refund, *allowed: str) -> None:
        """After a step: it stands where the reference model allows it to."""
        now = again(refund).status
        assert now in allowed, f"{refund}: {self.status[refund.pk]} → {now}, not {' or '.join(allowed)}"
        self.status[refund.pk] = now

    def refused(self, kind: type[Exception], step: Callable[..., Any], *args: Any, **more: Any) -> None:
        with pytest.raises(kind):
            step(*args, **more)

    # --- people ---

    @rule(n=st.integers(0, 1), amount=AMOUNTS)
    def request(self, n: int, amount: int) -> None:
        payment = Payment.objects.get(pk=self.payments[n].pk)
        if payment.disputed_at or amount > payment.free:
            self.refused(RefundError, ask, payment, amount)
        else:
            self.status[ask(payment, amount).pk] = S.REQUESTED

    @on(S.REQUESTED, by_herself=st.booleans())
    def approve(self, refund: Refund, by_herself: bool) -> None:
        if by_herself:
            self.refused(RefundError, services.approve_refund, refund.pk, alice(), seen=refund.version)
        elif refund.payment.disputed_at:
            self.refused(RefundError, services.approve_refund, refund.pk, bob(), seen=refund.version)
        else:
            services.approve_refund(refund.pk, bob(), seen=refund.version)
            self.went(refund, S.APPROVED)

    @on(S.APPROVED)
    def unapprove(self, refund: Refund) -> None:
        services.unapprove_refund(refund.pk, bob(), "Wait.", seen=refund.version)
        self.went(refund, S.REQUESTED)

    @on(S.REQUESTED, to=st.sampled_from((S.RETURNED, S.REJECTED)))
    def decide_otherwise(self, refund: Refund, to: Status) -> None:
        step = services.return_refund if to is S.RETURNED else services.reject_refund
        step(refund.pk, bob(), "Why?", seen=refund.version)
        self.went(refund, to)

    @on(S.RETURNED)
    def resubmit(self, refund: Refund) -> None:
        if not refund.payment.disputed_at:
            services.resubmit_refund(refund.pk, alice(), "Because.", seen=refund.version)
            self.went(refund, S.REQUESTED)

    @on(S.REQUESTED, S.RETURNED, S.APPROVED)
    def withdraw(self, refund: Refund) -> None:
        services.withdraw_refund(refund.pk, alice(), seen=refund.version)
        self.went(refund, S.WITHDRAWN)

    @on(*OUT_THERE, *FINAL)
    def withdraw_too_late(self, refund: Refund) -> None:
        if services.why_no_cancel(refund):
            self.refused(RefundError, services.withdraw_refund, refund.pk, alice(), seen=refund.version)

    @on(S.PROCESSING, S.UNKNOWN)
    def ask_to_cancel(self, refund: Refund) -> None:
        if not services.why_no_cancel(refund):
            services.ask_to_cancel(refund.pk, alice(), seen=refund.version)
            self.went(refund, self.status[refund.pk])

    @on(S.PROCESSING, S.UNKNOWN, alone=st.booleans())
    def declare(self, refund: Refund, alone: bool) -> None:
        """Two honest people look there and say what they see; a failure cannot be said while an order may arrive."""
        is_there = any(one.state in LIVE for one in self.there.of(str(refund.key)))
        said, to = ("succeeded", S.SUCCEEDED) if is_there else ("failed", S.FAILED)
        services.propose_outcome(refund.pk, dora(), said, "Looked.", seen=refund.version, ticket="T-1")
        seen = again(refund).version
        last = refund.attempts.filter(kind="send").last()
        is_early = not is_there and self.now < (last.finished_at or last.started_at) + reference.QUIET
        if alone:
            self.refused(SamePerson, services.confirm_outcome, refund.pk, dora(), seen=seen)
        elif is_early:
            self.refused(RefundError, services.confirm_outcome, refund.pk, erik(), seen=seen)
        else:
            services.confirm_outcome(refund.pk, erik(), seen=seen)
            self.declared.add(refund.pk)
            self.went(refund, to)
            return
        services.drop_proposal(refund.pk, erik(), "Not so.", seen=seen)
        self.went(refund, self.status[refund.pk])

    @on(S.FAILED, S.REVERSED, S.UNKNOWN, S.SUCCEEDED)
    def retry(self, refund: Refund) -> None:
        payment, seen = refund.payment, refund.version
        is_over = refund.status in (S.FAILED, S.REVERSED) and refund.source == "house"
        is_retried = refund.retries.exclude(status__in=("rejected", "withdrawn")).exists()
        if is_over and not is_retried and not payment.disputed_at and payment.free >= refund.amount:
            self.status[services.retry_refund(refund.pk, alice(), seen=seen).pk] = S.REQUESTED
        else:
            self.refused(RefundError, services.retry_refund, refund.pk, alice(), seen=seen)

    @on(*OUT_THERE, *FINAL)
    def answer_the_call(self, refund: Refund) -> None:
        if refund.needs_attention:
            services.clear_attention(refund.pk, dora(), "Looked.", seen=refund.version)
            self.went(refund, self.status[refund.pk])

    @on(*FINAL, S.PROCESSING, S.UNKNOWN)
    def check(self, refund: Refund) -> None:
        if not services.why_no_check(refund):
            services.check_refund(refund.pk, dora())
            self.went(refund, self.status[refund.pk])

    @rule(n=st.integers(0, 9))
    def dispute(self, n: int) -> None:
        """Now and then one is opened, and soon closed again."""
        is_open = Payment.objects.filter(pk__in=[one.pk for one in self.payments], disputed_at__isnull=False)
        if not is_open.update(disputed_at=None):
            Payment.objects.filter(pk__in=[one.pk for one in self.payments if n == 0]).update(disputed_at=self.now)

    # --- the worker ---

    @on(S.APPROVED, fate=st.sampled_from(sorted(FATES)))
    def send(self, refund: Refund, fate: str) -> None:
        unclear = any(outcome != "not_sent" for outcome in reference.sends(refund))
        to = reference.after_an_order(fate, earlier_is_unclear=unclear) if reference.may_be_sent(refund) else S.APPROVED
        self.there.fate = fate
        self.work(services.send_refund, refund)
        self.went(refund, to)

    @on(*OUT_THERE, *FINAL, fate=st.sampled_from(sorted(FATES)), fails=st.booleans())
    def settle(self, refund: Refund, fate: str, fails: bool) -> None:
        self.there.fate, self.there.looks_fail = fate, fails
        allowed, n_orders = reference.after_a_turn(refund, self.there, self.now), self.there.n_orders
        may_repeat = reference.may_be_repeated(refund, self.there, self.now)
        self.work(services.settle_refund, refund)
        assert may_repeat or self.there.n_orders == n_orders, f"{refund} went out again"
        self.takes_in()
        self.went(refund, *allowed)

    # The rules are drawn evenly: what matters most is there twice.
    send_too, settle_too = send, settle

    @on(S.UNKNOWN, S.PROCESSING, S.SENDING, *FINAL)
    def sleeper(self, refund: Refund) -> None:
        """A job whose turn began while it was approved."""
        n_orders = self.there.n_orders
        self.work(services.send_refund, refund)
        assert self.there.n_orders == n_orders, f"{refund} went out again, unasked"
        self.went(refund, self.status[refund.pk])

    def takes_in(self) -> None:
        """What a look-up has shown beside ours is there from now on; `refund_holds` says whether rightly."""
        for adopted in Refund.objects.filter(source="gateway").exclude(pk__in=self.status):
            self.status[adopted.pk] = adopted.status

    def work(self, step: Callable[[int], None], refund: Refund) -> None:
        try:
            step(refund.pk)
        except PowerCut:
            return

    @rule(n=st.integers(0, 1))
    def look_at_the_payment(self, n: int) -> None:
        self.there.looks_fail = False
        if self.there.kind.can.look_up is not LookUp.BY_REFERENCE:
            payment = self.payments[n]
            ours = [again(one) for one in Refund.objects.filter(payment=payment)]
            allowed = {one.pk: reference.after_a_look(one, self.there, Status(one.status)) for one in ours}
            services.look_up_payment(payment.pk)
            for one in ours:
                self.went(one, *allowed[one.pk])
            self.takes_in()

    # --- the gateway and the clock ---

    @precondition(lambda self: self.there.entries)
    @rule(pick=PICK, to=st.sampled_from(("succeeded", "failed", "returned")))
    def goes_on(self, pick: int, to: str) -> None:
        one = self.there.entries[pick % len(self.there.entries)]
        if (one.state, to) in (("processing", "succeeded"), ("processing", "failed"), ("succeeded", "returned")):
            self.there.becomes(one, to)

    @precondition(lambda self: self.there.kind.can.webhooks is Webhooks.SPEAK and self.there.entries)
    @rule(pick=PICK, is_old=st.booleans(), is_bent=st.booleans())
    def webhook(self, pick: int, is_old: bool, is_bent: bool) -> None:
        one = self.there.entries[pick % len(self.there.entries)]
        refund = Refund.objects.filter(key=one.key).first() if one.key else None
        if refund is None:
            return
        refund, bent = again(refund), Money(one.amount.minor + 1, "EUR") if is_bent else None
        told = word(one, amount=bent)
        if is_old and one.was:
            past = one.at - timedelta(hours=1)
            told = word(type(one)(one.key, one.payment, one.amount, one.reference, one.was[0], past), amount=bent)
        is_older = bool(refund.said_at and told.occurred_at < refund.said_at)
        to = reference.after_a_word(refund, told.outcome, by_look_up=False, is_older=is_older)
        if is_bent:
            to = S.UNKNOWN if refund.status == S.SENDING else refund.status
        services.hear_webhook(make_delivery(refund.account, f"{one.reference} {told.outcome} {self.now}"), told)
        self.went(refund, to)

    @rule(n=st.integers(0, 1), amount=st.sampled_from((77, 4999)))
    def made_there(self, n: int, amount: int) -> None:
        """Somebody refunds in the gateway's own screens."""
        if self.foreign < 2:
            self.foreign += 1
            self.there.entries.append(
                self.there.entry("", self.payments[n].reference, Money(amount, "EUR"), "succeeded")
            )

    @rule(span=st.sampled_from((timedelta(seconds=1), timedelta(minutes=20), timedelta(hours=21))))
    def time_passes(self, span: timedelta) -> None:
        self.now += span

    # --- what holds after every step ---

    @invariant()
    def every_promise_holds(self) -> None:
        for payment in Payment.objects.filter(pk__in=[one.pk for one in getattr(self, "payments", [])]):
            refunds = list(payment.refunds.select_related("payment"))
            self.sums_hold(payment, refunds)
            for refund in refunds:
                self.refund_holds(refund)
            lines = list(payment.events.order_by("sequence"))
            journals = [(refund, Chain([line for line in lines if line.refund_id == refund.pk])) for refund in refunds]
            own = Chain([line for line in lines if line.refund_id is None])
            flaws = [*flaws_of_payment(payment, own, journals)]
            flaws += [flaw for refund, journal in journals for flaw in flaws_of_refund(refund, journal)]
            assert not flaws, f"I21: {flaws}"
            for line in lines:
                self.line_holds(line)
        by_oneself = Approval.objects.filter(approver_id=alice().pk)
        assert not by_oneself.exists(), "I27: somebody approved what she asked for"

    def sums_hold(self, payment: Payment, refunds: list[Refund]) -> None:
        held = sum(one.amount for one in refunds if self.status[one.pk] in HOLDS)
        refunded = sum(one.amount for one in refunds if self.status[one.pk] == S.SUCCEEDED)
        assert (payment.held, payment.refunded) == (held, refunded), "I21: sums"
        if not any(one.source == "gateway" for one in refunds):
            assert held + refunded <= payment.captured, "I1: more is spoken for than was captured"
        ours = [one for refund in refunds for one in self.there.of(str(refund.key)) if one.state in LIVE]
        assert sum(one.amount.minor for one in ours) <= payment.captured, "I2: more was paid than captured"

    def refund_holds(self, refund: Refund) -> None:
        assert refund.status == self.status[refund.pk], (
            f"I19: {refund} is {refund.status}, not {self.status[refund.pk]}"
        )
        if refund.source == "gateway":
            assert refund.reference in [one.reference for one in self.there.entries if not one.key], "ours was adopted"
            return
        entries = self.there.of(str(refund.key))
        assert len(entries) <= 1, f"I3: {refund} is paid twice"
        is_live = any(one.state in LIVE for one in entries)
        assert not (is_live and refund.status in WITHOUT_MONEY), f"I4: {refund} is {refund.status}, and money moves"
        paid = any(one.state in ("succeeded", "returned") for one in entries) or refund.pk in self.declared
        assert paid or refund.status != S.SUCCEEDED, f"I5: {refund} succeeded, and nothing was paid"

    def line_holds(self, line: Event) -> None:
        if line.refund_id is None or line.from_status in ("", line.to_status):
            return
        assert (line.from_status, line.to_status) in EDGES, f"I19: {line.from_status} → {line.to_status}"
        if line.from_status in FINAL:
            assert line.source == "look_up", f"I20: {line} has left {line.from_status} by {line.source}"


Current: Any = None  # what the registry finds while a life is played


@pytest.mark.django_db
@pytest.mark.promise("I1", "I2", "I3", "I4", "I14", "I19", "I20", "I21")
def test_no_life_breaks_a_promise(trials: Callable[[int], None]) -> None:
    for create in (alice, bob, dora, erik):
        create()
    PLAYED.clear()
    profile = PROFILES[os.environ.get("HYPOTHESIS_PROFILE", "ci")]
    quiet = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(Life, settings=settings(**profile, **quiet))
    print(dict(PLAYED))
    trials(profile["max_examples"])
