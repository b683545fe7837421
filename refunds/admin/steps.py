"""The steps as buttons, pages and bulk actions, from one table. GET asks, POST does, the service decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from refunds import policy, services
from refunds.models import Refund, Status
from refunds.models.refund import AWAITING
from refunds.services.hold import clock, held_until

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise as Words

ANY_SENT = frozenset(
    {Status.UNKNOWN, Status.PROCESSING, Status.SUCCEEDED, Status.FAILED, Status.REVERSED, Status.WITHDRAWN}
)


@dataclass(frozen=True)
class Step:
    """One verb. `statuses` and `whose` only decide whether a button is shown; the service has the last word.

    `asks` is the question that the page puts, "" when a click is enough; `do(refund_id, user, seen, text)` takes it.
    """

    name: str
    label: Words
    right: str
    statuses: frozenset[Status]
    whose: str  # "others", "own" or "any"
    explains: Words
    do: Callable[[int, User, int, str], Refund]
    done: Words
    asks: Words = ""
    tone: str = "plain"
    decides: bool = False
    types_total: bool = False  # a person types the total of a large selection
    right_for_others: str = ""
    one_line: bool = False
    when: Callable[[Refund], bool] = lambda refund: True

    def allows(self, refund: Refund, user: User) -> bool:
        """Whether this person has the right; about other people's refunds it may be another one."""
        own = refund.requested_by_id == user.pk
        return policy.may(user, self.right if own or not self.right_for_others else self.right_for_others)

    def fits(self, refund: Refund, user: User) -> bool:
        """Whether to offer it to this person now."""
        own = refund.requested_by_id == user.pk
        mine = {"any": True, "own": own, "others": not own and refund.requested_by_id is not None}[self.whose]
        sent = self.statuses is not ANY_SENT or refund.sent_at is not None
        return mine and sent and refund.status in self.statuses and self.allows(refund, user) and self.when(refund)

    def told(self, changed: Refund) -> str:
        """What the person reads afterwards."""
        if until := held_until(changed):
            return _("is approved, and is sent at %(at)s unless it is taken back") % {"at": clock(until)}
        if self.types_total and changed.status == Status.REQUESTED:
            return _("has your approval; another person has to approve it as well")
        return str(self.done)

    @property
    def needs_proof(self) -> bool:
        """An approver's steps are taken only by whoever has just proved who they are."""
        return self.right == policy.APPROVE

    @property
    def verb(self) -> str:
        """The label of the button that really does it."""
        return str(self.label).rstrip("…")


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "approve",
            gettext_lazy("Approve and send"),
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            gettext_lazy("The refund is sent to the gateway as soon as everybody needed has approved it."),
            lambda pk, user, seen, text: services.approve_refund(pk, user, seen=seen),
            gettext_lazy("is approved"),
            tone="primary",
            decides=True,
            types_total=True,
        ),
        Step(
            "return",
            gettext_lazy("Return…"),
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            gettext_lazy("The refund goes back to the requester, who answers and resubmits it. The amount stays held."),
            lambda pk, user, seen, text: services.return_refund(pk, user, text, seen=seen),
            gettext_lazy("went back to the requester"),
            asks=gettext_lazy("What do you need to know?"),
            decides=True,
        ),
        Step(
            "reject",
            gettext_lazy("Reject…"),
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            gettext_lazy("The refund ends here and the amount is free again. The requester reads your reason."),
            lambda pk, user, seen, text: services.reject_refund(pk, user, text, seen=seen),
            gettext_lazy("is rejected"),
            asks=gettext_lazy("Why not?"),
            tone="danger",
            decides=True,
        ),
        Step(
            "unapprove",
            gettext_lazy("Take the approval back…"),
            policy.APPROVE,
            frozenset({Status.APPROVED}),
            "others",
            gettext_lazy("The refund waits for a decision again. This works until a worker has taken it."),
            lambda pk, user, seen, text: services.unapprove_refund(pk, user, text, seen=seen),
            gettext_lazy("waits for a decision again"),
            asks=gettext_lazy("Why do you take it back?"),
        ),
        Step(
            "send",
            gettext_lazy("Send now"),
            policy.APPROVE,
            frozenset({Status.APPROVED}),
            "any",
            gettext_lazy("An approved refund that waits is tried at once."),
            lambda pk, user, seen, text: services.send_now(pk, user, seen=seen),
            gettext_lazy("is tried at once"),
        ),
        Step(
            "check",
            gettext_lazy("Check with the gateway"),
            policy.SYNC,
            ANY_SENT,
            "any",
            gettext_lazy("The gateway is asked what became of it."),
            lambda pk, user, seen, text: services.check_refund(pk, user),
            gettext_lazy("is being asked about"),
            when=lambda refund: not services.why_no_check(refund),
        ),
        Step(
            "found",
            gettext_lazy("I found it there…"),
            policy.DECLARE,
            frozenset({Status.UNKNOWN}),
            "others",
            gettext_lazy(
                "The gateway is asked about the refund by that reference, and its answer says what became of it."
            ),
            lambda pk, user, seen, text: services.name_reference(pk, user, text, seen=seen),
            gettext_lazy("is looked up under that reference"),
            asks=gettext_lazy("The reference that the gateway shows for it"),
            one_line=True,
            when=lambda refund: not services.why_no_name(refund),
        ),
        Step(
            "resubmit",
            gettext_lazy("Answer and resubmit…"),
            policy.REQUEST,
            frozenset({Status.RETURNED}),
            "own",
            gettext_lazy("Your answer goes to the approvers with the refund."),
            lambda pk, user, seen, text: services.resubmit_refund(pk, user, text, seen=seen),
            gettext_lazy("waits for a decision again"),
            asks=gettext_lazy("Your answer"),
            tone="primary",
        ),
        Step(
            "withdraw",
            gettext_lazy("Withdraw"),
            policy.REQUEST,
            frozenset({Status.REQUESTED, Status.RETURNED, Status.APPROVED}),
            "own",
            gettext_lazy("The refund ends here and the amount is free again."),
            lambda pk, user, seen, text: services.withdraw_refund(pk, user, seen=seen),
            gettext_lazy("is withdrawn"),
            tone="danger",
        ),
        Step(
            "cancel",
            gettext_lazy("Cancel at the gateway"),
            policy.REQUEST,
            AWAITING,
            "any",
            gettext_lazy(
                "The gateway is asked to cancel it. If it has begun to pay by then, the refund goes on as before."
            ),
            lambda pk, user, seen, text: services.ask_to_cancel(pk, user, seen=seen),
            gettext_lazy("is being cancelled at the gateway"),
            tone="danger",
            right_for_others=policy.DECLARE,
            when=lambda refund: not services.why_no_cancel(refund),
        ),
        Step(
            "retry",
            gettext_lazy("Try again as a new refund"),
            policy.REQUEST,
            frozenset({Status.FAILED, Status.REVERSED}),
            "any",
            gettext_lazy("A new refund of the same amount and reason is requested; somebody else has to approve it."),
            lambda pk, user, seen, text: services.retry_refund(pk, user, seen=seen),
            gettext_lazy("waits for a decision"),
            tone="primary",
            when=lambda refund: refund.reason_id is not None,
        ),
        Step(
            "attend",
            gettext_lazy("I have looked at it…"),
            policy.DECLARE,
            frozenset(Status),
            "any",
            gettext_lazy("The call for attention is answered with your note. No status changes."),
            lambda pk, user, seen, text: services.clear_attention(pk, user, text, seen=seen),
            gettext_lazy("is marked as looked at"),
            asks=gettext_lazy("What did you find?"),
            when=lambda refund: bool(refund.needs_attention),
        ),
    )
}


def offered(refund: Refund, user: User) -> list[Step]:
    """The buttons of a refund's page for this person."""
    return [step for step in STEPS.values() if step.fits(refund, user)]
