"""What cannot be collected where a library is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["toolkit/simulation", "tests/simulation"]
