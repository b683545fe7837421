"""The worker is killed twenty times at random moments; every refund comes home by itself, paid once."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.builders import again, approved, make_payment
from tests.house import House, until_status

KILLS = 20
SLOW_ANSWER = 14  # the answer drips, so that many of the kills fall into the call


@pytest.mark.django_db(transaction=True)
def test_twenty_kills_lose_nothing_and_pay_nothing_twice(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("KILL_SEED") or random.randrange(10**6))
    moments = random.Random(seed)
    house.sandbox.desk.pace = 1 / 60
    refunds, n_caught = [], 0
    for number in range(KILLS):
        worker = house.start_worker()
        time.sleep(0.9)  # Django is up
        refund = approved(make_payment(captured=9000, reference=f"pay-{number}"), 1000 + SLOW_ANSWER)
        moment = moments.uniform(0, 0.4)
        time.sleep(moment)
        house.kill_worker()
        assert worker.returncode == -9
        in_mid_call = refund.attempts.filter(kind="send", outcome="open").exists()
        n_caught += in_mid_call
        refunds.append(refund)
        with capsys.disabled():
            where = "in mid-call" if in_mid_call else "before or after it"
            print(f"  kill {number + 1:2} after {moment:.3f} s, {where}: {refund} was {again(refund).status}")
    assert n_caught >= 3, f"The kills missed the calls (KILL_SEED={seed})"
    house.start_worker()
    for refund in refunds:
        until_status(refund, "succeeded", seconds=60)
        assert len(house.paid(refund)) == 1, (refund, seed)
    bodies = {(call["path"], call["body"]) for call in house.sandbox.requests() if call["method"] == "PUT"}
    assert len(bodies) == KILLS, "One refund keeps one key and one body for ever."
