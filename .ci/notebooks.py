"""Executes notebooks and cleans them: python .ci/notebooks.py notebooks/*.ipynb.

What is committed is small, the same from any machine, and marked with the code that made it.
"""

import base64
import hashlib
import io
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

SECONDS_FOR_A_CELL = 240
PICTURES_OVER = 4_000  # bytes; smaller ones stay as they are


def read(path: Path) -> NotebookNode:
    """Return a notebook of the format in use."""
    return nbformat.read(path, as_version=4)


def execute(notebook: NotebookNode) -> NotebookNode:
    """Run all cells in a fresh kernel, away from the checkout; raises where a cell does."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=SECONDS_FOR_A_CELL,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": folder}},
        ).execute()
    return notebook


def cleaned(notebook: NotebookNode) -> NotebookNode:
    """Leave out what differs between machines, make pictures small, note the code that ran."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python", "pygments_lexer": "ipython3"},
            "toolkit": {"executed": code_hash(notebook)},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = _smaller(data["image/png"])
            if "text/plain" in data:
                data["text/plain"] = _without_address(data["text/plain"])
    return notebook


def code_hash(notebook: NotebookNode) -> str:
    """Return the hash of all code cells."""
    digest = hashlib.blake2b(digest_size=16)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode() + b"\0")
    return digest.hexdigest()


def results(notebook: NotebookNode) -> list[str]:
    """Return what each code cell says, with ``#`` for all numbers: these may differ."""
    said = []
    for cell in notebook.cells:
        texts = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stdout":
                texts.append(output.text)
            elif output.output_type == "execute_result":
                texts.append(output.data.get("text/plain", ""))
        if cell.cell_type == "code":
            said.append(_without_numbers(" ".join(texts)))
    return said


def _without_address(text: str) -> str:
    return re.sub(r" at 0x[0-9a-f]+\b", "", text)


def _without_numbers(text: str) -> str:
    text = _without_address(" ".join(text.split()))
    text = re.sub(r"\S+?(?=\.{2,}|…)", "0", text)  # a number or nan that was cut off
    text = re.sub(r"[-+]?\d[\d.,:]*(e[-+]?\d+)?|\bnan\b", "#", text)
    text = re.sub(r"#\s?[kMG]?B\b", "#B", text)
    text = re.sub(r"\s*(?:\.{2,}|…)[\s.…]*", " ", text)  # where a repr was cut off moves
    return re.sub(r"#(?:[\s.…-]*#)+", "#", text)


def _smaller(picture: str) -> str:
    """Return a PNG in base64 with 256 colors, which is enough for a plot."""
    from PIL import Image

    raw = base64.b64decode(picture)
    image = Image.open(io.BytesIO(raw))
    if len(raw) < PICTURES_OVER or image.mode == "P":
        return picture
    packed = io.BytesIO()
    image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        packed, "PNG", optimize=True
    )
    return base64.b64encode(packed.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:]:
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()
        nbformat.write(cleaned(execute(read(Path(name)))), name)
