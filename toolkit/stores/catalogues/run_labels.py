"""The labels of a run, as the run itself and errors name them."""

from typing import Any

import numpy as np

from toolkit.stores.catalogues.catalogue import Catalogue


def labels_of_run(catalogue: Catalogue, run: int) -> dict[str, object]:
    """Return the label of each parameter of a run, None where it does not matter."""
    found = catalogue.labels(np.array([run]))
    return {
        name: None if inactive[0] else _scalar(label[0])
        for name, (label, inactive) in found.items()
    }


def _scalar(label: Any) -> object:
    """Return a number or text as Python's own; dates stay numpy's, as runs receive them."""
    return label.item() if isinstance(label, np.generic) and label.dtype.kind in "biufU" else label
