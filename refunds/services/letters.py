"""What is written to people: plain text in their language, with our number, the amount and a link to log in by.

No customer's name or address, no link that decides anything, no words of a gateway: of free text only what a colleague
wrote to this very person.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy, ngettext

from gateways import cards
from gateways.money import Money
from refunds import wording
from refunds.models import How, Notice, Refund, Status
from refunds.preferences import reading
from refunds.services.allowances import in_force
from refunds.services.invite import address
from refunds.services.worth import how, preference_of

Kind = Notice.Kind
MOST_BY_EACH = 10  # whoever is due for more in one go gets them in one mail
MOST_ROWS = 50
QUEUE = "?for_me=decide"

SUBJECTS: dict[str, Any] = {
    Kind.TO_DECIDE: gettext_lazy("%(refund)s waits for your decision: %(amount)s"),
    Kind.RETURNED: gettext_lazy("%(refund)s was returned to you with a question: %(amount)s"),
    Kind.REJECTED: gettext_lazy("%(refund)s was rejected: %(amount)s"),
    Kind.FAILED: gettext_lazy("%(refund)s failed, and no money moved: %(amount)s"),
    Kind.SUCCEEDED: gettext_lazy("%(refund)s succeeded: %(amount)s"),
    Kind.REVERSED: gettext_lazy("%(refund)s came back after it had succeeded: %(amount)s"),
    Kind.ATTENTION: gettext_lazy("%(refund)s needs attention: %(amount)s"),
}
SENTENCES: dict[str, Any] = {
    Kind.TO_DECIDE: gettext_lazy("%(requester)s asks for a refund, and it waits for your decision."),
    Kind.RETURNED: gettext_lazy("%(actor)s has returned your request with a question. Answer it and resubmit it."),
    Kind.REJECTED: gettext_lazy("%(actor)s has rejected your request. The amount is free again."),
    Kind.FAILED: gettext_lazy("It failed, and no money moved. You can try again as a new refund."),
    Kind.SUCCEEDED: gettext_lazy("It is done: the money was sent back."),
    Kind.REVERSED: gettext_lazy(
        "It had succeeded, and then the money came back to us. Talk to the customer, then try again as a new refund."
    ),
}
UNKNOWN = gettext_lazy(
    "Nobody knows yet whether money moved. The amount stays held and we keep asking. Do not refund it any other way."
)
LOOKED_AT = gettext_lazy("Finance has to look at it. Do not refund it any other way meanwhile.")
WRITTEN_TO_THE_REQUESTER = frozenset({Kind.RETURNED, Kind.REJECTED})


@dataclass(frozen=True)
class Letter:
    """One mail, and the rows of the outbox that it settles."""

    rows: list[Notice]
    to: str
    subject: str
    body: str

    def send(self) -> None:
        """Talks to the mail server."""
        EmailMessage(self.subject, self.body, to=[self.to], headers=self.headers()).send()

    def headers(self) -> dict[str, str]:
        """A second sending of the same rows has the same Message-ID, so that mail programs show one of them."""
        host = urlsplit(address()).hostname
        numbers = ",".join(f"{row.pk} {row.made_at:%Y%m%d%H%M%S%f}" for row in self.rows)
        headers = {
            "Message-ID": f"<notice-{hashlib.sha256(numbers.encode()).hexdigest()[:32]}@{host}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        }
        if len(self.rows) == 1 and (refund := self.rows[0].refund):
            headers["References"] = f"<refund-{refund.key}@{host}>"  # one thread for one refund
        return headers


@dataclass(frozen=True)
class Told:
    """A row as the templates write it."""

    refund: Refund
    order: str
    sentence: str
    words: str
    link: str


def letters_to(person: User, rows: Sequence[Notice]) -> list[Letter]:
    """Each by itself or all in one, as this person wants it."""
    wishes = preference_of(person)
    by_how: dict[How, list[Notice]] = {How.EACH: [], How.DIGEST: []}
    for row in rows:
        by_how[how(wishes, row.kind)].append(row)
    each, many = by_how[How.EACH], by_how[How.DIGEST]
    if len(each) > MOST_BY_EACH:
        each, many = [], sorted([*each, *many], key=lambda row: row.pk)
    with reading(wishes.language, wishes.time_zone):
        return [*(_one(person, row) for row in each), *([_digest(person, many)] if many else [])]


def _one(person: User, row: Notice) -> Letter:
    told = _told(row)
    subject = SUBJECTS[row.kind] % {"refund": told.refund, "amount": wording.amount(told.refund.money)}
    return _letter(person, [row], subject, "notices/one.txt", told=told, is_to_decide=row.kind == Kind.TO_DECIDE)


def _digest(person: User, rows: list[Notice]) -> Letter:
    waiting = [_told(row) for row in rows if row.kind == Kind.TO_DECIDE]
    news = [_told(row) for row in rows if row.kind != Kind.TO_DECIDE]
    queue = f"{address()}{reverse('admin:refunds_refund_changelist')}{QUEUE}"
    return _letter(
        person,
        rows,
        capfirst(", ".join(filter(None, (_waiting(waiting), _news(news))))),
        "notices/digest.txt",
        waiting=waiting[:MOST_ROWS],
        more_waiting=len(waiting[MOST_ROWS:]),
        sums=_sums(told.refund for told in waiting),
        news=news[:MOST_ROWS],
        more_news=len(news[MOST_ROWS:]),
        queue=queue,
    )


def _letter(person: User, rows: list[Notice], subject: str, template: str, **words: Any) -> Letter:
    stands_in = [str(delegation.person) for delegation in in_force(person)]
    preferences = f"{address()}{reverse('preferences')}"
    words |= {"person": person, "stands_in": stands_in, "preferences": preferences}
    body = re.sub(r"\n{3,}", "\n\n", render_to_string(template, words).strip()) + "\n"
    return Letter(rows, person.email, " ".join(subject.split()), cards.masked(body))


def _waiting(waiting: Sequence[Told]) -> str:
    number = len(waiting)
    if not number:
        return ""
    text = ngettext("%(number)d refund waits for your decision", "%(number)d refunds wait for your decision", number)
    return text % {"number": number}


def _news(news: Sequence[Told]) -> str:
    number = len(news)
    if not number:
        return ""
    return ngettext("news of %(number)d of your refunds", "news of %(number)d of your refunds", number) % {
        "number": number
    }


def _told(row: Notice) -> Told:
    assert row.refund is not None
    assert row.event is not None
    refund, line = row.refund, row.event
    sentence = SENTENCES.get(row.kind) or (UNKNOWN if refund.status == Status.UNKNOWN else LOOKED_AT)
    words = [f"  > {said}" for said in line.text.splitlines()] if row.kind in WRITTEN_TO_THE_REQUESTER else []
    order = " ".join(refund.payment.order.split())
    link = f"{address()}{reverse('admin:refunds_refund_change', args=(refund.pk,))}"
    said_by = {"requester": refund.requested_by, "actor": line.actor}
    return Told(refund, order, sentence % said_by, "\n".join(words), link)


def _sums(refunds: Iterable[Refund]) -> list[tuple[str, Money]]:
    """Totals by mode and currency: sandbox money is never added to real money."""
    sums: dict[tuple[str, str], int] = {}
    for refund in refunds:
        key = refund.account.mode, refund.payment.currency
        sums[key] = sums.get(key, 0) + refund.amount
    return [(mode, Money(minor, currency)) for (mode, currency), minor in sorted(sums.items())]
