"""The configuration of a run, as frozen models. `rlvr.planning.recipe` reads and merges what they validate.

The keys of `task.*` and `algorithm.*` are the keyword arguments of the function that builds the named
task or algorithm: there is no second list of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Strings that end a completion; null: those that the task's template brings; []: none.
Stop = tuple[Annotated[str, Field(min_length=1)], ...] | None


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


S = TypeVar("S", bound=Section)


class Choice(BaseModel):
    """A named builder and its keyword arguments, all in one mapping."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class ExtraReward(Section):
    """reward: "package.module:function"; it is given (completion text, the problem's reference, verdict),
    in the training process, and returns a number, which is multiplied by `weight`."""

    reward: str
    weight: Finite = 1.0


class RewardConfig(Section):
    """What a completion is worth: a sum, each of its components logged as reward/<name>.

    correct, wrong: the outcome; unparsed and timed-out completions are wrong. format: for an answer where
    the prompt asks for it, right or wrong. overlong_cache: DAPO's shaping (arXiv 2503.14476, eq. 13): the
    last tokens before the limit, this many, cost up to 1, a cut completion costs 1; None is off. extra: more
    components, functions of yours. bad: where one of these raises or returns no finite number, the run
    stops, or the completion counts as wrong; the evidence is kept either way.
    """

    correct: Finite = 1.0
    wrong: Finite = 0.0
    format: Finite = 0.0
    overlong_cache: Positive | None = None
    extra: tuple[ExtraReward, ...] = ()
    bad: Literal["stop", "wrong"] = "stop"


class Correction(Section):
    """What is done about engine and trainer giving a sampled token different log-probs.

    by: truncate weighs by the ratio trainer / engine, at most `cap`; mask drops what lies outside
    1 / cap .. cap. level: the ratio of each token, or of the whole completion.
    """

    by: Literal["none", "truncate", "mask"] = "none"
    level: Literal["token", "sequence"] = "token"
    cap: Annotated[float, Field(ge=1)] = 2.0


class RolloutConfig(Section):
    """One step samples `group_size` completions for each of `prompts` problems.

    top_p below 1 biases every ratio, so it needs allow_top_p. mask_truncated: completions that were cut
    are not trained on; they stay in their group's statistics. stop: strings that end a completion, which
    keeps the token that completes one; null: those that the task's template brings, [] none.
    """

    prompts: Positive = 64
    group_size: Positive = 8
    max_new_tokens: Positive = 64
    temperature: Annotated[float, Field(gt=0)] = 1.0
    top_p: Fraction = 1.0
    allow_top_p: bool = False
    stop: Stop = None
    mask_truncated: bool = False
    correction: Correction = Correction()


class OptimConfig(Section):
    """AdamW with linear warm-up to a constant rate. A mini-batch is one optimizer step."""

    lr: Annotated[float, Field(gt=0)] = 1e-6
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    mini_batches: Positive = 1
    epochs: Positive = 1
    micro_batch_tokens: Positive = 16384


class Shape(Section):
    """The architecture's numbers, for the memory estimate on a machine without the weights."""

    layers: Positive
    hidden: Positive
    intermediate: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive
    vocab: Positive
    tied: bool = False


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685) on every linear layer but the head; the rest is frozen.

    quantized: the frozen weights are held in 4 bits (QLoRA, arXiv 2305.14314), which needs a GPU.
    """

    rank: Positive = 32
    alpha: Annotated[float, Field(gt=0)] = 64.0
    quantized: bool = False


class PolicyConfig(Section):
    """How the policy is held and trained. zero: DeepSpeed ZeRO stage; 0 trains without DeepSpeed. dtype: of
    the computation; with bfloat16 an fp32 copy of what is trained is kept. lora: null trains every weight."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    zero: Literal[0, 2, 3] = 0
    gradient_checkpointing: bool = False
    lora: Lora | None = None
    shape: Shape | None = None


class EngineConfig(Section):
    """What generates. batch_size: completions at once (hf; the most at once with vllm).

    mode: vLLM runs in each training process (colocate), or elsewhere and is reached at `url` (server).
    memory_share: of a GPU's memory, for vLLM's weights and KV cache (colocate).
    transfer: how new weights reach a server: over NCCL through `nccl_port`, or as files in the run
    directory, which both must then see. timeout: seconds that a server may leave a request unanswered
    before the run stops; generation may take `generation_timeout`.
    """

    name: Literal["hf", "vllm"] = "hf"
    mode: Literal["colocate", "server"] = "colocate"
    dtype: Literal["float32", "bfloat16"] = "float32"
    batch_size: Positive = 512
    memory_share: Fraction = 0.4
    url: str = "http://localhost:8000"
    transfer: Literal["nccl", "files"] = "nccl"
    nccl_port: Positive = 51216
    timeout: Annotated[float, Field(gt=0)] = 30.0
    generation_timeout: Annotated[float, Field(gt=0)] = 1800.0


class MonitorConfig(Section):
    """wandb mirrors the files and never stops a run. Alarms: see `rlvr.tracking.monitor`.

    group: of the runs that are compared; null is task-model. wandb_timeout: seconds that the server may
    take to begin, and again to end; what it has not got by then lies in the run directory.
    """

    wandb: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "rlvr"
    group: str | None = None
    wandb_timeout: Annotated[float, Field(gt=0)] = 30.0
    max_logprob_difference: Annotated[float, Field(gt=0)] = 0.1
    max_skipped_updates: Positive = 3


class Config(Section):
    """One run of `steps` training steps with a checkpoint every `save_every`, of which the last `keep_last`
    stay. model: what is trained, a directory, a Hub id or embedded:NAME; base: what it is compared with,
    null is the model itself. hooks: "package.module:function" of checkpoint hooks of yours, each of which
    may add a section of its own (see `rlvr.hooks`).
    """

    recipe: str
    model: str
    base: str | None = None
    run_dir: str
    resume: Literal["auto"] = "auto"
    seed: int = 0
    steps: Positive
    save_every: Positive
    keep_last: Positive = 2
    hooks: tuple[str, ...] = ()
    task: Choice
    algorithm: Choice
    rewards: RewardConfig = RewardConfig()
    rollouts: RolloutConfig = RolloutConfig()
    optim: OptimConfig = OptimConfig()
    policy: PolicyConfig = PolicyConfig()
    engine: EngineConfig = EngineConfig()
    monitor: MonitorConfig = MonitorConfig()

    @property
    def base_model(self) -> str:
        return self.base or self.model

    def section(self, kind: type[S]) -> S:
        """The section of this kind, which a hook registered. Raises LookupError where none did."""
        for name in type(self).model_fields:
            if isinstance(value := getattr(self, name), kind):
                return value
        raise LookupError(f"no hook registered the section {kind.__name__}")
