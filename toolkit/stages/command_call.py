"""A program as the function of a stage: it gets a run's values and returns the run's results."""

import contextlib
import inspect
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from toolkit.errors import CommandError, StageError
from toolkit.resources import THREAD_VARIABLES
from toolkit.stages.code import code_hash
from toolkit.stages.command_content import Content, FileContent, FunctionContent
from toolkit.stages.command_files import (
    Seen,
    check_unchanged,
    find_program,
    program_missing,
    seen,
)
from toolkit.stages.command_process import Ended, run_program
from toolkit.stages.command_reading import STDERR, STDOUT, FunctionReading, Reading, SeveralReading
from toolkit.stages.command_template import PROVIDED, Template, Values, argument_name
from toolkit.stages.constants import digest
from toolkit.stages.current import CurrentRun, current_run
from toolkit.stages.peak import note_program

LOG_LIMIT = 1 << 20
"""Bytes of the first and of the last part of what is kept of stderr, and of stdout if not read."""

_STDIN = "stdin.txt"
_SHOWN, _KEPT = 1_000, 8_000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Command:
    """A program with its arguments; made by ``tk.command``, which explains the fields.

    Parameters
    ----------
    arguments
        The program and its arguments: templates, or paths of files that are there.
    folder
        Where relative paths of the program begin.
    cwd
        Where it runs; None: in the run's scratch folder.
    is_versioned
        Whether a version stands for the content of the files.
    """

    arguments: tuple[Template | str, ...]
    reading: Reading
    folder: str
    stdin: Content | None = None
    environment: Mapping[str, Template | None] = field(default_factory=dict)
    files: Mapping[str, Content] = field(default_factory=dict)
    cwd: str | None = None
    is_versioned: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program and return what is read of its results.

        Raises
        ------
        CommandError
            If it cannot be started, fails, or has not written what is to be read.
        """
        bound = self.__signature__.bind(*args, **kwargs).arguments
        given = {self._sources[name]: value for name, value in bound.items()}
        for each in self._as_sent:
            check_unchanged(each)
        run = current_run()
        with _scratch(run) as scratch:
            values = _Values(given, run, scratch)
            try:
                ended, command = self._run(values, run)
                if ended.exit_code != 0:
                    raise self._failed(ended, command, values)
                return self.reading.read(values)
            except BaseException as error:
                error.add_note(_whereabouts(scratch, run))
                raise

    def __str__(self) -> str:
        """Return the command as it was written."""
        words = [w.text if isinstance(w, Template) else w for w in self.arguments]
        return shlex.join(words) if any(set(w) & set(" '\"\n") for w in words) else " ".join(words)

    def __repr__(self) -> str:
        return f"<command {self}>"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names that its templates and functions take, each once."""
        found = [name for w in self.arguments if isinstance(w, Template) for name in w.names]
        found += [name for t in self.environment.values() if t is not None for name in t.names]
        for content in (self.stdin, *self.files.values()):
            found += () if content is None else content.names
        return tuple(dict.fromkeys([*found, *self.reading.names]))

    @property
    def provided(self) -> tuple[str, ...]:
        """Names that it takes and that the run itself provides."""
        return tuple(name for name in self.names if name in PROVIDED)

    @cached_property
    def _sources(self) -> dict[str, str]:
        """What it takes, by the name of the argument."""
        sources: dict[str, str] = {}
        for name in self.names:
            if name in PROVIDED:
                continue
            word = argument_name(name)
            if word in sources:
                raise StageError(
                    f"{name!r} and {sources[word]!r} are too much alike for one command: both "
                    f"would be the argument {word!r}. Rename one of them."
                )
            sources[word] = name
        return sources

    @property
    def renamed(self) -> dict[str, str]:
        """The parameter of each argument that cannot bear its name."""
        return {word: name for word, name in self._sources.items() if word != name}

    @cached_property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter(name, kind) for name in self._sources])

    def toolkit_code_parts(self) -> dict[str, str]:
        """Return a short hash of each thing that results depend on, by its name."""
        words = [w.text if isinstance(w, Template) else "" for w in self.arguments]
        said: list[object] = [words, _described(self.stdin), _described_all(self.files)]
        said.append([(n, None if t is None else t.text) for n, t in self.environment.items()])
        said.append(_described_reading(self.reading))
        parts = {"command": digest(repr(said))}
        # What is sent from now on is what was counted here, whatever the files are by then.
        self.__dict__["_counted"] = self.seen_files()
        for each in self._counted or ():
            name = f"file {os.path.basename(each.path)!r}"
            parts[f"file {each.path!r}" if name in parts else name] = each.digest
        for function in self._functions():
            parts |= code_hash(function).parts
        return parts

    def seen_files(self) -> tuple[Seen, ...]:
        """Return the files that count, as they are now; none where a version stands for them.

        Raises
        ------
        StageError
            If one is not there.
        """
        if self.is_versioned:
            return ()
        paths = [self.program(), *(w for w in self.arguments[1:] if isinstance(w, str))]
        paths += [c.path for c in self._contents() if isinstance(c, FileContent)]
        try:
            return tuple(seen(path) for path in dict.fromkeys(paths))
        except OSError as problem:
            raise StageError(f"{problem.filename!r} cannot be read: {problem.strerror}.") from None

    def program(self) -> str:
        """Return the path of the program as it is found here.

        Raises
        ------
        StageError
            If it is not there.
        """
        word = self.arguments[0]
        if isinstance(word, str):
            return word
        found = find_program(word.literal or "", Path(self.folder))
        if found is None:
            raise program_missing(word.literal or "", Path(self.folder))
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Take along the files as they were when the code was looked at: workers refuse others."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        counted = self._counted
        return fields | {"_as_sent": self.seen_files() if counted is None else counted}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    @cached_property
    def _counted(self) -> tuple[Seen, ...] | None:
        """The files as they were when the code was looked at last; None before."""
        return None

    @cached_property
    def _as_sent(self) -> tuple[Seen, ...]:
        """The files as they were when this was sent here; none where it was made here."""
        return ()

    def _contents(self) -> list[Content]:
        return [c for c in (self.stdin, *self.files.values()) if c is not None]

    def _functions(self) -> list[Any]:
        found = [c.function for c in self._contents() if isinstance(c, FunctionContent)]
        readings = [self.reading]
        while readings:
            each = readings.pop()
            if isinstance(each, SeveralReading):
                readings += each.parts.values()
            elif isinstance(each, FunctionReading):
                found.append(each.function)
        return found

    def _run(self, values: "_Values", run: CurrentRun) -> tuple[Ended, list[str]]:
        scratch = values.scratch
        for name, content in self.files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            content.put(values, path)
        stdin = None
        if self.stdin is not None:
            stdin = scratch / _STDIN
            self.stdin.put(values, stdin)
        environment = dict(os.environ)
        if run.id >= 0:
            environment |= dict.fromkeys(THREAD_VARIABLES, str(run.threads))
        for name, template in self.environment.items():
            if template is None:
                environment.pop(name, None)
            else:
                environment[name] = template.fill(values)
        command = [w if isinstance(w, str) else w.fill(values) for w in self.arguments]
        command[0] = self._program_of(command[0])
        try:
            ended = run_program(
                command,
                environment=environment,
                folder=scratch if self.cwd is None else Path(self.cwd),
                stdin=stdin,
                stdout=(scratch / STDOUT, None if self.reading.needs_stdout else LOG_LIMIT),
                stderr=(scratch / STDERR, LOG_LIMIT),
            )
        except (OSError, ValueError) as problem:
            said = problem.strerror if isinstance(problem, OSError) else problem
            raise CommandError(f"{_shown(command)} cannot be started: {said}.") from None
        note_program(ended.memory)
        return ended, command

    def _program_of(self, word: str) -> str:
        if self._as_sent:  # the one that the driver has found
            return self._as_sent[0].path
        found = find_program(word, Path(self.folder))
        if found is None:
            raise CommandError(str(program_missing(word, Path(self.folder))))
        return found

    def _failed(self, ended: Ended, command: list[str], values: "_Values") -> CommandError:
        stderr = _tail(values.scratch / STDERR, _KEPT)
        said = stderr[-_SHOWN:].strip()
        lines = [f"{_shown(command)} {_how(ended)}."]
        if said:
            lines.append(f"The last that it wrote to stderr:\n{said}")
        return CommandError("\n".join(lines), exit_code=ended.exit_code, stderr=stderr)


