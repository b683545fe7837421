"""`make soak`: minutes of everything at once, then the judges. SOAK_SECONDS and SOAK_SEED choose how long and which."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from refunds.history import EXPORTED
from refunds.models import Account, Checkpoint, Refund
from tests import conftest
from tests.builders import person
from tests.house import until
from tests.soak import checkers
from tests.soak.chaos import Chaos
from tests.soak.found import Found, the_lines, the_movements, the_payments, the_refunds
from tests.soak.ground import ROOT, Ground
from tests.soak.habits import PASSWORD, STAFF
from tests.soak.judging import Judgement

pytestmark = [pytest.mark.soak, pytest.mark.django_db(transaction=True)]

SECONDS = float(os.environ.get("SOAK_SECONDS") or 180)
QUIET_SECONDS = 400  # how long the workers may need once all faults are over
LONGER_THAN_A_LEASE = timedelta(seconds=20)


@pytest.fixture(scope="module")
def left(request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any) -> Found:
    """One day at the desk, and all that it left."""
    seed = os.environ.get("SOAK_SEED") or str(random.randrange(10**6))
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    with django_db_blocker.unblock():
        try:
            found = a_day(seed, say)
        finally:
            conftest.flush(None, lambda case: call_command("flush", verbosity=0, interactive=False))
            connection.close()
    return found


def a_day(seed: str, say: Callable[[str], None]) -> Found:
    folder = ROOT / "var" / "soak" / connection.vendor
    say(f"\nSOAK_SEED={seed} SOAK_SECONDS={SECONDS:g} on {connection.vendor}; the history goes to {folder}")
    with Ground(folder, conftest.database_url(), seed) as ground:
        hire()
        work(ground, seed)
        n_seconds = wait_until_quiet(ground)
        say(f"Quiet {n_seconds:.0f} s after the last fault.")
    found = gather(ground)
    tell(found, say)
    return found


def hire() -> None:
    """One hash for all, by the hasher that the web server has."""
    for name, group in STAFF.items():
        person(name, group)
    User.objects.update(password=PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsaltsaltsalt12"))


def work(ground: Ground, seed: str) -> None:
    """People and faults, until the time is over."""
    scene, payments = ground.folder / "scene.json", ground.sell()
    until(lambda: Account.objects.exclude(webhook_key="").exists(), seconds=60)  # webhooks are let in
    told = {"url": ground.url, "until": time.time() + SECONDS, "seed": seed, "payments": payments}
    scene.write_text(json.dumps({**told, "history": str(ground.history.file), "ledger": str(ground.ledger)}))
    chance = random.Random(f"{seed} chaos")
    chaos = Chaos(ground.history, chance, ground.weather, ground.control, ground.keys, ground.kill_worker)
    trouble = threading.Thread(target=chaos.run)
    trouble.start()
    try:
        for name in STAFF:
            ground.start_person(scene, name)
        for one in ground.people:
            assert one.wait(timeout=SECONDS + 120) == 0, (ground.folder / "people.log").read_text()
    finally:
        chaos.stopped.set()
        trouble.join()


def wait_until_quiet(ground: Ground) -> float:
    """The faults are over; time goes on quicker than the clock, so that plans of weeks come to their end."""
    started = time.monotonic()
    ground.post.odds = 0
    for one in ground.weather:
        one.odds = 0
    while ground.n_to_come() and time.monotonic() - started < QUIET_SECONDS:
        time.sleep(0.5)
    while time.monotonic() - started < QUIET_SECONDS:
        open_ones = checkers.everything_rests_or_has_called(Found(refunds=the_refunds()))
        if not open_ones.findings:
            break
        let_time_pass()
        time.sleep(0.5)
    return time.monotonic() - started


def let_time_pass() -> None:
    """What is booked for later than any ticket that may be out comes due now."""
    now = timezone.now()
    Refund.objects.filter(ask_at__gt=now + LONGER_THAN_A_LEASE).update(ask_at=now)
    Account.objects.filter(breaker_until__gt=now).update(breaker_until=now)


def gather(ground: Ground) -> Found:
    logs = {file.name: file.read_text(errors="replace") for file in sorted(ground.folder.glob("*.log"))}
    workers = ground.folder / "workers.txt"
    workers.write_text("".join(text for name, text in logs.items() if name.startswith("worker")))
    command = [sys.executable, "manage.py", "verify", "--log", str(workers)]
    environment = {**ground.environment, "DATABASE_URL": ground.database_url}
    verify = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return Found(
        operations=tuple(ground.history.read()),
        refunds=the_refunds(),
        payments=the_payments(),
        lines=the_lines(),
        movements=the_movements(ground.ledger),
        verified=(verify.returncode, verify.stdout + verify.stderr),
        n_checkpoints=Checkpoint.objects.count(),
        n_exported=len(EXPORTED.findall(workers.read_text())),
        logs=tuple(logs.items()),
        secrets=tuple({**ground.secrets, "a password": PASSWORD}.items()),
    )


def tell(found: Found, say: Callable[[str], None]) -> None:
    done = Counter((one.kind, one.ended) for one in found.operations if one.actor != "chaos")
    for kind in sorted({kind for kind, _ in done}):
        n_ok, n_fail, n_info = (done[kind, ended] for ended in ("ok", "fail", "info"))
        say(f"  {kind:<12} {n_ok:>6} ok {n_fail:>6} refused {n_info:>4} unanswered")
    faults = Counter(one.kind for one in found.operations if one.actor == "chaos")
    say(f"{faults.total()} faults: " + "; ".join(f"{n} {kind}" for kind, n in sorted(faults.items())))
    ends = Counter(one.status for one in found.refunds)
    say(f"{ends.total()} refunds: " + ", ".join(f"{n} {status}" for status, n in ends.most_common()))
    say(f"{sum(bool(one.calls) for one in found.refunds)} call a person; {len(found.movements)} movements of money.")
    say(found.verified[1].strip())
    for judge in checkers.CHECKERS:
        judgement = judge(found)
        say(f"{judgement.trials:>8} {len(judgement.findings):>4}  {judge.__name__}")


def demand(judge: Callable[[Found], Judgement], found: Found, trials: Callable[[int], None]) -> None:
    judgement = judge(found)
    trials(judgement.trials)
    assert not judgement.findings, "\n".join(judgement.findings[:50])
    assert judgement.trials, "Nothing was looked at."


Trials = Callable[[int], None]


@pytest.mark.promise("I3")
def test_nothing_is_paid_twice(left: Found, trials: Trials) -> None:
    demand(checkers.nothing_is_paid_twice, left, trials)


@pytest.mark.promise("I2")
def test_no_more_than_captured_is_paid(left: Found, trials: Trials) -> None:
    demand(checkers.no_more_than_captured_is_paid, left, trials)


@pytest.mark.promise("I4", "I5")
def test_every_end_fits_the_money(left: Found, trials: Trials) -> None:
    demand(checkers.every_end_fits_the_money, left, trials)


@pytest.mark.promise("I1", "I21")
def test_every_sum_is_true(left: Found, trials: Trials) -> None:
    demand(checkers.every_sum_is_true, left, trials)


@pytest.mark.promise("I21", "I23")
def test_the_history_holds(left: Found, trials: Trials) -> None:
    demand(checkers.the_history_holds, left, trials)


@pytest.mark.promise("I25")
def test_what_was_said_to_be_done_is_done_once(left: Found, trials: Trials) -> None:
    demand(checkers.what_was_said_to_be_done_is_done_once, left, trials)


@pytest.mark.promise("I25")
def test_what_was_refused_left_nothing(left: Found, trials: Trials) -> None:
    demand(checkers.what_was_refused_left_nothing, left, trials)


@pytest.mark.promise("I19", "I24")
def test_nobody_did_what_nobody_asked(left: Found, trials: Trials) -> None:
    demand(checkers.nobody_did_what_nobody_asked, left, trials)


@pytest.mark.promise("I12", "I24")
def test_no_name_is_used_twice(left: Found, trials: Trials) -> None:
    demand(checkers.no_name_is_used_twice, left, trials)


@pytest.mark.promise("I10")
def test_every_try_had_the_same_body(left: Found, trials: Trials) -> None:
    demand(checkers.every_try_had_the_same_body, left, trials)


@pytest.mark.promise("I15")
def test_everything_rests_or_has_called(left: Found, trials: Trials) -> None:
    demand(checkers.everything_rests_or_has_called, left, trials)


@pytest.mark.promise("I40")
def test_no_page_broke(left: Found, trials: Trials) -> None:
    demand(checkers.no_page_broke, left, trials)


def test_no_secret_is_told(left: Found, trials: Trials) -> None:
    demand(checkers.no_secret_is_told, left, trials)
