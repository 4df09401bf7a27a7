"""YAML that may come from a stranger: plain values, and no more of them than a person writes."""

import os
import stat
from pathlib import Path

import yaml

from toolkit.errors import ClusterError

MOST_BYTES, MOST_CHARACTERS, MOST_LEVELS = 1 << 18, 1 << 20, 32


def read_yaml(path: Path) -> object:
    """Return what a YAML file holds: mappings, lists, texts, numbers, dates; never an object.

    Raises
    ------
    ClusterError
        As ``read_yaml_lines`` does.
    """
    return read_yaml_lines(path, levels=0)[0]


def read_yaml_lines(path: Path, *, levels: int) -> tuple[object, dict[tuple[str, ...], int]]:
    """Return what a YAML file holds, and on which line the value of each key stands.

    Parameters
    ----------
    path
        Of the file.
    levels
        How many keys deep lines are told: ``("tiers", "small", "memory")`` has three.

    Raises
    ------
    ClusterError
        If it is no plain file, is larger than 256 KiB, is not readable as YAML, is nested deeper
        than 32 levels, or holds more than 2**20 characters once its aliases are written out.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ClusterError(f"{path} is no plain file. Give the path of a YAML file.")
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ClusterError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(raw) > MOST_BYTES:
        raise ClusterError(f"{path} is larger than {MOST_BYTES:,} bytes: that is no profile.")
    try:
        text = raw.decode("utf-8-sig")
        _check_extent(text)
        found: object = yaml.safe_load(text)
        lines: dict[tuple[str, ...], int] = {}
        if levels:
            _note_lines(yaml.compose(text, Loader=yaml.SafeLoader), (), levels, lines)
    except (yaml.YAMLError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise ClusterError(f"{path} is not readable as YAML: {str(error)[:1000]}") from None
    return found, lines


def _note_lines(
    node: yaml.Node | None, keys: tuple[str, ...], levels: int, lines: dict[tuple[str, ...], int]
) -> None:
    """Note the line of each key's value; what a mapping takes over by ``<<`` gives way to it."""
    if not isinstance(node, yaml.MappingNode) or len(keys) == levels:
        return
    for key, value in node.value:
        if key.value == "<<":
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for each in merged:
                _note_lines(each, keys, levels, lines)
    for key, value in node.value:
        if key.value != "<<":
            lines[(*keys, str(key.value))] = int(value.start_mark.line) + 1
            _note_lines(value, (*keys, str(key.value)), levels, lines)


def _check_extent(text: str) -> None:
    """Raise ValueError where a few lines stand for very many, before any of them is made.

    What an alias stands for is counted each time that it is used.
    """
    known: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, 0))
            if len(open_nodes) > MOST_LEVELS:
                raise ValueError(f"nested deeper than {MOST_LEVELS} levels")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, size = open_nodes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            size = len(event.value) + 1
        elif isinstance(event, yaml.AliasEvent):
            if anchor not in known:
                raise ValueError(f"the alias *{anchor} stands for nothing, or for itself")
            size, anchor = known[anchor], None
        else:
            continue
        if anchor is not None:
            known[anchor] = size
        holder, before = open_nodes[-1]
        open_nodes[-1] = (holder, before + size + 1)
        if before + size > MOST_CHARACTERS:
            raise ValueError(f"more than {MOST_CHARACTERS:,} characters with its aliases")
