"""Episodes: tokens that never leave token space, limits, identity, company, and environments that fail."""

from __future__ import annotations

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from playing import (
    BAD,
    BYTES,
    Player,
    after,
    begin,
    changes,
    computes,
    counts,
    forks,
    grows,
    halving,
    hangs,
    one_range,
    starts_a_program,
)
from toys import toy_algorithm

from rlvr.algorithms.bundle import Draws
from rlvr.config.schema import RewardConfig, RolloutConfig
from rlvr.core.run_dir import read_jsonl
from rlvr.engines import Completion, Engine, Request, Sampling, Turn
from rlvr.engines.hf import HFEngine
from rlvr.graders import Status, StringVerifier
from rlvr.models.loading import eos_ids, load_model, load_tokenizer
from rlvr.rollouts.collect import Collected, Rollouts, to_batch
from rlvr.rollouts.metrics import rollout_metrics
from rlvr.rollouts.playing.acting import EnvironmentFailure, Failure
from rlvr.rollouts.playing.episodes import EpisodeStream, play
from rlvr.rollouts.rewards import RewardError, RewardMix
from rlvr.tasks import Problem, Share, Stage, Task
from rlvr.tasks.environments import Environment, Transition
from rlvr.tasks.streams import problem_stream

GUESS = one_range()
FREE = Sampling(1.0, 1.0, 112, ("\n",))


def always_right(text: str, reference: object) -> tuple[Status, str]:
    return Status.CORRECT, text


PROBLEMS = [Problem(f"p{i}", "abc"[: 1 + i % 3], i) for i in range(6)]
TALK = Environment(begin, counts, turns=5)
TASK = Task("talk", PROBLEMS, [], StringVerifier(always_right, "1"), "plain", environment=TALK)


def played(
    engine: Engine, task: Task, problems: list[Problem], sampling: Sampling = FREE, seeds: int = 1
) -> list[Completion]:
    asked = [
        (Request(tuple(p.prompt.encode()), sampling, 100 * i + seed), p)
        for i, p in enumerate(problems)
        for seed in range(seeds)
    ]
    done = dict(play(engine, task, BYTES, asked))
    assert sorted(done) == list(range(len(asked)))
    return [done[i] for i in range(len(asked))]


def test_a_game_is_one_completion_whose_spans_are_what_the_policy_wrote() -> None:
    engine = Player(halving)
    games = played(engine, GUESS, [*GUESS.train, *GUESS.test])
    verdicts = GUESS.grade(
        [(g.graded, p.reference) for g, p in zip(games, [*GUESS.train, *GUESS.test], strict=True)]
    )
    assert sum(v.correct for v in verdicts) == 63  # 1 + 2 + 4 + 8 + 16 + 32
    turns = Counter(len(g.turns) for g, v in zip(games, verdicts, strict=True) if v.correct)
    assert turns == {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32}
    first = games[0]
    assert first.text.startswith("50\n") and first.token_ids == tuple(first.text.encode())
    for game in games:
        assert game.spans == tuple((t.start, t.end) for t in game.turns)
        written = "".join(game.text[a:b] for a, b in game.spans)
        ends = [*(t.start for t in game.turns[1:]), len(game.text)]
        answered = "".join(game.text[t.end : end] for t, end in zip(game.turns, ends, strict=True))
        assert {*written} <= {*"0123456789\n"} and {*answered.split()[::2]} <= {"higher", "lower"}
        assert game.drawn == len(written)
        inside = {i for a, b in game.spans for i in range(a, b)}
        assert all((logprob == -0.5) == (i in inside) for i, logprob in enumerate(game.logprobs))
        assert game.finish_reason == "stop" and game.token_ids[-1] == ord("\n")


def test_a_turn_is_asked_with_every_token_so_far_and_a_seed_of_its_own() -> None:
    engine = Player(lambda text, seed: "ab")
    (episode,) = played(engine, TASK, PROBLEMS[:1], Sampling(1.0, 1.0, 40))
    assert episode.text == "ab<1>ab<2>ab"
    assert episode.turns == (
        Turn(0, 2, 0.25, "ab", "<1>"), Turn(5, 7, 0.5, "ab", "<2>"), Turn(10, 12, 0.75, "ab"),
    )  # fmt: skip
    prompts = [bytes(r.prompt_ids).decode() for r in engine.asked]
    assert prompts == ["a", "aab<1>", "aab<1>ab<2>"]
    assert [r.sampling.max_new_tokens for r in engine.asked] == [40, 35, 30]
    assert len({r.seed for r in engine.asked}) == 3 and engine.asked[0].seed == 0  # as without turns
    again = Player(lambda text, seed: "ab")
    played(again, TASK, PROBLEMS[:1], Sampling(1.0, 1.0, 40))
    assert again.asked == engine.asked


