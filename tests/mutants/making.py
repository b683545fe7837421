"""What could be wrong in a module: one small change each. mutmut names the changes; here they are laid into the text.

mutmut's own runner is not used: it leaves out every decorated function (`@transaction.atomic`, `@property`, `@cache`)
and every table of a module, which is where money and policy are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

import libcst as cst
import libcst.matchers as m
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_string

# Not what a module does: types, names of other modules, sentences for people.
LEFT_OUT = (cst.Annotation, cst.Import, cst.ImportFrom, cst.FormattedString)
TYPE_VARIABLE = m.Assign(value=m.Call(func=m.Name("TypeVar")))


@dataclass(frozen=True)
class Mutant:
    """One change of a module; `where` is the function or method, or "" for what runs when the module is read."""

    where: str
    was: str
    now: str
    source: str = field(repr=False, compare=False)
    is_in_body: bool = field(default=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.where or 'module'}: {self.was} → {self.now or 'nothing'}"


def mutants_of(source: str) -> list[Mutant]:
    """All of a module, each once, those that a compiler refuses left out."""
    module = cst.parse_module(source)
    finder = Finder()
    module.visit(finder)
    found = {}
    for old, new, where, is_in_body in finder.found:
        changed = module.deep_replace(old, new).code
        try:
            compile(changed, "mutant", "exec", dont_inherit=True)
        except SyntaxError:
            continue
        was, now = lines_between(source, changed)
        if was != now:
            mutant = Mutant(where, was, now, changed, is_in_body)
            found.setdefault(mutant, mutant)
    return list(found.values())


def lines_between(source: str, changed: str) -> tuple[str, str]:
    old, new = source.splitlines(), changed.splitlines()
    steps = [step for step in difflib.SequenceMatcher(None, old, new, False).get_opcodes() if step[0] != "equal"]
    first, last = steps[0], steps[-1]
    return one_line(old[first[1] : last[2]]), one_line(new[first[3] : last[4]])


def one_line(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


class Finder(cst.CSTVisitor):
    """Walks a module and gathers (node, node instead, function, whether in its body)."""

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, str, bool]] = []
        self.names: list[str] = []
        self.bodies: list[cst.CSTNode] = []
        self.said: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, LEFT_OUT) or is_log(node) or m.matches(node, TYPE_VARIABLE):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef) and not self.bodies:
            self.names.append(node.name.value)
            if isinstance(node, cst.FunctionDef):
                self.bodies.append(node.body)
        if isinstance(node, cst.Raise) and isinstance(node.exc, cst.Call):
            self.said.append(node.exc)
        is_in_body = bool(self.bodies) and self._is_inside
        self.found += [(node, new, ".".join(self.names), is_in_body) for new in self._instead_of(node)]
        if self.bodies and node is self.bodies[0]:
            self._is_inside = True
        return True

    _is_inside = False

    def on_leave(self, node: cst.CSTNode) -> None:
        if self.bodies and node is self.bodies[0]:
            self._is_inside = False
        if isinstance(node, cst.FunctionDef) and self.bodies and node.body is self.bodies[0]:
            self.bodies.pop()
            self.names.pop()
        elif isinstance(node, cst.ClassDef) and not self.bodies:
            self.names.pop()

    def _instead_of(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        yield from left_out_or_turned(node)
        for kind, operator in mutation_operators:
            if not isinstance(node, kind):
                continue
            if operator is operator_string:
                if isinstance(node, cst.SimpleString) and " " not in node.value:
                    yield from list(operator(node))[:1]
            elif operator is operator_arg_removal:
                # None in place of an argument; whoever raises says something to people.
                if node not in self.said:
                    yield from (new for new in operator(node) if len(new.args) == len(node.args))
            else:
                yield from operator(node)


def left_out_or_turned(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """What mutmut has no operator for, and what a missing guard looks like: no call, no refusal, the wrong branch."""
    if isinstance(node, cst.Raise) or (isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)):
        yield cst.Pass()
    if isinstance(node, cst.If):
        bare = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(
            test=cst.UnaryOperation(cst.Not(), bare), whitespace_before_test=cst.SimpleWhitespace(" ")
        )


def is_log(node: cst.CSTNode) -> bool:
    call = m.Call(func=m.Attribute(value=m.Name("log")))
    return m.matches(node, m.Expr(value=call))
