"""Where everything stands: the admin, the login and the door for webhooks."""

from allauth.account import views as login_views
from allauth.account.decorators import secure_admin_login
from allauth.mfa.base import views as code_views
from allauth.mfa.recovery_codes import views as recovery_views
from allauth.mfa.totp import views as app_views
from allauth.mfa.webauthn import views as passkey_views
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.cache import never_cache
from django.views.generic import RedirectView

from refunds.admin.find import find_view
from refunds.admin.fresh import needed
from refunds.admin.preferences import preferences
from refunds.webhooks import receive
from refunds_site import login_log, probes, second_factor, security, sso_views
from refunds_site.surface import not_found

login_log.watch()
admin.site.login = secure_admin_login(admin.site.login)
admin.site.password_change = RedirectView.as_view(pattern_name="account_change_password")

login = [
    path("login/", login_views.login, name="account_login"),
    path("login/code/", code_views.authenticate, name="mfa_authenticate"),
    path("logout/", login_views.logout, name="account_logout"),
    path("inactive/", login_views.account_inactive, name="account_inactive"),
    path(
        "invitation/done/",
        login_views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^invitation/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        never_cache(login_views.password_reset_from_key),
        name="account_reset_password_from_key",
    ),
]

single_sign_on = [
    path("sso/", sso_views.begin, name="sso_begin"),
    path("sso/callback/", sso_views.callback, name="sso_callback"),
    path("sso/cancelled/", sso_views.cancelled, name="socialaccount_login_cancelled"),
    path("sso/again/", sso_views.again, name="sso_again"),
    path("sso/go-on/", sso_views.go_on, name="sso_go_on"),
]

again = [
    path("again/", never_cache(login_views.reauthenticate), name="account_reauthenticate"),
    path("again/code/", never_cache(code_views.reauthenticate), name="mfa_reauthenticate"),
    path("again/passkey/", never_cache(passkey_views.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
]

own = [
    path("security/", security.overview, name="mfa_index"),
    path("security/", security.overview, name="mfa_list_webauthn"),
    path("security/sessions/", security.EndSessions.as_view(), name="usersessions_list"),
    path("security/password/", login_views.password_change, name="account_change_password"),
    path("security/app/add/", needed(never_cache(second_factor.SetUpApp.as_view())), name="mfa_activate_totp"),
    path("security/app/remove/", needed(app_views.deactivate_totp), name="mfa_deactivate_totp"),
    path("security/passkey/add/", needed(never_cache(second_factor.AddPasskey.as_view())), name="mfa_add_webauthn"),
    path("security/passkey/<int:pk>/", needed(passkey_views.edit_webauthn), name="mfa_edit_webauthn"),
    path("security/passkey/<int:pk>/remove/", needed(passkey_views.remove_webauthn), name="mfa_remove_webauthn"),
    path(
        "security/codes/",
        needed(never_cache(recovery_views.view_recovery_codes)),
        name="mfa_view_recovery_codes",
    ),
    path("security/codes/new/", needed(recovery_views.generate_recovery_codes), name="mfa_generate_recovery_codes"),
]

for_machines = [path(name, getattr(probes, name), name=name) for name in probes.NAMES]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/autocomplete/", not_found),  # no field of ours asks it, and it knows no scope
    path("admin/find/", admin.site.admin_view(find_view), name="find"),
    path("admin/", admin.site.urls),
    path("accounts/preferences/", admin.site.admin_view(preferences), name="preferences"),
    path("accounts/", include([*login, *single_sign_on, *again, *own])),
    path("webhooks/<slug:account>/", receive, name="webhook"),
    *for_machines,
]

handler400, handler403, handler404, handler500 = (
    f"refunds_site.surface.{page}" for page in ("bad_request", "forbidden", "not_found", "server_error")
)
