"""``${NAME}`` and ``${NAME:-default}`` in the texts of a profile."""

import os
import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<otherwise>:-(?P<default>[^{}]*))?\}|\$\{"
)


class MissingVariableError(ValueError):
    """A text names an environment variable that is not there."""


def expand(text: str, environment: Mapping[str, str] = os.environ) -> tuple[str, list[str]]:
    """Return a text with its variables replaced, and the names of those that were there.

    Nothing else is expanded: no command runs, ``$NAME`` without braces stays as it is, and
    ``$${`` stands for ``${``.

    Parameters
    ----------
    text
        Of one setting.
    environment
        Where variables are looked up. The default stands for those that are not there or empty.

    Raises
    ------
    MissingVariableError
        If a variable is not there and has no default, or the braces hold something else.

    Examples
    --------
    >>> expand("${WHO:-me}/$TMPDIR/$${X}", {})
    ('me/$TMPDIR/${X}', [])
    >>> expand("${GROUP}_g", {"GROUP": "m1234"})
    ('m1234_g', ['GROUP'])
    """
    used = []

    def value_of(match: re.Match[str]) -> str:
        name = match["name"]
        if match[0] == "$${":
            return "${"
        if name is None:
            raise MissingVariableError(
                f"{text!r} has braces that hold no variable: write ${{NAME}} or "
                "${NAME:-default}, and $${ where ${ itself is meant"
            )
        found = environment.get(name)
        if found is None and match["otherwise"] is None:
            raise MissingVariableError(
                f"the environment variable {name} is not set: set it, or write a default, "
                f"${{{name}:-…}}"
            )
        if found is None or (not found and match["otherwise"] is not None):
            return match["default"] or ""
        used.append(name)
        return found

    return _VARIABLE.sub(value_of, text), used
