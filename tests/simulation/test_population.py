"""Populations from files and drawn ones: their structure is what was asked for."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from toolkit.errors import SimulationError
from toolkit.simulation import SEIRD, Population, Runner
from toolkit.simulation.population import HOUSEHOLD_SIZES


@pytest.fixture(scope="module")
def people() -> Population:
    return Population.synthetic(50_000, seed=3)


def test_households_have_the_sizes_that_were_asked_for(people):
    sizes = np.bincount(np.bincount(people["household"]))[1:]
    np.testing.assert_allclose(sizes / sizes.sum(), HOUSEHOLD_SIZES, atol=0.01)


def test_ages_have_their_shares_and_no_child_lives_alone(people):
    age, household = people["age_group"], people["household"]
    np.testing.assert_allclose(np.bincount(age) / len(age), [0.2, 0.6, 0.2], atol=1e-4)
    with_grown_up = np.unique(household[age > 0])
    assert np.isin(household[age == 0], with_grown_up).all()


def test_children_have_a_class_and_adults_a_team(people):
    for name, group, size in (("school", 0, 24), ("work", 1, 12)):
        assert ((people[name] >= 0) == (people["age_group"] == group)).all()
        members = np.bincount(people[name][people[name] >= 0])
        assert set(members.tolist()) <= {size - 1, size, size + 1}


def test_the_network_has_a_layer_for_each_and_the_stated_degrees(people):
    network = people.network(community=6.0, weights={"household": 3.0})
    assert network.names == ("household", "school", "work", "community")
    assert network.weights == (3.0, 1.0, 1.0, 1.0)
    size = np.bincount(people["household"])[people["household"]]
    np.testing.assert_array_equal(network.degree(0).numpy(), size - 1)
    community = network.degree(3).double()
    assert float(community.mean()) == pytest.approx(6.0, rel=0.02)
    assert float(community.var()) == pytest.approx(6.0, rel=0.05)  # Poisson
    offsets, columns = network.rows(1)
    mates = columns[offsets[:-1][people["school"] == 0][0] :][:5]
    assert (people["school"][mates] == 0).all()


def test_the_same_seed_draws_the_same_people_and_another_does_not(people):
    again, other = Population.synthetic(50_000, seed=3), Population.synthetic(50_000, seed=4)
    for name in people:
        np.testing.assert_array_equal(people[name], again[name])
    assert (people["household"] != other["household"]).any()


def test_an_epidemic_runs_on_it(people):
    model = SEIRD(
        people.network(), beta=0.03, fatality=[0.0, 0.002, 0.05], group=people["age_group"]
    )
    run = Runner(model, device="cpu").run(40, seed=1)
    assert int(run.new_infections.sum()) > 1000
    assert int(run.dead[-1]) > 0


@pytest.mark.parametrize("n", [1, 2, 17])
def test_few_agents_make_a_population_too(n):
    people = Population.synthetic(n, children=0.0)
    assert people.n_agents == n
    assert (people["household"] >= 0).all()


def test_populations_are_read_from_files(tmp_path):
    table = pd.DataFrame({"age": [30, 4, 70], "household": [0, 0, 1], "name": ["a", "b", "c"]})
    table.to_parquet(tmp_path / "people.parquet")
    found = Population.from_parquet(str(tmp_path / "people.parquet"), ["age", "household"])
    assert found["age"].tolist() == [30, 4, 70]
    data = xr.Dataset({"age": ("agent", [30, 4]), "table": (("agent", "k"), np.zeros((2, 2)))})
    data.to_zarr(tmp_path / "people.zarr", consolidated=False)
    assert Population.from_zarr(str(tmp_path / "people.zarr"))["age"].tolist() == [30, 4]
    with pytest.raises(SimulationError, match="has no 'sex'"):
        Population.from_zarr(str(tmp_path / "people.zarr"), ["sex"])
    with pytest.raises(SimulationError, match="give numbers"):
        Population.from_parquet(str(tmp_path / "people.parquet"))


def test_nobody_may_change_what_is_known(people):
    with pytest.raises(ValueError, match="read-only"):
        people["age_group"][0] = 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_agents": 0}, "n_agents=0"),
        ({"n_agents": 10, "household_sizes": [0.5, 0.4]}, "which sum to 1"),
        ({"n_agents": 10, "household_sizes": []}, "which sum to 1"),
        ({"n_agents": 10, "children": 1.2}, "children=1.2"),
        ({"n_agents": 10, "children": 0.6, "elders": 0.6}, "above 1 in sum"),
        ({"n_agents": 100, "household_sizes": [1.0], "children": 0.1}, "room for 0.00"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(options, message):
    with pytest.raises(SimulationError, match=message):
        Population.synthetic(**options)


def test_arrays_of_other_lengths_and_unknown_layers_are_refused(people):
    with pytest.raises(SimulationError, match=r"age \(3,\), household \(2,\)"):
        Population.from_arrays(age=[1, 2, 3], household=[0, 0])
    with pytest.raises(SimulationError, match="weights names 'church'"):
        people.network(weights={"church": 1.0})
