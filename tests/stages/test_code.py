import importlib.util
import sys
import textwrap
import time

import numpy as np
import pytest

from toolkit.stages.code import code_hash

MODEL = """
    import math
    import numpy as np
    import helper_of_test
    from helper_of_test import scale

    RATE = 0.5
    TABLE = np.arange(3)

    def inner(x):
        return x * RATE

    class Rule:
        factor = 2
        def apply(self, x):
            return inner(x) * self.factor

    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    def model(beta):
        # a comment
        return Rule().apply(beta) + scale(beta) + helper_of_test.shift(beta) + math.pi

    def unrelated():
        return 1
"""
HELPER = """
    def scale(x):
        return x * 3

    def shift(x):
        return x + OFFSET

    OFFSET = 4
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    count = 0

    def load(model=MODEL, helper=HELPER):
        nonlocal count
        count += 1
        modules = []
        for name, text in (("helper_of_test", helper), ("model_of_test", model)):
            path = tmp_path / f"{name}{count}.py"
            path.write_text(textwrap.dedent(text))
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
            modules.append(module)
        return modules[1]

    return load


def test_everything_that_the_function_uses_counts(load):
    parts = code_hash(load().model).parts
    helper = {"helper_of_test.scale", "helper_of_test.shift", "helper_of_test.OFFSET"}
    assert set(parts) == {"model", "inner", "Rule", "Rule.apply", "Rule.factor", "RATE"} | helper
    assert not any(name.startswith(("numpy", "math")) for name in parts)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return x * RATE", "return x + RATE", "inner"),
        ("RATE = 0.5", "RATE = 0.6", "RATE"),
        ("factor = 2", "factor = 3", "Rule.factor"),
        ("math.pi", "math.e", "model"),
    ],
)
def test_a_change_is_found_and_named(load, old, new, changed):
    before = code_hash(load().model)
    after = code_hash(load(MODEL.replace(old, new)).model)
    assert after.token != before.token
    assert after.changes(before.parts) == [changed]


def test_a_changed_helper_in_another_module_is_found(load):
    before = code_hash(load().model)
    after = code_hash(load(helper=HELPER.replace("OFFSET = 4", "OFFSET = 5")).model)
    assert after.changes(before.parts) == ["helper_of_test.OFFSET"]


def test_comments_docstrings_layout_and_unrelated_code_do_not_count(load):
    before = code_hash(load().model)
    text = MODEL.replace("# a comment", "# another\n\n        'a docstring'").replace(
        "def unrelated():\n        return 1", "def unrelated():\n        return 2"
    )
    text = text.replace("def inner(x):\n", 'def inner( x ):\n        """Explain."""\n')
    assert text != MODEL
    assert code_hash(load(text).model) == before


def test_cycles_end(load):
    assert set(code_hash(load().even).parts) == {"even", "odd"}


def test_closures_lambdas_and_defaults_count():
    def make(factor, table):
        return lambda x: x * factor + table[0]

    base = code_hash(make(2, np.zeros(3))).token
    assert code_hash(make(2, np.zeros(3))).token == base
    assert code_hash(make(3, np.zeros(3))).token != base
    assert code_hash(make(2, np.ones(3))).token != base


def test_a_function_without_source_is_hashed_by_its_bytecode():
    def made(text):
        names = {"__name__": "__main__"}
        exec(text, names)
        return code_hash(names["f"]).token

    assert made("def f(x): return x + 1") == made("def f(x):  # same\n    return x + 1")
    assert made("def f(x): return x + 1") != made("def f(x): return x + 2")


def test_a_version_replaces_the_hash():
    assert code_hash(len, version="2").token == "version:2"
    assert code_hash(len).token != code_hash(max).token


def test_it_is_quick(load):
    function = load().model
    code_hash(function)
    started = time.perf_counter()
    code_hash(function)
    assert time.perf_counter() - started < 0.2


def test_what_a_function_keeps_count_of_is_no_constant_of_its_code():
    calls, seen, total = [], {}, 0

    def model(x):
        nonlocal total
        calls.append(x)
        seen[x] = 1
        total += x
        return x

    before = code_hash(model).token
    model(3)
    assert code_hash(model).token == before


def test_a_script_has_the_same_code_whatever_its_module_is_called(tmp_path, monkeypatch):
    text = "RATE = 3\ndef helper(x):\n    return x * RATE\ndef model(x):\n    return helper(x)\n"
    monkeypatch.syspath_prepend(tmp_path)
    tokens = set()
    for name in ("script_of_test", "same_script_of_test"):
        (tmp_path / f"{name}.py").write_text(text)
        module = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
        tokens.add(code_hash(module.model).token)
    assert len(tokens) == 1
