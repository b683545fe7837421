"""The steps as buttons, pages and bulk actions, from one table. GET asks, POST does, the service decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import User

from refunds import policy, services
from refunds.models import Refund, Status
from refunds.models.refund import AWAITING

ANY_SENT = frozenset(
    {Status.UNKNOWN, Status.PROCESSING, Status.SUCCEEDED, Status.FAILED, Status.REVERSED, Status.WITHDRAWN}
)


@dataclass(frozen=True)
class Step:
    """One verb. `statuses` and `whose` only decide whether a button is shown; the service has the last word.

    `asks` is the question that the page puts, "" when a click is enough; `do(refund_id, user, seen, text)` takes it.
    """

    name: str
    label: str
    right: str
    statuses: frozenset[Status]
    whose: str  # "others", "own" or "any"
    explains: str
    do: Callable[[int, User, int, str], Refund]
    done: str
    asks: str = ""
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
        if self.types_total and changed.status == Status.REQUESTED:
            return "has your approval; another person has to approve it as well"
        return self.done

    @property
    def needs_proof(self) -> bool:
        """An approver's steps are taken only by whoever has just proved who they are."""
        return self.right == policy.APPROVE

    @property
    def verb(self) -> str:
        """The label of the button that really does it."""
        return self.label.rstrip("…")


STEPS: dict[str, Step] = {
    step.name: step
    for step in (
        Step(
            "approve",
            "Approve and send",
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            "The refund is sent to the gateway as soon as everybody needed has approved it.",
            lambda pk, user, seen, text: services.approve_refund(pk, user, seen=seen),
            "is approved",
            tone="primary",
            decides=True,
            types_total=True,
        ),
        Step(
            "return",
            "Return…",
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            "The refund goes back to the requester, who answers and resubmits it. The amount stays held.",
            lambda pk, user, seen, text: services.return_refund(pk, user, text, seen=seen),
            "went back to the requester",
            asks="What do you need to know?",
            decides=True,
        ),
        Step(
            "reject",
            "Reject…",
            policy.APPROVE,
            frozenset({Status.REQUESTED}),
            "others",
            "The refund ends here and the amount is free again. The requester reads your reason.",
            lambda pk, user, seen, text: services.reject_refund(pk, user, text, seen=seen),
            "is rejected",
            asks="Why not?",
            tone="danger",
            decides=True,
        ),
        Step(
            "unapprove",
            "Take the approval back…",
            policy.APPROVE,
            frozenset({Status.APPROVED}),
            "others",
            "The refund waits for a decision again. This works until a worker has taken it.",
            lambda pk, user, seen, text: services.unapprove_refund(pk, user, text, seen=seen),
            "waits for a decision again",
            asks="Why do you take it back?",
        ),
        Step(
            "send",
            "Send now",
            policy.APPROVE,
            frozenset({Status.APPROVED}),
            "any",
            "An approved refund that waits is tried at once.",
            lambda pk, user, seen, text: services.send_now(pk, user, seen=seen),
            "is tried at once",
        ),
        Step(
            "check",
            "Check with the gateway",
            policy.SYNC,
            ANY_SENT,
            "any",
            "The gateway is asked what became of it.",
            lambda pk, user, seen, text: services.check_refund(pk, user),
            "is being asked about",
            when=lambda refund: not services.why_no_check(refund),
        ),
        Step(
            "found",
            "I found it there…",
            policy.DECLARE,
            frozenset({Status.UNKNOWN}),
            "others",
            "The gateway is asked about the refund by that reference, and its answer says what became of it.",
            lambda pk, user, seen, text: services.name_reference(pk, user, text, seen=seen),
            "is looked up under that reference",
            asks="The reference that the gateway shows for it",
            one_line=True,
            when=lambda refund: not services.why_no_name(refund),
        ),
        Step(
            "resubmit",
            "Answer and resubmit…",
            policy.REQUEST,
            frozenset({Status.RETURNED}),
            "own",
            "Your answer goes to the approvers with the refund.",
            lambda pk, user, seen, text: services.resubmit_refund(pk, user, text, seen=seen),
            "waits for a decision again",
            asks="Your answer",
            tone="primary",
        ),
        Step(
            "withdraw",
            "Withdraw",
            policy.REQUEST,
            frozenset({Status.REQUESTED, Status.RETURNED, Status.APPROVED}),
            "own",
            "The refund ends here and the amount is free again.",
            lambda pk, user, seen, text: services.withdraw_refund(pk, user, seen=seen),
            "is withdrawn",
            tone="danger",
        ),
        Step(
            "cancel",
            "Cancel at the gateway",
            policy.REQUEST,
            AWAITING,
            "any",
            "The gateway is asked to cancel it. If it has begun to pay by then, the refund goes on as before.",
            lambda pk, user, seen, text: services.ask_to_cancel(pk, user, seen=seen),
            "is being cancelled at the gateway",
            tone="danger",
            right_for_others=policy.DECLARE,
            when=lambda refund: not services.why_no_cancel(refund),
        ),
        Step(
            "retry",
            "Try again as a new refund",
            policy.REQUEST,
            frozenset({Status.FAILED, Status.REVERSED}),
            "any",
            "A new refund of the same amount and reason is requested; somebody else has to approve it.",
            lambda pk, user, seen, text: services.retry_refund(pk, user, seen=seen),
            "waits for a decision",
            tone="primary",
            when=lambda refund: refund.reason_id is not None,
        ),
        Step(
            "attend",
            "I have looked at it…",
            policy.DECLARE,
            frozenset(Status),
            "any",
            "The call for attention is answered with your note. No status changes.",
            lambda pk, user, seen, text: services.clear_attention(pk, user, text, seen=seen),
            "is marked as looked at",
            asks="What did you find?",
            when=lambda refund: bool(refund.needs_attention),
        ),
    )
}


def offered(refund: Refund, user: User) -> list[Step]:
    """The buttons of a refund's page for this person."""
    return [step for step in STEPS.values() if step.fits(refund, user)]
