"""Rewards that come with the package: a judge on a server, a sequence classifier from a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stand_in_server import MODEL, Answer, free_port, stand_in

from rlvr.config.errors import ConfigError
from rlvr.config.schema import ExtraReward, RewardConfig
from rlvr.graders import Status, Verdict
from rlvr.planning.recipe import load_config
from rlvr.rollouts.judge_reward import read_score
from rlvr.rollouts.reward_functions import Raised, RewardFunction, Row, load_functions
from rlvr.rollouts.rewards import RewardError, RewardMix

VERDICT = Verdict(Status.WRONG, 0.0)


def row(completion: str, prompt: str = "numbers: 1 2 3\n", group: int = 0) -> Row:
    return Row("p", prompt, completion, len(completion), False, {"target": 6}, VERDICT, group)


def loaded(reward: str, **options: Any) -> RewardFunction:
    (function,) = load_functions(RewardConfig(extra=[ExtraReward(reward=reward, options=options)]))
    return function


def judge(url: str, reward: str = "judge", **options: Any) -> RewardFunction:
    return loaded(reward, **{"url": url, "model": MODEL, "retries": 0, "timeout": 2.0, **options})


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("Good.\nscore: 7", 7.0),
        ("**Score:** 3.5/10", 3.5),
        ("score: 2\nno:\nScore = 9", 9.0),
        ("score: 11", None),
        ("score: -1", None),
        ("score: high", None),
        ("7", None),
        ("score: 1e400", None),
        ("score: " + "9" * 500, None),
        ("", None),
    ],
)
def test_what_a_reply_says(reply: str, score: float | None) -> None:
    assert read_score(reply, 10.0) == score


def test_a_judge_scores_a_batch_once() -> None:
    def answers(asked: dict[str, Any], _: int) -> Answer:
        text = asked["messages"][0]["content"]
        return Answer("no idea" if "odd" in text else f"score: {4 if 'fine' in text else 2}")

    rows = [row("fine"), row("poor"), row("odd"), row("fine")]
    with stand_in(answers) as server:
        function = judge(server.url)
        assert function.values(rows) == [0.4, 0.2, None, 0.4] and len(server.asked) == 3
        assert judge(server.url, undecided=0.1).values(rows) == [0.4, 0.2, 0.1, 0.4]
        assert judge(server.url, scale=5).values(rows[:1]) == [0.8]
        assert len(server.asked) == 3 and "numbers: 1 2 3" in server.asked[0]["messages"][0]["content"]
        votes = judge(server.url, votes=3, temperature=1.0)
        assert votes.values(rows[:1]) == [pytest.approx(0.4)] and len(server.asked) == 6


def test_several_judges_have_names_of_their_own() -> None:
    server = {"url": "u", "model": "m"}
    extra = [ExtraReward(reward=name, options=server) for name in ("judge", "judge:style")]
    assert [f.name for f in load_functions(RewardConfig(extra=extra))] == ["judge", "style"]
    with pytest.raises(ConfigError, match="already a reward of the name judge"):
        load_functions(RewardConfig(extra=[extra[0], extra[0]]))


@pytest.mark.parametrize("bad", ["stop", "wrong"])
def test_a_judge_that_is_down_is_an_error_or_counts_as_wrong(bad: str, tmp_path: Path) -> None:
    function = judge(f"http://127.0.0.1:{free_port()}")
    (value,) = function.values([row("fine")])
    assert isinstance(value, Raised) and "no server answers" in value.text
    mix = RewardMix(RewardConfig(bad=bad), [function], 10, tmp_path / "evidence.jsonl")  # type: ignore[arg-type]
    if bad == "wrong":
        assert mix([row("fine")])[0].bad
    else:
        with pytest.raises(RewardError, match=r"reward judge, problem p: .*no server answers"):
            mix([row("fine")])


@pytest.mark.parametrize(
    ("reward", "options", "key", "said"),
    [
        ("judge", {"url": "u"}, "options.model", "is missing"),
        ("judge", {"url": "u", "model": "m", "temprature": 1}, "options.temprature", "did you mean"),
        ("judge", {"url": "u", "model": "m", "votes": 0}, "options.votes", "greater"),
        ("classifier", {"path": "nowhere"}, "options.path", "no config.json"),
        ("classifier", {}, "options.path", "is missing"),
    ],
)
def test_mistakes_are_found_with_the_recipe(
    reward: str, options: dict[str, Any], key: str, said: str, tmp_path: Path
) -> None:
    given = ", ".join(f"{name}: {value}" for name, value in options.items())
    arguments = [f"rewards.extra=[{{reward: {reward}, options: {{{given}}}}}]", f"run_dir={tmp_path}"]
    with pytest.raises(ConfigError) as caught:
        load_config(["recipe=grpo_tiny", *arguments])
    (mistake,) = caught.value.mistakes
    assert mistake.key == f"rewards.extra[0].{key}" and said in mistake.advice


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Random sequence classifiers of one and of three labels, on the tokens of the embedded base."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    from rlvr.models.loading import load_tokenizer
    from rlvr.models.tiny_base import embedded_base

    made = {}
    for labels in (1, 3):
        torch.manual_seed(labels)
        config = Qwen2Config(
            vocab_size=320, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, max_position_embeddings=64, num_labels=labels,
        )  # fmt: skip
        made[labels] = tmp_path_factory.mktemp("classifier")
        Qwen2ForSequenceClassification(config).save_pretrained(made[labels])
        load_tokenizer(embedded_base("countdown-untrained")).save_pretrained(made[labels])
    return made


def test_a_classifier_says_the_same_in_any_batch(classifier: dict[int, Path]) -> None:
    rows = [row(text) for text in ("1+2=3", "1", "1+2=3\n3+3=6\nanswer: (1+2)+3", "2+2=4", "7" * 300)]
    alone = [loaded("classifier", path=str(classifier[1])).values([one])[0] for one in rows]
    together = loaded("classifier", path=str(classifier[1]), batch_size=2).values(rows)
    assert together == pytest.approx(alone, abs=1e-5) and len(set(alone)) == len(rows)
    completion = loaded("classifier", path=str(classifier[1]), of="completion").values(rows)
    assert completion != pytest.approx(alone, abs=1e-5)


def test_the_probability_of_a_label(classifier: dict[int, Path]) -> None:
    shares = [
        loaded("classifier", path=str(classifier[3]), label=label).values([row("1+2=3")])[0]
        for label in range(3)
    ]
    assert sum(shares) == pytest.approx(1) and min(shares) > 0


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (3, {}, "has 3 labels"),
        (1, {"label": 1}, "there is no 1"),
        (1, {"of": "chat"}, "has no chat template"),
    ],
)
def test_a_classifier_that_cannot_be_used(
    labels: int, options: dict[str, Any], said: str, classifier: dict[int, Path]
) -> None:
    (value,) = loaded("classifier", path=str(classifier[labels]), **options).values([row("1")])
    assert isinstance(value, Raised) and said in value.text
