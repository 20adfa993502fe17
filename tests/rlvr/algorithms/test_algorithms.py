"""Every algorithm in the loop's own update: invariance to cuts, padding and order; edge cases."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import cache

import pytest
import torch
from algorithm_cases import CASES, run, uses_ratio
from torch import Tensor
from toys import (
    assert_equal_gradients,
    gradient,
    learn,
    toy_algorithm,
    toy_batch,
    toy_groups,
    toy_learner,
    toy_model,
    unscored,
)

from rlvr.algorithms.batch import ReadyBatch, ScoredBatch
from rlvr.algorithms.bundle import Credit
from rlvr.config.schema import Correction, PolicyConfig, RolloutConfig
from rlvr.engines import Completion
from rlvr.graders import Status
from rlvr.rollouts.collect import Group, to_batch


def widen(batch: ReadyBatch, left: int, right: int) -> ReadyBatch:
    """The same rows with more padding on both sides."""
    pad = torch.nn.functional.pad
    return replace(
        batch,
        tokens=pad(batch.tokens, (left, right), value=1),
        mask=pad(batch.mask, (0, right)),
        token_rewards=pad(batch.token_rewards, (0, right)),
        engine_logprobs=pad(batch.engine_logprobs, (0, right), value=-7.0),
    )


@cache
def whole(case: str) -> tuple[dict[str, float], dict[str, Tensor]]:
    """What all cuts, paddings and orders of the toy batch are held against: rows that are not packed."""
    return run(case, toy_batch(), padded=True)


@pytest.mark.parametrize("case", CASES)
class TestInvariance:
    @pytest.mark.parametrize("tokens", [1, pytest.param(40, marks=pytest.mark.slow), 130])
    def test_micro_batches(self, case: str, tokens: int) -> None:
        cut = run(case, toy_batch(), micro_batch_tokens=tokens)
        assert_equal_gradients(whole(case)[1], cut[1], 1e-10)
        assert cut[0] == pytest.approx(whole(case)[0], rel=1e-9, abs=1e-12)

    @pytest.mark.parametrize("padded", [False, True])
    @pytest.mark.slow
    def test_gradient_checkpointing(self, case: str, padded: bool) -> None:
        settings = PolicyConfig(gradient_checkpointing=True)
        cut = run(case, toy_batch(), padded, settings=settings, micro_batch_tokens=60)
        assert_equal_gradients(whole(case)[1], cut[1], 1e-10)
        assert cut[0] == pytest.approx(whole(case)[0], rel=1e-9, abs=1e-12)

    def test_padding(self, case: str) -> None:
        assert_equal_gradients(whole(case)[1], run(case, widen(toy_batch(), 3, 5))[1], 1e-10)

    def test_order_of_rows(self, case: str) -> None:
        batch = toy_batch()
        shuffled = batch.select(torch.randperm(16, generator=torch.Generator().manual_seed(3)))
        assert_equal_gradients(whole(case)[1], run(case, shuffled)[1], 1e-10)

    def test_one_update_does_not_depend_on_clip_ranges(self, case: str) -> None:
        name, options = CASES[case]
        clip = {"clip": {"low": 0.01, "high": 3.0, "dual": 1.5}}
        bounds = {"cispo": {"cap": 1.5}, "opd": {}}.get(name, clip)
        CASES["other clip"] = (name, {**options, **bounds})
        assert_equal_gradients(whole(case)[1], run("other clip", toy_batch())[1], 1e-12)
        del CASES["other clip"]


@pytest.mark.parametrize("case", [c for c in CASES if uses_ratio(c)])
def test_several_updates_a_batch(case: str) -> None:
    metrics, _ = run(case, toy_batch(), mini_batches=2, epochs=2, lr=1e-2)
    assert all(math.isfinite(v) for v in metrics.values())
    assert metrics["loss/ratio"] != pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_edge_groups_have_a_defined_result(case: str) -> None:
    """All right, all wrong, one completion, one that is cut, an empty one, a prompt of one token."""
    groups = toy_groups()

    def with_(group: Group, right: bool | None = None, size: int | None = None) -> Group:
        scored = group.scored[:size]
        if right is not None:
            scored = tuple(
                replace(
                    s,
                    reward=float(right),
                    verdict=replace(s.verdict, status=Status.CORRECT if right else Status.WRONG),
                )
                for s in scored
            )
        return replace(group, scored=scored)

    edges = [with_(groups[0], True), with_(groups[1], False), with_(groups[2], size=1), groups[3]]
    edges[3] = replace(edges[3], prompt_ids=(5,))
    nothing = replace(edges[3].scored[0], completion=Completion((), (), "", "stop"))
    edges[3] = replace(edges[3], scored=(nothing, *edges[3].scored[1:]))
    name, _ = CASES[case]
    if name == "passk":
        with pytest.raises(ValueError, match="groups of at least 2"):
            run(case, to_batch(edges))
        edges[2] = groups[2]
    metrics, found = run(case, to_batch(edges), micro_batch_tokens=1)
    assert all(math.isfinite(v) for v in metrics.values())
    assert all(g.isfinite().all() for g in found.values())


@pytest.mark.parametrize("name", ["grpo", "rloo", "dapo", "passk"])
def test_groups_of_equal_rewards_give_no_gradient(name: str) -> None:
    batch = toy_batch()
    equal = replace(batch, rewards=torch.full((16,), 0.7), correct=torch.ones(16, dtype=torch.bool))
    algorithm = toy_algorithm(name, kl={"coefficient": 0.0})
    _, found = learn(toy_learner(algorithm, toy_model()), equal)
    assert all(g.abs().max() == 0 for g in found.values())


@pytest.mark.parametrize("case", [case for case, (name, _) in CASES.items() if name != "opd"])
def test_the_smallest_group_is_the_smallest_that_teaches(case: str) -> None:
    """One completion right, the rest wrong: with one fewer, all advantages are 0 or the group is refused."""
    name, options = CASES[case]
    algorithm = toy_algorithm(name, **(options | {"kl": {"coefficient": 0.0}}))

    def advantages(size: int) -> torch.Tensor:
        group = toy_groups(1, max(size, 1))[0]
        scored = [
            replace(
                s,
                reward=float(not i),
                verdict=replace(s.verdict, status=Status.WRONG if i else Status.CORRECT),
            )
            for i, s in enumerate(group.scored)
        ]
        batch = replace(to_batch([replace(group, scored=tuple(scored))]), greedy_rewards=torch.zeros(size))
        values = None if algorithm.critic is None else torch.full_like(batch.mask, 0.3)
        return algorithm.credit(unscored(batch, values)).advantages

    assert (advantages(algorithm.smallest_group) != 0).any()
    if algorithm.smallest_group > 1:
        assert (advantages(algorithm.smallest_group - 1) == 0).all()


def test_a_step_that_teaches_nothing_by_construction_is_warned_about() -> None:
    learner = toy_learner(toy_algorithm("passk", k=4), toy_model())
    with pytest.warns(UserWarning, match=r"every advantage of this step is 0.*passk.*group_size"):
        learner.credit(unscored(toy_batch()))
    batch = toy_batch()
    alike = replace(batch, rewards=torch.ones_like(batch.rewards), correct=torch.ones_like(batch.correct))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.credit(unscored(alike))
        learner.credit(unscored(replace(batch, mask=torch.zeros_like(batch.mask))))
        toy_learner(toy_algorithm("passk", k=2), toy_model()).credit(unscored(batch))
        toy_learner(toy_algorithm("grpo"), toy_model()).credit(unscored(batch))


def test_gradient_checkpointing_changes_nothing_but_is_done() -> None:
    """Its mark is that every layer runs again in the backward pass."""
    runs, gradients = [], []
    for settings in (PolicyConfig(), PolicyConfig(gradient_checkpointing=True)):
        model, calls = toy_model(), []
        model.model.layers[0].self_attn.register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(torch._C._current_graph_task_id() >= 0)
        )
        algorithm = toy_algorithm("grpo", kl={"coefficient": 0.0})
        _, gradient_ = learn(toy_learner(algorithm, model, settings=settings), toy_batch())
        runs.append(sum(calls))
        gradients.append(gradient_)
    assert runs == [0, 1]
    assert_equal_gradients(*gradients, 1e-12)


class TestCritic:
    @pytest.mark.parametrize(
        ("name", "has", "gives"), [("ppo", "a critic", "no returns"), ("grpo", "no critic", "returns")]
    )
    def test_targets_come_with_a_critic_and_never_without(self, name: str, has: str, gives: str) -> None:
        algorithm = toy_algorithm(name)

        def other_half(batch: ScoredBatch) -> Credit:
            credit = algorithm.credit(batch)
            return Credit(credit.advantages, None if name == "ppo" else credit.advantages)

        learner = toy_learner(replace(algorithm, credit=other_half), toy_model(), reference=toy_model(1))
        with pytest.raises(ValueError, match=f"algorithm {name} has {has}, but its credit gives {gives}: "):
            learner.credit(learner.score(toy_batch()))

    def test_warm_up_leaves_the_policy_alone(self) -> None:
        for trunk in ("copy", "shared"):
            algorithm = toy_algorithm("ppo", critic={"warmup_steps": 1, "trunk": trunk})
            learner = toy_learner(algorithm, toy_model())
            before = {n: p.detach().clone() for n, p in learner.policy.weights()}
            _, found = learn(learner, toy_batch())
            assert found and all(name.startswith("critic.") for name in found)
            assert all(torch.equal(p, before[n]) for n, p in learner.policy.weights())
            metrics, found = learn(learner, toy_batch(), step=2)
            assert "policy.model.norm.weight" in found
            assert {"loss/policy", "critic/loss", "critic/grad_norm"} <= metrics.keys()

    def test_it_learns_the_returns(self) -> None:
        algorithm = toy_algorithm("ppo", critic={"lr": 1e-2, "warmup_steps": 1000, "value_clip": None})
        learner = toy_learner(algorithm, toy_model())
        explained = []
        for _ in range(60):
            metrics, _ = learner.update(learner.credit(learner.score(toy_batch())), step=1)
            explained.append(metrics["critic/explained_variance"])
        assert explained[0] == pytest.approx(0.0, abs=1e-9)
        assert explained[-1] > max(0.6, explained[len(explained) // 2])

    def test_each_has_its_own_learning_rate_and_clipping(self) -> None:
        algorithm = toy_algorithm("ppo", critic={"lr": 1e-3})
        learner = toy_learner(algorithm, toy_model(), lr=1e-4, max_grad_norm=1e-3)
        clipped: dict[str, Tensor] = {}
        optimizer = learner.policy.parallel.optimizer.optimizer
        optimizer.register_step_pre_hook(lambda *_: clipped.update(gradient(learner.policy.plain)))
        learn(learner, toy_batch())
        assert [g["lr"] for g in optimizer.param_groups] == [1e-4, 1e-3]
        for part in ("policy.", "critic."):
            norms = [g.norm() for name, g in clipped.items() if name.startswith(part)]
            assert 0 < torch.stack(norms).norm().item() <= 1.0001e-3


class TestMismatch:
    def measured(self, correction: Correction) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
        algorithm = toy_algorithm("grpo", kl={"coefficient": 0.0})
        return learn(
            toy_learner(algorithm, toy_model(), rollouts=RolloutConfig(correction=correction)), toy_batch()
        )

    def test_is_measured(self) -> None:
        learner = toy_learner(toy_algorithm("grpo", kl={"coefficient": 0.0}), toy_model())
        batch = toy_batch()
        apart = (learner.policy.scores(batch).logprobs - batch.engine_logprobs)[batch.mask > 0].detach()
        metrics, _ = learn(learner, batch)
        ratio = apart.exp()
        assert metrics["mismatch/mean"] == pytest.approx(apart.abs().mean().item())
        assert metrics["mismatch/max"] == pytest.approx(apart.abs().max().item())
        assert metrics["mismatch/kl"] == pytest.approx((ratio - 1 - apart).mean().item())
        size = ratio.sum() ** 2 / ratio.square().sum() / len(ratio)
        assert metrics["mismatch/effective_samples"] == pytest.approx(size.item())

    def test_corrections_change_the_gradient_and_a_wide_cap_of_masking_does_not(self) -> None:
        _, plain = self.measured(Correction())
        _, wide = self.measured(Correction(by="mask", cap=1e30))
        assert_equal_gradients(plain, wide, 1e-12)
        for by, level in [
            ("truncate", "token"),
            ("truncate", "sequence"),
            ("mask", "token"),
            ("mask", "sequence"),
        ]:
            _, changed = self.measured(Correction(by=by, level=level, cap=1.2))  # type: ignore[arg-type]
            with pytest.raises(AssertionError):
                assert_equal_gradients(plain, changed, 1e-6)

    def test_factors_by_hand(self) -> None:
        from rlvr.learning.off_policy import correction_factor

        ready = toy_batch().select(torch.tensor([0]))
        width = ready.mask.shape[1]
        trainer = ready.engine_logprobs + torch.tensor([math.log(3.0), -math.log(5.0)] + [0.0] * (width - 2))
        batch = replace(ready, mask=torch.ones_like(ready.mask)).with_scores(
            old_logprobs=trainer, ref_logprobs=None, kl_rewards=torch.zeros_like(trainer), values=None
        )

        def factor(by: str, level: str) -> list[float]:
            return correction_factor(batch, trainer, Correction(by=by, level=level, cap=2.0))[0].tolist()  # type: ignore[arg-type]

        rest = [1.0] * (width - 2)
        assert factor("truncate", "token") == pytest.approx([2.0, 0.2, *rest])
        assert factor("mask", "token") == pytest.approx([0.0, 0.0, *rest])
        assert factor("truncate", "sequence") == pytest.approx([0.6] * width)
        assert factor("mask", "sequence") == pytest.approx([1.0] * width)
