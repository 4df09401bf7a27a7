"""Objects of a store are loaded by one call, which says that it unpickles."""

import pytest

import toolkit as tk


class Refuses:
    """What cannot be unpickled."""

    def __reduce__(self):
        return int, ("no number",)


def fit(degree, noise):
    if degree == 3:
        raise ValueError("too many")
    return {"terms": {"degree": degree, "noise": noise}, "score": degree + noise}


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "s.zarr"
    stage = tk.stage(fit, outputs={"terms": object, "score": float})
    tk.Sweep(stage, tk.grid(degree=[3, 1, 2], noise=[0.1, 0.5]), store=folder).run(progress=False)
    return folder


def test_objects_have_the_dims_and_coordinates_of_the_other_outputs(path):
    terms, score = tk.load_objects(path, "terms"), tk.open(path).score
    assert terms.dims == score.dims == ("degree", "noise")
    assert set(terms.coords) == set(score.coords)
    assert terms.sel(degree=2, noise=0.5).item() == {"degree": 2, "noise": 0.5}
    assert terms.sel(degree=3).values.tolist() == [None, None]
    assert (terms.status.sel(degree=3) == tk.Status.FAILED).all()


def test_labels_choose_what_is_unpickled(path, monkeypatch):
    import pickle

    counted = []
    loads = pickle.loads
    monkeypatch.setattr(pickle, "loads", lambda raw: counted.append(1) or loads(raw))
    assert tk.load_objects(path, "terms", degree=1, noise=0.1).item()["degree"] == 1
    assert len(counted) == 1
    some = tk.load_objects(path, "terms", {"degree": [1, 2]}, noise=0.5)
    assert [each["degree"] for each in some.values] == [1, 2]
    assert len(counted) == 3
    assert tk.load_objects(path, "terms", flat=True, run=2).item() == {"degree": 1, "noise": 0.1}
    with pytest.raises(tk.SpaceError, match=r"degree=…, noise=…"):
        tk.load_objects(path, "terms", degree=7)
    with pytest.raises(tk.SpaceError, match="'power'"):
        tk.load_objects(path, "terms", power=7)
    assert len(counted) == 4


def test_what_is_no_object_is_refused(path):
    with pytest.raises(tk.StoreError, match=r"'score' is no object but .*tk\.open"):
        tk.load_objects(path, "score")
    with pytest.raises(tk.StoreError, match=r"no output 'model'\. Its outputs: terms, score"):
        tk.load_objects(path, "model")
    with pytest.raises(tk.StoreError, match="no stage 'other'"):
        tk.load_objects(path, "terms", stage="other")


def test_an_object_that_cannot_be_unpickled_here_is_named(tmp_path):
    stage = tk.stage(lambda x: Refuses(), name="made", outputs={"made": object})
    tk.Sweep(stage, {"x": [1, 2]}, store=tmp_path / "s.zarr").run(progress=False)
    with pytest.raises(tk.StoreError, match=r"'made' of run 0 .*ValueError: invalid literal"):
        tk.load_objects(tmp_path / "s.zarr", "made")
