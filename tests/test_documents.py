"""The examples of README and of the guides run as printed."""

import logging
import re
import runpy
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
NEEDS = {  # what is not installed everywhere
    "docs/how-to/simulate.md": "torch",
    "docs/how-to/choose_an_optimizer.md": "SALib",
    "docs/how-to/sample_posteriors.md": "dynesty",
}


@pytest.mark.filterwarnings("ignore:.* are stale")  # as the examples of mended functions say
@pytest.mark.parametrize("document", DOCUMENTS)
def test_examples_run_as_printed_and_then_again_on_their_store(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if document in NEEDS:
        pytest.importorskip(NEEDS[document])
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.M | re.S)
    assert blocks
    (tmp_path / "example.py").write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    logger = logging.getLogger("toolkit")
    level = logger.level
    try:
        for _ in range(2):
            runpy.run_path("example.py", run_name="__main__")
    finally:
        logger.setLevel(level)  # one of the examples sets it


@pytest.mark.parametrize("document", ["docs/index.md", *DOCUMENTS])
def test_files_that_a_document_links_to_are_there(document: str) -> None:
    path = ROOT / document
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []
