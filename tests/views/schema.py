"""The schema of a snapshot's document, and the check of a document against it."""

import json
from pathlib import Path
from typing import Any

import jsonschema

from toolkit.views import snapshot

SCHEMA: dict[str, Any] = json.loads(
    (Path(snapshot.__file__).parent / "schemas" / "snapshot.json").read_text()
)
jsonschema.Draft202012Validator.check_schema(SCHEMA)
_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def assert_described(document: dict[str, Any]) -> None:
    """Check that a document keeps to the schema, and has no key that it does not tell of."""
    _VALIDATOR.validate(document)
    _assert_told(document, SCHEMA)


def _assert_told(value: Any, schema: dict[str, Any]) -> None:
    for option in schema.get("oneOf", []):
        schema = option if option.get("type") != "null" and value is not None else schema
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"])
        for name, each in value.items():
            _assert_told(each, schema["properties"][name])
    if isinstance(value, list):
        for each in value:
            _assert_told(each, schema["items"])
