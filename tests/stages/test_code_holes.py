"""Changes that are easy to overlook, and differences that are none."""

# ruff: noqa: E501 - programs, each as one text
import ast
import itertools
import os
import subprocess
import sys
import textwrap
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.stages.code import code_hash

NUMBER = itertools.count()
HEAD = """
    import dataclasses, enum, functools
    import numpy as np
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return what makes a module of a text on disk, by which ``model`` in it is hashed."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(text, name="study_of_test"):
        path = tmp_path / f"{next(NUMBER)}" / f"{name}.py"
        path.parent.mkdir()
        path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(text))
        module = types.ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(path.read_text(), str(path), "exec"), vars(module))
        return code_hash(module.model)

    return made


CHANGES = {
    "an alias that leads elsewhere": (
        "def a(x): return x\ndef b(x): return -x\nf, g = a, b\ndef model(x): return f(x) + 2 * g(x)",
        ("f, g = a, b", "f, g = b, a"),
        {"model"},
    ),
    "closures that are exchanged": (
        "def make(k):\n    return lambda x: k * x\nf, g = make(2), make(3)\n"
        "def model(x): return f(x) - g(x)",
        ("f, g = make(2), make(3)", "f, g = make(3), make(2)"),
        {"make.<lambda>.k", "make.<lambda>#2.k"},
    ),
    "a function in a nested list": (
        "def a(x): return x + 1\nRULES = {'all': [[a]]}\ndef model(x): return RULES['all'][0][0](x)",
        ("x + 1", "x + 2"),
        {"a"},
    ),
    "the body of a wrapper that bears the name of what it wraps": (
        "def twice(f):\n    @functools.wraps(f)\n    def wrapper(x): return 2 * f(x)\n    return wrapper\n"
        "@twice\ndef model(x): return x",
        ("2 * f(x)", "3 * f(x)"),
        {"twice.wrapper"},
    ),
    "what is wrapped": (
        "def twice(f):\n    @functools.wraps(f)\n    def wrapper(x): return 2 * f(x)\n    return wrapper\n"
        "@twice\ndef model(x): return x",
        ("def model(x): return x", "def model(x): return -x"),
        {"model"},
    ),
    "an argument of a decorator": (
        "def times(k):\n    def wrap(f):\n        def inner(x): return k * f(x)\n        return inner\n"
        "    return wrap\nK = 2\n@times(K)\ndef model(x): return x",
        ("K = 2", "K = 3"),
        {"times.wrap.inner.k"},
    ),
    "a cached helper": (
        "@functools.lru_cache\ndef a(x): return x\ndef model(x): return a(x)",
        ("def a(x): return x", "def a(x): return -x"),
        {"a"},
    ),
    "a default of a dataclass": (
        "@dataclasses.dataclass\nclass P:\n    rate: float = 0.5\n"
        "def model(x): return P().rate * x",
        ("0.5", "0.6"),
        {"P.rate"},
    ),
    "a factory of a dataclass": (
        "def rates(): return [1]\n@dataclasses.dataclass\nclass P:\n"
        "    rates: list = dataclasses.field(default_factory=rates)\n"
        "def model(x): return P().rates[0] * x",
        ("return [1]", "return [2]"),
        {"rates"},
    ),
    "a field of an object": (
        "class P:\n    def __init__(self, rate): self.rate = rate\nCONFIG = P(1)\n"
        "def model(x): return CONFIG.rate * x",
        ("P(1)", "P(2)"),
        {"CONFIG"},
    ),
    "a slot of an object": (
        "class P:\n    __slots__ = ('rate',)\n    def __init__(self, rate): self.rate = rate\n"
        "CONFIG = P(1)\ndef model(x): return CONFIG.rate * x",
        ("P(1)", "P(2)"),
        {"CONFIG"},
    ),
    "a method of an inherited class": (
        "class Q:\n    def f(self, x): return x\nclass P(Q): pass\ndef model(x): return P().f(x)",
        ("return x\n", "return -x\n"),
        {"Q.f"},
    ),
    "a property": (
        "class P:\n    @property\n    def rate(self): return 1\ndef model(x): return P().rate * x",
        ("return 1", "return 2"),
        {"P.rate"},
    ),
    "a value of an enum": (
        "class Kind(enum.Enum):\n    A = 1\n    B = 2\ndef model(x): return Kind.A.value * x",
        ("A = 1", "A = 3"),
        None,
    ),
    "a partial": (
        "def f(k, x): return k * x\nmodel = functools.partial(f, 2)",
        ("f, 2", "f, 3"),
        {"f as given"},
    ),
    "a bound method": (
        "class P:\n    def __init__(self, k): self.k = k\n    def f(self, x): return self.k * x\n"
        "model = P(2).f",
        ("P(2)", "P(3)"),
        {"P.f as given"},
    ),
    "an attribute of a function": (
        "def model(x): return model.rate * x\nmodel.rate = 1",
        ("rate = 1", "rate = 2"),
        {"model.rate"},
    ),
    "a small array": (
        "TABLE = np.array([1., 2.])\ndef model(x): return TABLE[0] * x",
        ("[1., 2.]", "[1., 3.]"),
        {"TABLE"},
    ),
    "an array of another type": (
        "TABLE = np.array([1, 2])\ndef model(x): return TABLE[0] * x",
        ("[1, 2]", "[1., 2.]"),
        {"TABLE"},
    ),
    "a dict": (
        "T = {'a': {'b': 1}}\ndef model(x): return T['a']['b'] * x",
        ("'b': 1", "'b': 2"),
        {"T"},
    ),
    "an int that becomes a float": (
        "K = 1\ndef model(x): return K * x",
        ("K = 1", "K = 1."),
        {"K"},
    ),
    "an object of a library": (
        "import pathlib, datetime\nP = pathlib.Path('a'), datetime.date(2020, 1, 1)\n"
        "def model(x): return P, x",
        ("2020, 1, 1", "2020, 1, 2"),
        {"P"},
    ),
    "a registered implementation": (
        "@functools.singledispatch\ndef f(x): return x\n@f.register\ndef g(x: int): return x + 1\n"
        "def model(x): return f(x)",
        ("x + 1", "x + 2"),
        {"g"},
    ),
    "a function that np.vectorize holds": (
        "def f(x): return x + 1\nv = np.vectorize(f)\ndef model(x): return v(x)",
        ("x + 1", "x + 2"),
        {"f"},
    ),
    "a lambda beside another one": (
        "f, g = lambda x: x, lambda x: x + 1\ndef model(x): return f(x) * g(x)",
        ("lambda x: x + 1", "lambda x: x + 2"),
        {"<lambda>#2"},
    ),
    "a test for membership": (
        "def model(x): return x in {'a', 'b'}",
        ("'b'", "'c'"),
        {"model"},
    ),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_a_change_is_found_by_name(made, case):
    text, (old, new), names = case
    before = made(text)
    assert old in text
    assert made(text) == before
    after = made(text.replace(old, new))
    assert after.token != before.token
    if names is not None:
        assert set(after.changes(before.parts)) == names


SAME = {
    "comments and blank lines": ("# here\n\n", ""),
    "docstrings": ('"""Explain."""', '"""Explain at length."""'),
    "another constant that stands alone": ("...", "pass"),
    "annotations of a function": ("x: float", "x"),
    "parentheses and quotes": ('(x + K) * 2 + len("a")', "((x + K)*2) + len('a')"),
    "an unused name": ("UNUSED = 1", "UNUSED = 2"),
    "an attribute of the name of a global": ("UNUSED = 1", "real = 2"),
    "the way a number is written": ("K = 1000", "K = 1_000"),
}
PLAIN = '''
UNUSED = 1
K = 1000

# here

def helper(x: float):
    """Explain."""
    ...
    return (x + K) * 2 + len("a") + np.complex128(1).real

class Holder:
    """Explain."""
    def f(self, x):
        """Explain."""
        return helper(x)

def model(x: float): return Holder().f(x)
'''


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_is_no_change_of_code_is_none(made, change):
    assert change[0] in PLAIN
    assert made(PLAIN) == made(PLAIN.replace(*change))


COUNTERS = """
    class Counter:
        total = 0
        def __init__(self): self.n, self.seen, self.k = 0, {{}}, {k}
        def __call__(self, x):
            self.n += 1
            self.seen[x] = 1
            Counter.total += 1
            return self.k * x
    COUNT = Counter()
    LOG = []
    RNG = np.random.default_rng(0)
    STATE = {{'calls': 0}}
    def note(x): LOG.append(x)
    def model(x):
        note(x)
        STATE['calls'] += 1
        model.calls = x
        return COUNT(x) + len(LOG) + RNG.random()
