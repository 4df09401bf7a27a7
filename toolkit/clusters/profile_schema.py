"""The JSON Schema of profiles, for editors that check and complete YAML."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from toolkit.clusters.layers import SPELLINGS
from toolkit.clusters.settings import ClusterSettings

_TITLE = "A cluster profile of parallel-analysis-toolkit"


def profile_schema() -> dict[str, Any]:
    """Return the schema, in which texts may hold ``${VARIABLE}`` in the place of any value."""
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[ClusterSettings, Field(discriminator="kind")])
    schema = adapter.json_schema()
    for definition in schema["$defs"].values():
        _complete(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": _TITLE,
        **schema,
    }


def schema_text() -> str:
    """Return the schema as it lies among the documents."""
    return json.dumps(profile_schema(), indent=1, ensure_ascii=False) + "\n"


def _complete(definition: dict[str, Any]) -> None:
    """Allow variables and older names; what the site may say is not required of the profile."""
    properties = definition["properties"]
    for name, asked in list(properties.items()):
        if name not in ("kind", "tiers", "prologue", "resources"):
            properties[name] = _or_variable(asked)
    for older, name in SPELLINGS.items():
        if name in properties:
            properties[older] = {"$comment": f"the same as {name}", **properties[name]}
    needed = [name for name in definition.get("required", []) if name == "kind"]
    definition["required"] = needed


def _or_variable(asked: dict[str, Any]) -> dict[str, Any]:
    outside: dict[str, Any] = {key: asked[key] for key in ("default",) if key in asked}
    inside = {key: value for key, value in asked.items() if key not in ("title", "default")}
    choices = inside["anyOf"] if set(inside) == {"anyOf"} else [inside]
    if {"type": "string"} in choices:
        return {**outside, **inside}
    variable = {"type": "string", "pattern": r"\$\{[^{}]+\}"}
    return {**outside, "anyOf": [*choices, variable]}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")
