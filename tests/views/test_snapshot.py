import json

import jsonschema
import pytest

from tests.views import specimens
from tests.views.schema import assert_described
from toolkit.views.snapshot import Counts


def test_counts_of_stages_are_added_up():
    snapshot = specimens.in_the_middle()
    assert snapshot.counts == Counts(
        done=62_684, failed=1_332, blocked=990, pending=84_994, running=24
    )
    assert snapshot.counts.total == 150_000
    assert snapshot.counts.ended == 65_006
    assert snapshot.rate == pytest.approx(41.5)


def test_the_document_is_json_and_names_its_version():
    document = specimens.in_the_middle().document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["schema"] == "toolkit.snapshot"
    assert document["version"] == 1
    assert document["stages"][1]["counts"]["total"] == 148_500
    assert document["counts"]["total"] == 150_000
    assert document["left"] == {"low": 1_500.0, "high": 2_900.0}
    assert document["failures"][0]["labels"] == {"beta": 0.3, "model": "svm"}


def test_what_is_not_known_is_none_in_the_document():
    document = specimens.at_the_end().document()
    assert document["left"] is None
    assert document["stages"][0]["rate"] is None
    assert specimens.at_the_end().is_ended


@pytest.mark.parametrize("specimen", [specimens.in_the_middle, specimens.at_the_end])
def test_documents_keep_to_their_schema(specimen):
    assert_described(specimen().document())


def test_the_schema_refuses_what_it_does_not_tell_of():
    document = specimens.at_the_end().document()
    with pytest.raises(AssertionError):
        assert_described(document | {"mood": "good"})
    with pytest.raises(jsonschema.ValidationError):
        assert_described(document | {"state": "sleepy"})