@pytest.mark.parametrize(
    ("tokens", "text", "reason"),
    [
        (12, "ab<1>ab<2>ab", "stop"),  # to the last token, and done
        (11, "ab<1>ab<2>a", "stop"),  # cut, and done all the same
        (10, "ab<1>ab", "length"),  # an observation that nobody could answer
        (8, "ab<1>ab", "length"),
        (6, "ab<1>a", "length"),
        (5, "ab", "length"),
        (1, "a", "length"),
    ],
)
def test_the_token_limit_is_that_of_the_whole_episode(tokens: int, text: str, reason: str) -> None:
    (episode,) = played(Player(lambda text, seed: "ab"), TASK, PROBLEMS[:1], Sampling(1.0, 1.0, tokens))
    assert (episode.text, episode.finish_reason) == (text, reason)
    assert len(episode.token_ids) == len(episode.logprobs) <= tokens


def test_turns_and_their_tokens_are_limited() -> None:
    short = replace(TASK, environment=replace(TALK, turns=2, turn_tokens=1))
    (episode,) = played(Player(lambda text, seed: "ab"), short, PROBLEMS[:1], Sampling(1.0, 1.0, 40))
    assert (episode.text, episode.finish_reason) == ("a<1>a", "stop")
    with pytest.raises(ValueError, match="turns=0"):
        replace(TALK, turns=0)
    with pytest.raises(ValueError, match="stop is a tuple"):
        replace(TALK, stop="\n")


def test_the_key_of_samples_names_version_and_limits() -> None:
    assert GUESS.environment and GUESS.environment.described == "guess-2, 6 turns of 4 tokens"
    assert "playing-" in TALK.version and TALK.described == f"{TALK.version}, 5 turns"
    assert GUESS.ends == ("\n",) and TASK.ends == ()


def test_a_mixture_plays_the_tasks_that_have_an_environment() -> None:
    plain = Task("plain", PROBLEMS, [], TASK.verifier, "plain")
    stages = (Stage(None, (Share(TASK, 1), Share(plain, 1))),)
    mixture = Task("mixture", [], [], TASK.verifier, stages=stages)
    problems = [p for _, p in problem_stream(mixture, 0).take(8)]
    engine = Player(lambda text, seed: "ab")
    for problem, episode in zip(problems, played(engine, mixture, problems), strict=True):
        assert episode.text == ("ab" if problem.id.startswith("plain") else "ab<1>ab<2>ab")
        assert bool(episode.turns) == (not problem.id.startswith("plain"))


@pytest.fixture(scope="module")
def engine(untrained: Path) -> HFEngine:
    tokenizer = load_tokenizer(untrained)
    return HFEngine(load_model(untrained, "float32"), tokenizer, eos_ids(untrained, tokenizer), batch_size=8)


def test_an_episode_is_the_same_to_the_bit_in_any_company(engine: HFEngine) -> None:
    """Alone, or beside others that come and go at other times."""
    sampling = Sampling(1.0, 1.0, 40)
    talk = replace(TASK, environment=replace(TALK, turn_tokens=7))
    together = played(engine, talk, PROBLEMS, sampling, seeds=3)
    for i, p in enumerate(PROBLEMS):
        request = Request(tuple(p.prompt.encode()), sampling, 100 * i + 1)
        assert dict(play(engine, talk, BYTES, [(request, p)]))[0] == together[3 * i + 1]


def test_episodes_advance_independently(engine: HFEngine) -> None:
    """One that ends after a turn is ready while others go on; more are added meanwhile."""
    one_turn = replace(TALK, turns=1, turn_tokens=2)
    stages = (Stage(None, (Share(TASK, 1), Share(replace(TASK, name="short", environment=one_turn), 1))),)
    mixture = Task("mixture", [], [], TASK.verifier, stages=stages)
    stream = EpisodeStream(engine.stream(), mixture, BYTES)
    problems = [p for _, p in problem_stream(mixture, 0).take(6)]
    for i, p in enumerate(problems[:4]):
        stream.add(Request((97,), Sampling(1.0, 1.0, 40), i), p)
    number, completion = next(stream)
    assert problems[number].id.startswith("short") and len(completion.turns) == 1
    later = [stream.add(Request((97,), Sampling(1.0, 1.0, 40), i), problems[i]) for i in (4, 5)]
    assert later == [4, 5] and {number, *(n for n, _ in stream)} == {*range(6)}
    with pytest.raises(StopIteration):
        next(stream)
    stream.close()


