"""Outbreaks of Covasim or Starsim, in their own environment.

Started as ``python outbreaks_there.py NAME AGENTS CONTACTS DAYS FIRST``. It reads lines ``BETA
SEED`` and answers each with one line of JSON; the first answer, to no line, says the versions.
"""

import json
import sys
import time
from importlib.metadata import version


class Covasim:
    """A random network of pairs that stay; COVID-19 with the states that Covasim has."""

    def __init__(self, n, contacts, days, first):
        import covasim

        self.package = covasim
        self.options = {
            "pop_size": n,
            "contacts": contacts,
            "n_days": days,
            "pop_infected": first,
            "pop_type": "random",
            "verbose": 0,
        }

    def made(self, beta, seed):
        """Return a simulation that is ready to run."""
        sim = self.package.Sim(**self.options, beta=beta, rand_seed=seed)
        sim.initialize()
        return sim

    def seen(self, sim):
        """Return how many were infected, and how many pairs meet."""
        pairs = sum(len(layer) for layer in sim.people.contacts.values())
        return float(sim.results["cum_infections"].values[-1]), pairs


class Starsim:
    """SIR with seven infectious days, on pairs that stay or are drawn anew each day."""

    network = "StaticNet"

    def __init__(self, n, contacts, days, first):
        import starsim

        self.package = starsim
        self.n, self.contacts, self.days, self.first = n, contacts, days, first

    def made(self, beta, seed):
        """Return a simulation that is ready to run."""
        ss = self.package
        disease = ss.SIR(
            beta=ss.perday(beta),
            dur_inf=ss.constant(ss.days(7)),
            init_prev=self.first / self.n,
            p_death=0,
        )
        sim = ss.Sim(
            n_agents=self.n,
            start=ss.date("2020-01-01"),
            dur=ss.days(self.days),
            dt=ss.days(1),
            diseases=disease,
            networks=getattr(ss, self.network)(n_contacts=self.contacts),
            rand_seed=seed,
            verbose=0,
        )
        sim.init()
        return sim

    def seen(self, sim):
        """Return how many were infected, and how many pairs meet."""
        return float(sim.results.sir.cum_infections[-1]), len(sim.networks[0])


class StarsimDaily(Starsim):
    """The same with other contacts each day."""

    network = "RandomNet"


MODELS = {"covasim": Covasim, "starsim": Starsim, "starsim-daily": StarsimDaily}


def main(name, *numbers):
    """Answer until there are no more lines."""
    model = MODELS[name](*map(int, numbers))
    names = ("numpy", "numba", name.partition("-")[0])
    print(json.dumps({each: version(each) for each in names}), flush=True)
    for line in sys.stdin:
        beta, seed = line.split()
        began = time.perf_counter()
        sim = model.made(float(beta), int(seed))
        made = time.perf_counter()
        cpu = time.process_time()
        sim.run()
        row = {"seconds": time.perf_counter() - made, "cpu": time.process_time() - cpu}
        infections, pairs = model.seen(sim)
        row |= {"setup": made - began, "infections": infections, "pairs": pairs}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
