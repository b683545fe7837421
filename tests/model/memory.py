"""Tables in memory that the services' own code runs on. Transitions, constraints and defaults are the real models'."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.db import IntegrityError
from django.db.models import Q, UniqueConstraint

from refunds.models import Attempt, Declaration, Payment, Refund
from tests.model.query import Query, holds


class Tables:
    """What is stored at this moment; one payment is enough for everything that is asked here."""

    def __init__(self) -> None:
        self.payment: Any = None
        self.refunds: list[RefundRow] = []
        self.dropped: set[str] = set()  # constraints that a mutant has taken away

    def rows(self, model: type) -> list[Any]:
        if model is Payment:
            return [self.payment]
        if model is Refund:
            return self.refunds
        kept = {Attempt: "attempt_rows", Declaration: "declaration_rows"}[model]
        return [row for refund in self.refunds for row in getattr(refund, kept)]


HERE = Tables()


class Row:
    """A stored thing; its constraints are those of the real model."""

    model: type
    pk: int
    uniques: list[tuple[str, Q, list[str]]] = []

    def __init_subclass__(cls) -> None:
        """Its constraints over what changes; the others hold by how a state is built."""
        meta = cls.model._meta
        cls.uniques = [
            (one.name, one.condition, [meta.get_field(name).attname for name in one.fields])
            for one in meta.constraints
            if isinstance(one, UniqueConstraint) and one.condition is not None
        ]

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(self.defaults(), **fields)

    def __copy__(self) -> Any:
        row = self.__class__.__new__(self.__class__)
        row.__dict__.update(self.__dict__)
        return row

    def defaults(self) -> dict[str, Any]:
        return {}

    def demand_unique(self) -> None:
        for name, condition, columns in self.uniques:
            if not holds(condition, self) or name in HERE.dropped:
                continue
            mine = [getattr(self, column) for column in columns]
            rows = (row for row in HERE.rows(self.model) if row.pk != self.pk and holds(condition, row))
            if None not in mine and any([getattr(row, column) for column in columns] == mine for row in rows):
                raise IntegrityError(name)


def defaults_of(model: Any) -> dict[str, Any]:
    """What a fresh row of this model holds."""
    found: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.is_relation:
            found[field.attname] = None
        else:
            found[field.name] = field.get_default()
    return found


class PaymentRow(Row):
    model = Payment
    fresh = defaults_of(Payment)

    def defaults(self) -> dict[str, Any]:
        return {**self.fresh, "pk": 1, "currency": "EUR", "reference": "pay-1", "captured": 1, "account": ACCOUNT}

    @property
    def refunds(self) -> Query:
        return Query(HERE.refunds)

    free, is_over_committed, money = Payment.free, Payment.is_over_committed, Payment.money


class Person:
    def __init__(self, pk: int) -> None:
        self.pk = pk

    def get_username(self) -> str:
        return f"person {self.pk}"


class Reason:
    name, wording, is_active = "Goods returned", "Goods returned", True

    def word_for(self, gateway: str) -> str:
        return ""


class Account:
    pk, slug, gateway, is_active, paused_because, webhook_key = 1, "shop", "model", True, "", ""
    breaker_until, breaker_because, accidents = None, "", 0  # the breaker has tests of its own

    def __str__(self) -> str:
        return self.slug


ACCOUNT, REASON, ALICE = Account(), Reason(), Person(1)


class RefundRow(Row):
    """A refund with everything that hangs on it; its moves are the product's own transitions."""

    model = Refund
    fresh = defaults_of(Refund)
    rule = None
    number, money = Refund.number, Refund.money

    def defaults(self) -> dict[str, Any]:
        pk = len(HERE.refunds) + 1
        own = {"pk": pk, "payment_id": 1, "key": f"00000000-0000-4000-8000-{pk:012d}"}
        people = {"requested_by": ALICE, "requested_by_id": 1, "amount": 1, "reason": REASON}
        own |= {"account": ACCOUNT, "account_id": 1}
        return {**self.fresh, **own, **people, "attempt_rows": [], "declaration_rows": [], "heard": frozenset()}

    def __init__(self, retry_of: RefundRow | None = None, **fields: Any) -> None:
        super().__init__(**fields, retry_of_id=retry_of and retry_of.pk)

    def __copy__(self) -> RefundRow:
        row = super().__copy__()
        row.payment = copy(HERE.payment)
        return row

    @property
    def archived(self) -> Query:
        """Nothing is archived while it lives."""
        return Query([])

    @property
    def retry_of(self) -> RefundRow | None:
        return copy(HERE.refunds[self.retry_of_id - 1]) if self.retry_of_id else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RefundRow) and self.pk == other.pk

    def __str__(self) -> str:
        return f"R-{self.pk}"

    def get_status_display(self) -> str:
        return str(self.status)

    def save(self, **_: Any) -> None:
        HERE.refunds.append(self)
        self.demand_unique()

    @property
    def attempts(self) -> Query:
        return Query(self.attempt_rows)

    @property
    def declarations(self) -> Query:
        return Query(self.declaration_rows)

    @property
    def events(self) -> Query:
        return Query(Line(heard) for heard in self.heard)


for _name in {one.name for one in Refund._meta.get_field("status").get_all_transitions(Refund)}:
    setattr(RefundRow, _name, getattr(Refund, _name))


class Line:
    step, sequence = "", 0

    def __init__(self, heard: str) -> None:
        self.heard = heard


class AttemptRow(Row):
    model = Attempt

    def defaults(self) -> dict[str, Any]:
        return {"outcome": "open", "finished_at": None, "before": {}, "order": {}, "body_digest": "", "wire": "-"}

    @property
    def refund(self) -> RefundRow:
        return HERE.refunds[self.refund_id - 1]


class DeclarationRow(Row):
    model = Declaration


class Table:
    """Stands where a service names a model: `objects` are the rows in memory, everything else is the model's."""

    def __init__(self, model: Any, row: type[Row]) -> None:
        self.model, self.row = model, row

    def __getattr__(self, name: str) -> Any:
        return getattr(Query(HERE.rows(self.model)) if hasattr(Query, name) else self.model, name)

    def __call__(self, **fields: Any) -> Any:
        return self.row(**fields)

    @property
    def objects(self) -> Table:
        return self

    def create(self, refund: RefundRow, **fields: Any) -> Any:
        row = self.row(refund_id=refund.pk, **fields)
        rows = refund.attempt_rows if self.model is Attempt else refund.declaration_rows
        row.pk = 10 * refund.pk + len(rows)
        row.demand_unique()
        rows.append(row)
        return row


class Atomic:
    """What was changed in the block is taken back when it raises."""

    def __init__(self, *, savepoint: bool = True) -> None:
        """Every block of ours has one."""

    def __enter__(self) -> None:
        rows = [HERE.payment, *HERE.refunds, *(one for refund in HERE.refunds for one in refund.attempt_rows)]
        self.kept = [(row, dict(row.__dict__)) for row in rows]

    def __exit__(self, kind: type | None, *_: object) -> None:
        for row, was in self.kept if kind else ():
            row.__dict__.clear()
            row.__dict__.update(was)


class Transaction:
    atomic = Atomic

    @staticmethod
    def on_commit(*_: Any, **__: Any) -> None:
        """Wake-ups are only hints."""
