"""Login by user name and password for staff; the pages are allauth's, the fields are unfold's."""

from __future__ import annotations

from typing import Any

from allauth.account import forms
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from refunds.admin import fresh
from refunds_site.oidc import remember_second_factor


class StaffOnly(DefaultAccountAdapter):
    """Accounts of people are made by a user admin, never by the people themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        if not settings.PASSWORD_LOGIN:
            raise ValidationError(
                _("Passwords are switched off here. Use %(issuer)s.") % {"issuer": settings.OIDC_NAME}
            )
        super().pre_authenticate(request, **credentials)

    def post_login(self, request: HttpRequest, user: User, **about: Any) -> HttpResponse:
        if sociallogin := (about.get("signal_kwargs") or {}).get("sociallogin"):
            remember_second_factor(request, sociallogin)
        response: HttpResponse = super().post_login(request, user, **about)
        return response

    def is_reauthentication_required(self, app: str) -> bool:
        return not fresh.is_fresh(context.request)

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """Whoever has a second factor proves by it; a recovery code stands in for a lost one."""
        found = {way["id"]: way for way in super().get_reauthentication_methods(user)}
        if fresh.has_second_factor(user):
            names = ["mfa_reauthenticate:webauthn", "mfa_reauthenticate"]
            return [{**found[name], "description": SAID[name]} for name in names if name in found]
        ways = [found["reauthenticate"]] if "reauthenticate" in found and settings.PASSWORD_LOGIN else []
        if settings.OIDC_ISSUER and user.is_authenticated and user.socialaccount_set.exists():
            ways.append(
                {
                    "id": "sso",
                    "description": _("Use %(issuer)s") % {"issuer": settings.OIDC_NAME},
                    "url": reverse("sso_again"),
                }
            )
        return ways


SAID = {
    "mfa_reauthenticate:webauthn": gettext_lazy("Use your passkey"),
    "mfa_reauthenticate": gettext_lazy("Use a code"),
}


class LoginForm(forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, login=UnfoldAdminTextInputWidget, password=UnfoldAdminPasswordWidget)
        self.fields["login"].widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["password"].widget.attrs["autocomplete"] = "current-password"


class PasswordAgainForm(forms.ReauthenticateForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, password=UnfoldAdminPasswordWidget)
        self.fields["password"].widget.attrs.update(autocomplete="current-password", autofocus=True)


class ChangePasswordForm(forms.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress_passwords(self)


class SetPasswordForm(forms.ResetPasswordKeyForm):
    """By an invitation, which is good once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress_passwords(self)


class InvitationForm(forms.UserTokenForm):
    def _get_user(self, uidb36: str) -> User | None:
        user: User | None = super()._get_user(uidb36)
        return user if user and user.is_active and settings.PASSWORD_LOGIN else None


def dress(form: Any, **widgets: type) -> None:
    """Give fields unfold's widgets; their names in the page stay the same."""
    for name, widget in widgets.items():
        field = form.fields[name]
        field.widget, field.help_text = widget(), ""
        field.widget.is_required = field.required


def dress_passwords(form: Any) -> None:
    dress(form, **dict.fromkeys(form.fields, UnfoldAdminPasswordWidget))
    for name, field in form.fields.items():
        field.widget.attrs["autocomplete"] = "current-password" if name == "oldpassword" else "new-password"
