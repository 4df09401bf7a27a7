"""``tk.command``: a stage that runs a program."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, Literal

from toolkit.errors import StageError
from toolkit.resources import Resources
from toolkit.stages.command_call import Command
from toolkit.stages.command_content import content_of, existing_file
from toolkit.stages.command_files import find_program, program_missing
from toolkit.stages.command_reading import STDERR, STDOUT, reading_of
from toolkit.stages.command_template import Template
from toolkit.stages.stage import ResourcesOf, Retryable, Stage

Word = str | os.PathLike[str]
_OF_SHELLS = frozenset(["|", "||", "&&", "&", ";", ">", ">>", "<", "<<", "2>", "2>&1", "&>"])


def command(
    command: str | Sequence[Word],
    /,
    *,
    read: Any = None,
    stdin: Any = None,
    env: Mapping[str, Any] | None = None,
    files: Mapping[str, Any] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    name: str | None = None,
    outputs: Any = None,
    over: str | Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    resources: Resources | ResourcesOf | None = None,
    retry_on: Retryable | Iterable[Retryable] = (),
    max_attempts: int = 3,
    missing: Literal["block", "allow"] = "block",
    keep: bool = True,
    version: str | int | None = None,
) -> Stage:
    """Make a stage of a program: each run starts it once, with the values of the run.

    Fields in braces name parameters, constants, frozen inputs and outputs of other stages, and are
    matched like the arguments of a function; ``{run_seed}`` is the run's seed, ``{scratch}`` and
    ``{checkpoint}`` are its folders, ``{threads}`` is its number of threads. They are formatted as
    Python does: ``{flow}`` with all digits, ``{flow:.3f}``, ``{step:04d}``. Of arrays,
    ``{rates:npy}``, ``{rates:txt}`` and ``{rates:bin}`` (values alone, in C order) stand for the
    path of a file with the values, ``{rates:json}`` for the values themselves; ``{{`` and ``}}``
    stand for braces.

    Parameters
    ----------
    command
        The program and its arguments. Text is split once, before the values are put in, by the
        rules of a shell's quotes; a list is taken as it is. No shell ever sees it: each value is
        part of one argument, whatever is in it. The program is looked up on ``PATH`` or, if its
        name has a ``/``, from the current folder; so is a script that is its first argument.
        A Path in a list is a file that is there.
    read
        What the stage returns: ``"stdout"`` (the default; one JSON value, such as a number or
        ``{"peak": 1.5}``); the name of a file in the scratch folder that ends in .json, .csv, .npy,
        .npz, .txt or .dat; a function, which is given the scratch folder as a Path and, where it
        has arguments of these names, ``stdout``, ``stderr`` (text) and parameters; or a dict of
        these by output.
    stdin
        What the program reads on its standard input: text with fields; a dict or list for JSON, in
        which the text ``"{flow}"`` stands for the value; a Path; or a function of parameters that
        returns text or bytes. None: nothing.
    env
        Variables of the environment that are added, text with fields, or removed, None.
        ``OMP_NUM_THREADS`` and the like are set from ``resources.threads``.
    files
        Files that are put into the scratch folder before the start, by name; as for ``stdin``.
        A Path becomes a link to that file.
    cwd
        Where the program runs, by default in its scratch folder.
    name
        Name of the stage, by default that of the program or script.
    outputs, over, rename, resources, retry_on, max_attempts, missing, keep
        As for :func:`toolkit.stage`; with ``outputs="effects"`` nothing is read. A run that fails
        raises :class:`toolkit.CommandError`.
    version
        Stands for the content of the program, the script, and the files given as paths, which
        otherwise count as code: a program that was compiled anew makes results stale. With a
        version the program may be found on the workers only.

    Returns
    -------
    Stage
        It can be called by hand: ``sim(flow=0.3)``.

    Raises
    ------
    StageError
        If a template is none, a file is not there, or an option has no meaning.

    Examples
    --------
    >>> sim = command(["python3", "-c", "print({a} * {b:.1f})"], name="product", version=1)
    >>> sim.signature.names
    ('a', 'b')
    """
    folder = Path.cwd()
    reading = reading_of(read, outputs)
    words = _words(command, folder)
    is_versioned = version is not None
    if not is_versioned:
        _check_program(words[0], folder)
    made = Command(
        arguments=words,
        reading=reading,
        folder=str(folder),
        stdin=None if stdin is None else content_of(stdin, "stdin=", folder),
        environment={str(key): _variable(key, value) for key, value in (env or {}).items()},
        files={
            _file_name(key): content_of(value, f"files[{key!r}]", folder)
            for key, value in (files or {}).items()
        },
        cwd=None if cwd is None else str(folder / Path(cwd).expanduser()),
        is_versioned=is_versioned,
    )
    return Stage(
        function=made,
        name=name or _name_of(words),
        outputs=outputs,
        over=over,  # type: ignore[arg-type]  # Stage makes tuples of these
        rename={**made.renamed, **(rename or {})},
        resources=resources,
        retry_on=retry_on,  # type: ignore[arg-type]
        max_attempts=max_attempts,
        missing=missing,
        keep=keep,
        version=version,  # type: ignore[arg-type]
    )


def _words(command: object, folder: Path) -> tuple[Template | str, ...]:
    """Return the program and its arguments; what is a str then is the path of a file."""
    given: list[Any]
    if isinstance(command, str):
        given = list(_split(command))
    elif isinstance(command, list | tuple):
        given = list(command)
    else:
        raise StageError(
            f"A command is text or a list of texts; this is of type {type(command).__name__}."
        )
    if not given:
        raise StageError("The command is empty: write the program and its arguments.")
    words: list[Template | str] = []
    for at, word in enumerate(given):
        if isinstance(word, PurePath):
            words.append(str(existing_file(word, f"argument {at} of the command", folder)))
        elif isinstance(word, str):
            words.append(_word(word, at, folder))
        else:
            raise StageError(
                f"Argument {at} of the command is of type {type(word).__name__}. Write text, with "
                "{fields}, or a Path."
            )
    return tuple(words)


def _word(word: str, at: int, folder: Path) -> Template | str:
    """Return an argument as a template, a script in the first place as its path."""
    template = Template.parse(word)
    literal = template.literal
    if at == 1 and literal and not literal.startswith("-"):
        path = folder / Path(literal).expanduser()
        if path.suffix and path.is_file():
            return str(path)
    return template


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise StageError(f"{command!r} cannot be split into arguments: {problem}.") from None
    found = sorted(_OF_SHELLS & set(words))
    if found:
        raise StageError(
            f"{command!r} has {', '.join(map(repr, found))}, which only a shell understands, and "
            "there is none. What the program prints is kept: read='stdout'; what it reads is "
            "given by stdin=. For a pipeline write a script and run that. For the text itself give "
            "a list."
        )
    return words


def _check_program(word: Template | str, folder: Path) -> None:
    if isinstance(word, str):
        return
    if word.literal is None:
        raise StageError(
            f"The program {word.text!r} depends on the run, so its content cannot count as code. "
            "Give version=, which stands for it."
        )
    if find_program(word.literal, folder) is None:
        raise program_missing(word.literal, folder)


def _variable(name: object, value: object) -> Template | None:
    if not isinstance(name, str) or not name or "=" in name or "\0" in name:
        raise StageError(f"env= has {name!r}, which is no name of a variable.")
    if value is None:
        return None
    if isinstance(value, os.PathLike):
        value = os.fspath(value).replace("{", "{{").replace("}", "}}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise StageError(
            f"env[{name!r}] is of type {type(value).__name__}. Write text, with {{fields}}, or "
            "None to remove it."
        )
    return Template.parse(value)


def _file_name(name: object) -> str:
    path = PurePath(name) if isinstance(name, str) else None
    if (
        path is None
        or not path.name
        or path.is_absolute()
        or ".." in path.parts
        or "\0" in str(name)
    ):
        raise StageError(f"files= has {name!r}. Write the name of a file in the scratch folder.")
    if str(path) in (STDOUT, STDERR):
        raise StageError(f"files= has {name!r}, where the program's own output is kept. Rename it.")
    return str(path)


def _name_of(words: Sequence[Template | str]) -> str:
    """Return a name from the script if there is one, else from the program."""
    script = words[1] if len(words) > 1 and isinstance(words[1], str) else words[0]
    text = script if isinstance(script, str) else script.text
    name = re.sub(r"[^\w.-]+", "_", PurePath(text).stem).lstrip("0123456789_.-")
    return name or "command"
