"""The second factor: who needs one, and that nothing else of the desk answers before they have used it."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.adapter import get_adapter as mfa_adapter
from allauth.mfa.base import forms as code_forms
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from allauth.mfa.webauthn.views import AddWebAuthnView
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminTextInputWidget

from refunds import policy
from refunds.admin import fresh
from refunds_site import probes
from refunds_site.login import dress
from refunds_site.look import LOGIN_PAGES

log = logging.getLogger(__name__)

# Who decides about money, rules or people. The last two are rights that come with the rules.
DECIDES = {
    policy.APPROVE,
    policy.DECLARE,
    policy.ACCOUNTS,
    "auth.add_user",
    "auth.change_user",
    "refunds.change_rules",
    "refunds.change_people",
}


def is_required(user: User) -> bool:
    """For everybody who may decide; a superuser may do anything."""
    return settings.SECOND_FACTOR == "required" and bool(user.is_superuser or DECIDES & user.get_all_permissions())


def was_used(request: HttpRequest) -> bool:
    """Whether this session was opened, or proved since, with a second factor that the person still has."""
    used = {record.get("type") for record in get_authentication_records(request, request.user) if is_second(record)}
    return "idp" in used or (bool(used) and fresh.has_second_factor(request.user))


def is_second(record: dict[str, Any]) -> bool:
    return bool(record["method"] == "mfa")


class Middleware:
    """Leads who needs a second factor to where they set it up or use it; nothing else answers them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if not request.user.is_authenticated or self.is_open(request):
            return None
        if not is_required(request.user) or was_used(request):
            return None
        if fresh.has_second_factor(request.user):
            return fresh.lead(request, request.get_full_path() if request.method == "GET" else "")
        return redirect("mfa_index")

    def is_open(self, request: HttpRequest) -> bool:
        name = request.resolver_match.view_name
        return name in ("admin:logout", "webhook", *probes.NAMES) or name.startswith(LOGIN_PAGES)


class Adapter(DefaultMFAAdapter):
    """Secrets of second factors are sealed by a key of this site before they go into the database."""

    def encrypt(self, text: str) -> str:
        return seal().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return seal().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            log.error("A second factor was sealed with another SECRET_KEY: name it in SECRET_KEY_FALLBACKS.")
            return base64.b32encode(secrets.token_bytes(20)).decode()  # fits no code

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return _("Passkey %(number)s") % {"number": number}


def seal() -> MultiFernet:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    digests = [hashlib.sha256(b"second factor:" + key.encode()).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])


# --- The forms: a code is taken once, whatever it is typed into ---


def spend(user: User, code: str) -> bool:
    """Whether this code was not taken before, on any server; it is remembered for longer than it is good."""
    steps = 2 * settings.MFA_TOTP_TOLERANCE + 2
    digest = hashlib.sha256(normalize_user_code(code).encode()).hexdigest()
    return bool(cache.add(f"second-factor-spent:{user.pk}:{digest}", "y", timeout=30 * steps))


class TakenOnce:
    user: User

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, code=UnfoldAdminTextInputWidget)
        self.fields["code"].widget.attrs.update(autocomplete="one-time-code", autofocus=True, maxlength="20")

    def clean_code(self) -> str:
        code: str = super().clean_code()
        if not spend(self.user, code):
            raise mfa_adapter().validation_error("incorrect_code")
        return code


class CodeForm(TakenOnce, code_forms.AuthenticateForm):
    pass


class CodeAgainForm(TakenOnce, code_forms.ReauthenticateForm):
    pass


class FirstCodeForm(TakenOnce, ActivateTOTPForm):
    pass


class PasskeyForm(AddWebAuthnForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, name=UnfoldAdminTextInputWidget)
        self.fields["name"].label = _("Name")
        self.fields["name"].widget.attrs["maxlength"] = "60"


class PasskeyNameForm(EditWebAuthnForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dress(self, name=UnfoldAdminTextInputWidget)
        self.fields["name"].label = _("Name")
        self.fields["name"].max_length = 60


# --- Setting one up proves it, too ---


class SetUpApp(ActivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.TOTP.value)
        return response


class AddPasskey(AddWebAuthnView):
    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        record_authentication(self.request, self.request.user, "mfa", type=Authenticator.Type.WEBAUTHN.value)
        return response
