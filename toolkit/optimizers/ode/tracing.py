"""A right-hand side written down: called with symbols, it leaves an expression of each state."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Union

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.system import System

# NumPy's name of each function that may occur, and DiffSL's.
FUNCTIONS = {
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "exp": "exp",
    "log": "log",
    "log10": "log10",
    "sqrt": "sqrt",
    "absolute": "abs",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "arcsinh": "arcsinh",
    "arccosh": "arccosh",
    "maximum": "max",
    "minimum": "min",
}
_OPERATORS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
Operand = Union["Symbol", float]


class NotTracedError(Exception):
    """The right-hand side does something that symbols cannot follow."""


class Symbol:
    """A value that is not known yet: a state, a parameter, the time, or made of these.

    Parameters
    ----------
    kind
        ``"state"``, ``"parameter"``, ``"time"``, or NumPy's name of an operation.
    operands
        Symbols and floats; the number of a state or parameter.
    """

    __slots__ = ("kind", "operands")

    def __init__(self, kind: str, *operands: Operand) -> None:
        self.kind, self.operands = kind, operands

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **options: Any) -> Any:
        name = {"true_divide": "divide", "float_power": "power", "fabs": "absolute"}.get(
            ufunc.__name__, ufunc.__name__
        )
        arrays = [each for each in given if isinstance(each, np.ndarray) and each.ndim]
        if arrays and method == "__call__" and not options:
            objects = [np.asarray(each, object) for each in given]
            shape = np.broadcast_shapes(*(each.shape for each in objects))
            found = np.empty(shape, object)
            for at in np.ndindex(shape):
                found[at] = ufunc(*(np.broadcast_to(each, shape)[at] for each in objects))
            return found
        if method != "__call__" or options:
            raise NotTracedError(f"np.{ufunc.__name__}.{method} of states or parameters")
        return _made(name, *given)

    def __bool__(self) -> bool:
        raise NotTracedError("a condition on states, parameters or the time")

    def __float__(self) -> float:
        raise NotTracedError(
            "a function of plain floats, as those of math are: take that of numpy instead"
        )

    def _not_compared(self, other: object) -> Any:
        del other
        raise NotTracedError("a comparison of states, parameters or the time")

    __lt__ = __le__ = __gt__ = __ge__ = _not_compared

    def __neg__(self) -> Any:
        return _made("negative", self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return _made("absolute", self)


def _forward(name: str) -> Callable[[Any, Any], Any]:
    def forward(self: Any, other: Any) -> Any:
        return _made(name, self, other)

    return forward


def _backward(name: str) -> Callable[[Any, Any], Any]:
    def backward(self: Any, other: Any) -> Any:
        return _made(name, other, self)

    return backward


def _method(name: str) -> Callable[[Any], Any]:
    def method(self: Any) -> Any:  # what NumPy calls for the elements of an array of objects
        return _made(name, self)

    return method


for _name, _word in (
    ("add", "add"),
    ("subtract", "sub"),
    ("multiply", "mul"),
    ("divide", "truediv"),
    ("power", "pow"),
):
    setattr(Symbol, f"__{_word}__", _forward(_name))
    setattr(Symbol, f"__r{_word}__", _backward(_name))
for _name in FUNCTIONS:
    setattr(Symbol, _name, _method(_name))


def _made(name: str, *given: Any) -> Any:
    operands: list[Operand] = []
    for each in given:
        if isinstance(each, np.ndarray) and each.ndim:
            return np.array([_made(name, *_at(given, at)) for at in range(len(each))], object)
        operands.append(each if isinstance(each, Symbol) else float(each))
    if name == "square":
        name, operands = "power", [*operands, 2.0]
    if name == "reciprocal":
        name, operands = "divide", [1.0, *operands]
    if name not in FUNCTIONS and name not in _OPERATORS and name not in ("power", "negative"):
        raise NotTracedError(f"np.{name}")
    return Symbol(name, *operands)


def _at(given: tuple[Any, ...], at: int) -> Iterator[Any]:
    for each in given:
        yield each[at] if isinstance(each, np.ndarray) and each.ndim else each


def traced(system: System) -> tuple[list[Operand], list[Operand]]:
    """Return the derivative and the initial value of each state.

    Raises
    ------
    NotTracedError
        If the right-hand side does what symbols cannot follow.
    SweepError
        If it returns another number of values than there are states.
    """
    assert callable(system.rhs)
    n = len(system.states)
    states = np.empty(n, object)
    states[:] = [Symbol("state", float(number)) for number in range(n)]
    params = [Symbol("parameter", float(number)) for number in range(len(system.parameters))]
    row = system.row(*params)
    try:
        rates = list(np.atleast_1d(np.array(system.rhs(Symbol("time"), states, row), object)))
        if callable(system.initial):
            starts = list(np.atleast_1d(np.array(system.initial(row), object)))
        else:
            starts = [
                params[system.parameters.index(each)] if isinstance(each, str) else each
                for each in system.initial or ()
            ]
    except NotTracedError:
        raise
    except (TypeError, ValueError, IndexError) as error:
        raise NotTracedError(str(error)) from error
    if len(rates) != n or len(starts) != n:
        raise SweepError(f"rhs and initial must return {n} values, one for each state.")
    return [_operand(each) for each in rates], [_operand(each) for each in starts]


def diffsl_of(system: System) -> str:
    """Return a system as DiffSL text.

    Raises
    ------
    NotTracedError, SweepError
        As :func:`traced`.
    """
    rates, starts = traced(system)
    names: dict[int, str] = {}
    lines: list[str] = []
    uses = _uses([*rates, *starts])

    def text(operand: Operand) -> str:
        if not isinstance(operand, Symbol):
            return f"({operand!r})" if operand < 0 else repr(operand)
        if id(operand) in names:
            return names[id(operand)]
        found = _spelled(operand, text)
        if uses[id(operand)] > 1 and operand.kind not in _LEAVES:
            name = names[id(operand)] = f"mid{_letters(len(names))}"
            lines.append(f"{name} {{ {found} }}")
            return name
        return found

    first = ", ".join(f"sta{_letters(j)} = {text(each)}" for j, each in enumerate(starts))
    lines, before = [], lines
    last = ", ".join(map(text, rates))
    params = ", ".join(f"par{_letters(j)} = 1.0" for j in range(len(system.parameters)))
    head = [f"in_i {{ {params} }}", *before, f"u_i {{ {first} }}"]
    return "\n".join([*head, *lines, f"F_i {{ {last} }}"])


def evaluate(
    operand: Operand, leaves: Mapping[str, Any], functions: Any, known: dict[int, Any]
) -> Any:
    """Return the value of an expression.

    Parameters
    ----------
    operand
        What to evaluate.
    leaves
        ``"state"`` and ``"parameter"``, each by number, and ``"time"``.
    functions
        A module with functions of NumPy's names.
    known
        What has been evaluated, by identity.
    """
    if not isinstance(operand, Symbol):
        return operand
    if operand.kind == "time":
        return leaves["time"]
    if operand.kind in _LEAVES:
        return leaves[operand.kind][int(operand.operands[0])]  # type: ignore[arg-type]
    if id(operand) not in known:
        values = [evaluate(each, leaves, functions, known) for each in operand.operands]
        known[id(operand)] = _PYTHON.get(operand.kind) or getattr(functions, operand.kind)
        known[id(operand)] = known[id(operand)](*values)
    return known[id(operand)]


_LEAVES = ("state", "parameter", "time")
_PYTHON: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "negative": lambda a: -a,
}


def _operand(value: Any) -> Operand:
    return value if isinstance(value, Symbol) else float(value)


def _uses(operands: list[Operand]) -> Counter[int]:
    uses: Counter[int] = Counter()
    waiting = list(operands)
    while waiting:
        each = waiting.pop()
        if isinstance(each, Symbol):
            uses[id(each)] += 1
            if uses[id(each)] == 1:
                waiting += each.operands
    return uses


def _spelled(symbol: Symbol, text: Callable[[Operand], str]) -> str:
    if symbol.kind == "time":
        return "t"
    if symbol.kind in _LEAVES:
        return f"{symbol.kind[:3]}{_letters(int(symbol.operands[0]))}"  # type: ignore[arg-type]
    parts = [text(each) for each in symbol.operands]
    if symbol.kind in _OPERATORS:
        return f"({parts[0]} {_OPERATORS[symbol.kind]} {parts[1]})"
    if symbol.kind == "negative":
        return f"(-1.0 * {parts[0]})"
    if symbol.kind == "power":
        power = symbol.operands[1]
        if power == 2.0 and getattr(symbol.operands[0], "kind", "") in _LEAVES:
            return f"({parts[0]} * {parts[0]})"
        return f"pow({parts[0]}, {parts[1]})"
    return f"{FUNCTIONS[symbol.kind]}({', '.join(parts)})"


def _letters(number: int) -> str:
    """Return a number in letters: names with digits may be reserved."""
    digits = 1 if number < 26 else math.floor(math.log(number, 26)) + 1
    return "".join(chr(97 + number // 26**place % 26) for place in range(digits - 1, -1, -1))
