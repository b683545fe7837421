"""The rules of the house, checked: who imports whom, who writes a status, and what is really used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django_fsm import FSMField

from refunds.models import Payment, Refund

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION, LONGEST_MODULE = 40, 300


def modules(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if "migrations" not in path.parts]


OURS = modules("gateways", "refunds", "refunds_site")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, with `from a import b` as both a and a.b."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def breaches(rooms: list[Path], *forbidden: str, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{name_of(path)} imports {name}"
        for path in rooms
        for name in imports(path)
        if under(name, *forbidden) and not under(name, *but)
    ]


def test_gateways_know_neither_django_nor_the_back_office() -> None:
    assert breaches(modules("gateways"), "django", "refunds", "refunds_site") == []


def test_no_gateway_knows_another() -> None:
    brands = {path.stem for path in (ROOT / "gateways/sandbox").glob("*.py")} & {
        path.stem for path in (ROOT / "gateways").glob("*.py")
    }
    assert "payerly" in brands
    for brand in brands:
        others = [f"gateways.{other}" for other in brands - {brand}]
        assert breaches([ROOT / f"gateways/{brand}.py"], *others) == []


def test_the_sandbox_shares_no_wire_code_with_the_connectors() -> None:
    shared = ("gateways.money", "gateways.registry", "gateways.sandbox", "gateways.errors")
    # These put connectors through the contract, so they have to know it; they still know no connector.
    judges = {ROOT / f"gateways/sandbox/{name}.py" for name in ("bench", "certify", "in_one_call")}
    assert breaches([path for path in modules("gateways/sandbox") if path not in judges], "gateways", but=shared) == []
    assert breaches(sorted(judges), "gateways", but=(*shared, "gateways.contract")) == []


def test_screens_doors_and_jobs_call_services_and_nothing_below_them() -> None:
    doors = [*modules("refunds/admin", "refunds/management"), ROOT / "refunds/jobs.py"]
    certify, words = ROOT / "refunds/management/commands/certify.py", ("gateways.money", "gateways.errors")
    assert breaches([door for door in doors if door != certify], "gateways", but=words) == []
    assert breaches([certify], "gateways", but=(*words, "gateways.sandbox.certify")) == []  # it runs the contract


def test_the_webhook_door_reaches_gateways_only_through_accounts() -> None:
    words = ("gateways.contract", "gateways.errors", "gateways.cards")
    assert breaches([ROOT / "refunds/webhooks.py"], "gateways", but=words) == []


def test_models_take_no_steps() -> None:
    assert (
        breaches(modules("refunds/models"), "refunds.services", "requests", "gateways", but=("gateways.money",)) == []
    )


def written_statuses(path: Path) -> Iterator[str]:
    """Assignments to `.status` and `status=` handed to a query that writes."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Attribute) and target.attr == "status" for target in targets):
                yield f"{name_of(path)}:{node.lineno}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            writes = node.func.attr in ("update", "create", "bulk_create", "bulk_update", "update_or_create")
            if writes and any(keyword.arg == "status" for keyword in node.keywords):
                yield f"{name_of(path)}:{node.lineno}"


@pytest.mark.promise("I19")
def test_only_two_services_write_a_status() -> None:
    writers = {line.split(":")[0] for path in modules("refunds") for line in written_statuses(path)}
    assert writers == {"refunds.services.steps", "refunds.services.adopt"}


@pytest.mark.promise("I6")
def test_there_is_no_float_near_money() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("gateways", "refunds")
        for node in ast.walk(tree(path))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
        or (isinstance(node, ast.Attribute) and node.attr in ("FloatField", "DecimalField"))
    ]
    assert found == []


@pytest.mark.promise("I6")
def test_no_amount_is_ever_divided_into_fractions() -> None:
    found = [
        f"{name_of(path)}: {ast.unparse(node)}"
        for path in modules("gateways", "refunds")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
    ]
    # A slash joins paths, too, and two pauses are shares of a second.
    pauses = ["gateways.contract: 1000000 / number", "gateways.sandbox.desk: TICK.total_seconds() / 10"]
    assert [line for line in found if "'" not in line] == pauses


def test_nothing_happens_behind_a_save() -> None:
    for path in modules("refunds"):
        names = {node.name for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)}
        assert not names & {"save", "delete", "save_model", "delete_model", "save_related"}, name_of(path)
        assert not [name for name in imports(path) if "signals" in name], name_of(path)


NETS = [
    "gateways.pay3",
    "gateways.signing",
    "gateways.tokens",
    "refunds.checks",
    "refunds.services.batches",
    "refunds.services.bundle",  # one refund's trouble must not lose the answers of the others in its call
    "refunds.services.replay",
    "refunds.services.turns",
    "refunds.services.workbook",
    "refunds.webhooks",
    "refunds.worker",
]


def test_every_net_that_catches_everything_is_known() -> None:
    broad = [
        name_of(path)
        for path in modules("refunds", "gateways")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))
    ]
    broad = [name for name in broad if not under(name, "gateways.sandbox")]
    assert sorted(set(broad)) == NETS


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_every_module_says_what_lives_in_it_and_stays_small(path: Path) -> None:
    module = tree(path)
    assert ast.get_docstring(module) or not path.read_text().strip()
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f.name for f in functions if f.end_lineno - f.lineno + 1 > LONGEST_FUNCTION]
    assert long == []


def test_every_connector_can_be_read_in_one_go() -> None:
    for path in (ROOT / "gateways").glob("*.py"):
        if (ROOT / "gateways/sandbox" / path.name).exists() and path.stem != "__init__":
            assert len(path.read_text().splitlines()) <= 200


def test_the_named_libraries_are_really_what_does_the_work() -> None:
    used = {path: set(imports(path)) for path in OURS}
    assert any("requests" in names for path, names in used.items() if under(name_of(path), "gateways"))
    assert "environ" in used[ROOT / "refunds_site/environment.py"]
    for model in (Payment, Refund):
        status = model._meta.get_field("status")
        assert isinstance(status, FSMField)
        assert status.protected
        assert list(status.get_all_transitions(model))


@pytest.mark.django_db
def test_postgresql_is_spoken_to_by_psycopg() -> None:
    from django.db import connection

    if connection.vendor == "postgresql":
        connection.ensure_connection()
        assert type(connection.connection).__module__.startswith("psycopg")
    else:
        assert connection.vendor == "sqlite"
