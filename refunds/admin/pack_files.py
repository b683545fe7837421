"""What an evidence pack holds, file by file: never a secret, never a card, never the internal note."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.utils import timezone

from refunds import history, policy, scope, services, sheets, wording
from refunds.admin import pack_verify
from refunds.admin.export import EVENT, written
from refunds.admin.stages import stages
from refunds.admin.timeline import about_its_payment, pretty, timeline
from refunds.history.chain import COVERED
from refunds.models import ArchivedChain, Declaration, Delivery, Event, Refund
from refunds.services.evidence_files import shown_name

Content = Iterable[bytes]
NOT_IN_A_NAME = re.compile(r'[<>:"|?*\\/]')


class Packer:
    """The files for one person: raw exchanges and other people's lines only where this one may see them."""

    def __init__(self, refund: Refund, user: User) -> None:
        self.refund, self.user, self.at = refund, user, timezone.now()
        self.raw = policy.may(user, policy.RAW)
        self.sees_all = scope.limited_to(user) is None
        self.missing: list[Declaration] = []

    def files(self) -> Iterator[tuple[str, Content]]:
        """In the order in which they are read; the page comes late, since it says which evidence is missing."""
        yield "journal.csv", sheets.as_csv(self._table())
        yield "journal.json", _json({"chains": self._chains()})
        yield "checkpoints.json", _json({"checkpoints": [self._shown(seal) for seal in self.seals]})
        yield "verification.txt", self._text("verification.txt")
        if self.raw:
            yield from self._exchanges()
        yield from self._evidence()
        yield "refund.html", self._text("refund.html")
        yield "verify.py", [Path(pack_verify.__file__).read_bytes()]
        yield "README.txt", self._text("README.txt")

    # --- the journal and what proves it ---

    @cached_property
    def chains(self) -> dict[str, list[Event]]:
        """This refund's lines, and its payment's own."""
        lines = Event.objects.select_related("payment", "refund").order_by("sequence")
        return {
            str(self.refund): list(lines.filter(refund=self.refund)),
            f"payment {self.refund.payment_id}": list(lines.filter(payment=self.refund.payment_id, refund=None)),
        }

    @cached_property
    def archived(self) -> dict[str, list[ArchivedChain]]:
        """Of the same chains, what is not here any more."""
        pieces = ArchivedChain.objects.select_related("archive").order_by("first_sequence")
        own = pieces.filter(payment=self.refund.payment_id, refund=None)
        kept = dict(zip(self.chains, (list(pieces.filter(refund=self.refund)), list(own)), strict=True))
        return {of: [piece for piece in kept[of] if not _is_here(piece, lines)] for of, lines in self.chains.items()}

    @cached_property
    def _proof(self) -> tuple[list[history.Seal], list[int]]:
        return history.seals_over(event.pk for lines in self.chains.values() for event in lines)

    @property
    def seals(self) -> list[history.Seal]:
        return self._proof[0]

    @property
    def younger(self) -> list[int]:
        return self._proof[1]

    @cached_property
    def verdict(self) -> history.Verdict:
        return history.verify_payment(self.refund.payment_id)

    def _table(self) -> Iterator[sheets.Row]:
        yield [name for name, _ in EVENT]
        for event in sorted((one for lines in self.chains.values() for one in lines), key=lambda one: one.pk):
            yield [written(value(event)) for _, value in EVENT]

    def _chains(self) -> list[dict[str, Any]]:
        return [
            {"of": of, "archived": [_piece(one) for one in self.archived[of]], "lines": [_line(one) for one in lines]}
            for of, lines in self.chains.items()
        ]

    def _shown(self, seal: history.Seal) -> dict[str, Any]:
        """Digests of other accounts' lines tell nothing but how many there are, and even that is not for everybody."""
        one = seal.checkpoint
        return {
            "sequence": one.sequence,
            "at": _moment(one.at),
            "last_line": one.last_event,
            "previous": seal.previous,
            "digest": one.digest,
            "lines": seal.lines if self.sees_all else None,
        }

    # --- what was said and what was attached ---

    def _exchanges(self) -> Iterator[tuple[str, Content]]:
        for number, attempt in enumerate(self.refund.attempts.order_by("pk").iterator(chunk_size=50), 1):
            head = f"{attempt.kind}, {attempt.outcome}, {_moment(attempt.started_at)}\n{attempt.said}\n"
            texts = [head, *(pretty(exchange) for exchange in attempt.exchanges)]
            yield f"exchanges/{number:03}-{attempt.kind}.txt", [services.to_hand_out("\n\n".join(texts))]
        own = list(self.refund.deliveries.order_by("pk"))
        for number, delivery in enumerate([*own, *about_its_payment(self.refund)], 1):
            yield f"exchanges/webhook-{number:03}.txt", [services.to_hand_out(_delivered(delivery))]

    def _evidence(self) -> Iterator[tuple[str, Content]]:
        for declaration in self.declarations:
            if not declaration.evidence:
                continue
            try:
                file = declaration.evidence.open("rb")
            except OSError:
                self.missing.append(declaration)
                continue
            with file:
                yield f"evidence/{evidence_name(declaration)}", file.chunks()

    @cached_property
    def declarations(self) -> list[Declaration]:
        return list(self.refund.declarations.select_related("proposed_by", "confirmed_by").order_by("pk"))

    # --- what is written for people ---

    def _text(self, template: str) -> Content:
        events = self.chains[str(self.refund)]
        text = render_to_string(
            f"refunds/pack/{template}",
            {
                "refund": self.refund,
                "payment": self.refund.payment,
                "user": self.user,
                "at": self.at,
                "raw": self.raw,
                "sees_all": self.sees_all,
                "details": wording.details(self.refund),
                "stages": stages(self.refund, events),
                "timeline": timeline(self.refund, events, raw=False),
                "approvals": self.refund.approvals.select_related("approver", "acting_for").order_by("pk"),
                "declarations": [(one, evidence_name(one), one in self.missing) for one in self.declarations],
                "missing": [evidence_name(one) for one in self.missing],
                "chains": [(of, len(lines)) for of, lines in self.chains.items()],
                "archived": list(self.archived.items()),
                "verdict": self.verdict,
                "seals": self.seals,
                "younger": [str(number) for number in self.younger],
            },
        )
        return [services.to_hand_out(text)]


