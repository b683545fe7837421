"""The site, and beside it a view that does one INSERT and answers: what a webhook is compared with."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def one_insert(request: HttpRequest) -> HttpResponse:
    """The least that keeps a delivery: no account, no signature, no reading, nothing applied."""
    from refunds.models import Delivery

    digest = hashlib.sha256(request.body).hexdigest()
    Delivery.objects.create(account_id=1, digest=digest, received_at=timezone.now(), body=request.body.decode())
    return HttpResponse(status=200)


def add_the_view() -> None:
    from refunds_site import urls

    urls.urlpatterns.append(path("one-insert/", one_insert))


application = get_wsgi_application()
add_the_view()
assert not settings.DEBUG
