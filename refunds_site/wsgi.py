"""The WSGI door of the web server; a half-configured site refuses to open it."""

import os
from io import StringIO

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "refunds_site.settings")

application = get_wsgi_application()
call_command("check", stdout=StringIO())
