"""The small case with pypet, in its own environment: ``python pypet_runs.py RUNS FOLDER``."""

import json
import logging
import sys
import time

from pypet import Environment, cartesian_product


def small(traj):
    """Add one number as a result."""
    traj.f_add_result("value", traj.x * traj.y)


def main(n, folder):
    """Run, then load all results and take their mean; print seconds as JSON."""
    logging.disable(logging.CRITICAL)
    cpu, started = time.process_time(), time.perf_counter()
    environment = Environment(
        trajectory="runs",
        filename=f"{folder}/runs.hdf5",
        log_config=None,
        log_stdout=False,
        report_progress=False,
        overwrite_file=True,
    )
    traj = environment.trajectory
    traj.f_add_parameter("x", 0.0)
    traj.f_add_parameter("y", 0.0)
    axes = {"x": [float(i) for i in range(n // 10)], "y": [float(i) for i in range(10)]}
    traj.f_explore(cartesian_product(axes))
    environment.run(small)
    environment.disable_logging()
    found = {"write cpu": time.process_time() - cpu, "write": time.perf_counter() - started}
    cpu, started = time.process_time(), time.perf_counter()
    traj.f_load(load_results=2)
    values = [traj.f_get(f"results.runs.{name}.value").data for name in traj.f_get_run_names()]
    mean = sum(values) / len(values)
    found |= {"reduce cpu": time.process_time() - cpu, "reduce": time.perf_counter() - started}
    print(json.dumps({**found, "mean": mean}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
