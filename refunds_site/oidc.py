"""Single sign-on by OpenID Connect: allauth's flow with state and PKCE, and with nonce and signature checked, too."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any

import jwt
from allauth.account.internal.emailkit import valid_email_or_none
from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _

from refunds.issuer import IssuerSession, is_issuers
from refunds.services import identity

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CLOCKS_DIFFER_BY = 30  # seconds
PROVED_WITHIN = 120  # seconds that a proof asked for now may be old
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


def app() -> SocialApp:
    """A person is known by issuer and sub: under another issuer the same sub is somebody else."""
    return SocialApp(
        provider="openid_connect",
        provider_id=settings.OIDC_ISSUER,
        name=settings.OIDC_NAME,
        client_id=settings.OIDC_CLIENT_ID,
        secret=settings.OIDC_CLIENT_SECRET,
        settings={
            "server_url": settings.OIDC_ISSUER.rstrip("/"),
            "oauth_pkce_enabled": True,
            "scope": settings.OIDC_SCOPES,
        },
    )


class Issuer(OpenIDConnectProvider):
    def redirect(self, request: HttpRequest, process: str, next_url: str | None = None, **kwargs: Any) -> HttpResponse:
        nonce = secrets.token_urlsafe(24)
        asked = {**kwargs.pop("auth_params", {}), "nonce": nonce}
        return super().redirect(request, process, next_url, auth_params=asked, nonce=nonce, **kwargs)

    def get_oauth2_adapter(self, request: HttpRequest) -> Client:
        return Client(request, settings.OIDC_ISSUER)

    def extract_uid(self, data: dict[str, Any]) -> str:
        return str(data["sub"])

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """What is kept of a login; the tokens themselves are not."""
        groups = data.get(settings.OIDC_GROUPS_CLAIM) or []
        return {
            "groups": groups if isinstance(groups, list) else [groups],
            "second_factor": used_second_factor(data),
            "auth_time": data.get("auth_time"),
        }

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        fields = super().extract_common_fields(data)
        # Under a name that allauth does not use to match people by.
        return {**fields, "email": None, "address": data.get("email")}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:
        return []


def used_second_factor(claims: dict[str, Any]) -> bool:
    said = claims.get("amr")
    words = [*(said if isinstance(said, list) else [said]), claims.get("acr")]
    return any(word in settings.OIDC_SECOND_FACTOR_AMR for word in words)


class Client(OpenIDConnectOAuth2Adapter):
    """Speaks to the issuer's host and to nobody else."""

    nonce = ""

    def get_provider(self) -> Issuer:
        return Issuer(self.request, app=app())

    @property
    def openid_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        if config.get("issuer") != settings.OIDC_ISSUER:
            raise OAuth2Error("The issuer calls itself by another name than OIDC_ISSUER.")
        if strange := [name for name in ENDPOINTS if not is_issuers(str(config.get(name, "")))]:
            raise OAuth2Error(f"{strange[0]} does not stand on the issuer's host.")
        return config

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        path = reverse("sso_callback")
        return f"{settings.PUBLIC_URL}{path}" if settings.PUBLIC_URL else request.build_absolute_uri(path)

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, response: dict[str, Any], **kwargs: Any
    ) -> SocialLogin:
        claims = self.verified(str(response.get("id_token", "")))
        return self.get_provider().sociallogin_from_response(request, claims)

    def verified(self, id_token: str) -> dict[str, Any]:
        """The claims, if this token was made by the issuer, for us, now, and for the login that we began."""
        try:
            algorithm = jwt.get_unverified_header(id_token)["alg"]
            if algorithm not in ALGORITHMS:
                raise OAuth2Error("The ID token is not signed by a key of the issuer.")
            claims: dict[str, Any] = jwt.decode(
                id_token,
                self._key(id_token, algorithm),
                algorithms=[algorithm],
                issuer=settings.OIDC_ISSUER,
                audience=settings.OIDC_CLIENT_ID,
                leeway=CLOCKS_DIFFER_BY,
                options={"require": ["iss", "sub", "aud", "exp", "iat", "nonce"]},
            )
        except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
            raise OAuth2Error(f"The ID token cannot be trusted: {type(error).__name__}.") from error
        if not self.nonce or not hmac.compare_digest(str(claims["nonce"]), self.nonce):
            raise OAuth2Error("The ID token answers another login than the one that was begun here.")
        if claims.get("azp", settings.OIDC_CLIENT_ID) != settings.OIDC_CLIENT_ID or not claims["sub"]:
            raise OAuth2Error("The ID token was made for somebody else.")
        return claims

    def _key(self, id_token: str, algorithm: str) -> Any:
        wanted = jwt.get_unverified_header(id_token).get("kid")
        with Adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            keys = [key for key in answer.json()["keys"] if key.get("use", "sig") == "sig"]
        fitting = [key for key in keys if wanted is None or key.get("kid") == wanted]
        if len(fitting) != 1:
            raise OAuth2Error("The issuer shows no such key.")
        return jwt.PyJWK(fitting[0], algorithm=algorithm).key


class Callback(OAuth2CallbackView):
    def _get_state(self, request: HttpRequest, provider: Issuer) -> tuple[dict[str, Any] | None, HttpResponse | None]:
        state, response = super()._get_state(request, provider)
        self.adapter.nonce = (state or {}).get("nonce", "")
        return state, response


class Adapter(DefaultSocialAccountAdapter):
    """Who comes in, and in which groups: the issuer says it anew with each login."""

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Issuer:
        return Issuer(request, app=app())

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[Any]:
        return [app()] if settings.OIDC_ISSUER else []

    def get_requests_session(self) -> IssuerSession:
        return IssuerSession()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True  # pre_social_login has let in only who has a group of ours

    def can_authenticate_by_email(self, login: SocialLogin, email: str) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        process, told = sociallogin.state.get("process"), sociallogin.account.extra_data
        if process == AuthProcess.REDIRECT:
            self._prove(request, sociallogin)
            return
        if process != AuthProcess.LOGIN:
            refuse(request, _("This is not how one logs in here."))
        if sociallogin.is_existing:
            identity.take_over(sociallogin.user, told["groups"])
        if why := identity.why_nothing(told["groups"]):
            refuse(request, why)

    def _prove(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Somebody who is logged in has proved again who they are: the same person, and just now."""
        account = sociallogin.account
        if not request.user.is_authenticated or sociallogin.user != request.user:
            refuse(request, _("You proved to be somebody else at %(issuer)s.") % {"issuer": settings.OIDC_NAME})
        proved = account.extra_data["auth_time"]
        if not isinstance(proved, int) or abs(time.time() - proved) > PROVED_WITHIN:
            refuse(
                request,
                _("%(issuer)s has not asked you anew. Log out and log in again.") % {"issuer": settings.OIDC_NAME},
            )
        record_authentication(request, request.user, "socialaccount", provider=account.provider, reauthenticated=True)
        remember_second_factor(request, sociallogin)

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        user.email = valid_email_or_none(data.get("address")) or ""
        return user

    @transaction.atomic
    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        identity.take_over(user, sociallogin.account.extra_data["groups"])
        return user


def remember_second_factor(request: HttpRequest, sociallogin: SocialLogin) -> None:
    """The issuer's second factor counts as one, for this session."""
    if sociallogin.account.extra_data["second_factor"]:
        record_authentication(request, request.user, "mfa", type="idp")


def refuse(request: HttpRequest, why: str) -> None:
    raise ImmediateHttpResponse(render(request, "account/sso_refused.html", {"why": why}, status=403))
