"""The pitfalls of Django's admin, each with the test that keeps us out of it.

P1 actions without a right      test_every_action_names_the_right_it_needs
P2 actions and their objects    tests/refunds/test_admin_actions.py: mixed selections
P3 select_across                test_selecting_everything_is_refused
P4 actions on a change form     no such thing in this Django; each step has a page of its own (test_roles.py)
P5 update() past the status     tests/test_house_rules.py: only two services write a status
P6 list_editable                test_no_list_and_no_inline_is_a_form
P7 forged formsets              test_no_list_and_no_inline_is_a_form, test_posts.py: extra rows
P8 deleting                     test_nothing_can_be_deleted_by_anybody, test_no_delete_page_works
P9 save_model and the network   tests/test_house_rules.py, conftest: no call inside of a transaction
P10 two tabs                    tests/refunds/test_refund_screens.py: stale pages
P11 mass assignment             test_posts.py
P12 history of the admin        test_the_admins_own_history_shows_nothing_of_ours
P13 to P16 scope, raw ids, autocomplete   test_there_is_no_raw_id_and_no_autocomplete
P17 lookups by query string     test_no_column_can_be_guessed_by_a_query_string
P18 hidden is not protected     tests/refunds/test_roles.py: roles and screens
P19 superusers                  tests/refunds/test_roles.py: a superuser moves no money
P20 users who make superusers   test_posts.py: is_superuser and user_permissions never change
P21 password hashes             test_no_page_shows_a_password_hash
P22 exports                     test_export.py
P23 clickjacking                test_headers.py
P24 sessions                    test_headers.py: cookies; the login's own tests
P25 password reset by mail      test_nobody_resets_a_password_by_mail
P26 guessing passwords          tests/refunds/test_login.py
P27 exempt from CSRF            test_posts.py
P28 stored scripts              test_stored_scripts.py
P29 error reports               test_logs.py, test_error_pages.py
P30 extra doors of a form       test_the_extra_doors_of_a_form_are_shut
P31 acting on GET               test_posts.py
P32 views outside of the login  test_strangers_see_the_login_and_nothing_else
P33 proxy headers               test_doors.py
P34 deployment defaults         test_settings.py
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import BigAutoField, Model, ProtectedError
from django.db.utils import DatabaseError
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from refunds.models import Attempt, Delivery, Event, Payment, Refund, Status
from refunds.people import GROUPS
from tests.builders import approved, ask, bob, make_delivery, make_payment, person
from tests.people.test_headers import addresses
from tests.refunds.test_record import standing_in

pytestmark = pytest.mark.django_db
SCREENS = sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label)
SCREENS_BY_NAME = pytest.mark.parametrize(("model", "screen"), SCREENS, ids=[model._meta.label for model, _ in SCREENS])


def root() -> Client:
    client = Client()
    client.force_login(person("root", is_superuser=True))
    return client


def at(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.mark.once
@SCREENS_BY_NAME
def test_every_action_names_the_right_it_needs(model: type[Model], screen: Any) -> None:
    for function, name, _ in screen._get_base_actions():
        rights = getattr(function, "allowed_permissions", ())
        assert rights, name
        assert all(hasattr(screen, f"has_{right}_permission") for right in rights), name
        if name == "delete_selected":
            assert set(rights) == {"delete"}


@pytest.mark.once
@SCREENS_BY_NAME
def test_no_list_and_no_inline_is_a_form(model: type[Model], screen: Any) -> None:
    assert not screen.list_editable
    assert not screen.raw_id_fields
    assert not screen.autocomplete_fields
    assert not screen.save_as
    assert isinstance(model._meta.pk, BigAutoField) or model._meta.app_label == "auth"
    for inline in screen.inlines:
        assert inline.can_delete is False
        assert isinstance(inline.model._meta.pk, BigAutoField)
        assert not inline.raw_id_fields
        assert not inline.autocomplete_fields


@pytest.mark.once
@pytest.mark.promise("I26")
@SCREENS_BY_NAME
def test_nothing_can_be_deleted_by_anybody(model: type[Model], screen: Any, rf: Any) -> None:
    for name in (*GROUPS, "root"):
        request = rf.get("/")
        request.user = person("root", is_superuser=True) if name == "root" else person(name.lower(), name)
        assert not screen.has_delete_permission(request)
        assert "delete_selected" not in screen.get_actions(request)
        for inline in screen.get_inline_instances(request):
            assert not inline.has_delete_permission(request) or not inline.can_delete


@pytest.fixture
def books() -> Refund:
    """One row at least of everything that is kept for ever."""
    refund = standing_in(Status.PROCESSING, make_payment(reference="pay-9"))
    make_delivery(refund.account)
    Attempt.objects.create(refund=refund, kind="look_up", fence=1, started_at=timezone.now())
    return refund


@pytest.mark.promise("I26")
def test_no_delete_page_works(books: Refund) -> None:
    client, before = root(), counts()
    for model, _ in SCREENS:
        for pk in model._default_manager.values_list("pk", flat=True):
            for method in ("get", "post"):
                answer = getattr(client, method)(at(model, "delete", pk), {"post": "yes"})
                assert answer.status_code == 403, (model, method, answer.status_code)
            picked = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
            assert client.post(at(model, "changelist"), picked).status_code in (200, 302, 403)
    assert counts() == before


def counts() -> dict[str, int]:
    return {model._meta.label: model._default_manager.count() for model, _ in SCREENS}


@pytest.mark.promise("I26")
@pytest.mark.parametrize("model", [Refund, Payment, Event, Attempt, Delivery], ids=lambda model: model.__name__)
def test_not_even_the_shell_deletes(books: Refund, model: type[Model]) -> None:
    from django.db import transaction

    row = model._default_manager.first()
    for delete in (row.delete, model._default_manager.all().delete, lambda: raw(model, row.pk)):
        with pytest.raises((ProtectedError, DatabaseError)), transaction.atomic():
            delete()
    assert model._default_manager.filter(pk=row.pk).exists()


def raw(model: type[Model], pk: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE id = %s", [pk])


@pytest.mark.once
def test_selecting_everything_is_refused() -> None:
    refunds = [ask(make_payment(reference=f"pay-{number}"), amount=100) for number in range(3)]
    client = Client()
    client.force_login(bob())
    picked = {"action": "approve_selected", "_selected_action": [refunds[0].pk], "confirmed": "1"}
    seen = {f"seen_{refund.pk}": refund.version for refund in refunds}
    answer = client.post(at(Refund, "changelist"), {**picked, **seen, "select_across": "1"}, follow=True)
    assert "selecting everything, seen or not, is not possible" in answer.content.decode()
    many = {**picked, "_selected_action": list(range(1, 52))}
    assert "At most 50 at a time" in client.post(at(Refund, "changelist"), many, follow=True).content.decode()
    assert not Refund.objects.exclude(status="requested").exists()


@pytest.mark.once
def test_there_is_no_raw_id_and_no_autocomplete(books: Refund) -> None:
    client = root()
    for model, _ in SCREENS:
        for field in model._meta.get_fields():
            asked = {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field.name}
            assert client.get("/admin/autocomplete/", {"term": "a", **asked}).status_code in (403, 404)


@pytest.mark.once
@SCREENS_BY_NAME
def test_no_column_can_be_guessed_by_a_query_string(model: type[Model], screen: Any, books: Refund) -> None:
    """Neither the own columns nor those of others: only what the filters of the list show is asked."""
    client, n_tried = root(), 0
    for field in model._meta.get_fields():
        for lookup in ("startswith", "gte"):
            names = [f"{field.name}__{lookup}"]
            if field.is_relation and field.related_model:
                names += [f"{field.name}__{other.name}__{lookup}" for other in field.related_model._meta.fields]
            for name in names:
                assert client.get(at(model, "changelist"), {name: "a"}).status_code == 400, name
                n_tried += 1
    assert n_tried > 10


@pytest.mark.once
def test_a_search_finds_no_raw_body_for_those_who_may_not_read_it() -> None:
    make_delivery(make_payment().account, '{"card_holder": "hidden-word"}')
    for group, n_found in (("Gateway admins", 0), ("Finance", 1)):
        client = Client()
        client.force_login(person(group.lower(), group))
        answer = client.get(at(Delivery, "changelist"), {"q": "hidden-word"})
        assert len(answer.context["cl"].result_list) == n_found


@pytest.mark.once
def test_the_extra_doors_of_a_form_are_shut(books: Refund) -> None:
    """A copy, a pop-up or a field to hand back: each is the same page with the same answer, or none."""
    client, before = root(), counts()
    for model, _ in SCREENS:
        for pk in model._default_manager.values_list("pk", flat=True)[:1]:
            client.post(at(model, "change", pk), {"_saveasnew": "1", "_popup": "1", "_to_field": "id"})
            for query in ("?_to_field=password", "?_to_field=webhook_key", "?_to_field=status"):
                assert client.get(at(model, "changelist") + query).status_code == 400
    assert counts() == before


@pytest.mark.once
def test_the_admins_own_history_shows_nothing_of_ours(books: Refund) -> None:
    assert LogEntry not in admin.site._registry
    page = root().get("/admin/").content.decode()
    assert "Recent actions" not in page


@pytest.mark.once
def test_no_page_shows_a_password_hash(books: Refund) -> None:
    hidden = person("alice", "Agents").password
    for group in GROUPS:
        client = Client()
        client.force_login(person(group.lower(), group))
        for address, _ in addresses():
            answer = client.get(address) if "logout" not in address else None
            if answer is not None and not answer.streaming:
                assert hidden not in answer.content.decode()
                assert hidden.split("$")[-1] not in answer.content.decode(), address


@pytest.mark.once
def test_nobody_resets_a_password_by_mail() -> None:
    for name in ("account_reset_password", "password_reset", "admin_password_reset"):
        with pytest.raises(NoReverseMatch):
            reverse(name)


@pytest.mark.once
def test_strangers_see_the_login_and_nothing_else(books: Refund) -> None:
    approved(make_payment(reference="pay-2"))
    open_pages = ("/accounts/login/", "/accounts/inactive/", "/accounts/invitation/", "/accounts/sso/cancelled/")
    open_pages += ("/healthz", "/readyz", "/statusz")  # whether all is well, and no word about anything
    for address, _ in addresses():
        if address.startswith(("/webhooks/", *open_pages)):
            continue
        for method in ("get", "post"):
            answer = getattr(Client(), method)(address)
            assert answer.status_code in (302, 404, 405), (method, address, answer.status_code)
            assert answer.status_code != 302 or answer["Location"].startswith(("/accounts/login/", "/admin/")), address
