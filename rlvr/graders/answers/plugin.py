"""A verifier that is a function of the user's own: "module:function"."""

from __future__ import annotations

import time
from collections.abc import Sequence
from numbers import Real
from typing import Any

from rlvr.config.registry import located
from rlvr.core.errors import UserError
from rlvr.core.versions import source_version
from rlvr.graders import Status, Verdict


class VerifierError(UserError):
    """A verifier of the user's own gave no verdict; the message names it, the completion and why."""


class FunctionVerifier:
    """Calls function(completion, reference) in this process, one completion at a time.

    It returns a bool, a score from 0 to 1 of which 1 is correct, (Status, extracted answer), or a Verdict.
    Its version is the hash of its module's source. Raises VerifierError for anything else.
    """

    confinement = None

    def __init__(self, path: str, function: Any):
        self.path = path
        self.function = function
        self.version = source_version(function)

    def __call__(self, completion: str, reference: Any) -> Verdict:
        start = time.perf_counter()
        try:
            returned = self.function(completion, reference)
        except Exception as error:  # the function is the user's
            raise self._failed(f"raised {located(error)}", completion, reference) from error
        seconds = time.perf_counter() - start
        if isinstance(returned, Verdict):
            return returned
        if isinstance(returned, bool):
            return Verdict(Status.CORRECT if returned else Status.WRONG, float(returned), None, seconds)
        if isinstance(returned, Real) and 0 <= (score := float(returned)) <= 1:
            return Verdict(Status.CORRECT if score == 1 else Status.WRONG, score, None, seconds)
        if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Status):
            score = 1.0 if returned[0] is Status.CORRECT else 0.0
            return Verdict(returned[0], score, returned[1], seconds)
        said = f"returned {returned!r:.80}, which is no bool, no score from 0 to 1, no (Status, answer)"
        raise self._failed(said, completion, reference)

    def grade(self, items: Sequence[tuple[str, Any]]) -> list[Verdict]:
        return [self(completion, reference) for completion, reference in items]

    def _failed(self, what: str, completion: str, reference: Any) -> VerifierError:
        return VerifierError(
            f"the verifier {self.path} {what}. It was given the completion {completion!r:.200} and the "
            f"reference {reference!r:.200}"
        )
