"""Evidence and posterior of models that are known exactly, by ``tk.nested_sampling``, seed by seed.

python tests/benchmarks/evidence.py               # a table, as in docs/explanation/benchmarks.md
python tests/benchmarks/evidence.py --seeds 3
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import toolkit as tk

SIGMA = 0.1


@dataclass(frozen=True, kw_only=True)
class Model:
    """A likelihood over arrays, its prior, and what is known of it."""

    log_likelihood: Callable[..., Any]
    prior: dict[str, tuple[float, float]]
    log_evidence: float
    sd: float | None = None  # of each parameter, where that says something
    live_points: int = 500
    effective_samples: int = 5000


def gaussian(x: Any, y: Any, z: Any) -> Any:
    """Three numbers with a standard deviation of 0.1, far inside of their prior."""
    norm = 1.5 * np.log(2 * np.pi * SIGMA**2)
    return -0.5 * (x**2 + y**2 + z**2) / SIGMA**2 - norm


def eggbox(x: Any, y: Any) -> Any:
    """Eighteen peaks of one height (Feroz, Hobson and Bridges, MNRAS 398, 1601, 2009)."""
    return (2 + np.cos(x / 2) * np.cos(y / 2)) ** 5


def shells(x: Any, y: Any) -> Any:
    """Two thin circles (Feroz, Hobson and Bridges, MNRAS 398, 1601, 2009)."""
    parts = [
        -((np.hypot(x - center, y) - 2) ** 2) / (2 * SIGMA**2) - np.log(SIGMA * np.sqrt(2 * np.pi))
        for center in (-3.5, 3.5)
    ]
    return np.logaddexp(*parts)


def by_quadrature(model: Callable[..., Any], *bounds: tuple[float, float], n: int = 4000) -> float:
    """Return the log-evidence of a model of two parameters by the midpoint rule."""
    grids = [low + (high - low) * (np.arange(n) + 0.5) / n for low, high in bounds]
    values = model(grids[0][:, None], grids[1][None])
    top = values.max()
    return float(top + np.log(np.exp(values - top).mean()))


EGG, RING = (0.0, 10 * np.pi), (-6.0, 6.0)
MODELS = {
    "3-d Gaussian": Model(
        log_likelihood=gaussian,
        prior=dict.fromkeys("xyz", (-1.0, 1.0)),
        log_evidence=-3 * np.log(2),
        sd=SIGMA,
    ),
    "eggbox": Model(
        log_likelihood=eggbox,
        prior=dict.fromkeys("xy", EGG),
        log_evidence=by_quadrature(eggbox, EGG, EGG),
    ),
    "Gaussian shells": Model(
        log_likelihood=shells,
        prior=dict.fromkeys("xy", RING),
        log_evidence=by_quadrature(shells, RING, RING),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one seed gave."""

    errors: float  # of the log-evidence, in reported standard errors
    log_evidence: float
    log_evidence_error: float
    evaluations: int
    widths: tuple[float, ...]  # sd of each parameter over the true one


def sampled(model: Model, seed: int) -> Found:
    """Sample a model."""
    found = tk.nested_sampling(
        tk.stage(model.log_likelihood, vectorized=True),
        dict(model.prior),
        live_points=model.live_points,
        effective_samples=model.effective_samples,
        seed=seed,
        progress=False,
    )
    widths: tuple[float, ...] = ()
    if model.sd is not None:
        widths = tuple(float(found.samples[name].std()) / model.sd for name in model.prior)
    return Found(
        errors=(found.log_evidence - model.log_evidence) / found.log_evidence_error,
        log_evidence=found.log_evidence,
        log_evidence_error=found.log_evidence_error,
        evaluations=found.evaluations,
        widths=widths,
    )


def row(name: str, model: Model, all_found: Iterable[Found]) -> str:
    """Return a line of the table."""
    found = list(all_found)
    errors = np.array([each.errors for each in found])
    widths = np.array([width for each in found for width in each.widths])
    parts = [
        name,
        f"{model.log_evidence:.3f}",
        f"{np.mean([each.log_evidence for each in found]):.3f}",
        f"{np.mean([each.log_evidence_error for each in found]):.3f}",
        f"{int((np.abs(errors) <= 3).sum())} of {len(found)}",
        f"{np.abs(errors).max():.2f}",
        f"{np.sqrt((errors**2).mean()):.2f}",
        f"{widths.min():.3f} to {widths.max():.3f}" if widths.size else "",
        f"{int(np.median([each.evaluations for each in found])):,}",
    ]
    return f"| {' | '.join(parts)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    n_seeds = parser.parse_args().seeds
    print(
        "| model | log-evidence | mean found | mean error | within 3 errors | largest, in errors | "
        "rms, in errors | sd over true sd | evaluations |\n" + "| --- " * 9 + "|"
    )
    for name, model in MODELS.items():
        started = time.process_time()
        print(row(name, model, (sampled(model, seed) for seed in range(n_seeds))), flush=True)
        print(f"<!-- {time.process_time() - started:.0f} s of CPU -->", flush=True)


if __name__ == "__main__":
    main()
