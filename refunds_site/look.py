"""How the desk looks: unfold's title, colours and navigation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


def may(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def screen(title: StrOrPromise, icon: str, model: str) -> dict[str, Any]:
    """One line of the navigation, shown to those who may view the model ("app.model")."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": may(f"{app}.view_{name}"),
    }


UNKNOWN_DESK = reverse_lazy("admin:refunds_refund_unknown")
REPORTS = reverse_lazy("admin:refunds_refund_reports")


def on_the_refunds(request: HttpRequest) -> bool:
    """The unknown desk and the reports stand below the list's address, and have lines of their own."""
    path = request.path
    return path.startswith(reverse("admin:refunds_refund_changelist")) and path not in (str(UNKNOWN_DESK), str(REPORTS))


def waiting_changes(request: HttpRequest) -> int:
    from refunds.admin.changes import number_waiting  # the settings import this module before there are models

    return number_waiting(request)


OF_BATCHES = ("view_batch", "request_refund")  # an agent sees the own ones


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The badge counts what waits for this person, and is not there where nothing does."""
    if not (number := waiting_changes(request)):
        return NAVIGATION
    return [{**group, "items": [_counted(item, number) for item in group["items"]]} for group in NAVIGATION]


def _counted(item: dict[str, Any], number: int) -> dict[str, Any]:
    return {**item, "badge": number, "badge_variant": "warning"} if item["title"] == _("Changes") else item


NAVIGATION: list[dict[str, Any]] = [
    {
        "items": [
            screen(gettext_lazy("Payments"), "payments", "refunds.payment"),
            {**screen(gettext_lazy("Refunds"), "undo", "refunds.refund"), "active": on_the_refunds},
            {
                "title": gettext_lazy("Unknown desk"),
                "icon": "help",
                "link": UNKNOWN_DESK,
                "permission": may("refunds.view_refund"),
            },
            {
                "title": gettext_lazy("Batches"),
                "icon": "upload_file",
                "link": reverse_lazy("admin:refunds_batch_changelist"),
                "permission": lambda request: any(may(f"refunds.{right}")(request) for right in OF_BATCHES),
            },
            screen(gettext_lazy("Unmatched refunds"), "link_off", "refunds.unmatchedrefund"),
            screen(gettext_lazy("Reasons"), "sell", "refunds.refundreason"),
            {
                "title": gettext_lazy("Reports"),
                "icon": "bar_chart",
                "link": REPORTS,
                "permission": may("refunds.view_refund"),
            },
        ]
    },
    {
        "separator": True,
        "items": [
            screen(gettext_lazy("Rules"), "rule", "refunds.rule"),
            screen(gettext_lazy("Allowances"), "speed", "refunds.allowance"),
            screen(gettext_lazy("Delegations"), "switch_account", "refunds.delegation"),
            screen(gettext_lazy("Changes"), "published_with_changes", "refunds.change"),
        ],
    },
    {
        "separator": True,
        "items": [
            screen(gettext_lazy("Accounts"), "account_balance", "refunds.account"),
            screen(gettext_lazy("Deliveries"), "inbox", "refunds.delivery"),
            screen(gettext_lazy("History"), "history", "refunds.verification"),
            screen(gettext_lazy("People"), "group", "auth.user"),
        ],
    },
]

# A quiet blue; 600 carries white text with a contrast above 4.5.
PRIMARY = {
    "50": "oklch(97.5% .010 245)",
    "100": "oklch(94.5% .022 245)",
    "200": "oklch(89.5% .042 246)",
    "300": "oklch(82% .070 247)",
    "400": "oklch(72% .100 248)",
    "500": "oklch(64% .115 249)",
    "600": "oklch(50% .110 250)",
    "700": "oklch(43.5% .098 251)",
    "800": "oklch(37.5% .080 252)",
    "900": "oklch(32% .062 253)",
    "950": "oklch(24% .045 254)",
}

UNFOLD = {
    "SITE_TITLE": "Refund desk",
    "SITE_HEADER": "Refund desk",
    "SITE_SYMBOL": "undo",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("favicon.svg")}],
    "SITE_URL": None,
    "DASHBOARD_CALLBACK": "refunds.admin.home.home",
    "ENVIRONMENT": "refunds_site.look.environment",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda request: static("refunds/desk.css")],
    "ACCOUNT": {
        "navigation": [
            {"title": gettext_lazy("Preferences"), "link": reverse_lazy("preferences")},
            {"title": gettext_lazy("Sign-in and security"), "link": reverse_lazy("mfa_index")},
        ]
    },
    "SIDEBAR": {"show_search": False, "show_all_applications": False, "navigation": navigation},
}


# The names of the pages that stand outside the admin, and answer before a second factor was used.
LOGIN_PAGES = ("account_", "mfa_", "socialaccount_", "sso_", "usersessions_")


def environment(request: HttpRequest) -> list[str] | None:
    """The badge in the corner, so that nobody takes the demo for the real desk."""
    return [_("Demo"), "warning"] if settings.DEBUG else None


def on_account_pages(request: HttpRequest) -> dict[str, Any]:
    """The admin's colours and title for the login pages, which stand outside the admin."""
    from django.contrib import admin

    match = request.resolver_match
    if match is None or not (match.url_name or "").startswith(LOGIN_PAGES):
        return {}
    sso_name = settings.OIDC_NAME if settings.OIDC_ISSUER else ""
    return {**admin.site.each_context(request), "sso_name": sso_name, "password_login": settings.PASSWORD_LOGIN}
