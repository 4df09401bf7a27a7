"""The arrays and attributes of one stage, laid out for the runs and outputs it has."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.stages.schema import Schema
from toolkit.stores.arrays.axes import delete_outdated, load_catalogue, save_catalogue
from toolkit.stores.arrays.chunks import Stored, array_name
from toolkit.stores.arrays.hierarchy import Hierarchy, pieces
from toolkit.stores.arrays.layout import (
    ATTRIBUTE,
    RUN,
    STATE_ATTRIBUTES,
    array_document,
    check_names,
    plain_attributes,
    state_key,
)
from toolkit.stores.arrays.parameters import Parameters, chunk_for, is_too_fine
from toolkit.stores.arrays.values import Values
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.catalogues.makers import MADE_BY, Makers
from toolkit.stores.runs.lineage import restated
from toolkit.stores.runs.state import FIELDS, NUMBERS


class StageLayout:
    """Keeps the metadata of one stage in step with its catalogue and its outputs.

    Only the coordinator uses it. Every change ends in one commit of the hierarchy.
    """

    def __init__(self, hierarchy: Hierarchy, stage: str, group: str) -> None:
        self._hierarchy = hierarchy
        self._stage = stage
        self._group = group
        self._axes: dict[str, str] = {}

    def load(self) -> tuple[Catalogue, Values | None]:
        """Return catalogue and outputs as the attributes describe them."""
        ours = self._hierarchy.attributes(self._group).get(ATTRIBUTE, {})
        catalogue, values = Catalogue.empty(), None
        document = ours.get("catalogue")
        if document is not None:
            self._axes = dict(document["arrays"])
            catalogue = load_catalogue(self._hierarchy, self._group, document)
        if ours.get("schema") is not None:
            schema = Schema.from_json(ours["schema"])
            values = Values(self._hierarchy, self._group, schema, int(ours["chunk_length"]))
            values.reconcile()
            for key in values.keys_along_run():
                if self._hierarchy.length(key) < catalogue.n_runs:
                    raise ValueError(f"array {key} is shorter than the {catalogue.n_runs} runs")
        return catalogue, values

    def load_state(self, name: str, n_runs: int, makers: Makers) -> npt.NDArray[Any] | None:
        """Return a stored array of the state, None where there is none.

        Parameters
        ----------
        name
            Of the field.
        n_runs
            Runs there are; the array may be shorter.
        makers
            Say which runs that are done are valid.

        Raises
        ------
        StoreError
            If it is of another type.
        """
        hierarchy, key = self._hierarchy, state_key(self._group, name)
        if key not in hierarchy.documents:
            return None
        dtype = FIELDS.get(name, NUMBERS)[0]
        if hierarchy.array(key).dtype != dtype or len(hierarchy.shape(key)) != 1:
            raise StoreError(f"Array {key!r} of the store is not of type {dtype} along the runs.")
        stored = hierarchy.read(key, 0, min(hierarchy.length(key), n_runs))
        if name == "status":
            return restated(stored, makers, lambda: self.load_state(MADE_BY, n_runs, makers))
        return stored

    def create_values(
        self, schema: Schema, chunk_length: int, n_runs: int, parameters: Iterable[str]
    ) -> Values:
        """Add the arrays of the outputs; the caller commits.

        Raises
        ------
        StoreError
            If an output has a name that is taken.
        """
        parameters = list(parameters)
        names = [*(variable.name for variable in schema.variables), *schema.coords]
        check_names(names, self._taken_names(parameters))
        coordinates = coordinate_names(schema, parameters)
        return Values.create(
            self._hierarchy, self._group, schema, chunk_length, n_runs, coordinates
        )

    def load_makers(self) -> Makers:
        """Return which code made the runs; none where that was never noted."""
        ours = self._hierarchy.attributes(self._group).get(ATTRIBUTE, {})
        return Makers.from_json(ours["makers"]) if "makers" in ours else Makers()

    def save_makers(self, makers: Makers, n_runs: int) -> None:
        """Note which code made the runs, and commit."""
        attributes = self._hierarchy.attributes(self._group)
        ours = {**attributes.get(ATTRIBUTE, {}), "makers": makers.to_json()}
        self._hierarchy.set_attributes(self._group, {ATTRIBUTE: ours})
        if makers.is_varied:
            self._lay_out_state(MADE_BY, n_runs)
        self._hierarchy.commit()

    def load_incomplete(self) -> dict[int, int]:
        """Return the runs that were made without failed parts, and how many these were."""
        ours = self._hierarchy.attributes(self._group).get(ATTRIBUTE, {})
        return {int(run): int(count) for run, count in ours.get("incomplete", [])}

    def save_incomplete(self, incomplete: Mapping[int, int]) -> None:
        """Note which runs are made without failed parts, and commit."""
        attributes = self._hierarchy.attributes(self._group)
        ours = {**attributes.get(ATTRIBUTE, {}), "incomplete": sorted(incomplete.items())}
        self._hierarchy.set_attributes(self._group, {ATTRIBUTE: ours})
        self._hierarchy.commit()

    def lay_out(
        self,
        catalogue: Catalogue,
        values: Values | None,
        parameters: Parameters,
        fields: Iterable[str] = tuple(FIELDS),
    ) -> None:
        """Bring all arrays to the present length and type, and commit."""
        hierarchy = self._hierarchy
        document, outdated = save_catalogue(hierarchy, self._group, catalogue, self._axes)
        self._axes = document["arrays"]
        for name in fields:
            self._lay_out_state(name, catalogue.n_runs)
        if values is not None:
            values.resize(catalogue.n_runs)
        parameters.lay_out(catalogue)
        names = parameters.names(catalogue)
        self.describe(values, names, document)
        hierarchy.commit()
        delete_outdated(hierarchy, outdated)

    def describe(
        self,
        values: Values | None,
        parameters: Iterable[str],
        catalogue: dict[str, Any] | None = None,
    ) -> None:
        """Put down the attributes of the stage; the caller commits."""
        hierarchy, group = self._hierarchy, self._group
        attributes = hierarchy.attributes(group)
        ours = {**attributes.get(ATTRIBUTE, {}), "stage": self._stage}
        if catalogue is not None:
            ours["catalogue"] = catalogue
        schema = None
        if values is not None:
            schema = values.schema
            ours |= {"schema": schema.to_json(), "chunk_length": values.chunk_length}
            attributes = plain_attributes(schema.attrs) | attributes
        coordinates = coordinate_names(schema, parameters)
        hierarchy.set_attributes(group, {**attributes, ATTRIBUTE: ours, "coordinates": coordinates})
        if values is not None:
            for key in values.keys_along_run():
                hierarchy.set_attributes(key, {"coordinates": coordinates})

    def _taken_names(self, parameters: Iterable[str]) -> list[str]:
        """Return the names in this group that no output may bear."""
        prefix = f"{self._group}/" if self._group else ""
        groups = [
            key.removeprefix(prefix)
            for key, document in self._hierarchy.documents.items()
            if key.startswith(prefix) and document.get("node_type") == "group" and key
        ]
        return [*FIELDS, *map(array_name, parameters), *groups]

    def _lay_out_state(self, name: str, n_runs: int) -> None:
        hierarchy, key = self._hierarchy, state_key(self._group, name)
        dtype, fill = FIELDS.get(name, NUMBERS)
        known = key in hierarchy.documents
        if known and not is_too_fine(n_runs, hierarchy.array(key).chunk[0]):
            hierarchy.resize(key, n_runs)
            return
        compressed = hierarchy.storage.compresses
        array = Stored(key=key, dtype=dtype, chunk=(chunk_for(n_runs),), compressed=compressed)
        document = array_document(array, (n_runs,), (RUN,), STATE_ATTRIBUTES[name], fill)
        if not known:
            hierarchy.put(key, document)
            return
        stored = hierarchy.read(key, 0, hierarchy.length(key))
        rows = pieces(0, len(stored), array.chunk[0])
        hierarchy.replace(key, document, ((number, stored[at]) for number, at, _ in rows))


def coordinate_names(schema: Schema | None, parameters: Iterable[str]) -> str:
    """Return the names of all coordinates, as CF lists them: separated by spaces."""
    names = [*FIELDS, *map(array_name, parameters)]
    if schema is not None:
        names += [array_name(name) for name in schema.coords]
    return " ".join(name for name in names if not any(c.isspace() for c in name))
