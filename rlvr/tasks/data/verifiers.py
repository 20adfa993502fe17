"""The verifier of a data set, by name or as a function of the user's own."""

from __future__ import annotations

from typing import get_args

from rlvr.config import registry
from rlvr.config.errors import nearest
from rlvr.graders import Verifier
from rlvr.graders.answers.patterns import RegexVerifier
from rlvr.graders.answers.plugin import FunctionVerifier
from rlvr.graders.answers.reading import TEMPLATE_OF, Place
from rlvr.graders.answers.schema import SchemaVerifier
from rlvr.graders.answers.texts import ChoiceVerifier, ExactVerifier, NumberVerifier
from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.math.grader import GraderName, MathVerifier
from rlvr.tasks.confined import confinement_for
from rlvr.tasks.data.columns import DataError
from rlvr.tasks.data.parts import BuiltIn


def check_name(name: str) -> None:
    """Raises DataError for a verifier that is neither built in nor module:function, PluginError for such a
    function that cannot be used."""
    if name in get_args(BuiltIn):
        return
    if ":" not in name:
        raise DataError(
            f"task.verifier={name}: unknown; {nearest(name, [*get_args(BuiltIn)])} (yours: module:function)"
        )
    registry.check_takes(name, "completion, reference")


def verifier_of(
    name: str,
    place: Place,
    grader: GraderName,
    tolerance: float,
    ignore_case: bool,
    test_seconds: float,
    problem_seconds: float,
    allow_unsafe: bool,
) -> Verifier:
    """Of a name that `check_name` passed. Raises TaskError where programs cannot be confined."""
    if name == "math":
        return MathVerifier(TEMPLATE_OF.get(place, "plain"), grader)
    if name == "exact":
        return ExactVerifier(place, ignore_case)
    if name == "choice":
        return ChoiceVerifier(place)
    if name == "number":
        return NumberVerifier(place, tolerance)
    if name == "regex":
        return RegexVerifier(place)
    if name == "json_schema":
        return SchemaVerifier(place)
    if name == "code":
        what = "runs programs that a model wrote (task.verifier=code)"
        confinement = confinement_for("data", what, allow_unsafe)
        return CodeVerifier(confinement, test_seconds, problem_seconds)
    return FunctionVerifier(name, registry.load(name))
