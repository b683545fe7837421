"""People and their groups. Who looks after people cannot make superusers, change themselves, or delete anyone."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display

from refunds import services
from refunds.admin import fresh, rights
from refunds.admin.desk import NoGuessing
from refunds.errors import RefundError

admin.site.unregister(User)
admin.site.unregister(Group)


class NameForm(forms.ModelForm):
    """The login knows no capital letters, so two names that differ only in them would keep both people out."""

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(_("Somebody has this user name already."))
        return name


class NewPersonForm(NameForm):
    """Without a password: the person sets one by an invitation."""

    def clean(self) -> dict[str, Any]:
        self.instance.set_unusable_password()
        self.instance.is_staff = True
        return super().clean() or {}


class PersonForm(NameForm):
    def _save_m2m(self) -> None:
        """Groups are changed by two people; who is switched off loses what is open."""
        if "is_active" in self.changed_data and not self.instance.is_active:
            services.switch_off(self.instance)


@admin.register(User)
class UserAdmin(NoGuessing, DjangoUserAdmin, ModelAdmin):
    form = PersonForm
    add_form = NewPersonForm
    actions = None
    list_display = ("username", "shown_name", "shown_groups", "is_active", "is_staff")
    filter_horizontal = ()
    change_form_outer_before_template = "admin/refunds/person_rights.html"
    fieldsets = (
        (None, {"fields": ("username",)}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email")}),
        (gettext_lazy("Rights"), {"fields": ("is_active", "is_staff")}),
        (gettext_lazy("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "first_name", "last_name", "email")}),)
    readonly_fields = ("last_login", "date_joined")

    change_form_before_template = "admin/refunds/person_before.html"

    def get_urls(self) -> list[URLPattern]:
        """Without the page on which a user admin would set other people's passwords."""
        invite = path("<int:pk>/invite/", self.admin_site.admin_view(self.invite_view), name="auth_user_invite")
        others = [url for url in super().get_urls() if url.name != "auth_user_password_change"]
        return [invite, *rights.urls(self), *others]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        person = self.get_object(request, object_id) if object_id else None
        shown: dict[str, Any] = {}
        if person and self.has_view_permission(request, person):
            shown = rights.shown(person, cast(User, request.user))
        if person and not person.has_usable_password() and self.has_change_permission(request, person):
            shown |= {"why_no_mail": services.why_no_mail(person), "may_invite": True}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    def invite_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks, POST sends the link by e-mail."""
        person = self.get_object(request, str(pk))
        if person is None or not self.has_change_permission(request, person):
            raise PermissionDenied
        if away := fresh.ask(request):
            return away
        if request.method == "POST":
            try:
                services.send_invitation(person)
            except (RefundError, OSError) as refusal:
                messages.error(request, str(refusal))
            else:
                messages.success(request, _("The invitation is on its way to %(email)s.") % {"email": person.email})
            return redirect("admin:auth_user_change", person.pk)
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        about = {
            "person": person,
            "why_no_mail": services.why_no_mail(person),
            "title": _("Invite %(person)s") % {"person": person},
        }
        return TemplateResponse(request, "admin/refunds/invite.html", {**frame, **about})

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    @display(description=gettext_lazy("Name"))
    def shown_name(self, user: User) -> str:
        return user.get_full_name() or "—"

    @display(description=gettext_lazy("Groups"))
    def shown_groups(self, user: User) -> str:
        return ", ".join(_(group.name) for group in user.groups.all()) or "—"

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody raises their own rights, and a superuser is changed by a superuser only."""
        if obj is not None and (obj == request.user or (obj.is_superuser and not request.user.is_superuser)):
            return False
        return super().has_change_permission(request, obj)


@admin.register(Group)
class GroupAdmin(NoGuessing, DjangoGroupAdmin, ModelAdmin):
    """The six groups come with the product; their rights are a table in the code, so here they are only read."""

    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).prefetch_related("permissions__content_type")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
