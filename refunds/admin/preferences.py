"""The page where a person says how to read and what to be told; always about the one who asks, and nobody else."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import get_language_from_request, gettext_lazy, override
from django.utils.translation import gettext as _
from unfold.widgets import UnfoldAdminSelectWidget

from refunds import policy, services
from refunds import preferences as places
from refunds.admin.desk import DeskRequest
from refunds.admin.proposal_form import boxes
from refunds.models import How, Notice, Preference

ABOUT_OWN = tuple(
    kind for kind in Notice.Kind if kind not in (Notice.Kind.TO_DECIDE, Notice.Kind.BREAKER, Notice.Kind.KEY)
)


class PreferenceForm(forms.Form):
    language = forms.ChoiceField(label=gettext_lazy("Language"), required=False, widget=UnfoldAdminSelectWidget)
    time_zone = forms.ChoiceField(label=gettext_lazy("Time zone"), required=False, widget=UnfoldAdminSelectWidget)
    to_decide = forms.ChoiceField(
        label=gettext_lazy("Refunds that wait for my decision"), choices=How.choices, widget=UnfoldAdminSelectWidget
    )
    own = forms.ChoiceField(
        label=gettext_lazy("What becomes of my requests"), choices=How.choices, widget=UnfoldAdminSelectWidget
    )
    about = forms.MultipleChoiceField(
        label=gettext_lazy("Tell me when a request of mine …"),
        required=False,
        choices=[(kind.value, kind.label) for kind in ABOUT_OWN],
        widget=boxes(),
    )

    def __init__(self, typed: Any, person: User, wishes: Preference) -> None:
        fields = ("language", "time_zone", "to_decide", "own")
        about = [kind.value for kind in ABOUT_OWN if kind not in wishes.not_about]
        initial = {"about": about, **{name: getattr(wishes, name) for name in fields}}
        super().__init__(typed, initial=initial)
        self.wishes = wishes
        house = settings.TIME_ZONE
        self._choose("language", [("", _("As my browser says")), *settings.LANGUAGES])
        zones = [("", _("As the house has it: %(zone)s") % {"zone": house}), *((zone, zone) for zone in places.zones())]
        self._choose("time_zone", zones)
        if not policy.may(person, policy.APPROVE):
            del self.fields["to_decide"]
        if not policy.may(person, policy.REQUEST):
            del self.fields["own"], self.fields["about"]

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def keep(self, person: User) -> Preference:
        """What is not asked of this person stays as it is."""
        typed = {name: self.cleaned_data.get(name, getattr(self.wishes, name)) for name in ("to_decide", "own")}
        not_about = self.wishes.not_about
        if "about" in self.fields:
            not_about = [kind.value for kind in ABOUT_OWN if kind.value not in self.cleaned_data["about"]]
        return services.save_preference(
            person,
            language=self.cleaned_data["language"],
            time_zone=self.cleaned_data["time_zone"],
            to_decide=How(typed["to_decide"]),
            own=How(typed["own"]),
            not_about=not_about,
        )


def preferences(request: DeskRequest) -> HttpResponse:
    person = request.user
    wishes = Preference.objects.filter(person=person).first() or Preference(person=person)
    form = PreferenceForm(request.POST if request.method == "POST" else None, person, wishes)
    if request.method == "POST" and form.is_valid():
        saved = form.keep(person)
        with override(places.language(saved.language or get_language_from_request(request))):
            messages.success(request, _("Your preferences are saved."))
        return redirect("preferences")
    context = {
        **admin.site.each_context(request),
        "title": _("Preferences"),
        "form": form,
        "now": timezone.now(),
        "is_told": {"to_decide", "own"} & {*form.fields},
        "sends_mail": settings.SENDS_MAIL,
        "digest_minutes": settings.NOTICE_DIGEST_MINUTES,
    }
    return TemplateResponse(request, "admin/refunds/preferences.html", context, status=400 if form.errors else 200)
