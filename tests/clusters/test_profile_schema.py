"""The JSON Schema of profiles accepts what is accepted, and refuses what is misspelled."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from toolkit.clusters.profile_schema import profile_schema, schema_text

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(profile_schema())


def test_the_schema_among_the_documents_is_up_to_date() -> None:
    path = ROOT / "docs/reference/cluster-profile.schema.json"
    assert path.read_text() == schema_text(), (
        f"run: python -m toolkit.clusters.profile_schema {path}"
    )


@pytest.mark.parametrize("path", sorted((ROOT / "cluster_configs").glob("*.yaml")), ids=str)
def test_profiles_that_ship_keep_to_it(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("kind: local\nworkers: {cpu: {count: 2, memory: auto}}", True),
        ("kind: local\nworkers: {cpu: {count: 2, memory: 4}}", False),
        ("kind: local\nworkers: {cpu: {cores: 2}}", False),
        ("kind: slurm\nqueue: x\ntiers: {t: {memory: 4GB, walltime: 1h, cores: '${N:-2}'}}", True),
        ("kind: slurm\ntiers: {t: {memory: 4 parsecs}}", False),
        ("kind: slurm\ntiers: {t: {walltime: 60}}", False),
        ("kind: slurm\ntires: {}", False),
        ("kind: cloud", False),
    ],
)
def test_what_it_says_of_other_profiles(text: str, is_valid: bool) -> None:
    assert VALIDATOR.is_valid(yaml.safe_load(text)) == is_valid
