"""The innermost loops of an outbreak, compiled by numba: who meets whom, and who is infected."""

from typing import Any

import numpy as np
from numba import njit, uint32, uint64

_GONE = -(2**15)  # of who cannot fall ill any more
_ROOM = 1024  # for who is infected in a step, doubled where they are more

# What is compiled cannot be typed for mypy: arguments are arrays, as the docstrings say.
# Words of Philox4x32-10 are those of toolkit.stages.draws_by_counter: the same bits.


@njit(inline="always")
def _word(key: Any, agent: Any, step: Any, stream: Any) -> Any:
    """Return the draw of a seed, an agent, a step and a stream, a whole number below 2**53."""
    c0, c1, c2, c3 = uint32(agent), uint32(step), uint32(0), uint32(stream)
    k0, k1 = uint32(key & uint64(0xFFFFFFFF)), uint32(key >> uint64(32))
    for _ in range(10):
        left = uint64(c0) * uint64(0xD2511F53)
        right = uint64(c2) * uint64(0xCD9E8D57)
        c0 = uint32(right >> uint64(32)) ^ c1 ^ k0
        c2 = uint32(left >> uint64(32)) ^ c3 ^ k1
        c1 = uint32(right & uint64(0xFFFFFFFF))
        c3 = uint32(left & uint64(0xFFFFFFFF))
        k0 = uint32(k0 + uint32(0x9E3779B9))
        k1 = uint32(k1 + uint32(0xBB67AE85))
    return (uint64(c0) << uint64(21)) | (uint64(c1) >> uint64(11))


@njit(inline="always")
def _words(seed: int, agents: Any, n: int, step: int, stream: int, words: Any) -> None:
    """Put the draws of the first n agents in one run into words; a loop for vector registers."""
    key = uint64(seed)
    for at in range(n):
        words[at] = _word(key, agents[at], step, stream)


@njit(inline="always")
def _is_below(word: Any, risk: float) -> Any:
    """Return whether a draw is below a probability."""
    return np.float64(word) * 2.0**-53 < risk


@njit(cache=True, nogil=True)
def uniform(seeds: Any, runs: Any, agents: Any, step: int, stream: int) -> Any:
    """Return a number in [0, 1) for each pair of an agent and a run, float64, shape ``(n,)``.

    Parameters
    ----------
    seeds
        Of the runs, int64.
    runs, agents
        Whole numbers, shape ``(n,)``; ``runs`` of shape ``(0,)`` where there is one run.
    step, stream
        Words of 32 bits.
    """
    found = np.empty(len(agents), np.float64)
    if len(runs) == 0:
        words = np.empty(len(agents), np.uint64)
        _words(seeds[0], agents, len(agents), step, stream, words)
        for at in range(len(agents)):
            found[at] = np.float64(words[at]) * 2.0**-53
        return found
    for at in range(len(agents)):
        word = _word(uint64(seeds[runs[at]]), agents[at], step, stream)
        found[at] = np.float64(word) * 2.0**-53
    return found


