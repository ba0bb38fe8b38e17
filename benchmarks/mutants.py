"""Small faults put into the code that results rest on, one at a time: does a test fail on each?

`python -m benchmarks.mutants PLACE [--most 60] [--seed 0]` changes one operator, number, condition
or call of a function, in a process of its own, and runs the tests that reach the function. First
come the mutants of `benchmarks.known_mutants`, then so many that are drawn at random. Each is
killed (a test failed), survived (all passed), unreached (no test calls the function), stuck (ended
by a signal, mostly at its limit of CPU seconds, though the same tests without a change end within
half of it) or broken (the tests did not run as they should, which says nothing). All but the killed
are printed. Broken ones, and known ones that are neither killed nor stuck, end in an error.
"""

import argparse
import ast
import builtins
import copy
import gc
import io
import math
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
import pytest

from benchmarks.known_mutants import KNOWN

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "gloss"
# What is changed, as patterns below src/gloss, and the tests that should notice.
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "statistics": (("statistics/*.py",), ("tests/statistics",)),
    "keys": (
        ("run/keys.py", "run/dependencies.py", "run/plan.py", "run/planning.py"),
        (
            "tests/run/test_key_dependencies.py",
            "tests/run/test_keys.py",
            "tests/run/test_planning.py",
        ),
    ),
    "splits": (
        (
            "collect/near_copies.py",
            "collect/split_counts.py",
            "rules/occurrences.py",
            "store/corpus.py",
            "store/contexts.py",
            "store/window_shares.py",
            "sample/examples.py",
            "sample/negatives.py",
            "sample/samplers.py",
            "sample/windows.py",
        ),
        (
            "tests/collect/test_copies.py",
            "tests/sample",
            "tests/store/test_contexts.py",
            "tests/store/test_occurrences.py",
            "tests/store/test_selection.py",
            "tests/store/test_share_of_windows.py",
            "tests/store/test_stored_examples.py",
        ),
    ),
    "scores": (
        (
            "score/collisions.py",
            "score/execution.py",
            "score/mark_matching.py",
            "score/metric_sanity.py",
            "score/simulation_metrics.py",
        ),
        (
            "tests/score/test_execution.py",
            "tests/score/test_base_rate.py",
            "tests/score/test_collisions.py",
            "tests/score/test_fuzzing.py",
            "tests/score/test_rule_collisions.py",
            "tests/score/test_sanity.py",
            "tests/score/test_simulation.py",
            "tests/score/test_tokens_left_out.py",
        ),
    ),
    "judging": (
        ("score/judge/*.py",),
        (
            "tests/score/test_answers.py",
            "tests/score/test_base_rate.py",
            "tests/score/test_correction.py",
            "tests/score/test_detection.py",
            "tests/score/test_doubts.py",
            "tests/score/test_habits.py",
            "tests/score/test_intruder.py",
            "tests/score/test_packing.py",
            "tests/score/test_probabilities.py",
            "tests/score/test_stopping.py",
        ),
    ),
    "faithfulness": (
        ("attribute/result/faithfulness.py", "attribute/result/prediction_r2.py"),
        (
            "tests/attribute/test_auto.py",
            "tests/attribute/test_faithfulness.py",
            "tests/attribute/test_lasso.py",
            "tests/attribute/test_spex.py",
        ),
    ),
}
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATIONS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.MatMult: ast.Sub,
}
CPU_SECONDS = 60  # that a mutant may need besides three times those of its tests
PATIENCE = 5  # seconds that may pass for each of them
VERDICTS = {0: "survived", 1: "killed", 9: "unreached"}  # of exit statuses; 1 is a failed test
BROKEN = 8  # the exit status until the tests have run


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    file: Path
    function: str  # its qualified name
    line: int
    change: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} {self.function}: {self.change}"

    def put_in(self) -> bool:
        """Give every function that was made of this code the changed one."""
        return put_in({(str(self.file), self.function): self.code})


