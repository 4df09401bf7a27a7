"""The examples of README and of the guides run as printed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    "docs/getting_started.md",
    *sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / "docs/how-to").glob("*.md")
        if path.stem != "index"
    ),
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_run_as_printed_and_then_again_on_their_store(
    document: str, tmp_path: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    assert blocks
    (tmp_path / "example.py").write_text("\n".join(blocks))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