@njit(cache=True, nogil=True)
def met(cells: Any, until: Any, offsets: Any, columns: Any) -> Any:
    """Return who meets somebody infectious, and how many of these.

    ``until``, which is -1 of all who can fall ill and of nobody else, holds the counts meanwhile:
    no memory is needed for each agent.

    Parameters
    ----------
    cells
        The infectious, ``run * n_agents + agent``, int64.
    until
        Of all cells, int16.
    offsets, columns
        The contacts of each agent: rows of a sparse matrix, int32.

    Returns
    -------
    tuple
        Cells in any order, int64, and their infectious contacts, int64.
    """
    n_agents = len(offsets) - 1
    agents, ends = _by_run(cells, n_agents, len(until) // n_agents)
    found = np.empty(_contacts(agents, offsets), np.int64)
    counts = np.empty(len(found), np.int64)
    some = np.empty(_most(agents, ends, offsets), np.int32)
    n = 0
    for run in range(len(ends) - 1):
        first = run * n_agents
        these = agents[ends[run] : ends[run + 1]]
        touched = _touch(these, first, until, offsets, columns, some)
        for at in range(touched):
            cell = first + some[at]
            found[n] = cell
            counts[n] = -1 - until[cell]
            until[cell] = -1
            n += 1
    return found[:n], counts[:n]


@njit(inline="always")
def _by_run(cells: Any, n_agents: int, n_runs: int) -> Any:
    """Return the agents of cells, those of one run together, and where each run begins and ends."""
    ends = np.zeros(n_runs + 1, np.int64)
    agents = np.empty(len(cells), np.int32)
    if n_runs == 1:
        agents[:] = cells
        ends[1] = len(cells)
        return agents, ends
    for cell in cells:
        ends[cell // n_agents + 1] += 1
    for run in range(n_runs):
        ends[run + 1] += ends[run]
    at = ends[:-1].copy()
    for cell in cells:
        run = cell // n_agents
        agents[at[run]] = cell - run * n_agents
        at[run] += 1
    return agents, ends


@njit(inline="always")
def _contacts(agents: Any, offsets: Any) -> Any:
    """Return how many contacts agents have together."""
    total = 0
    for agent in agents:
        total += offsets[agent + 1] - offsets[agent]
    return total


@njit(inline="always")
def _most(agents: Any, ends: Any, offsets: Any) -> Any:
    """Return how many contacts the agents of one run have together at most."""
    most = 0
    for run in range(len(ends) - 1):
        most = max(most, _contacts(agents[ends[run] : ends[run + 1]], offsets))
    return most


@njit(inline="always")
def _touch(
    agents: Any,
    first: int,
    until: Any,
    offsets: Any,
    columns: Any,
    found: Any,
) -> Any:
    """Put those whom infectious agents of a run meet into found; ``until`` holds their counts."""
    n = 0
    for agent in agents:
        for edge in range(offsets[agent], offsets[agent + 1]):
            other = columns[edge]
            count = until[first + other]
            if _GONE < count < 0:
                found[n] = other
                n += count == -1
                until[first + other] = count - 1
    return n


@njit(cache=True, nogil=True)
def infected_by_push(
    cells: Any,
    until: Any,
    offsets: Any,
    columns: Any,
    escape: Any,
    group: Any,
    stage: Any,
    vaccinated: int,
    n_groups: int,
    seeds: Any,
    step: int,
    stream: int,
) -> Any:
    """Return which cells are infected by those that are infectious.

    Parameters
    ----------
    cells, until, offsets, columns
        As for :func:`met`.
    escape
        Probability to escape so many contacts: by kind, count and run; of one run where all are
        alike. Kinds are the groups, then those of the vaccinated.
    group
        Of each agent, uint8.
    stage, vaccinated
        Of each cell, and which of these it is to be vaccinated; -1 where nobody is.
    n_groups
        How many groups there are.
    seeds, step, stream
        As for :func:`uniform`.
    """
    n_agents = len(offsets) - 1
    is_alike = escape.shape[2] == 1
    agents, ends = _by_run(cells, n_agents, len(seeds))
    met_here = np.empty(_most(agents, ends, offsets), np.int32)
    words = np.empty(len(met_here), np.uint64)
    found = np.empty(_ROOM, np.int64)
    n = 0
    for run in range(len(seeds)):
        first = run * n_agents
        these = agents[ends[run] : ends[run + 1]]
        touched = _touch(these, first, until, offsets, columns, met_here)
        _words(seeds[run], met_here, touched, step, stream, words)
        for at in range(touched):
            agent = met_here[at]
            cell = first + agent
            count = -1 - until[cell]
            until[cell] = -1
            kind = np.int64(group[agent]) if n_groups > 1 else 0
            if vaccinated >= 0 and stage[cell] == vaccinated:
                kind += n_groups
            if _is_below(words[at], 1.0 - escape[kind, count, 0 if is_alike else run]):
                if n == len(found):
                    found = _doubled(found)
                found[n] = cell
                n += 1
    return found[:n].copy()


@njit(inline="always")
def _doubled(found: Any) -> Any:
    """Return an array of twice the room, with what is there."""
    more = np.empty(2 * len(found), np.int64)
    more[: len(found)] = found
    return more


@njit(cache=True, nogil=True)
def infected_by_pull(
    ill: int,
    until: Any,
    offsets: Any,
    columns: Any,
    escape: Any,
    group: Any,
    stage: Any,
    vaccinated: int,
    n_groups: int,
    seeds: Any,
    step: int,
    stream: int,
) -> Any:
    """Return which cells are infected, by a look at the contacts of all who can fall ill.

    Parameters
    ----------
    ill
        The stage of the infectious.
    offsets, columns
        Who has contact with each agent: rows of a sparse matrix, int32.
    until, escape, group, stage, vaccinated, n_groups, seeds, step, stream
        As for :func:`infected_by_push`.
    """
    n_agents = len(offsets) - 1
    is_alike = escape.shape[2] == 1
    met_here, counts = np.empty(n_agents, np.int32), np.empty(n_agents, np.int16)
    words = np.empty(n_agents, np.uint64)
    found = np.empty(_ROOM, np.int64)
    n = 0
    for run in range(len(seeds)):
        first = run * n_agents
        touched = 0
        for agent in range(n_agents):
            if until[first + agent] != -1:
                continue
            count = 0
            for edge in range(offsets[agent], offsets[agent + 1]):
                count += stage[first + columns[edge]] == ill
            met_here[touched] = agent
            counts[touched] = count
            touched += count > 0
        _words(seeds[run], met_here, touched, step, stream, words)
        for at in range(touched):
            agent = met_here[at]
            kind = np.int64(group[agent]) if n_groups > 1 else 0
            if vaccinated >= 0 and stage[first + agent] == vaccinated:
                kind += n_groups
            if _is_below(words[at], 1.0 - escape[kind, counts[at], 0 if is_alike else run]):
                if n == len(found):
                    found = _doubled(found)
                found[n] = first + agent
                n += 1
    return found[:n].copy()
