"""Functions of a number whose formula is known, some corrupted on an interval, and what a claimed
formula is worth beside them: the numeric part of FIND (Schwettmann et al., 2023, arXiv 2309.03886).

A function is a feature whose inputs are numbers; a formula that is claimed is its explanation.
"""

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from gloss.errors import BadInput
from gloss.records import Evaluation, EvaluationRow

DOMAIN = np.arange(-127.5, 128.0)  # where functions are compared
RIGHT = 0.1  # the normalised error below which a formula counts as right
LONGEST = 400  # characters of a formula
NUMBERS: Mapping[str, float] = MappingProxyType({"pi": math.pi, "e": math.e})
FUNCTIONS: Mapping[str, Callable[[ndarray], ndarray]] = MappingProxyType(
    {name: getattr(np, name) for name in ("sin", "cos", "tanh", "exp", "sqrt", "floor", "sign")}
    | {"abs": np.abs, "log": np.log}
)
OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = MappingProxyType(
    dict[type[ast.AST], Callable[..., Any]](
        {
            ast.Add: operator.add,
            ast.Sub: operator.sub,
            ast.Mult: operator.mul,
            ast.Div: np.divide,
            ast.Pow: np.power,
            ast.Mod: np.mod,
            ast.USub: operator.neg,
            ast.UAdd: operator.pos,
        }
    )
)
ATOMS = ("{a} * x + {b}", "{a} * x**2 + {b}", "{a} * abs(x) + {b}", "{b} * sin(x / {c}) + {a}",
         "{b} / (1 + abs(x))", "{a} * floor(x / {c})", "{b} * exp(-((x / {c})**2))", "x % {c}",
         "{b} * tanh(x / {c})", "{a} * sign(x - {b})")  # fmt: skip
JOINTS = ("({one}) + ({other})", "({one}) * ({other})", "{inner}")


@dataclass(frozen=True)
class Formula:
    """An expression in `x` of numbers, + - * / ** % and a few functions; nothing else is run.

    >>> Formula("3 * x + 2").values(np.array([0.0, 1.0])).tolist()
    [2.0, 5.0]
    """

    text: str

    def __post_init__(self) -> None:
        self._tree()

    def values(self, x: Float64[ndarray, " input"]) -> Float64[ndarray, " input"]:
        """At these inputs; what has no value there is not a number."""
        with np.errstate(all="ignore"):
            found = _evaluate(self._tree(), x.astype(np.float64))
        return np.broadcast_to(np.asarray(found, np.float64), x.shape).copy()

    def _tree(self) -> ast.expr:
        """Raises BadInput for what is no formula."""
        if len(self.text) > LONGEST:
            raise BadInput(f"a formula of {len(self.text)} characters; give {LONGEST} or fewer")
        try:
            tree = ast.parse(self.text.strip().replace("^", "**"), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise BadInput(f"{self.text[:60]!r} is no formula of x ({error})") from error
        _require_formula(tree, self.text)
        return tree


def _require_formula(tree: ast.AST, text: str) -> None:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=bool()):
                raise BadInput(f"{text[:60]!r} has a truth value; give numbers")
            case ast.Constant(value=int() | float()) | ast.Load():
                continue
            case ast.Name(id=name) if name == "x" or name in NUMBERS or name in FUNCTIONS:
                continue
            case ast.Call(func=ast.Name(id=name), args=[_], keywords=[]) if name in FUNCTIONS:
                continue
            case ast.BinOp() | ast.UnaryOp():
                continue
            case _ if type(node) in OPERATORS:
                continue
            case _:
                raise BadInput(
                    f"{text[:60]!r} has {type(node).__name__}, which no formula has; write numbers,"
                    f" x, + - * / ** % and {', '.join(FUNCTIONS)}"
                )


def _evaluate(tree: ast.AST, x: ndarray) -> ndarray:
    match tree:
        case ast.Constant(value=int() | float() as value):
            return np.full_like(x, float(value) if value <= sys.float_info.max else math.inf)
        case ast.Name(id="x"):
            return x
        case ast.Name(id=name) if name in NUMBERS:
            return np.full_like(x, NUMBERS[name])
        case ast.Call(func=ast.Name(id=name), args=[given]):
            return FUNCTIONS[name](_evaluate(given, x))
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_evaluate(left, x), _evaluate(right, x))
        case ast.UnaryOp(op=op, operand=given):
            return OPERATORS[type(op)](_evaluate(given, x))
        case _:
            raise BadInput(f"{ast.unparse(tree)[:60]!r} is a function without its input")


