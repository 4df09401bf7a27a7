"""Methods that call a function, as optimizers that ask and are told."""

import threading

import numpy as np
import pytest

from toolkit.optimizers.samplers.inversion import Inversion


def climbing(evaluate):
    """Three generations, each at what the values of the last one say."""
    points = np.linspace(0, 1, 5)[:, None]
    for _ in range(3):
        points = np.clip(points + 0.1 * evaluate(points)[:, None], 0, 1)
    return points


def made():
    return Inversion(climbing, population=5, expected=15)


def test_any_order_and_any_parts_give_the_same():
    whole, parts = made(), made()
    rng = np.random.default_rng(1)
    while len((asked := whole.ask(100)).ids):
        whole.tell(asked.ids, asked.points[:, 0] ** 2)
    while True:
        given = [parts.ask(2), parts.ask(100)]
        ids = np.concatenate([each.ids for each in given])
        if not len(ids):
            break
        assert not len(parts.ask(1).ids)  # while these are under way
        values = np.concatenate([each.points for each in given])[:, 0] ** 2
        for one in rng.permutation(len(ids)):
            parts.tell(ids[[one]], values[[one]])
    assert np.array_equal(whole.result, parts.result)
    assert whole.n_asked == parts.n_asked == 15
    assert whole.expected == 0


def test_generations_are_what_was_asked_for_at_once():
    inversion = made()
    first = inversion.ask(3)
    assert first.generations.tolist() == [0, 0, 0]
    rest = inversion.ask(9)
    inversion.tell(np.append(first.ids, rest.ids), np.zeros(5))
    second = inversion.ask(9)
    assert (second.ids.tolist(), second.generations.tolist()) == ([5, 6, 7, 8, 9], [1] * 5)
    inversion.close()


def test_what_was_not_asked_for_cannot_be_told():
    inversion = made()
    asked = inversion.ask(2)
    with pytest.raises(ValueError, match="not asked for"):
        inversion.tell(np.array([3]), np.zeros(1))
    inversion.tell(asked.ids, np.zeros(2))
    with pytest.raises(ValueError, match="told already"):
        inversion.tell(asked.ids, np.zeros(2))
    inversion.close()


def test_its_state_leads_another_to_the_same_place():
    one = made()
    asked = one.ask(5)
    one.tell(asked.ids, asked.points[:, 0])
    under_way = one.ask(4)
    one.tell(under_way.ids[1:3], np.array([0.5, 0.25]))
    other = made()
    other.restore(one.state())
    for each in (one, other):
        each.tell(under_way.ids[[0, 3]], np.ones(2))
        last = each.ask(1)
        each.tell(last.ids, np.zeros(1))
    assert np.array_equal(one.ask(9).points, other.ask(9).points)
    with pytest.raises(ValueError, match="not begun"):
        other.restore(one.state())
    for each in (one, other):
        each.close()


def test_an_error_of_the_method_is_raised_where_points_are_asked_for():
    def broken(evaluate):
        evaluate(np.zeros((2, 1)))
        raise ZeroDivisionError("of its own")

    inversion = Inversion(broken, population=2, expected=2)
    asked = inversion.ask(2)
    inversion.tell(asked.ids, np.zeros(2))
    with pytest.raises(ZeroDivisionError, match="of its own"):
        inversion.ask(2)


def test_closing_ends_the_thread_wherever_it_is():
    before = threading.active_count()
    inversion = made()
    inversion.ask(3)
    assert threading.active_count() == before + 1
    inversion.close()
    assert threading.active_count() == before
    made().close()  # which has not begun
