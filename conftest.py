"""What cannot be collected where a library is not installed."""

from importlib.util import find_spec

# Each library, and the files whose examples or tests need it as soon as they are read.
NEEDED = {
    "torch": ["toolkit/simulation", "tests/simulation"],
    "SALib": ["toolkit/optimizers/sensitivities"],
    "dynesty": ["toolkit/sampling.py"],
}
collect_ignore = [
    path for library, paths in NEEDED.items() if not find_spec(library) for path in paths
]