@dataclass(frozen=True)
class PlantedFunction:
    """A formula, another one that holds on an interval in its place, and noise on what is told."""

    formula: Formula
    corruption: Formula | None = None
    begins: float = 0.0
    ends: float = 0.0
    noise: float = 0.0  # standard deviation, of the function's own

    def corrupted(self, x: Float64[ndarray, " input"]) -> Bool[ndarray, " input"]:
        """Where the other formula holds."""
        return (x >= self.begins) & (x < self.ends) & (self.corruption is not None)

    def values(self, x: Float64[ndarray, " input"]) -> Float64[ndarray, " input"]:
        """The truth, without noise."""
        found = self.formula.values(x)
        if self.corruption is not None:
            found = np.where(self.corrupted(x), self.corruption.values(x), found)
        return found

    def tell(
        self, x: Float64[ndarray, " input"], rng: np.random.Generator
    ) -> Float64[ndarray, " input"]:
        """What one who asks is told, noise and all."""
        values = self.values(x)
        return values + self.noise * np.nanstd(self.values(DOMAIN)) * rng.standard_normal(len(x))


def draw_function(
    rng: np.random.Generator, *, corrupted: bool = False, noise: float = 0.0
) -> PlantedFunction:
    """One formula, or two that are added, multiplied or put into each other.

    >>> draw_function(np.random.default_rng(0), corrupted=True).corruption is None
    False
    """
    while True:
        joint = str(rng.choice(["", *JOINTS]))
        one, other = _draw_atom(rng), _draw_atom(rng)
        inner = one.replace("x", f"({other})").replace(f"e({other})p", "exp")
        text = joint.format(one=one, other=other, inner=inner) if joint else one
        function = PlantedFunction(Formula(text), noise=noise)
        values = function.values(DOMAIN)
        if np.isfinite(values).all() and 1e-6 < np.std(values) < 1e6:
            break
    if not corrupted:
        return function
    begins, length = float(rng.integers(-110, 80)), float(rng.integers(10, 30))
    level = float(np.round(values.mean() + rng.choice([-3, 3]) * values.std(), 3))
    return replace(function, corruption=Formula(f"{level}"), begins=begins, ends=begins + length)


def _draw_atom(rng: np.random.Generator) -> str:
    a, b, c = (int(rng.choice([-1, 1]) * rng.integers(1, 6)), int(rng.integers(2, 10)),
               int(rng.integers(2, 30)))  # fmt: skip
    return str(rng.choice(ATOMS)).format(a=a, b=b, c=c)


def judge_formula(claimed: Formula, function: PlantedFunction) -> Evaluation:
    """How far a formula is from a function over the whole domain, and on its corrupted interval
    alone, to which the whole is all but blind; beside a claim of nothing but the mean.

        >>> copy = PlantedFunction(Formula("3 * x + 2"), Formula("0"), 10.0, 30.0)
        >>> told = judge_formula(Formula("3 * x + 2"), copy)
        >>> told.value("right"), told.value("right_where_corrupted")
        (1.0, 0.0)
    """
    rows = list[EvaluationRow]()
    parts = {"": np.ones(len(DOMAIN), bool)}
    if (there := function.corrupted(DOMAIN)).any():
        parts["_where_corrupted"] = there
    for name, chosen in parts.items():
        x = DOMAIN[chosen]
        values, n = function.values(x), len(x)
        for kind, said in (("", claimed.values(x)), ("_of_mean", np.full(n, values.mean()))):
            error = normalised_error(said, values)
            right = float(error < RIGHT)
            rows.append(EvaluationRow.exact(f"normalised_error{kind}{name}", error, n, "inputs"))
            rows.append(EvaluationRow.exact(f"right{kind}{name}", right, n, "inputs"))
    return Evaluation("function_benchmark", tuple(rows))


def normalised_error(
    claimed: Float64[ndarray, " input"], truth: Float64[ndarray, " input"]
) -> float:
    """The squared error over the squares of the truth; infinite where the claim has no value.

    Of a truth that is 0 everywhere, 0 for a claim of nothing but 0, and else infinite.
    """
    error, size = float(np.square(claimed - truth).sum()), float(np.square(truth).sum())
    if not math.isfinite(error):
        return math.inf
    return error / size if size else (math.inf if error else 0.0)
