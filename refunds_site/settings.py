"""Every setting of the site, read from the environment; gateway keys are read by refunds/accounts.py alone."""

from __future__ import annotations

import secrets
import warnings
from urllib.parse import urlsplit

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from refunds_site.environment import BASE_DIR, DEBUG, ENV
from refunds_site.login_settings import *  # noqa: F403
from refunds_site.look import UNFOLD  # noqa: F401  Django reads it from here
from refunds_site.watch_settings import *  # noqa: F403

# --- The site ---

PORT = ENV.int("PORT", default=8000)
SANDBOX_PORT = ENV.int("SANDBOX_PORT", default=8001)
PUBLIC_URL = ENV.str("PUBLIC_URL", default="").strip().rstrip("/")

# --- Secrets and hosts ---

# Read past the reader's casts: it takes a leading "$" for the name of another variable.
SECRET_KEY = ENV.ENVIRON.get("SECRET_KEY", "").strip()
if not SECRET_KEY and DEBUG:
    SECRET_KEY = secrets.token_urlsafe(64)
SECRET_KEY_FALLBACKS = ENV.list("SECRET_KEY_FALLBACKS", default=[])

ALLOWED_HOSTS = ENV.list("ALLOWED_HOSTS", default=[host] if (host := urlsplit(PUBLIC_URL).hostname) else [])
if DEBUG:
    ALLOWED_HOSTS += ["127.0.0.1", "localhost", "[::1]"]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
# Where gateways knock, when that door shall stand alone: there nothing else is answered, and no webhook elsewhere.
WEBHOOK_HOSTS = [host.strip().rstrip(".").lower() for host in ENV.list("WEBHOOK_HOSTS", default=[]) if host.strip()]
ALLOWED_HOSTS += WEBHOOK_HOSTS

# --- Apps; unfold stands before the admin because it replaces its templates ---

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.usersessions",
    "csp",
    "django_fsm",
    "django_tasks",
    "django_tasks_db",
    "refunds",
]

MIDDLEWARE = [
    "refunds.correlation.middleware",
    "refunds_site.surface.proxies",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "refunds_site.surface.headers",
    "refunds_site.surface.webhooks_alone",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "refunds_site.surface.never_stored",
    "refunds_site.surface.cards_not_shown",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "refunds_site.preferences.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "refunds_site.sessions.middleware",
    "refunds_site.second_factor.Middleware",
]

ROOT_URLCONF = "refunds_site.urls"
WSGI_APPLICATION = "refunds_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "refunds_site.look.on_account_pages",
            ],
        },
    },
]

# --- Database: SQLite, or PostgreSQL by DATABASE_URL; ATOMIC_REQUESTS never: no lock while we wait for a gateway ---

DATABASE = ENV.db_url("DATABASE_URL", default="sqlite:///var/refunds.sqlite3")
DATABASE.setdefault("OPTIONS", {})
DATABASE_WAIT_SECONDS = ENV.int("DATABASE_WAIT_SECONDS", default=20)  # for another writer, or a free connection
if DATABASE["ENGINE"].endswith("sqlite3"):
    if DATABASE["NAME"] != ":memory:":
        DATABASE["NAME"] = BASE_DIR / DATABASE["NAME"]
        DATABASE["NAME"].parent.mkdir(parents=True, exist_ok=True)
    # IMMEDIATE: two writers queue up instead of one of them failing half-way.
    DATABASE["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": DATABASE_WAIT_SECONDS,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
        **DATABASE["OPTIONS"],
    }
elif pool_size := ENV.int("DATABASE_POOL", default=0):
    DATABASE["OPTIONS"]["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": DATABASE_WAIT_SECONDS}
