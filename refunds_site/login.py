"""Login by user name and password for staff; the pages are allauth's, the fields are unfold's."""

from __future__ import annotations

from typing import Any

from allauth.account import forms
from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget


class StaffOnly(DefaultAccountAdapter):
    """Accounts of people are made by a user admin, never by the people themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class LoginForm(forms.LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, login=UnfoldAdminTextInputWidget, password=UnfoldAdminPasswordWidget)
        self.fields["login"].widget.attrs.update(autocomplete="username", autofocus=True)
        self.fields["password"].widget.attrs["autocomplete"] = "current-password"


class ChangePasswordForm(forms.ChangePasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, **dict.fromkeys(self.fields, UnfoldAdminPasswordWidget))
        for name, field in self.fields.items():
            field.widget.attrs["autocomplete"] = "current-password" if name == "oldpassword" else "new-password"


def dress(form: Any, **widgets: type) -> None:
    """Give fields unfold's widgets; their names in the page stay the same."""
    for name, widget in widgets.items():
        field = form.fields[name]
        field.widget, field.help_text = widget(), ""
        field.widget.is_required = field.required