"""


def test_what_the_code_itself_changes_is_no_constant(made):
    before = made(COUNTERS.format(k=2))
    model = sys.modules["study_of_test"].model
    for x in range(3):
        model(x)
    assert code_hash(model) == before
    assert made(COUNTERS.format(k=3)).changes(before.parts) == ["COUNT", "Counter.__init__"]


def test_a_module_that_is_imported_inside_of_the_function_counts_from_the_first(
    made, tmp_path, monkeypatch
):
    text = "def model(x):\n    import inner_of_test\n    return inner_of_test.f(x)"
    for body in ("x + 1", "x + 2"):
        monkeypatch.delitem(sys.modules, "inner_of_test", raising=False)
        (tmp_path / "inner_of_test.py").write_text(f"def f(x): return {body}\n")
        os.utime(tmp_path / "inner_of_test.py", (next(NUMBER) * 10**6,) * 2)
        before = made(text)
        assert "inner_of_test.f" in before.parts
        sys.modules["study_of_test"].model(1)
        assert made(text) == before
        if body == "x + 1":
            first = before
    assert before.changes(first.parts) == ["inner_of_test.f"]


def test_a_file_that_is_edited_after_it_was_loaded_does_not_deceive(made):
    before = made("def model(x): return x + 1")
    module = sys.modules["study_of_test"]
    names = dict(vars(module))
    fresh = types.FunctionType(
        compile("def model(x): return x + 3", module.__file__, "exec").co_consts[0], names, "model"
    )
    assert code_hash(fresh).token != before.token
    with open(module.__file__, "w") as file:
        file.write("def model(x): return x + 2\n")
    assert code_hash(module.model) == before


SCRIPT = """
    import functools, sys
    import numpy as np
    from helper_of_script import grow
    RATES = {"a": 0.5, "b": {1, 2, 3}}
    NAMES = frozenset(["x", "y", "z"])
    class Model:
        def step(self, x): return grow(x) * RATES["a"]
    f, g = lambda x: x, lambda x: x in {"p", "q", "r"}
    def model(x): return Model().step(x) + len(NAMES) + f(x) + g(x)
    exec("def plain(x): return x in {'p', 'q', 'r'}")
    if __name__ == "__main__":
        from toolkit.stages.code import code_hash
        print(code_hash(model).token, code_hash(plain).token)
