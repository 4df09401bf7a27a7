"""A problem as samplers and workers call it."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolkit.stages.constants import digest
from toolkit.stages.failure import PartialFailureError
from toolkit.stages.stage import Stage

if TYPE_CHECKING:
    from toolkit.optimizers.ode.problem import ODEProblem


class LogLikelihood:
    """The log-likelihood of a problem, for samplers; called as the problem is.

    Parameters
    ----------
    problem
        With ``noise=``.
    """

    def __init__(self, problem: "ODEProblem") -> None:
        self.problem = problem
        self.__name__ = "log_likelihood"
        self.__signature__ = signature_of(problem.parameters)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Return the log-likelihood: a float, or an array where a parameter is an array."""
        return self.problem.cost_at("log_likelihood", given, named)

    def toolkit_stage(self) -> Stage:
        """Return the stage that a sweep runs, many points in one call."""
        return self.problem.toolkit_stage("log_likelihood")


class Evaluation:
    """A problem as workers call it: points that fail do so with their reasons.

    Parameters
    ----------
    problem
        What is evaluated.
    kind
        One of ``COSTS``, or ``"log_likelihood"``.
    """

    def __init__(self, problem: "ODEProblem", kind: str) -> None:
        self.problem, self.kind = problem, kind
        self.__signature__ = signature_of(problem.parameters)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Return the costs of a batch, shape ``(n,)``.

        Raises
        ------
        PartialFailureError
            With the costs of the others, where some points have none.
        """
        arrays, shape = self.problem.arrays(given, named)
        values, errors = self.problem.evaluated(self.kind, arrays)
        if errors:
            raise PartialFailureError(values.reshape(shape or (1,)), errors)
        return values.reshape(shape)

    def toolkit_code_parts(self) -> Mapping[str, str]:
        """Return what the costs depend on."""
        return {**self.problem.code_parts(), "cost=": digest(self.kind)}


def signature_of(parameters: tuple[str, ...]) -> inspect.Signature:
    """Return the signature of a function that takes these parameters."""
    some = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(name, some) for name in parameters])
