"""Tries mutants: tests are collected once, and each mutant lives in a fork that runs the tests which reach it.

A mutant inside a function is laid into the living function, decorated or not; any other is read in place of its module
by a fork from before anything was imported. The work tree is never written to.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import sys
import threading
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.making import Mutant

LONGEST = 1800  # seconds; what takes longer hangs, and is found by that; inside a function it is found sooner
OPTIONS = ["-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
Tell = Callable[[Mutant, bool], None]
CACHED = type(cache(len))  # what it knows already, it would never ask a mutant


def try_all(file: Path, tests: list[str], mutants: list[Mutant], folder: Path, tell: Tell) -> None:
    """Tell of each mutant whether a test went red. Raises RuntimeError where the tests are red without any mutant."""
    before = codes(file.read_text())
    living = [mutant for mutant in mutants if fits(before.get(mutant.where), mutant)]
    bench = Bench(file, living, folder, tell)
    if not passes(lambda: pytest.main([*OPTIONS, *tests], plugins=[bench]) == 0, seconds=0):
        raise RuntimeError(f"The tests of {file} are not green: {' '.join(tests)}")
    others = [mutant for mutant in mutants if mutant not in living]
    if others and not passes(lambda: run_anew(file, replace(others[0], source=file.read_text()), tests, folder)):
        raise RuntimeError(f"Read anew, {file} is not green as it is.")
    for mutant in others:
        tell(mutant, not passes(lambda mutant=mutant: run_anew(file, mutant, tests, folder)))


def passes(work: Callable[[], bool], seconds: int = LONGEST) -> bool:
    """Whether this is true in a fork that says nothing and leaves nothing behind."""
    if child := os.fork():
        return os.waitpid(child, 0)[1] == 0
    signal.alarm(seconds)
    is_good = False
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        is_good = work()
    finally:
        os._exit(0 if is_good else 1)


def codes(source: str) -> dict[str, types.CodeType]:
    """The code of each function and method in a module's text, by its qualified name."""
    found, left = {}, [compile(source, "module", "exec", dont_inherit=True)]
    while left:
        inner = [const for const in left.pop().co_consts if isinstance(const, types.CodeType)]
        found.update((code.co_qualname, code) for code in inner)
        left += inner
    return found


def fits(code: types.CodeType | None, mutant: Mutant) -> bool:
    """Whether the living function can take the mutant's code."""
    if not mutant.is_in_body or code is None:
        return False
    return codes(mutant.source)[mutant.where].co_freevars == code.co_freevars


class Bench:
    """In place of pytest's own loop: all tests once, noting who reaches what, and then one fork for each mutant."""

    def __init__(self, file: Path, mutants: list[Mutant], folder: Path, tell: Tell) -> None:
        self.file, self.mutants, self.folder, self.tell = file, mutants, folder, tell
        self.module = ".".join(file.relative_to(Path.cwd()).with_suffix("").parts)
        self.living: dict[str, list[types.FunctionType]] = defaultdict(list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        quick_database(self.folder)
        notes = self.folder / "reached.json"
        cached = [thing for thing in gc.get_objects() if isinstance(thing, CACHED)]
        self.cached = [thing for thing in cached if getattr(thing, "__module__", "") == self.module]
        if session.testsfailed or not passes(lambda: self.all_once(session, notes), seconds=1800):
            raise session.Failed("red without any mutant")
        by_function: dict[str, list[str]] = defaultdict(list)
        usual: dict[str, float] = defaultdict(float)
        for test, seconds, names in json.loads(notes.read_text()):
            for name in names:
                by_function[name].append(test)
                usual[name] += seconds
        for thing in gc.get_objects():
            if isinstance(thing, types.FunctionType) and thing.__code__.co_filename == str(self.file):
                self.living[thing.__code__.co_qualname].append(thing)
        gc.freeze()  # what a fork does not touch is not copied
        for number, mutant in enumerate(self.mutants):
            tests, seconds = by_function[mutant.where], 60 + 10 * int(usual[mutant.where])
            unchanged = replace(mutant, source=self.file.read_text())
            if not number and not passes(lambda one=unchanged, tests=tests: self.one(session, one, tests), seconds):
                raise session.Failed("red though nothing was changed")
            self.tell(mutant, not passes(lambda one=mutant, tests=tests: self.one(session, one, tests), seconds))
        return True

    def all_once(self, session: pytest.Session, notes: Path) -> bool:
        watch = Watch(self.file, self.cached)
        session.config.pluginmanager.register(watch)
        is_green = run(session)
        told = sorted(watch.reached.items(), key=lambda pair: watch.seconds[pair[0]])
        notes.write_text(json.dumps([(test, watch.seconds[test], sorted(names)) for test, names in told]))
        return is_green

    def one(self, session: pytest.Session, mutant: Mutant, tests: list[str]) -> bool:
        by_name = {item.nodeid: item for item in session.items}
        session.items = [by_name[test] for test in tests]
        for function in self.living[mutant.where]:
            function.__code__ = codes(mutant.source)[mutant.where]
        for function in self.cached:
            function.cache_clear()
        return run(session)


class Watch:
    """Notes for each test which functions of one file it calls, and how long it takes."""

    def __init__(self, file: Path, cached: list[Any]) -> None:
        self.file, self.cached = str(file), cached
        self.reached: dict[str, set[str]] = {}
        self.seconds: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        names = self.reached[item.nodeid] = set()

        def look(frame: types.FrameType, what: str, _: Any) -> None:
            if what == "call" and frame.f_code.co_filename == self.file:
                names.add(frame.f_code.co_qualname.split(".<locals>")[0])

        for function in self.cached:
            function.cache_clear()
        threading.setprofile(look)
        sys.setprofile(look)
        yield
        sys.setprofile(None)
        threading.setprofile(None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration


def run(session: pytest.Session) -> bool:
    from _pytest.main import pytest_runtestloop

    with suppress(session.Failed, session.Interrupted):
        pytest_runtestloop(session)
    session._setupstate.teardown_exact(None)
    return not session.testsfailed


def run_anew(file: Path, mutant: Mutant, tests: list[str], folder: Path) -> bool:
    """All tests of the module, in a process that has never read it as it is."""
    usual = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> types.CodeType | None:
        if loader.path == str(file):
            return compile(mutant.source, str(file), "exec", dont_inherit=True)
        return usual(loader, fullname)

    SourceFileLoader.get_code = get_code
    return pytest.main([*OPTIONS, *tests], plugins=[Quick(folder)]) == 0


class Quick:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pytest_runtestloop(self) -> None:
        quick_database(self.folder)


def quick_database(folder: Path) -> None:
    """Migrate once; every further test database is a copy of that one."""
    from django.conf import settings
    from django.db import connections
    from django.db.backends.sqlite3.creation import DatabaseCreation

    usual, template = DatabaseCreation.create_test_db, folder / "template.sqlite3"

    def create_test_db(creation: DatabaseCreation, *args: Any, **options: Any) -> str:
        connection = connections[creation.connection.alias]
        if not template.exists():
            usual(creation, *args, **options)
            connection.close()
            shutil.copy(connection.settings_dict["NAME"], template)
            return str(connection.settings_dict["NAME"])
        name = creation._get_test_db_name()
        shutil.copy(template, name)
        connection.close()
        settings.DATABASES[connection.alias]["NAME"] = connection.settings_dict["NAME"] = name
        return name

    DatabaseCreation.create_test_db = create_test_db
