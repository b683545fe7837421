"""Where everything stands: the admin, the login and the door for webhooks."""

from allauth.account import views as login_views
from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from refunds.webhooks import receive

admin.site.login = secure_admin_login(admin.site.login)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("accounts/login/", login_views.login, name="account_login"),
    path("accounts/logout/", login_views.logout, name="account_logout"),
    path("accounts/inactive/", login_views.account_inactive, name="account_inactive"),
    path("accounts/password/change/", login_views.password_change, name="account_change_password"),
    path("webhooks/<slug:account>/", receive, name="webhook"),
]