def evidence_name(declaration: Declaration) -> str:
    """What the file was called, behind a number of ours, so that no two are the same and none leads anywhere."""
    return f"{declaration.pk}-{NOT_IN_A_NAME.sub('_', shown_name(declaration.evidence_name))}"


def _line(event: Event) -> dict[str, Any]:
    said = {name: getattr(event, name) for name in COVERED}
    return {"line": event.pk, **said, "at": _moment(event.at), "digest": event.digest}


def _is_here(piece: ArchivedChain, lines: list[Event]) -> bool:
    """Its lines have not left the database yet."""
    return bool(lines) and lines[0].sequence <= piece.last_sequence


def _piece(piece: ArchivedChain) -> dict[str, Any]:
    file = {"file": piece.archive.file_name, "sha256": piece.archive.file_digest}
    lines = {"first": piece.first_sequence, "last": piece.last_sequence}
    return {**lines, "previous": piece.previous, "digest": piece.digest, **file}


def _delivered(delivery: Delivery) -> str:
    head = f"{_moment(delivery.received_at)}, {delivery.result}: {delivery.why}\n"
    return "\n".join([head, *(f"{name}: {value}" for name, value in delivery.headers.items()), "", delivery.body])


def _json(value: Any) -> Content:
    return [json.dumps(value, indent=1, ensure_ascii=True).encode()]


def _moment(at: datetime) -> str:
    """As a line's digest covers it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
