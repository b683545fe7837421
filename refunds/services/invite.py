"""Invitations: a link, good once and for a day, by which a person sets a password that nobody else ever sees."""

from __future__ import annotations

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from refunds.errors import BadInput, NotAllowed, WrongMoment

MAIL = gettext_lazy("""Hello %(name)s,

an account at the refund desk was made for you. Your user name is %(username)s.
Set your password here, once and within 24 hours:

%(link)s

If you did not expect this, do nothing and tell your user admin.
""")


def invitation(person: User) -> str:
    """The address. A new password ends it, and so does the day after."""
    if why := why_no_invitation(person):
        raise NotAllowed(why)
    token = default_token_generator.make_token(person)
    names = {"uidb36": user_pk_to_url_str(person), "key": token}
    return f"{address()}{reverse('account_reset_password_from_key', kwargs=names)}"


def why_no_invitation(person: User) -> str:
    """Or "": who is invited could come in with a password."""
    if not person.is_active:
        return _("%(person)s is switched off.") % {"person": person}
    if not settings.PASSWORD_LOGIN or SocialAccount.objects.filter(user=person).exists():
        return _("%(person)s comes in by %(issuer)s and needs no password here.") % {
            "person": person,
            "issuer": settings.OIDC_NAME,
        }
    return ""


def why_no_mail(person: User) -> str:
    """By e-mail only who never had a password: else whoever may change an address could take over its account."""
    if why := why_no_invitation(person):
        return why
    if person.has_usable_password():
        return _("%(person)s has a password. If it is lost, an operator runs: manage.py invite %(person)s") % {
            "person": person
        }
    if not settings.SENDS_MAIL or not person.email:
        return _(
            "An operator prints the link for it: manage.py invite %(person)s — "
            "with EMAIL_URL and an e-mail address it could be sent from here."
        ) % {"person": person}
    return ""


def send_invitation(person: User) -> None:
    if why := why_no_mail(person):
        raise WrongMoment(why)
    name = person.get_full_name() or person.get_username()
    text = MAIL % {"name": name, "username": person.get_username(), "link": invitation(person)}
    send_mail(_("Your account at the refund desk"), text, None, [person.email])


def address() -> str:
    """Of this site, for links that leave it."""
    if settings.PUBLIC_URL:
        return settings.PUBLIC_URL
    if settings.DEBUG:
        return f"http://127.0.0.1:{settings.PORT}"
    raise BadInput(_("Set PUBLIC_URL first: the link needs this site's address."))
