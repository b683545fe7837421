"""All judges of the soak, and those of its doors. Pure functions, named in words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from tests.soak.checkers_of_history import (
    no_name_is_used_twice,
    nobody_did_what_nobody_asked,
    the_history_holds,
    what_was_refused_left_nothing,
    what_was_said_to_be_done_is_done_once,
)
from tests.soak.checkers_of_money import (
    every_end_fits_the_money,
    every_sum_is_true,
    every_try_had_the_same_body,
    everything_rests_or_has_called,
    no_more_than_captured_is_paid,
    nothing_is_paid_twice,
)
from tests.soak.found import Found
from tests.soak.judging import SLACK, checker


@checker
def no_page_broke(found: Found) -> Iterator[str | int]:
    """No person saw a 5xx, but in whose request the database's connection was cut; no gateway saw one but a 503."""
    cuts = [one.start for one in found.operations if one.kind == "connection cut: soak-web"]
    for done in found.operations:
        if not done.status:
            continue
        yield 1
        is_cut = any(done.start - SLACK <= cut <= done.end + SLACK for cut in cuts)
        if done.status >= 500 and not is_cut and (done.actor != "gateway" or done.status != 503):
            yield f"{done.actor} met {done.status}: {done.kind} {done.path} ({done.act})"


@checker
def no_secret_is_told(found: Found) -> Iterator[str | int]:
    """No log holds a secret, in whatever spelling."""
    for name, text in found.logs:
        for owner, secret in found.secrets:
            yield 1
            if any(form in text for form in spellings(secret)):
                yield f"{owner} stands in {name}."


def spellings(secret: str) -> set[str]:
    raw = secret.encode()
    # Of base64 only what does not depend on what stands before and after it.
    inner = {base64.b64encode(b"\0" * skip + raw).decode()[4 if skip else 0 : -4].strip("=") for skip in (0, 1, 2)}
    return {secret, raw.hex(), raw.hex().upper(), quote(secret, safe=""), quote_plus(secret), *inner}


CHECKERS = (
    nothing_is_paid_twice,
    no_more_than_captured_is_paid,
    every_end_fits_the_money,
    every_sum_is_true,
    the_history_holds,
    what_was_said_to_be_done_is_done_once,
    what_was_refused_left_nothing,
    nobody_did_what_nobody_asked,
    no_name_is_used_twice,
    every_try_had_the_same_body,
    everything_rests_or_has_called,
    no_page_broke,
    no_secret_is_told,
)
