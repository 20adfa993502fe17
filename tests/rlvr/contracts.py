"""Checked by mypy and never run: who keeps which protocol, and that no stage of a batch can be left out.

A line with `type: ignore` is a mistake that mypy has to find; if it does not, the unused comment is an error.
"""

from __future__ import annotations

from torch import Tensor

from rlvr.algorithms.batch import CreditedBatch, ReadyBatch, ScoredBatch, WeightedBatch
from rlvr.algorithms.bundle import PolicyLoss
from rlvr.algorithms.losses import PpoClip, Reinforce
from rlvr.engines import Engine
from rlvr.engines.hf import HFEngine
from rlvr.engines.vllm import VLLMEngine
from rlvr.engines.vllm_server import VLLMServerEngine
from rlvr.graders import StringVerifier, Verifier
from rlvr.graders.code.grader import CodeVerifier
from rlvr.graders.math.grader import MathVerifier
from rlvr.graders.mixture import MixtureVerifier
from rlvr.graders.procedural.grader import ProceduralVerifier
from rlvr.learning.learner import Learner
from rlvr.learning.policy import Objective, Policy, Scores


def policy_losses(one: PpoClip, two: Reinforce) -> list[PolicyLoss]:
    return [one, two]


def verifiers(
    one: StringVerifier,
    two: MathVerifier,
    three: CodeVerifier,
    four: ProceduralVerifier,
    five: MixtureVerifier,
) -> list[Verifier]:
    return [one, two, three, four, five]


def engines(one: HFEngine, two: VLLMEngine, three: VLLMServerEngine) -> list[Engine]:
    return [one, two, three]


def objective(scores: Scores, batch: WeightedBatch) -> Objective:
    raise NotImplementedError


def stages(learner: Learner, policy: Policy, loss: PpoClip, ready: ReadyBatch, t: Tensor) -> WeightedBatch:
    learner.credit(ready)  # type: ignore[arg-type]
    ready.with_scores(old_logprobs=None, ref_logprobs=None, values=None)  # type: ignore[call-arg]
    scored: ScoredBatch = learner.score(ready)
    learner.update(scored, 1)  # type: ignore[arg-type]
    loss(t, scored)  # type: ignore[arg-type]
    scored.with_credit(advantages=t)  # type: ignore[call-arg]
    scored.ref_logprobs.sum()  # type: ignore[union-attr]
    credited: CreditedBatch = learner.credit(scored)
    policy.update(credited, objective)  # type: ignore[arg-type]
    learner.update(credited.select(t), 1)
    return credited.with_weights(t)