if DATABASE["ENGINE"].endswith("postgresql"):
    # Both ends of a dead link notice it within this wait: TCP by itself takes a quarter of an hour, and all that time
    # a worker would hang, or the server would keep what a lost worker had locked.
    patience = max(DATABASE_WAIT_SECONDS // 4, 1)
    alive = {"keepalives_idle": 2 * patience, "keepalives_interval": patience, "keepalives_count": 2}
    alive["tcp_user_timeout"] = 4 * patience * 1000
    served = " ".join(f"-c tcp_{name.removeprefix('tcp_')}={number}" for name, number in alive.items())
    DATABASE["OPTIONS"] = {"connect_timeout": 4 * patience, **alive, "options": served, **DATABASE["OPTIONS"]}
if "pool" not in DATABASE["OPTIONS"]:
    DATABASE.setdefault("CONN_MAX_AGE", ENV.int("CONN_MAX_AGE", default=60))
DATABASE["CONN_HEALTH_CHECKS"] = True  # after a restart of the database, nobody is handed a dead connection
DATABASES = {"default": DATABASE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Cache: in the database, since the lock-out of the login must hold over all processes of the web server ---

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "site_cache",  # made by `manage.py createcachetable`
        "OPTIONS": {"MAX_ENTRIES": 100_000},  # the default of 300 would throw lock-outs away
    }
}

# --- Jobs: Django's Tasks API; a row is written in the caller's transaction, services enqueue by on_commit ---

WORKER_THREADS = ENV.int("WORKER_THREADS", default=8)  # jobs at the same time in one worker
TASKS_BACKEND = ENV.str("TASKS_BACKEND", default="django_tasks_db.DatabaseBackend").strip()
TASKS = {"default": {"BACKEND": TASKS_BACKEND}}
if TASKS_BACKEND.startswith("django_tasks_rq."):
    INSTALLED_APPS += ["django_rq"]
    # JSON, since whoever can write a pickle into Redis could run code in our workers.
    RQ_QUEUES = {
        "default": {
            "URL": str(ENV.ENVIRON.get("TASKS_URL", "redis://127.0.0.1:6379/0")).strip(),  # past casts, as SECRET_KEY
            "SERIALIZER": "rq.serializers.JSONSerializer",
            "DEFAULT_TIMEOUT": ENV.int("TASKS_TIMEOUT", default=900),
        }
    }
    RQ = {"JOB_CLASS": "django_tasks_rq.Job"}
    RQ_SHOW_ADMIN_LINK = False  # its pages know nothing of our people's rights

# --- Calls to gateways: one call's whole time, and how long a worker's claim on a refund is good for ---

GATEWAY_DEADLINE_SECONDS = ENV.int("GATEWAY_DEADLINE_SECONDS", default=30)
# Three times what a call can take with the database's wait: a slow worker is never overtaken by a second one.
LEASE_SECONDS = ENV.int("LEASE_SECONDS", default=3 * (GATEWAY_DEADLINE_SECONDS + DATABASE_WAIT_SECONDS))
# Stretches (2) or shortens (0.5) the pauses between look-ups, which are data of each gateway.
POLL_PACE = ENV.float("POLL_PACE", default=1.0)

# --- Approvals and allowances ---

APPROVAL_DAYS = ENV.int("APPROVAL_DAYS", default=7)  # an approval that was not sent by then has to be given again
# So long after its last approval a refund is not sent, and the approval can be taken back by one click.
APPROVAL_HOLD_SECONDS = ENV.int("APPROVAL_HOLD_SECONDS", default=0)
BULK_TYPED_TOTAL = ENV.int("BULK_TYPED_TOTAL", default=1000)  # in major units, from which a bulk total is typed
# currency:amount in major units, from which a refund stands high in the line of decisions; ten times it, higher still
LARGE_REFUNDS = ENV.list(
    "LARGE_REFUNDS",
    default=["EUR:500", "USD:500", "GBP:500", "PLN:2000", "BRL:2500", "INR:40000", "JPY:80000", "KWD:150"],
)
ALLOWANCES_REQUIRED = ENV.bool("ALLOWANCES_REQUIRED", default=False)  # without a row, a person may ask for nothing

# --- Targets: what the first page calls late ---

APPROVE_WITHIN_HOURS = ENV.int("APPROVE_WITHIN_HOURS", default=24)  # from the request to the decision
SETTLE_WITHIN_DAYS = ENV.int("SETTLE_WITHIN_DAYS", default=5)  # from sending to the gateway's final word

# --- People and login ---

# refunds_site/login_settings.py

# --- Transport: HTTPS is off only for the demo and the tests, which speak plain HTTP to loopback ---