def put_in(codes: dict[tuple[str, str], CodeType]) -> bool:
    """Give every function of these files and qualified names another code; whether there is one."""
    found = False
    for one in gc.get_objects():
        if type(one) is FunctionType:  # asking others for their class may warn
            code = codes.get((one.__code__.co_filename, one.__code__.co_qualname))
            if code and len(one.__code__.co_freevars) == len(code.co_freevars):
                one.__code__, found = code, True
    return found


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Every other form of one node."""
    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in COMPARISONS:
            yield ast.Compare(node.left, [COMPARISONS[type(op)](), *rest], node.comparators)
        case ast.BinOp() if type(node.op) in OPERATIONS:
            yield ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int() | float()):
            yield ast.Constant(node.value + 1)
        case ast.IfExp():
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.Call(keywords=[_, *_]):
            for number, keyword in enumerate(node.keywords):
                if keyword.arg is not None:
                    rest = node.keywords[:number] + node.keywords[number + 1 :]
                    yield ast.Call(node.func, node.args, rest)
        case ast.Call(func=ast.Name(id="min" | "max" | "any" | "all" | "sorted")):
            other = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
            yield ast.Call(ast.Name(other[node.func.id], ast.Load()), node.args, node.keywords)
        case ast.Continue():
            yield ast.Break()


def mutants_of(file: Path) -> Iterator[Mutant]:
    """Every mutant of the functions of a module."""
    tree = ast.parse(file.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    inside = {
        id(child)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
        for child in ast.walk(statement)
    }
    parents = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
    statements = {id(node): one for one in tree.body for node in ast.walk(one)}
    before = {id(one): codes_of_statement(tree, one, file) for one in tree.body}
    for node in nodes:
        if id(node) not in inside:
            continue
        statement = statements[id(node)]
        for change in changes(node):
            other = ast.copy_location(copy.copy(change), node)
            swap(parents[id(node)], node, other)
            codes = codes_of_statement(tree, statement, file)
            swap(parents[id(node)], other, node)
            for (name, old), (_, code) in zip(before[id(statement)], codes, strict=True):
                if code != old:
                    said = f"{ast.unparse(node)[:70]} -> {ast.unparse(other)[:70]}"
                    yield Mutant(file, name, node.lineno, " ".join(said.split()), code)


def codes_of_statement(
    tree: ast.Module, statement: ast.stmt, file: Path
) -> list[tuple[str, CodeType]]:
    """The functions and methods of one statement of a module, which is much less than all."""
    imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    module = ast.fix_missing_locations(ast.Module([*imports, statement], []))
    return list(function_codes(compile(module, str(file), "exec")))


def known_mutants(place: str) -> Iterator[Mutant]:
    """The known mutants of a place. Ends the program where the code is no longer as they say."""
    for name, old, new in KNOWN[place]:
        file = SOURCE / name
        text = file.read_text("utf-8")
        if text.count(old) != 1:
            sys.exit(
                f"{name} holds {old!r} {text.count(old)} times; mend benchmarks/known_mutants.py"
            )
        before, after = (
            dict(function_codes(compile(each, str(file), "exec")))
            for each in (text, text.replace(old, new))
        )
        function = next(each for each in after if after[each] != before[each])
        line = text[: text.index(old)].count("\n") + 1
        yield Mutant(file, function, line, f"{old} -> {new}", after[function])


def swap(parent: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Put another node in the place of a parent's child."""
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
        elif isinstance(value, list):
            value[:] = [new if each is old else each for each in value]


def function_codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    """The outermost functions and methods of a module, with their qualified names."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            if inner.co_flags & 0x2:  # a function's own names: no class body
                yield inner.co_qualname, inner
            else:
                yield from function_codes(inner)


def announcing(file: Path) -> Iterator[tuple[tuple[str, str], CodeType]]:
    """Each function of a module, as one that first says that it is called."""
    tree = ast.parse(file.read_text("utf-8"))
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        prefix, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.ClassDef():
                    waiting.append((f"{prefix}{child.name}.", child))
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    said = ast.parse(f"reached_by_a_test(({str(file)!r}, {prefix + child.name!r}))")
                    child.body[:0] = said.body
                case _:
                    waiting.append((prefix, child))
    for name, code in function_codes(compile(tree, str(file), "exec")):
        yield (str(file), name), code


class Reached:
    """Which functions each test reaches, also by a fixture that an earlier one has made already,
    and how many CPU seconds it takes.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = files
        self.tests: dict[tuple[str, str], dict[str, float]] = {}
        self.met = set[tuple[str, str]]()
        self.made: dict[str, set[tuple[str, str]]] = {}  # what each fixture reaches

    def pytest_collection_finish(self) -> None:
        for file in self.files:
            import_module(".".join(file.relative_to(SOURCE.parent).with_suffix("").parts))
        builtins.reached_by_a_test = lambda one: self.met.add(one)  # type: ignore[attr-defined]
        put_in({key: code for file in self.files for key, code in announcing(file)})

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Iterator[None]:
        before, self.met = self.met, set()
        try:
            return (yield)
        finally:
            self.made.setdefault(fixturedef.argname, set()).update(self.met)
            self.met |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Iterator[None]:
        started = time.process_time()
        self.met = set()
        try:
            return (yield)
        finally:
            for one in self.met.union(*(self.made.get(each, ()) for each in item.fixturenames)):
                self.tests.setdefault(one, {})[item.nodeid] = time.process_time() - started

    def of(self, mutant: Mutant) -> dict[str, float]:
        """The tests that reach a mutant, those that reach the least else first."""
        found = self.tests.get((str(mutant.file), mutant.function), {})
        width = {test: sum(test in each for each in self.tests.values()) for test in found}
        return {test: found[test] for test in sorted(found, key=lambda one: (width[one], one))}


