"""The labels of runs as numbers, for what is learned from them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toolkit.stores.catalogues.catalogue import Catalogue

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Encode = Callable[[Ids], list[Floats]]


def encoder(
    catalogue: Catalogue, names: tuple[str, ...], ids: Ids
) -> tuple[list[Floats], list[bool], Encode]:
    """Return the labels of runs as numbers, which of them have an order, and what makes others.

    Names are numbered as they come; where a parameter does not matter there is NaN.
    """
    codes: dict[str, dict[object, int]] = {}

    def encode(wanted: Ids) -> list[Floats]:
        columns = []
        for name, (labels, is_inactive) in catalogue.labels(wanted, names).items():
            if labels.dtype.kind in "biufmM":
                column = labels.astype(np.float64)
            else:
                known = codes.setdefault(name, {})
                distinct, inverse = np.unique(labels, return_inverse=True)
                numbers = [known.setdefault(each, len(known)) for each in distinct.tolist()]
                column = np.asarray(numbers, np.float64)[inverse]
            columns.append(np.where(is_inactive, np.nan, column))
        return columns

    features = encode(ids)
    is_number = [
        labels.dtype.kind in "biufmM" for labels, _ in catalogue.labels(ids[:1], names).values()
    ]
    return features, is_number, encode
