import numpy as np
import pytest

import toolkit as tk
from toolkit.commands.outcome import CommandError
from toolkit.commands.values import parse_assignments, with_axes, with_selection


def function(
    beta, count=1, model="svm", is_open=True, day=None, lag=None, site="a", rng=None, scale=2.0
):
    return 0.0


def make(**axes: object) -> tk.Sweep:
    return tk.Sweep(function, tk.grid({"beta": [0.1, 0.2, 0.3], **axes}))


def labels(sweep: tk.Sweep, name: str) -> list[object]:
    return sweep.space.to_dataset()[name].values.tolist()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("beta=.1,.25", [0.1, 0.25]),
        ("beta=.7", [0.7]),
        ("beta=1,2", [1.0, 2.0]),
        ("beta=0.1:0.5:5", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("beta=-1e-3:1e-3:3", [-1e-3, 0.0, 1e-3]),
        ("count=3,4", [3, 4]),
        ("count=1:5:5", [1, 2, 3, 4, 5]),
        ("count=1:2:3", [1, 1.5, 2]),
        ("model=rbf,svm", ["rbf", "svm"]),
        ("is_open=false", [False]),
    ],
)
def test_set_replaces_the_values_of_an_axis(text: str, found: list[object]) -> None:
    sweep = make(count=[1, 2], model=["svm", "linear"], is_open=[True, False])
    name = text.partition("=")[0]
    changed = with_axes(sweep, [text])
    assert labels(changed, name) == found
    assert set(changed.space.sizes) == set(sweep.space.sizes)


def test_a_range_of_an_axis_of_whole_numbers_has_whole_numbers() -> None:
    changed = with_axes(make(count=[1, 2]), ["count=10:30:3"])
    assert labels(changed, "count") == [10, 20, 30]
    assert changed.space.values([0])["count"] == [10]
    assert isinstance(changed.space.values([0])["count"][0], int)


def test_set_gives_a_constant_one_value_or_makes_it_an_axis() -> None:
    sweep = make(count=7)
    assert with_axes(sweep, ["count=9"]).space.values([0])["count"] == [9]
    assert "count" not in with_axes(sweep, ["count=9"]).space.sizes
    assert with_axes(sweep, ["count=9,10"]).space.sizes["count"] == 2


def test_set_applies_the_conditions_of_the_space_again() -> None:
    space = tk.grid(beta=[0.1, 0.2], count=[1, 2]).where(lambda beta, count: beta * count < 0.3)
    changed = with_axes(tk.Sweep(function, space), ["beta=.1,.14", "count=1,2,3"])
    assert len(changed.space) == 4


def test_set_keeps_the_store_and_the_seed(tmp_path) -> None:
    sweep = tk.Sweep(function, {"beta": [0.1]}, store=tmp_path / "a.zarr", seed=4)
    changed = with_axes(sweep, ["beta=.3"])
    assert (changed.store, changed.seed) == (sweep.store, 4)


@pytest.mark.parametrize(("text", "size"), [("trial=2", 2), ("trial=9", 9)])
def test_set_gives_replicates_their_number(text: str, size: int) -> None:
    sweep = tk.Sweep(function, tk.grid(beta=[0.1], trial=tk.replicates(5)))
    assert with_axes(sweep, [text]).space.sizes["trial"] == size


def test_dates_and_durations_are_read_as_such() -> None:
    sweep = make(
        day=np.array(["2024-01-01", "2024-06-01", "2025-01-01"], dtype="M8[D]"),
        lag=np.array([1, 2], dtype="m8[h]"),
    )
    changed = with_axes(sweep, ["day=2030-01-01,2031-01-01", "lag=3h"])
    assert changed.space.sizes == {"beta": 3, "day": 2, "lag": 1}
    assert with_selection(sweep, ["day=2024-06-01"]).space.sizes == {"beta": 3, "lag": 2}
    assert with_selection(sweep, ["day=:2024"]).space.sizes["day"] == 2
    assert with_selection(sweep, ["day=2024-01-01T00:00:2024-07-01T12:30"]).space.sizes["day"] == 2
    assert with_selection(sweep, ["lag=2h"]).space.sizes["day"] == 3


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("beta=.2:.3", 2),
        ("beta=.2:", 2),
        ("beta=:.1", 1),
        ("beta=.1,.3", 2),
        ("beta=.3,", 1),
        ("beta=0.3", None),
        ("model=svm", None),
        ("model=a,b", None),
        ("model=c:d", None),
        ("model=svm,c:d", 2),
    ],
)
def test_sel_takes_a_label_a_list_or_a_slice(text: str, size: int | None) -> None:
    sweep = make(model=["svm", "a,b", "c:d"])
    name = text.partition("=")[0]
    assert with_selection(sweep, [text]).space.sizes.get(name) == size


def test_labelled_objects_are_chosen_by_label_and_never_made_from_text() -> None:
    sweep = make(scale={"small": np.zeros(2), "large": np.ones(9)})
    assert with_axes(sweep, ["scale=large"]).space.sizes["scale"] == 1
    with pytest.raises(tk.SpaceError, match="huge"):
        with_axes(sweep, ["scale=huge"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("beta", "is not NAME=VALUE"),
        ("beta=", "is not NAME=VALUE"),
        ("=1", "is not NAME=VALUE"),
        ("beta=red", "numbers"),
        ("beta=.1,,.2", "empty value"),
        ("beta=1:2:x", "start:stop:n"),
        ("beta=1:2:0", "start:stop:n"),
        ("trial=many", "replicates"),
        ("is_open=perhaps", "true and false"),
        ("day=tomorrow", "dates"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, says: str) -> None:
    sweep = tk.Sweep(
        function,
        tk.grid(
            beta=[0.1],
            trial=tk.replicates(2),
            is_open=[True],
            day=np.array(["2024-01-01"], dtype="M8[D]"),
        ),
    )
    with pytest.raises(CommandError, match=says):
        with_axes(sweep, [text])


def test_an_unknown_name_lists_what_there_is() -> None:
    for change in (with_axes, with_selection):
        with pytest.raises(tk.SpaceError, match="beta"):
            change(make(), ["betta=.1"])


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(CommandError, match="beta=a,b"):
        parse_assignments(["beta=1", "beta=2"])
