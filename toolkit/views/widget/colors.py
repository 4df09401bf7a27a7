"""Colors that grow evenly lighter, and can be told apart by eyes that see fewer of them."""

import numpy as np
import numpy.typing as npt

# Viridis at sixteenths of its length.
_STOPS = (
    "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e "
    "21918c 1fa088 28ae80 3fbc73 5ec962 84d44b addc30 d8e219 fde725"
)


def viridis() -> npt.NDArray[np.uint8]:
    """Return 256 colors from dark to light, shape ``(256, 3)``."""
    stops = _STOPS.split()
    rgb = np.array([[int(stop[at : at + 2], 16) for at in (0, 2, 4)] for stop in stops], float)
    places = np.linspace(0, 255, len(stops))
    columns = [np.interp(np.arange(256), places, rgb[:, band]) for band in range(3)]
    return np.stack(columns, axis=1).round().astype(np.uint8)
