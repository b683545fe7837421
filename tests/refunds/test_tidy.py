"""What nobody needs any more leaves by itself, and nothing else does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import Model
from django.utils import timezone

from refunds import services
from refunds.models import Notice, RefusedKnock
from tests.builders import alice, ask, make_account

pytestmark = pytest.mark.django_db
NOW = timezone.now()
LONG_AGO = NOW - timedelta(days=401)


def session(name: str, expires_in: timedelta) -> Session:
    return Session.objects.create(session_key=name, session_data="", expire_date=NOW + expires_in)


def login(name: str, ago: timedelta) -> UserSession:
    seen = {"created_at": NOW - ago, "last_seen_at": NOW - ago}
    return UserSession.objects.create(user=alice(), ip="127.0.0.1", session_key=name, user_agent="x", **seen)


def notice(**fields: object) -> Notice:
    refund = Notice.objects.first().refund if Notice.objects.exists() else ask()
    told = {"account": refund.account, "refund": refund, "person": None, "kind": "attention", "sent_at": None}
    return Notice.objects.create(**{**told, "made_at": LONG_AGO, **fields})


def knock(hour: object, why: str) -> RefusedKnock:
    return RefusedKnock.objects.create(
        account=make_account(), why=why, hour=hour, n_knocks=1, first_at=hour, last_at=hour
    )


def test_what_is_over_goes_and_what_is_not_stays() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    go: list[Model] = [session("over", -hour), notice(sent_at=LONG_AGO), knock(LONG_AGO, "size")]
    go += [login("over", 2 * day), login("lost", 2 * day)]
    stay: list[Model] = [session("open", hour), login("open", 2 * day), login("new", hour)]
    stay += [notice(due_at=NOW), notice(sent_at=NOW, made_at=NOW), knock(NOW, "type")]
    assert services.tidy() == len(go)
    for model in (Session, UserSession, Notice, RefusedKnock):
        assert set(model._default_manager.all()) == {row for row in stay if isinstance(row, model)}
    assert services.tidy() == 0


def test_it_takes_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refunds.services.tidying.AT_ONCE", 2)
    for number in range(3):
        session(f"over-{number}", -timedelta(hours=1))
    assert services.tidy() == 2
    assert services.tidy() == 1
