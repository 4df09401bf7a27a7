from pathlib import Path

import pytest

from toolkit.inputs import folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of frozen inputs of this test's own."""
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    return folder.folder()
