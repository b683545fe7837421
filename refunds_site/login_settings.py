"""The settings of people and login: passwords, second factors, sessions, invitations, single sign-on."""

from __future__ import annotations

from urllib.parse import urlsplit

from refunds_site.environment import DEBUG, ENV

# --- Passwords: nobody signs up, and nobody gets a new one without an invitation ---

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "admin:index"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "refunds_site.login.StaffOnly"
ACCOUNT_FORMS = {
    "login": "refunds_site.login.LoginForm",
    "change_password": "refunds_site.login.ChangePasswordForm",
    "reset_password_from_key": "refunds_site.login.SetPasswordForm",
    "reauthenticate": "refunds_site.login.PasswordAgainForm",
    "user_token": "refunds_site.login.InvitationForm",
}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_SESSION_REMEMBER = False
# A name, and a person's codes, are locked for half an hour after five failures.
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/30m/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = ENV.int("TRUSTED_PROXIES", default=0)
PASSWORD_LOGIN = ENV.bool("PASSWORD_LOGIN", default=True)
PASSWORD_RESET_TIMEOUT = 24 * 60 * 60  # an invitation

# The demo's password "demo" is weak on purpose; it exists with DEBUG only.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
    if not DEBUG
]

# --- Second factors, and how fresh a proof has to be for money ---

SECOND_FACTOR = ENV.str("SECOND_FACTOR", default="optional" if DEBUG else "required").strip().lower()
ACCEPT_OPTIONAL_SECOND_FACTOR = ENV.bool("ACCEPT_OPTIONAL_SECOND_FACTOR", default=False)
FRESH_LOGIN_MINUTES = ENV.int("FRESH_LOGIN_MINUTES", default=5)
FRESH_LOGIN_AT_MOST_MINUTES = ENV.int("FRESH_LOGIN_AT_MOST_MINUTES", default=15)
# For deciding on one refund after the other. Who has set the one above by hand has not agreed to a longer one.
FRESH_DECIDING_AT_MOST_MINUTES = ENV.int(
    "FRESH_DECIDING_AT_MOST_MINUTES",
    default=FRESH_LOGIN_AT_MOST_MINUTES if "FRESH_LOGIN_AT_MOST_MINUTES" in ENV.ENVIRON else 60,
)
MFA_ADAPTER = "refunds_site.second_factor.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "authenticate": "refunds_site.second_factor.CodeForm",
    "reauthenticate": "refunds_site.second_factor.CodeAgainForm",
    "activate_totp": "refunds_site.second_factor.FirstCodeForm",
    "add_webauthn": "refunds_site.second_factor.PasskeyForm",
    "edit_webauthn": "refunds_site.second_factor.PasskeyNameForm",
}
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody signs up, so an address proves nothing here
MFA_TOTP_ISSUER = "Refund desk"
MFA_TOTP_TOLERANCE = 1  # the code before and the one after, since telephones' clocks differ
MFA_RECOVERY_CODES_SHOW_ONCE = True

# --- Sessions ---

SESSION_IDLE_MINUTES = ENV.int("SESSION_IDLE_MINUTES", default=15)
SESSION_HOURS = ENV.int("SESSION_HOURS", default=10)
SESSION_COOKIE_AGE = SESSION_HOURS * 60 * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True

# --- E-mail: invitations and notices, only where EMAIL_URL says how ---

SENDS_MAIL = bool(ENV.str("EMAIL_URL", default=""))
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
if SENDS_MAIL:
    vars().update(ENV.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10  # seconds for each answer of the mail server
DEFAULT_FROM_EMAIL = ENV.str("EMAIL_FROM", default="refund-desk@localhost")

# --- Single sign-on (OpenID Connect): on where an issuer is named ---

OIDC_ISSUER = ENV.str("OIDC_ISSUER", default="").strip()
OIDC_ORIGIN = "{0.scheme}://{0.netloc}".format(urlsplit(OIDC_ISSUER)) if OIDC_ISSUER else ""
OIDC_CLIENT_ID = ENV.str("OIDC_CLIENT_ID", default="").strip()
# Read past the reader's casts, as SECRET_KEY.
OIDC_CLIENT_SECRET = str(ENV.ENVIRON.get("OIDC_CLIENT_SECRET", "")).strip()
OIDC_SCOPES = ENV.str("OIDC_SCOPES", default="openid profile email").split()
OIDC_NAME = ENV.str("OIDC_NAME", default="").strip() or "single sign-on"
OIDC_GROUPS_CLAIM = ENV.str("OIDC_GROUPS_CLAIM", default="groups").strip()
OIDC_GROUPS = ENV.str("OIDC_GROUPS", default="").strip()
OIDC_SECOND_FACTOR_AMR = ENV.list("OIDC_SECOND_FACTOR_AMR", default=["mfa", "otp", "hwk"])
OIDC_PEOPLE_URL = ENV.str("OIDC_PEOPLE_URL", default="").strip()
OIDC_PEOPLE_TOKEN = str(ENV.ENVIRON.get("OIDC_PEOPLE_TOKEN", "")).strip()
SOCIALACCOUNT_ADAPTER = "refunds_site.oidc.Adapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
