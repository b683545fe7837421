"""The WSGI door of the web server; a half-configured site refuses to open it."""

import os
from collections.abc import Callable, Iterable
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest

from refunds_site import telemetry

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")
telemetry.start()

django = get_wsgi_application()
call_command("check", stdout=StringIO())


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django, but for a Content-Type that cannot be read: its own parser would answer 500 to any stranger's bytes."""
    try:
        HttpRequest()._set_content_type_params(environ)
    except ValueError:
        start_response("400 Bad Request", [("Content-Length", "0")])
        return [b""]
    return django(environ, start_response)
