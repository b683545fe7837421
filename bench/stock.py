"""Refunds in Django's own admin, as people write it in ten lines: what our lists are compared with. Nobody logs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from refunds_site import settings as ours

APPS = ("auth", "contenttypes", "sessions", "messages", "staticfiles")
MIDDLEWARE = ("sessions.middleware.SessionMiddleware", "auth.middleware.AuthenticationMiddleware",
              "messages.middleware.MessageMiddleware")  # fmt: skip
# What our modules cannot be imported without: Django looks for template tags in all of them.
LOADED = ("django_tasks", "allauth", "allauth.account", "allauth.mfa", "allauth.socialaccount", "allauth.usersessions")
PROCESSORS = ("django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
              "django.contrib.messages.context_processors.messages")  # fmt: skip


class OnlyTheModels(AppConfig):
    name, default_auto_field = "refunds", "django.db.models.BigAutoField"


def as_root(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from django.contrib.auth.models import User

    def answer(request: Any) -> Any:
        request.user = User.objects.get(username="root")
        return get_response(request)

    return answer


settings.configure(
    SECRET_KEY=ours.SECRET_KEY,
    ALLOWED_HOSTS=ours.ALLOWED_HOSTS,
    DATABASES=ours.DATABASES,
    CACHES=ours.CACHES,
    USE_TZ=True,
    STATIC_URL="/static/",
    ROOT_URLCONF="bench.stock",
    # Without its search for admin.py, ours stays out.
    INSTALLED_APPS=[
        "django.contrib.admin.apps.SimpleAdminConfig",
        *(f"django.contrib.{app}" for app in APPS),
        *LOADED,
        "bench.stock.OnlyTheModels",
    ],
    MIDDLEWARE=[
        *(f"django.contrib.{one}" for one in MIDDLEWARE),
        "allauth.account.middleware.AccountMiddleware",
        "bench.stock.as_root",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": list(PROCESSORS)},
        }
    ],
)
application = get_wsgi_application()

from django.contrib import admin  # noqa: E402
from django.urls import path  # noqa: E402

from refunds.models import Refund  # noqa: E402


@admin.register(Refund)
class Stock(admin.ModelAdmin):
    list_display = ("pk", "amount", "status", "payment", "reason", "requested_by", "requested_at")
    list_filter = ("status", "account", "reason")
    list_select_related = ("payment__account", "reason", "requested_by")
    list_per_page = 50
    search_fields = ("reference", "identifiers", "ticket", "payment__order", "payment__customer_email")
    date_hierarchy = "requested_at"


urlpatterns = [path("stock/", admin.site.urls)]
