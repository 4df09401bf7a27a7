"""Labels of single runs, as views show them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.views.plain import plain


def labels_of(catalogue: Catalogue, ids: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the labels of runs by parameter, a dict for each run.

    A parameter that does not matter for a run is left out of its labels, and a label that is
    missing, such as NaN, is None.
    """
    found: list[dict[str, Any]] = [{} for _ in ids]
    if not len(ids):
        return found
    for name, (labels, is_inactive) in catalogue.labels(ids).items():
        for run, label, inactive in zip(found, plain(labels), is_inactive.tolist(), strict=True):
            if not inactive:
                run[name] = label
    return found
