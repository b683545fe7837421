"""Reasons: the house's list, with each gateway's own word."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminSelectWidget

from refunds import reasons, services
from refunds.admin.desk import DeskRequest, NoGuessing
from refunds.errors import BadInput
from refunds.models import ReasonWord, RefundReason


class WordForm(forms.ModelForm):
    """One gateway's word; refuses one that it would not understand, where the gateway has a list of them."""

    gateway = forms.ChoiceField(
        choices=reasons.gateways_with_words, widget=UnfoldAdminSelectWidget, label=gettext_lazy("Gateway")
    )

    class Meta:
        model = ReasonWord
        fields = ("gateway", "word")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        gateway, word = found.get("gateway"), found.get("word", "")
        allowed = reasons.words_of(gateway) if gateway else ()
        if allowed and word and word not in allowed:
            self.add_error(
                "word",
                _("Write one of %(names)s, or leave it empty: then no reason is sent.") % {"names": ", ".join(allowed)},
            )
        return found


class ReasonForm(forms.ModelForm):
    """What customers read is nothing that has to be kept from them."""

    class Meta:
        model = RefundReason
        fields = ("name", "wording", "is_active")

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        try:
            services.without_cards(f"{found.get('name', '')}\n{found.get('wording', '')}")
        except BadInput as trouble:
            self.add_error("wording", str(trouble))
        return found


class Words(TabularInline):
    model = ReasonWord
    form = WordForm
    extra = 0
    can_delete = False


@admin.register(RefundReason)
class RefundReasonAdmin(NoGuessing, ModelAdmin):
    """Staff add, reword and retire reasons; none is deleted, since old refunds name them."""

    form = ReasonForm
    list_display = ("name", "wording", "is_active")
    fields = ("name", "wording", "is_active")
    inlines = (Words,)
    actions = None
    save_as = False

    def has_delete_permission(self, request: DeskRequest, obj: RefundReason | None = None) -> bool:
        return False
