"""The innermost loops of an outbreak, compiled by numba: many steps of many runs in one call."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit, uint16, uint32, uint64

from toolkit.simulation.outbreak_rules import AUTO, PULL

# What is compiled cannot be typed for mypy: arguments are arrays, as the docstrings say.
# Words of Philox4x32-10 are those of toolkit.stages.draws_by_counter: the same bits.

_NEVER = -1  # in until: who can fall ill
_GONE = -(2**15)  # and who stays where they are
_BLOCK = 1024  # draws that are made at once
_ROWS = 256  # contacts of so many agents are fetched at once

# How many infectious contacts an agent has in the first layer, with two marks.
_LISTED = 0x4000  # is among those who are drawn for
_AWAY = 0x8000  # cannot fall ill
_COUNT = 0x3FFF

MOST_COUNTED = _COUNT - 1  # contacts of an agent in a layer
PUSHED, PULLED = 1, 2  # bits that say what a step did


class _Desk(NamedTuple):
    """Room for one run at a time: nothing of it outlives a call."""

    met: Any  # by layer and agent: infectious contacts, and marks; uint16
    listed: Any  # who is drawn for
    came: Any  # who is infectious since the last count
    left: Any  # who is so no more
    ill: Any  # who is infectious; kept where these are tested
    heads: Any  # by step: the first of those who leave their compartment then
    following: Any  # by agent: the next of them; -1 for the last
    dose_heads: Any  # the same for those who are vaccinated
    dose_following: Any
    counts: Any  # by compartment: how many are in it
    agents: Any  # a block of those who are drawn for
    words: Any  # their draws
    risks: Any  # and their probabilities of infection


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


@njit
def _draw(key: Any, agents: Any, step: int, stream: int, words: Any) -> None:
    """Put the draws of agents into words; a loop for vector registers."""
    for at in range(len(agents)):
        words[at] = _word(key, agents[at], step, stream)


@njit(inline="always")
def _unit(word: Any) -> Any:
    """Return a draw as a number in [0, 1)."""
    return np.float64(word) * 2.0**-53


@njit(cache=True, nogil=True)
def uniform(seeds: Any, agents: Any, step: int, stream: int) -> Any:
    """Return a number in [0, 1) for each agent and run, float64, shape ``(n_agents, n_runs)``.

    Parameters
    ----------
    seeds
        Of the runs, int64.
    agents
        Whole numbers, int64.
    step, stream
        Words of 32 bits.
    """
    found = np.empty((len(agents), len(seeds)), np.float64)
    words = np.empty(len(agents), np.uint64)
    for run in range(len(seeds)):
        _draw(uint64(seeds[run]), agents, step, stream, words)
        for at in range(len(agents)):
            found[at, run] = _unit(words[at])
    return found


@njit(cache=True, nogil=True)
def play(
    stage: Any,
    until: Any,
    rules: Any,
    runs: Any,
    start: int,
    steps: int,
    observed: Any,
    ways: Any,
) -> None:
    """Go on by many steps, one run after the other, so that one run stays in a core's cache.

    An agent's infectious contacts are not counted anew in each step: who becomes infectious adds
    one to each of its contacts, who is so no more takes it away again. Only those who have some are
    drawn for, and only those whose time is over are moved on.

    Parameters
    ----------
    stage, until
        Of each run and agent, shape ``(n_runs, n_agents)``, uint8 and int16: changed in place.
    rules
        :class:`~toolkit.simulation.outbreak_rules.Rules`.
    runs
        The first of the runs that go on, and the one after the last.
    start, steps
        The first step, and how many.
    observed
        Of shape ``(steps, n_compartments + 1, n_runs)``, int64: is given how many are in each
        compartment after each step, and how many were infected in it.
    ways
        Of shape ``(steps,)``, uint8: is given ``PUSHED`` and ``PULLED`` where a run did so.
    """
    n = stage.shape[1]
    n_ill = n if rules.isolated >= 0 else 0
    n_doses = n if rules.vaccinated >= 0 else 0
    desk = _Desk(
        np.empty((len(rules.rows), n), np.uint16),
        np.empty(n + 1, np.int32),  # one more: what is written there may not count
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n_ill, np.int32),
        np.empty(steps, np.int32),
        np.empty(n, np.int32),
        np.empty(steps, np.int32),
        np.empty(n_doses, np.int32),
        np.empty(len(rules.after), np.int64),
        np.empty(_BLOCK, np.int32),
        np.empty(_BLOCK, np.uint64),
        np.empty(_BLOCK, np.float64),
    )
    for run in range(runs[0], runs[1]):
        _play_run(stage[run], until[run], rules, run, start, steps, desk, observed, ways)


@njit
def _play_run(
    stage: Any,
    until: Any,
    rules: Any,
    run: int,
    start: int,
    steps: int,
    desk: Any,
    observed: Any,
    ways: Any,
) -> None:
    """Go on with one run."""
    key = uint64(rules.seeds[run])
    n_came = _seat(stage, until, rules, start, desk)
    n_left = n_listed = n_ill = 0
    if rules.vaccinated >= 0:
        _plan_doses(key, rules, start, steps, desk)
    for at in range(steps):
        n_came, n_left, n_listed = _move(
            stage, until, rules, run, start, at, desk, n_came, n_left, n_listed
        )
        if rules.vaccinated >= 0:
            _vaccinate(stage, rules, at, desk)
        if rules.isolated >= 0:
            n_ill = _still_ill(stage, rules, desk, n_ill, n_came)
            if start + at >= rules.tests[0]:
                n_left = _isolate(key, stage, rules, start + at, desk, n_ill, n_left)
        if desk.counts[rules.ill] + n_came + n_left > 0:
            if _pulls(rules, desk, n_came, n_left):
                ways[at] |= PULLED
                n_listed = _count_anew(stage, until, rules, desk)
            else:
                ways[at] |= PUSHED
                n_listed = _count_on(rules, desk, n_came, n_left, n_listed)
        before = desk.counts[rules.first]
        n_listed, n_came = _infect(key, stage, until, rules, run, start, at, desk, n_listed)
        n_left = 0
        for code in range(len(desk.counts)):
            observed[at, code, run] = desk.counts[code]
        observed[at, len(desk.counts), run] = desk.counts[rules.first] - before


@njit
def _seat(stage: Any, until: Any, rules: Any, start: int, desk: Any) -> Any:
    """Find once who is where; return how many are infectious."""
    n = len(stage)
    first_layer = desk.met[0]
    for agent in range(n):
        first_layer[agent] = uint16(0) if until[agent] == _NEVER else uint16(_AWAY)
    desk.met[1:] = 0
    desk.heads[:] = -1
    desk.counts[:] = 0
    n_came = elsewhere = 0
    for agent in range(n):
        code = stage[agent]
        if code != 0:
            elsewhere += 1
            desk.counts[code] += 1
            if code == rules.ill:
                desk.came[n_came] = agent
                n_came += 1
            if until[agent] >= start:
                _note(desk, agent, until[agent] - start)
    desk.counts[0] = n - elsewhere
    return n_came


@njit(inline="always")
def _note(desk: Any, agent: int, at: int) -> None:
    """Note that an agent leaves its compartment so many steps after the first, if there is such."""
    if at < len(desk.heads):
        desk.following[agent] = desk.heads[at]
        desk.heads[at] = agent


@njit
def _move(
    stage: Any,
    until: Any,
    rules: Any,
    run: int,
    start: int,
    at: int,
    desk: Any,
    n_came: int,
    n_left: int,
    n_listed: int,
) -> Any:
    """Make the transitions that are due; return how many came, left, and are drawn for."""
    key, t = uint64(rules.seeds[run]), start + at
    agent = desk.heads[at]
    while agent >= 0:
        following = desk.following[agent]
        code = stage[agent]
        to = rules.after[code, 0]
        if rules.after[code, 1] >= 0:
            group = rules.group[agent] if rules.n_groups > 1 else 0
            chance = rules.chance[code, group, run % rules.chance.shape[2]]
            if _unit(_word(key, agent, t, rules.after_streams[code])) < chance:
                to = rules.after[code, 1]
        stage[agent] = to
        desk.counts[code] -= 1
        desk.counts[to] += 1
        if code == rules.ill:
            desk.left[n_left] = agent
            n_left += 1
        if to == rules.ill:
            desk.came[n_came] = agent
            n_came += 1
        lasts = rules.lasts[to, run % rules.lasts.shape[1]]
        if lasts >= 0:
            until[agent] = t + lasts
            _note(desk, agent, at + lasts)
        elif rules.is_open[to]:
            until[agent] = _NEVER
            desk.met[0, agent] = (desk.met[0, agent] & _COUNT) | _LISTED
            desk.listed[n_listed] = agent
            n_listed += 1
        else:
            until[agent] = _GONE
        agent = following
    return n_came, n_left, n_listed


@njit
def _plan_doses(key: Any, rules: Any, start: int, steps: int, desk: Any) -> None:
    """Find who is vaccinated in which of the steps."""
    first, per_step, coverage = rules.doses
    desk.dose_heads[:] = -1
    n = len(desk.dose_following)
    for low in range(0, n, _BLOCK):
        some = np.arange(low, min(low + _BLOCK, n))
        _draw(key, some, 0, rules.vaccination_stream, desk.words)
        for place in range(len(some)):
            unit = _unit(desk.words[place])
            at = np.int64(first) + np.int64(unit / per_step) - start
            if unit < coverage and 0 <= at < steps:
                desk.dose_following[low + place] = desk.dose_heads[at]
                desk.dose_heads[at] = low + place


@njit
def _vaccinate(stage: Any, rules: Any, at: int, desk: Any) -> None:
    agent = desk.dose_heads[at]
    while agent >= 0:
        if stage[agent] == 0:
            stage[agent] = rules.vaccinated
            desk.counts[0] -= 1
            desk.counts[rules.vaccinated] += 1
        agent = desk.dose_following[agent]


@njit
def _still_ill(stage: Any, rules: Any, desk: Any, n_ill: int, n_came: int) -> Any:
    """Bring the list of the infectious up to date; return its length."""
    kept = 0
    for at in range(n_ill):
        agent = desk.ill[at]
        desk.ill[kept] = agent
        kept += stage[agent] == rules.ill
    for at in range(n_came):  # some of whom have left, if the call began with them
        agent = desk.came[at]
        if stage[agent] == rules.ill:
            desk.ill[kept] = agent
            kept += 1
    return kept


@njit
def _isolate(key: Any, stage: Any, rules: Any, t: int, desk: Any, n_ill: int, n_left: int) -> Any:
    """Test the infectious; return how many left."""
    for low in range(0, n_ill, _BLOCK):
        some = desk.ill[low : min(low + _BLOCK, n_ill)]
        _draw(key, some, t, rules.isolation_stream, desk.words)
        for at in range(len(some)):
            if _unit(desk.words[at]) < rules.tests[1]:
                stage[some[at]] = rules.isolated
                desk.counts[rules.ill] -= 1
                desk.counts[rules.isolated] += 1
                desk.left[n_left] = some[at]
                n_left += 1
    return n_left


@njit
def _pulls(rules: Any, desk: Any, n_came: int, n_left: int) -> Any:
    """Return whether contacts are rather counted anew than changed."""
    if rules.contacts != AUTO:
        return rules.contacts == PULL
    work = total = 0
    for offsets, _ in rules.rows:
        total += offsets[-1]
        for at in range(n_came):
            work += offsets[desk.came[at] + 1] - offsets[desk.came[at]]
        for at in range(n_left):
            work += offsets[desk.left[at] + 1] - offsets[desk.left[at]]
    return work > rules.pull_above * total


@njit
def _count_on(rules: Any, desk: Any, n_came: int, n_left: int, n_listed: int) -> Any:
    """Add who came and take away who left; return how many are drawn for.

    Those who are out of it for good are counted too, and wrongly after they were left out once:
    never by so much that their mark is lost.
    """
    marks, listed = desk.met[0], desk.listed
    for layer in range(len(rules.rows)):
        offsets, columns = rules.rows[layer]
        for low in range(0, n_came, _ROWS):
            came = desk.came[low : min(low + _ROWS, n_came)]
            n_listed += _fetch(came, offsets, columns)
            if layer == 0:
                n_listed = _add(came, offsets, columns, marks, listed, n_listed)
            else:
                n_listed = _add_layer(
                    came, offsets, columns, marks, desk.met[layer], listed, n_listed
                )
        for low in range(0, n_left, _ROWS):
            left = desk.left[low : min(low + _ROWS, n_left)]
            n_listed += _fetch(left, offsets, columns)
            _take(left, offsets, columns, desk.met[layer])
    return n_listed


@njit
def _fetch(agents: Any, offsets: Any, columns: Any) -> Any:
    """Return 0, once the contacts of agents are in the cache.

    Loads that do not wait for each other overlap, which halves the time of a count. So that they
    are made, the result hangs on them: no contact is below 0.
    """
    last = len(columns) - 1
    found = 0
    if last >= 0:
        for agent in agents:
            found |= columns[min(offsets[agent], last)]
    return np.int64(found < 0)


@njit
def _add(came: Any, offsets: Any, columns: Any, marks: Any, listed: Any, n_listed: int) -> Any:
    """Count those who came in the first layer, which has the marks."""
    for agent in came:
        for edge in range(uint32(offsets[agent]), uint32(offsets[agent + 1])):
            other = uint32(columns[edge])
            mark = marks[other]
            marks[other] = uint16(mark + 1) | uint16(_LISTED)
            listed[uint32(n_listed)] = other
            n_listed += mark < _LISTED
    return n_listed


@njit
def _add_layer(
    came: Any, offsets: Any, columns: Any, marks: Any, counts: Any, listed: Any, n_listed: int
) -> Any:
    """Count those who came in another layer."""
    for agent in came:
        for edge in range(uint32(offsets[agent]), uint32(offsets[agent + 1])):
            other = uint32(columns[edge])
            mark = marks[other]
            counts[other] += uint16(1)
            marks[other] = mark | uint16(_LISTED)
            listed[uint32(n_listed)] = other
            n_listed += mark < _LISTED
    return n_listed


@njit
def _take(left: Any, offsets: Any, columns: Any, counts: Any) -> None:
    for agent in left:
        for edge in range(uint32(offsets[agent]), uint32(offsets[agent + 1])):
            counts[uint32(columns[edge])] -= uint16(1)


@njit
def _count_anew(stage: Any, until: Any, rules: Any, desk: Any) -> Any:
    """Have all agents but those who are out of it count; return how many are drawn for."""
    n_listed = 0
    for agent in range(len(stage)):
        if until[agent] == _GONE:
            continue
        total = 0
        for layer in range(len(rules.back)):
            offsets, columns = rules.back[layer]
            count = 0
            for edge in range(offsets[agent], offsets[agent + 1]):
                count += stage[columns[edge]] == rules.ill
            desk.met[layer, agent] = count
            total += count
        if until[agent] != _NEVER:
            desk.met[0, agent] |= uint16(_AWAY)
        elif total > 0:
            desk.met[0, agent] |= uint16(_LISTED)
            desk.listed[n_listed] = agent
            n_listed += 1
    return n_listed


@njit
def _infect(
    key: Any,
    stage: Any,
    until: Any,
    rules: Any,
    run: int,
    start: int,
    at: int,
    desk: Any,
    n_listed: int,
) -> Any:
    """Draw for all who have infectious contacts; return how many still have, and how many came."""
    t = start + at
    escape = rules.escape[run % len(rules.escape)]
    steps = rules.first_steps[run % len(rules.first_steps)]
    agents, words, risks = desk.agents, desk.words, desk.risks
    n_kept = n_came = 0
    for low in range(0, n_listed, _BLOCK):
        some = desk.listed[low : min(low + _BLOCK, n_listed)]
        n_met = _risks(some, stage, rules, escape, desk.met, agents, risks)
        _draw(key, agents[:n_met], t, rules.infection_stream, words)
        for place in range(n_met):
            agent = agents[place]
            if _unit(words[place]) >= risks[place]:
                desk.listed[n_kept] = agent
                n_kept += 1
                continue
            desk.counts[stage[agent]] -= 1
            desk.counts[rules.first] += 1
            stage[agent] = rules.first
            until[agent] = t + steps
            _note(desk, agent, at + steps)
            desk.met[0, agent] = (desk.met[0, agent] & _COUNT) | _AWAY
            if rules.first == rules.ill:
                desk.came[n_came] = agent
                n_came += 1
    return n_kept, n_came


@njit
def _risks(
    some: Any, stage: Any, rules: Any, escape: Any, met: Any, agents: Any, risks: Any
) -> Any:
    """Find who of some has infectious contacts, and the risk; unlist the others."""
    marks = met[0]
    n_met = 0
    is_simple = len(met) == 1 and rules.n_groups == 1 and rules.vaccinated < 0
    for agent in some:
        count = marks[agent] & _COUNT
        if is_simple:
            risk = 1.0 - escape[0, 0, count]
            total = count
        else:
            kind = np.int64(rules.group[agent]) if rules.n_groups > 1 else 0
            if rules.vaccinated >= 0 and stage[agent] == rules.vaccinated:
                kind += rules.n_groups
            escapes = escape[0, kind, count]
            total = count
            for layer in range(1, len(met)):
                escapes *= escape[layer, kind, met[layer, agent]]
                total |= met[layer, agent]
            risk = 1.0 - escapes
        if total == 0:
            marks[agent] = 0
        else:
            agents[n_met] = agent
            risks[n_met] = risk
            n_met += 1
    return n_met
