"""What the tests show in a browser: an outbreak over two rates, which some of its runs fail."""

OUTBREAK = '''import time

import numpy as np
import toolkit as tk


@tk.stage(outputs={
    "peak": tk.Output(long_name="infected at the peak", units="%"),
    "duration": tk.Output(long_name="days until the last case", units="d"),
})
def outbreak(beta, gamma, rng, pause):
    """An outbreak among a thousand people, day by day, from five cases."""
    time.sleep(pause)
    if beta > 0.5 and gamma < 0.1:
        raise OverflowError(f"{beta / gamma:.0f} people are infected by each: more than are met")
    healthy, ill, peak, day = 995, 5, 5, 0
    while ill and day < 400:
        infected = rng.binomial(healthy, 1 - np.exp(-beta * ill / 1000))
        recovered = rng.binomial(ill, 1 - np.exp(-gamma))
        healthy -= infected
        ill += infected - recovered
        peak = max(peak, ill)
        day += 1
    return {"peak": peak / 10, "duration": day}
'''

# Cells of a notebook, or the end of a script: over 60 x 40 points, twice.
SPACE = """space = tk.grid(
    beta=np.linspace(0.02, 0.61, 60).round(2),
    gamma=np.linspace(0.05, 0.44, 40).round(2),
    trial=tk.replicates(2),
    pause={pause},
)
sweep = tk.Sweep(outbreak, space, store={store!r})
"""
RUNS = 60 * 40 * 2
FAILED = 11 * 5 * 2


def script(store: str, *, pause: float = 0.0) -> str:
    """Return a script that describes the sweep."""
    return OUTBREAK + "\n\n" + SPACE.format(pause=pause, store=store)
