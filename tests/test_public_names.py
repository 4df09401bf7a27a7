"""The public names are those that `toolkit/__init__.py` imports, and its sorted `__all__`."""

import ast
import inspect
from pathlib import Path

import pytest

import toolkit

SOURCE = ast.parse(Path(toolkit.__file__).read_text())


def names_for_types() -> set[str]:
    """Names that the file imports from the rooms, those under ``if TYPE_CHECKING`` included."""
    return {
        alias.asname or alias.name
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("toolkit.")
        for alias in node.names
    }


def names_for_lookup() -> set[str]:
    """Keys of the table that the module's ``__getattr__`` reads: public name -> its module."""
    return {
        str(ast.literal_eval(key))
        for node in ast.walk(SOURCE)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and _is_module(value)
    }


def _is_module(value: ast.expr) -> bool:
    if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        return False
    path = Path(toolkit.__file__).parent / value.value.removeprefix("toolkit.").replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_all_is_sorted_and_names_nothing_twice() -> None:
    assert list(toolkit.__all__) == sorted(set(toolkit.__all__))


def test_all_agrees_with_what_the_file_imports_and_looks_up() -> None:
    exports = [names for names in (names_for_types(), names_for_lookup()) if names]
    assert exports, "toolkit/__init__.py exports nothing"
    for names in exports:
        assert {name for name in names if not name.startswith("_")} == set(toolkit.__all__)


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert {name for name in toolkit.__all__ if not hasattr(toolkit, name)} == set()
    assert set(toolkit.__all__) <= set(dir(toolkit))


def test_every_public_function_and_class_says_what_it_does() -> None:
    public = {name: getattr(toolkit, name) for name in toolkit.__all__}
    mute = [
        name
        for name, value in public.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not value.__doc__
    ]
    assert mute == []


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="swep"):
        _ = toolkit.swep
