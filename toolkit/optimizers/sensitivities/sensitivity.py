"""Which parameters an output depends on, and by how much.

``tk.sensitivity.saltelli`` and ``tk.sensitivity.morris`` make a space, any sweep runs it, and
``tk.sensitivity.indices`` turns its results into indices with their confidence.
"""

from toolkit.optimizers.sensitivities.designs import morris, saltelli
from toolkit.optimizers.sensitivities.indices import indices

__all__ = ["indices", "morris", "saltelli"]
