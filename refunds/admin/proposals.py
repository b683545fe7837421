"""Handing a proposal to the service, and what all pages say about one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from refunds import change_words, policy, services
from refunds.admin.desk import DeskRequest
from refunds.admin.proposal_form import ProposalForm
from refunds.errors import RefundError
from refunds.models import Change


def demand_right(request: DeskRequest, right: str) -> None:
    if not policy.may(request.user, right):
        raise PermissionDenied


def propose(
    request: DeskRequest, form: ProposalForm, kind: str, subject: str, person: User | None = None
) -> Change | None:
    """A refusal comes back in the form, with all that was typed and the page as it is now."""
    typed = form.cleaned_data
    try:
        change = services.propose_change(
            kind, subject, form.wish(), request.user, typed["note"], person=person, seen=typed["seen"]
        )
    except RefundError as refusal:
        form.add_error(None, str(refusal))
        form.shows_now(services.stands(kind, subject, person))
        return None
    messages.success(
        request,
        _("%(title)s: your proposal is written down. Another person has to confirm it.")
        % {"title": change_words.title(change)},
    )
    return change


def waiting(kind: str, subject: str) -> Change | None:
    """The proposal about this subject that waits for a second person."""
    return open_changes().filter(kind=kind, subject=subject).first()


def open_changes() -> QuerySet[Change]:
    return Change.objects.filter(confirmed_at=None, dropped_at=None).select_related("person", "proposed_by")
