"""What posts change: only what that person may change on that page, only with our token, and never by looking."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core import serializers
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from refunds.models import Attempt, RefundReason
from refunds.people import GROUPS
from refunds.webhooks import receive
from tests.builders import make_delivery, person
from tests.people.rooms import a_batch
from tests.people.test_headers import addresses
from tests.refunds.test_record import standing_in

pytestmark = [pytest.mark.django_db, pytest.mark.once]

# Who may change which fields of which model through its form; everybody else changes nothing.
PERSON = {"username", "first_name", "last_name", "email", "is_active", "is_staff"}
REASON = {"name", "wording", "is_active"}
MAY_CHANGE = {
    ("User admins", "auth.User"): PERSON,
    ("root", "auth.User"): PERSON,
    ("Gateway admins", "refunds.RefundReason"): REASON,
    ("root", "refunds.RefundReason"): REASON,
}
ROLES = (*GROUPS, "root", "nobody")
SESSIONS = ("sessions.Session", "usersessions.UserSession", "admin.LogEntry")
EVERY_MODEL = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture(autouse=True)
def books() -> None:
    """One row at least of everything."""
    refund = standing_in("processing")
    make_delivery(refund.account)
    a_batch()
    Attempt.objects.create(refund=refund, kind="look_up", fence=1, started_at=timezone.now())
    person("victim", "Agents", first_name="Vic")


def client_of(role: str, **options: Any) -> Client:
    client = Client(**options)
    if role == "root":
        client.force_login(person("root", is_superuser=True))
    else:
        client.force_login(person(f"in-{role.lower().replace(' ', '-')}", role if role in GROUPS else ""))
    return client


def other(field: models.Field[Any, Any], value: Any) -> Any:
    """A value that the field does not have, as a form would post it."""
    if isinstance(field, models.BooleanField):
        return "" if value else "on"
    if field.choices:
        return next((str(key) for key, _ in field.flatchoices if key != value), "x")
    if isinstance(field, models.EmailField):
        return "other@example.com"
    if isinstance(field, models.IntegerField):
        return str((value or 0) + 7)
    if isinstance(field, models.DateTimeField | models.DateField):
        return "2020-01-01 00:00:00"
    if isinstance(field, models.JSONField):
        return '{"forged": 1}'
    if field.is_relation:
        return ""
    return "forged"[: getattr(field, "max_length", None) or 10]


def forged(row: models.Model) -> dict[str, Any]:
    """Every field of a row with another value, and what only experts would think of."""
    posted = {field.name: other(field, getattr(row, field.attname, None)) for field in row._meta.fields}
    split = {f"{name}_0": "2020-01-01" for name in posted} | {f"{name}_1": "00:00:00" for name in posted}
    groups = [Group.objects.get(name="Approvers").pk]
    extra = {"words-TOTAL_FORMS": 0, "words-INITIAL_FORMS": 0, "user_permissions": [Permission.objects.first().pk]}
    return {**split, **posted, **extra, "groups": groups, "_save": "Save", "_popup": "1"}


def state(row: models.Model) -> dict[str, Any]:
    fresh = type(row)._default_manager.get(pk=row.pk)
    many = {field.name: sorted(one.pk for one in getattr(fresh, field.name).all()) for field in row._meta.many_to_many}
    return {field.name: getattr(fresh, field.attname) for field in row._meta.fields} | many


@pytest.mark.promise("I48")
@pytest.mark.parametrize("role", ROLES)
def test_a_post_of_every_field_changes_only_what_may_be_changed(role: str, trials: Any) -> None:
    client, n_posted = client_of(role), 0
    for model in EVERY_MODEL:
        row = User.objects.get(username="victim") if model is User else model._default_manager.first()
        if row is None:
            continue
        before, everything = state(row), dump(but=model)
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[row.pk])
        client.post(address, forged(row))
        n_posted += len(before)
        changed = {name for name, value in state(row).items() if value != before[name]}
        allowed = MAY_CHANGE.get((role, model._meta.label), set())
        assert changed <= allowed, (role, model, changed - allowed)
        assert bool(changed) == bool(allowed), (role, model, "nothing was really posted")
        assert dump(but=model) == everything, (role, model)
    trials(n_posted)


@pytest.mark.promise("I48")
@pytest.mark.parametrize("role", ROLES)
def test_adding_makes_no_row_that_is_not_ones_own_to_make(role: str) -> None:
    """Reasons by gateway admins; people, without groups and rights, by user admins; nothing else by anybody."""
    client = client_of(role)
    may_add = {"User admins": {"auth.User"}, "Gateway admins": {"refunds.RefundReason"}}
    may_add["root"] = {"auth.User", "refunds.RefundReason"}
    for model in EVERY_MODEL:
        known = set(model._default_manager.values_list("pk", flat=True))
        row = model._default_manager.first() or model()
        typed = {**forged(row), "username": "made", "password1": "A-long-one-4711", "password2": "A-long-one-4711"}
        typed |= {"name": "New reason", "usable_password": "true"}
        client.post(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add"), typed)
        new = [one for one in model._default_manager.all() if one.pk not in known]
        assert bool(new) == (model._meta.label in may_add.get(role, set())), (role, model)
        for one in new:
            if isinstance(one, User):
                assert [one.is_superuser, one.user_permissions.count(), one.groups.count()] == [False, 0, 0]


@pytest.mark.promise("I48")
def test_an_inline_takes_no_row_of_another_reason() -> None:
    """A forged formset names a word of another reason, and rows beyond its number."""
    first, second = RefundReason.objects.order_by("pk")[:2]
    word = second.words.create(gateway="airpay", word="theirs")
    forged_rows = {
        "words-TOTAL_FORMS": 1,
        "words-INITIAL_FORMS": 1,
        "words-0-id": word.pk,
        "words-0-reason": first.pk,
        "words-0-gateway": "airpay",
        "words-0-word": "mine",
        "words-0-DELETE": "on",
    }
    posted = {"name": first.name, "wording": first.wording, "is_active": "on", **forged_rows}
    client_of("Gateway admins").post(reverse("admin:refunds_refundreason_change", args=[first.pk]), posted)
    word.refresh_from_db()
    assert (word.reason, word.word) == (second, "theirs")


# --- tokens and looking ---


def dump(but: type[models.Model] | None = None) -> str:
    """A hash of every row but the sessions, and one model that a test looks at by itself."""
    digest = hashlib.sha256()
    for model in apps.get_models():
        if model._meta.label not in SESSIONS and model is not but:
            rows = model._default_manager.order_by("pk")
            digest.update(serializers.serialize("json", rows).encode())
    return digest.hexdigest()


def test_webhooks_alone_are_exempt_from_the_token() -> None:
    exempt = {view for _, view in addresses() if getattr(view, "csrf_exempt", False)}
    assert exempt == {receive}


@pytest.mark.promise("I49")
@pytest.mark.parametrize("role", ["root", "Finance", "Agents"])
def test_looking_changes_nothing(role: str, trials: Any) -> None:
    client, before, n_asked = client_of(role), dump(), 0
    for address, _ in addresses():
        for method in ("get", "head", "options"):
            for query in ("", "?approve=1&confirmed=1&action=approve_selected&_selected_action=1&text=x&_save=1"):
                getattr(client, method)(address + query)
                n_asked += 1
    trials(n_asked)
    assert dump() == before
    assert "_auth_user_id" in client.session


@pytest.mark.promise("I49")
@pytest.mark.parametrize("role", ["root", "Finance", "Agents"])
def test_a_post_without_a_token_or_from_elsewhere_is_refused(role: str, trials: Any) -> None:
    client, n_asked = client_of(role, enforce_csrf_checks=True), 0
    client.get(reverse("account_change_password"))
    token = client.cookies["desk-csrf"].value
    before = dump()
    for address, view in addresses():
        if view is receive:
            continue
        for method in ("post", "put", "patch", "delete"):
            send = getattr(client, method)
            assert send(address).status_code == 403, (method, address)
            for origin in ("https://evil.example", "null", "http://testserver.evil.example"):
                answer = send(address, headers={"X-CSRFToken": token, "Origin": origin})
                assert answer.status_code == 403, (method, address, origin)
                n_asked += 1
    trials(n_asked)
    assert dump() == before


@pytest.mark.promise("I49")
def test_with_the_token_the_same_post_works() -> None:
    """So that the test above sees the token's work, and not another refusal."""
    client = client_of("Agents", enforce_csrf_checks=True)
    client.get(reverse("account_change_password"))
    answer = client.post("/accounts/logout/", headers={"X-CSRFToken": client.cookies["desk-csrf"].value})
    assert answer.status_code == 302
