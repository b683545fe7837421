"""What happens at the login is told in the log, one line each, without anything secret."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from refunds import services
from tests.builders import bob
from tests.people.desk import give_code, log_in, set_up_app, words

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.mark.django_db(transaction=True)  # some are told on commit
def test_each_event_is_one_line_and_says_who_and_whence(caplog: Any) -> None:
    caplog.set_level("INFO", logger="login")
    client = log_in(bob())
    secret = set_up_app(client)
    log_in(bob(), "canary-password")
    give_code(log_in(bob()), "987654")
    client.post(reverse("mfa_generate_recovery_codes"))
    client.post(reverse("mfa_deactivate_totp"))
    client.post(reverse("account_logout"))
    said = [record.getMessage() for record in caplog.records if record.name == "login"]
    assert said == [
        "bob logged in from 127.0.0.1",
        "bob added a second factor (totp) from 127.0.0.1",
        "bob added a second factor (recovery_codes) from 127.0.0.1",
        "wrong password for 'bob' from 127.0.0.1",
        "bob gave a wrong code (totp) from 127.0.0.1",
        "bob made new recovery codes (recovery_codes) from 127.0.0.1",
        "bob removed a second factor (totp) from 127.0.0.1",
        "bob removed a second factor (recovery_codes) from 127.0.0.1",
        "bob logged out from 127.0.0.1",
    ]
    for canary in (secret, "canary-password", "987654"):
        assert canary not in caplog.text


def test_a_name_with_control_characters_stays_one_line(caplog: Any) -> None:
    nobody = bob()
    nobody.username = "x\r\n12:00:00 INFO bob logged in \x1b[2J\u202e"
    log_in(nobody)
    (record,) = [record for record in caplog.records if record.name == "login"]
    assert record.getMessage().isascii()
    assert "\n" not in record.getMessage()


def test_an_invitation_that_was_used_is_told(caplog: Any) -> None:
    from tests.people.test_invitation import use

    link = services.invitation(bob())
    use(link.removeprefix("https://refunds.example"))
    assert "bob set a password by an invitation from 127.0.0.1" in caplog.text
    assert link.rsplit("-", 1)[1].strip("/") not in caplog.text
    assert words(log_in(bob()).get(reverse("account_login")))