def in_threads(act: Callable[..., Any], at_once: int) -> Task:
    """The task with an environment that counts as one of the package's."""
    act.__module__ = "rlvr.tests"
    return replace(TASK, environment=Environment(begin, act, turns=3, at_once=at_once, version="slow-1"))


def test_calls_that_wait_overlap_and_the_engine_draws_meanwhile() -> None:
    """Three calls of a round wait for each other, and the first one for a turn that is drawn later."""
    together, later = threading.Barrier(3), threading.Event()

    def waits(state: dict[str, Any], text: str) -> Transition:
        if state["turn"] == 0:
            together.wait(20)
        elif text == "a":
            assert later.wait(20)
        return counts(state, text)

    def writes(text: str, seed: int) -> str:
        if text.startswith("abc") and "<2>" in text:
            later.set()
        return text[:3].split("<")[0][-1]  # the last letter of its prompt

    task = in_threads(waits, 3)
    episodes = played(Player(writes), task, PROBLEMS[:3], Sampling(1.0, 1.0, 40))
    assert [e.text for e in episodes] == ["a<1>a<2>a", "b<1>b<2>b", "c<1>c<2>c"]
    one_by_one = played(Player(writes), replace(TASK, environment=TALK), PROBLEMS[:3], Sampling(1.0, 1.0, 40))
    assert episodes == one_by_one


def test_what_fails_in_a_thread_ends_its_episode_alone() -> None:
    def odd(state: dict[str, Any], text: str) -> Transition:
        if text == "b":
            raise KeyError("no such room")
        return counts(state, text)

    failures: list[tuple[str, str]] = []
    asked = [(Request(tuple(p.prompt.encode()), FREE, 0), p) for p in PROBLEMS[:3]]
    engine = Player(lambda text, seed: text[:3].split("<")[0][-1])
    done = dict(
        play(
            engine, in_threads(odd, 2), BYTES, asked,
            lambda problem, completion, failure: failures.append((problem.id, failure.what)),
        )
    )  # fmt: skip
    assert [done[i].finish_reason for i in range(3)] == ["stop", "failed", "stop"]
    assert failures == [("p1", "act raised KeyError: 'no such room'")]
    with pytest.raises(EnvironmentFailure, match="problem p1, turn 1"):
        list(play(engine, in_threads(odd, 2), BYTES, asked))


def collected(
    engine: Any, task: Task, tmp_path: Path, draws: Draws | None = None, tokens: int = 40, **rewards: Any
) -> Collected:
    mix = RewardMix(RewardConfig(**rewards), [], tokens, tmp_path / "evidence" / "rewards.jsonl")
    settings = RolloutConfig(prompts=4, group_size=3, max_new_tokens=tokens)
    made = Rollouts(engine, task, BYTES, settings, mix, draws or Draws(), Accelerator(cpu=True), seed=3)
    return made.collect(problem_stream(task, 0))


def test_turns_are_trained_on_and_observations_are_not(tmp_path: Path) -> None:
    found = collected(
        Player(lambda text, seed: "ab"[: 1 + seed % 2]), TASK, tmp_path, toy_algorithm("remax").draws
    )
    batch = to_batch(found.used)
    rows = [s.completion for g in found.used for s in g.scored]
    for i, row in enumerate(rows):
        inside = [float(any(a <= t < b for a, b in row.spans or ())) for t in range(batch.mask.shape[1])]
        assert batch.mask[i].tolist() == inside and 0 < sum(inside) == row.drawn < len(row.token_ids)
        assert (batch.engine_logprobs[i] != 0).float().tolist() == inside
    greedy = [g.greedy.completion for g in found.used if g.greedy]
    assert len(greedy) == 4 and all(len(c.turns) == 3 for c in greedy)
    assert found.tokens == sum(c.drawn for c in [*rows, *greedy])
    metrics = rollout_metrics(found)
    assert (metrics["rollout/turns"], metrics["rollout/failed"]) == (3, 0)


def test_what_is_given_for_turns_is_paid_at_their_last_tokens(tmp_path: Path) -> None:
    """By hand: turns worth 1/4, 2/4, 3/4, times 2; the outcome 1; a discount of a half a turn."""
    found = collected(Player(lambda text, seed: "ab"), TASK, tmp_path, turns=2.0, turn_discount=0.5)
    (scored, *_) = found.used[0].scored
    paid = [0.0] * 12
    paid[1], paid[6], paid[11] = 0.5, 0.5, 0.375
    assert scored.token_rewards == tuple(paid)
    assert scored.components == {"outcome": 0.25, "turns": 1.375}
    assert scored.reward == 1.625
    batch = to_batch(found.used)
    assert batch.token_rewards[0].tolist() == paid and batch.rewards[0] == 1.625
    plain = collected(Player(lambda text, seed: "ab"), TASK, tmp_path).used[0].scored[0]
    assert plain.components == {"outcome": 1.0} and plain.token_rewards == ()


