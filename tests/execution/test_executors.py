"""Specs that no batch needs any more are dropped."""

from types import SimpleNamespace

from toolkit.execution.executors import unused


def test_the_present_spec_and_those_of_batches_that_are_out_are_kept():
    specs = [f"spec-{number}" for number in range(40)]
    out = [SimpleNamespace(token="spec-3"), SimpleNamespace(token="spec-38")]
    dropped = unused(specs, out)
    assert set(specs) - set(dropped) == {"spec-3", "spec-38", "spec-39"}


def test_few_specs_are_not_worth_a_message():
    assert unused([f"spec-{number}" for number in range(17)], []) == []
    assert unused(["spec"], []) == []