HTTPS = ENV.bool("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# A probe inside the house speaks plain http, and would take a redirect for health; metrics carry a token, and do not.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|statusz)$"]
SECURE_HSTS_SECONDS = ENV.int("HSTS_SECONDS", default=31_536_000) if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = ENV.bool("HSTS_SUBDOMAINS", default=False)
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
# A __Host- cookie is taken by browsers only over https, for this very host and all of its paths.
COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}desk-session", f"{COOKIE_PREFIX}desk-csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"  # Strict would log out whoever follows a link to a refund
CSRF_FAILURE_VIEW = "refunds_site.surface.forbidden"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # what was done stays out of cookies
X_FRAME_OPTIONS = "DENY"
# Subdomains and browsers' preload lists are for the owner of the whole domain to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
# Networks or addresses that our proxies connect from; from anywhere else, what only a proxy may say is not heard.
PROXY_ADDRESSES = [address.strip() for address in ENV.list("PROXY_ADDRESSES", default=[]) if address.strip()]
SECURE_PROXY_SSL_HEADER = None
if proxy_header := ENV.str("PROXY_HTTPS_HEADER", default=""):
    SECURE_PROXY_SSL_HEADER = ("HTTP_" + proxy_header.strip().upper().replace("-", "_"), "https")

# unfold needs Alpine's evaluated expressions and inline styles, and nothing more.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        # The button of single sign-on is a form that leads to the issuer.
        "form-action": [SELF, *filter(None, [OIDC_ORIGIN])],  # noqa: F405
        "frame-ancestors": [NONE],
    }
}

# --- Static files by whitenoise: from STATIC_ROOT once collected, else straight from the packages (demo, tests) ---

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / ENV.str("STATIC_ROOT", default="staticfiles")
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "refunds_site.static.Hashed"},
}
WHITENOISE_USE_FINDERS = DEBUG or not STATIC_ROOT.is_dir()
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_MAX_AGE = 0 if DEBUG else 600  # of plain names; those with a hash are kept for ten years
warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)

# --- Evidence of declarations: outside of everything that a web server hands out ---

MEDIA_ROOT = ENV.str("EVIDENCE_DIR", default=str(BASE_DIR / "var" / "evidence"))

# --- Words and times: stored in UTC, shown in TIME_ZONE, or as each person prefers ---

USE_TZ = True
TIME_ZONE = ENV.str("TIME_ZONE", default="UTC")
# docs/languages.md says how to add one; where nobody chose and the browser asks for another, LANGUAGE_CODE counts.
LANGUAGES = [("en", "English"), ("pl", "Polski")]
LANGUAGE_CODE = ENV.str("LANGUAGE_CODE", default="en")
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["refunds_site.formats"]

# --- Notices: digests by e-mail, and the house's channel; the address of a channel is as good as its password ---

NOTICE_DIGEST_MINUTES = ENV.int("NOTICE_DIGEST_MINUTES", default=60)
# Read past the reader's casts, as SECRET_KEY.
NOTICE_WEBHOOK_URL = str(ENV.ENVIRON.get("NOTICE_WEBHOOK_URL", "")).strip()

# --- Exports: a list as CSV or XLSX ---

EXPORT_MOST_ROWS = ENV.int("EXPORT_MOST_ROWS", default=50_000)

# --- Logs: one line each, to the terminal; what an error report would show beside it is starred out ---

LOG_FORMAT = ENV.str("LOG_FORMAT", default="line" if DEBUG else "json").strip().lower()
DEFAULT_EXCEPTION_REPORTER_FILTER = "refunds_site.logs.Stars"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"act": {"()": "refunds.correlation.Stamp"}},
    "formatters": {"json": {"()": "refunds_site.logs.Json"}, "line": {"()": "refunds_site.logs.Line"}},
    "handlers": {
        "terminal": {
            "class": "logging.StreamHandler",
            "formatter": LOG_FORMAT if LOG_FORMAT == "line" else "json",
            "filters": ["act"],
        }
    },
    "root": {"handlers": ["terminal"], "level": ENV.str("LOG_LEVEL", default="INFO").upper()},
    "loggers": {
        # Django's own handlers would print every line a second time.
        **{name: {"handlers": ["terminal"], "propagate": False} for name in ("django", "django.server")},
        # Two lines a job, and none of them says which refund.
        **{name: {"level": "WARNING"} for name in ("django_tasks", "django_tasks_db")},
    },
}