class _Values(dict[str, Any]):
    """The values of a run by name, with what the run itself provides."""

    def __init__(self, given: Values, run: CurrentRun, scratch: Path) -> None:
        super().__init__(given)
        self.run, self.scratch = run, scratch

    def __missing__(self, name: str) -> Any:
        if name == "scratch":
            return self.scratch
        if name in ("checkpoint", "threads"):
            return getattr(self.run, name)
        raise KeyError(name)


@contextlib.contextmanager
def _scratch(run: CurrentRun) -> Iterator[Path]:
    """Give the run's scratch folder; by hand one of its own, which stays if the call fails."""
    if run.id >= 0:
        yield run.scratch
        return
    folder = Path(tempfile.mkdtemp(prefix="toolkit-command-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _how(ended: Ended) -> str:
    if ended.was_ended:
        return "was ended from outside"
    if ended.exit_code is None:
        return "was lost: its launcher was killed"
    if ended.exit_code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by signal {signal.Signals(-ended.exit_code).name}"
        return f"was killed by signal {-ended.exit_code}"
    return f"ended with exit code {ended.exit_code}"


def _shown(command: list[str]) -> str:
    text = shlex.join(command)
    return text if len(text) <= 500 else text[:500] + "…"


def _whereabouts(scratch: Path, run: CurrentRun) -> str:
    if run.keeps_scratch:
        return f"Its files are kept in {scratch}."
    return "Its files are not kept: enough of other failed runs are."


def _tail(path: Path, length: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4 * length))
            return file.read().decode("utf-8", "replace")[-length:]
    except OSError:
        return ""


def _described(content: Content | None) -> object:
    """Return what a content is made of, functions and files aside, which count by themselves."""
    if content is None or isinstance(content, FileContent | FunctionContent):
        return type(content).__name__
    return repr(content)


def _described_all(contents: Mapping[str, Content]) -> list[tuple[str, object]]:
    return [(name, _described(content)) for name, content in contents.items()]


def _described_reading(reading: Reading) -> object:
    if isinstance(reading, SeveralReading):
        return [(name, _described_reading(each)) for name, each in reading.parts.items()]
    return type(reading).__name__ if isinstance(reading, FunctionReading) else repr(reading)
