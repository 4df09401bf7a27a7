import importlib
import sys

import cloudpickle

from toolkit.inputs.own_modules import own_modules_by_value


def test_a_module_that_is_loaded_under_two_names_is_pickled_by_value_once(tmp_path, monkeypatch):
    (tmp_path / "module_of_two_names.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("module_of_two_names")
    monkeypatch.setitem(sys.modules, "another_name_of_it", module)
    with own_modules_by_value():
        raw = cloudpickle.dumps(module.double)
    assert "module_of_two_names" not in cloudpickle.list_registry_pickle_by_value()
    monkeypatch.delitem(sys.modules, "module_of_two_names")
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each != str(tmp_path)])
    assert cloudpickle.loads(raw)(4) == 8


def test_a_module_that_calls_itself_what_is_not_loaded_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "module_renamed.py").write_text("__name__ = 'not_loaded_as_this'\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("module_renamed")
    with own_modules_by_value():
        registered = cloudpickle.list_registry_pickle_by_value()
    assert not registered & {"module_renamed", "not_loaded_as_this"}