def failing(act: Callable[..., Any], **changed: Any) -> Task:
    seconds = 0.2 if act in (hangs, computes) else 60.0
    environment = Environment(begin, act, turns=3, seconds=seconds, **changed)
    return replace(TASK, environment=environment)


@pytest.mark.parametrize("act", BAD, ids=lambda act: act.__name__)
def test_an_environment_that_fails_ends_the_episode_with_evidence(
    act: Callable[..., Any], tmp_path: Path
) -> None:
    engine = Player(lambda text, seed: "ab")
    with pytest.raises(
        RewardError, match=r"problem p\d, turn 1, step 1: the environment failed: act.*rewards.bad"
    ):
        collected(engine, failing(act), tmp_path)
    asked: list[str] = []
    mute = StringVerifier(lambda text, reference: (asked.append(text), (Status.CORRECT, text))[1], "2")
    found = collected(engine, replace(failing(act), verifier=mute), tmp_path, bad="wrong", correct=1.0)
    assert asked == []  # its final state is no state
    for scored in (s for g in found.sampled for s in g.scored):
        assert scored.completion.finish_reason == "failed" and scored.completion.text == "ab"
        assert (scored.verdict.status, scored.bad, scored.reward) == (Status.WRONG, True, 0.0)
    rows = read_jsonl(tmp_path / "evidence" / "rewards.jsonl")
    assert len(rows) == 13 and {row["environment"] for row in rows} == {BAD[act]}
    assert {(row["turn"], row["completion"]) for row in rows} == {(1, "ab")}
    assert rollout_metrics(found)["rollout/failed"] == rollout_metrics(found)["reward/bad"] == 1


def test_an_observation_that_grows_without_bound_ends_the_episode_where_it_is_too_long() -> None:
    failures: list[Failure] = []
    request = Request((97,), Sampling(1.0, 1.0, 10**6), 0)
    ((_, episode),) = play(
        Player(lambda text, seed: "ab"), failing(grows), BYTES, [(request, PROBLEMS[0])],
        lambda problem, completion, failure: failures.append(failure),
    )  # fmt: skip
    assert len(episode.turns) == 2 and episode.finish_reason == "failed"
    assert failures[0].what.startswith("act returned an observation of 10000 characters, allowed are 4000")


def children() -> set[str]:
    """Of this process, those that ended and were not reaped included."""
    lists = Path("/proc/self/task").glob("*/children")
    return {child for file in lists for child in file.read_text().split()}


def test_of_what_an_environment_forks_nothing_is_left(tmp_path: Path) -> None:
    """Nor of programs that it starts, which it may."""
    request, before = (Request((97,), FREE, 0), PROBLEMS[0]), children()
    with pytest.raises(EnvironmentFailure, match="turn 1: the environment failed: act: it forked"):
        list(play(Player(halving), failing(forks), BYTES, [request]))
    ((_, episode),) = play(Player(lambda text, seed: "ab"), failing(starts_a_program), BYTES, [request])
    assert episode.text == "abgo on\nabgo on\nab" and episode.finish_reason == "stop"
    assert children() == before
    if (child := os.fork()) == 0:  # outside of a call it is the program's own affair
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_an_environment_changes_is_put_back_and_reaches_nobody() -> None:
    before = random.getstate()
    with pytest.warns(UserWarning, match="environment playing-.* changed torch's default dtype"):
        (episode,) = played(Player(lambda text, seed: "ab"), failing(changes), PROBLEMS[:1])
    assert torch.get_default_dtype() == torch.float32 and random.getstate() == before
    assert episode.finish_reason == "stop"


def test_where_no_episode_begins_or_nothing_can_be_graded() -> None:
    def no_beginning(reference: Any) -> Any:
        raise ValueError("no map of this name")

    request = (Request((97,), FREE, 0), PROBLEMS[0])
    broken = replace(TASK, environment=Environment(no_beginning, counts, turns=3))
    with pytest.raises(
        EnvironmentFailure, match="problem p0: no episode begins: begin raised ValueError: no map"
    ):
        list(play(Player(halving), broken, BYTES, [request]))
    mute = replace(TASK, environment=replace(TALK, answer=lambda state: state["turn"]))
    with pytest.raises(EnvironmentFailure, match=r"problem p0, turn 3: .* answer returned int, not a text"):
        list(play(Player(lambda text, seed: "ab"), mute, BYTES, [request]))
    assert after({"turn": 1}) == {"turn": 2}