"""


def test_the_hash_is_the_same_in_every_process_as_a_script_and_as_a_module(tmp_path):
    (tmp_path / "script_of_test.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "helper_of_script.py").write_text("def grow(x):\n    return x + 1\n")
    ask = (
        "import script_of_test as s; from toolkit.stages.code import code_hash;"
        "print(code_hash(s.model).token, code_hash(s.plain).token)"
    )
    seen = set()
    for seed, arguments in itertools.product("01", (["script_of_test.py"], ["-c", ask])):
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        seen.add(done.stdout)
    assert len(seen) == 1
    assert len(set(seen.pop().split())) == 2


def spoiled(lines, draw):
    """Return source lines with comments, blank lines and blanks put in."""
    for line in lines:
        yield line + " " * draw(st.integers(0, 3)) + draw(st.sampled_from(["", "  # why", " #"]))
        for _ in range(draw(st.integers(0, 2))):
            yield draw(st.sampled_from(["", "    # more", "# less"]))


TEXT = """
    K = 3
    def helper(x, y=(1, 2.5)):
        if x > K:
            return [x, {'a': y}]
        return K
    def model(x):
        return helper(x * 2)
"""


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_layout_and_comments_never_change_the_hash(tmp_path_factory, data):
    def token(text):
        names = {"__name__": "law_of_test"}
        path = tmp_path_factory.mktemp("law") / "law.py"
        path.write_text(text)
        exec(compile(text, str(path), "exec"), names)
        return code_hash(names["model"])

    plain = textwrap.dedent(TEXT)
    other = "\n".join(spoiled(plain.splitlines(), data.draw)) + "\n"
    if data.draw(st.booleans()):
        other = ast.unparse(ast.parse(other))
    assert token(other) == token(plain)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.tuples(inner, inner),
                st.dictionaries(st.text(max_size=3), inner, max_size=3),
            ),
            max_leaves=6,
        ),
        min_size=2,
        max_size=2,
    )
)
def test_constants_have_equal_hashes_if_they_are_written_equally(values):
    def token(value):
        def model(x):
            return value, x

        return code_hash(model).token

    first, second = values
    assert (token(first) == token(second)) == (repr(first) == repr(second))
