"""Searches by an optimizer alone, without a sweep."""

import math

import numpy as np


def searched(optimizer, function, most=20_000, target=-math.inf):
    """Minimize over [-5, 5]; return the best value and the number of evaluations."""
    best, n = math.inf, 0
    while not optimizer.stopped and n < most and best > target:
        asked = optimizer.ask(most)
        values = function(10 * asked.points - 5)
        optimizer.tell(asked.ids, values)
        best, n = min(best, np.nanmin(values)), n + len(values)
    return best, n