def run_tests(tests: list[str], plugin: object = None) -> tuple[int, str]:
    """The exit status and the last lines of the tests, which end at the first that fails.

    Without a plugin, of a run after the first in this process.
    """
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        settings = ["-x", "-n", "0", "-p", "no:cacheprovider", "--timeout", "0", "--tb", "short"]
        settings += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        # the hook that checks types is in place after the first run, and refuses a second
        settings += [] if plugin else ["-o", "addopts="]
        status = int(pytest.main([*settings, *tests], plugins=[plugin] if plugin else []))
    return status, "\n".join(printed.getvalue().splitlines()[-30:])


def forget() -> None:
    """Empty the caches of functions, which hold what they gave before they were changed."""
    for one in gc.get_objects():
        if type(one) is _lru_cache_wrapper and one.__module__.startswith("gloss"):
            one.cache_clear()


def outcome(mutant: Mutant | None, tests: dict[str, float]) -> str:
    """What the tests that reach a mutant say of it, in this order: see this module's description.

    Of nothing changed they must say that it survived, in half of the CPU seconds.
    """
    if not tests:
        return "unreached"
    seconds = CPU_SECONDS + 3 * sum(tests.values())
    limit = math.ceil(seconds if mutant else seconds / 2)
    child = os.fork()
    if not child:
        status = BROKEN
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            forget()
            status = run_tests(list(tests))[0] if not mutant or mutant.put_in() else 9
        finally:
            os._exit(status)
    end = time.monotonic() + PATIENCE * limit
    while not (done := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    code = os.waitstatus_to_exitcode(done[1])
    return "stuck" if code < 0 else VERDICTS.get(code, "broken")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("place", choices=PLACES)
    asked.add_argument("--most", type=int, default=60)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    patterns, tests = PLACES[given.place]
    files = sorted({file for pattern in patterns for file in SOURCE.glob(pattern)})
    os.chdir(ROOT)
    for test in tests:
        if not Path(test).exists():
            sys.exit(f"there is no {test}; mend {given.place} in benchmarks/mutants.py")
    reached = Reached(files)
    status, printed = run_tests(list(tests), reached)
    if status:
        sys.exit(f"{printed}\nthe tests fail without any change; mend them first")
    said = outcome(None, {test: s for each in reached.tests.values() for test, s in each.items()})
    if said != "survived":
        sys.exit(f"a second run of the tests in one process is {said} without any change")
    known = list(known_mutants(given.place))
    first = report(f"{given.place}, known", known, reached)
    every = [mutant for file in files for mutant in mutants_of(file)]
    drawn = np.random.default_rng(given.seed).permutation(len(every))[: given.most]
    title = f"{given.place}, drawn of {len(every)} with seed {given.seed}"
    then = report(title, [every[number] for number in sorted(drawn.tolist())], reached)
    errors = []
    if broken := first["broken"] + then["broken"]:
        errors.append(f"{broken} mutants are broken: their tests did not run as they should")
    if lost := first["survived"] + first["unreached"]:
        errors.append(f"{lost} known mutants are not killed; write the tests that fail on them")
    if errors:
        sys.exit("\n".join(errors))


def report(title: str, mutants: list[Mutant], reached: Reached) -> Counter[str]:
    """Print what is not killed, and how many are; how many there are of each verdict."""
    from gloss.statistics.intervals import wilson_interval  # after pytest's hook for types

    found = Counter[str]()
    for mutant in mutants:
        said = outcome(mutant, reached.of(mutant))
        found[said] += 1
        if said != "killed":
            print(f"{said}: {mutant}", flush=True)
    share, used = (
        wilson_interval(found["killed"], len(mutants)),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    spent = time.process_time() + used.ru_utime + used.ru_stime
    counts = "".join(f", {number} {said}" for said, number in sorted(found.items()))
    print(
        f"{title}: {len(mutants)} mutants{counts}; {share.value:.3f} killed"
        f" ({share.low:.3f} to {share.high:.3f}); {spent:.0f} CPU s so far",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
