"""The configuration of a run, as frozen models. `rlvr.planning.recipe` reads and merges what they validate.

The keys of `task.*` and `algorithm.*` are the keyword arguments of the function that builds the named
task or algorithm: there is no second list of them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field

from rlvr.config.rewards import ExtraReward, RewardConfig
from rlvr.config.section import Finite, Fraction, Positive, Section, Written

__all__ = ["ExtraReward", "Finite", "Fraction", "Positive", "RewardConfig", "Section"]

# Strings that end a completion; null: those that the task's template brings; []: none.
Stop = tuple[Annotated[str, Field(min_length=1)], ...] | None

S = TypeVar("S", bound=Section)


class Choice(Written):
    """A named builder and its keyword arguments, all in one mapping."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    name: str
    """A name of those listed, or your own function: "package.module:function"."""

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Correction(Section):
    """What is done about engine and trainer giving a sampled token different log-probs, because they round
    differently or because the engine drew with older weights (`rollouts.ahead`)."""

    by: Literal["none", "truncate", "mask"] = "none"
    """truncate weighs by min(trainer / engine, cap); mask drops ratios outside 1 / cap .. cap."""
    level: Literal["token", "sequence"] = "token"
    """The ratio of each token, or of the whole completion."""
    cap: Annotated[float, Field(ge=1)] = 2.0
    """The largest ratio."""


class RolloutConfig(Section):
    """What is sampled for one training step."""

    prompts: Positive = 64
    """Problems per step."""
    group_size: Positive = 8
    """Completions per problem."""
    max_new_tokens: Positive = 64
    """The longest completion, in tokens."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of the policy that is sampled and trained."""
    top_p: Fraction = 1.0
    """Nucleus; below 1 it biases every ratio, so it needs allow_top_p."""
    allow_top_p: bool = False
    """Accept that bias."""
    stop: Stop = None
    """Strings that end a completion, which keeps the token that completes one; null: those that the task's
    template brings, [] none."""
    ahead: Annotated[int, Field(ge=0)] = 0
    """Steps whose rollouts are drawn while an earlier one is trained: a step's are drawn, from beginning to
    end, by the weights of so many steps before it (docs/scale.md)."""
    mask_truncated: bool = False
    """Do not train on completions cut at the limit; they stay in their group's statistics."""
    correction: Correction = Correction()


class OptimConfig(Section):
    """AdamW with linear warm-up, then a schedule."""

    lr: Annotated[float, Field(gt=0)] = 1e-6
    """Learning rate, the critic's too unless `algorithm.critic.lr` says otherwise."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After the warm-up, over the updates of all `steps`."""
    min_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the rate, where linear and cosine end."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps until the rate is reached."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """AdamW's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's, decoupled."""
    decay: Literal["all", "matrices"] = "all"
    """matrices: norms and biases have no weight decay."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Gradients are clipped to this norm."""
    mini_batches: Positive = 1
    """Optimizer steps per pass over a step's completions."""
    epochs: Positive = 1
    """Passes over a step's completions."""
    name: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = "adamw"
    """8bit: bitsandbytes' states in 8 bits, paged: moved to the host where GPU memory ends; need a GPU."""
    micro_batch_tokens: Positive = 16384
    """Tokens in one forward pass, a group's prompt once; changes memory, not the gradient."""


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
    """Whether input and output embeddings are one."""
    biases: bool = True
    """Whether q, k and v have biases."""


class Lora(Section):
    """Low-rank adapters (arXiv 2106.09685); the rest is frozen. Without dropout: the policy that is trained
    has to be the one that sampled."""

    rank: Positive = 32
    alpha: Annotated[float, Field(gt=0)] = 64.0
    """An adapter is scaled by alpha / rank."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (arXiv 2312.03732)."""
    targets: tuple[str, ...] = ()
    """Names of the modules with adapters, such as q_proj; empty is every linear layer but the head."""
    modules_to_save: tuple[str, ...] = ()
    """Modules that are trained whole beside the adapters, such as norm."""
    quantized: bool = False
    """Hold the frozen weights in 4 bits (QLoRA, arXiv 2305.14314); needs a GPU."""


class PolicyConfig(Section):
    """How the policy is held and trained."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; with bfloat16 an fp32 copy of the trained weights is kept."""
    zero: Literal[0, 2, 3] = 0
    """DeepSpeed ZeRO stage; 0 trains without DeepSpeed."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    lora: Lora | None = None
    """Train adapters only; null trains every weight."""
    shape: Shape | None = None
    """For --dry-run where the model's own config.json is not on this machine."""

    @property
    def shards_weights(self) -> bool:
        """Whether no process holds all weights: ZeRO's third stage."""
        return self.zero == 3


class EngineConfig(Section):
    """What generates."""

    name: Literal["hf", "vllm"] = "hf"
    """transformers, or vLLM."""
    mode: Literal["colocate", "server"] = "colocate"
    """vLLM in each training process, or a server at `url`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights that generate."""
    batch_size: Positive = 512
    """Completions at once (hf); the most at once (vllm)."""
    memory_share: Fraction = 0.4
    """Of a GPU's memory, for vLLM's weights and KV cache (colocate)."""
    url: str = "http://localhost:8000"
    """Of the server."""
    transfer: Literal["nccl", "files"] = "nccl"
    """How new weights reach a server; for files it must see the run directory."""
    nccl_port: Positive = 51216
    """Where trainer and server meet for NCCL."""
    timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds that a server may leave a request unanswered before the run stops."""
    generation_timeout: Annotated[float, Field(gt=0)] = 1800.0
    """Seconds that one generation may take."""


class MonitorConfig(Section):
    """wandb mirrors the files and never stops a run. Alarms: see `rlvr.tracking.monitor`."""

    wandb: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "rlvr"
    """wandb's project."""
    group: str | None = None
    """Of the runs that are compared; null is task-model."""
    wandb_timeout: Annotated[float, Field(gt=0)] = 30.0
    """Seconds that wandb may take to begin, and again to end."""
    max_logprob_difference: Annotated[float, Field(gt=0)] = 0.1
    """The run stops where engine and trainer differ by more nats per token, on average over a step."""
    max_skipped_updates: Positive = 3
    """The run stops after this many steps in a row without a finite loss and gradient, and after more in all
    where they are more than `max_skipped_share` of the last 20 steps."""
    max_skipped_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    """See there; 1 allows any."""
    keep_rollouts: Annotated[int, Field(ge=0)] = 0
    """The last steps whose rollouts are kept on disk, for `rlvr view`: all that each of them trained on."""
    strict: bool = False
    """The run stops, with exit status 3, at a step of which most completions have no verdict."""


class PlanConfig(Section):
    """What --dry-run=COUNTxGIB counts with; nothing of it changes a run."""

    dollars_per_gpu_hour: Annotated[float, Field(ge=0)] = 0.0
    """For the cost of a run; 0 prints none."""
    mean_tokens: Annotated[float, Field(gt=0)] | None = None
    """Of a completion; null is an eighth of the limit."""
    rollout_tokens: Annotated[float, Field(gt=0)] | None = None
    """Sampled per second on each GPU; null is a rule of thumb."""
    update_tokens: Annotated[float, Field(gt=0)] | None = None
    """Trained per second on each GPU; null is a rule of thumb."""
    like: str | None = None
    """A run directory on the same GPUs, whose measured speed is taken."""


class Config(Section):
    """One run."""

    recipe: str
    """A name of those listed, or a file."""
    model: str
    """What is trained: a directory, a Hub id, or embedded:NAME."""
    base: str | None = None
    """What it is compared with; null is the model before training."""
    teacher: str | None = None
    """What the policy learns from, for an algorithm that asks for it: as `model`."""
    run_dir: str
    """Where everything is written."""
    resume: Literal["auto", "anew"] = "auto"
    """auto: an existing run directory is resumed; anew: what it holds is put aside, and the run begins."""
    seed: int = 0
    """Of data order and sampling."""
    steps: Positive
    """Training steps."""
    save_every: Positive
    """Steps between checkpoints."""
    keep_last: Positive = 2
    """Checkpoints that stay on disk."""
    hooks: tuple[str, ...] = ()
    """ "package.module:function" of your checkpoint hooks (see `rlvr.hooks`)."""
    task: Choice
    algorithm: Choice
    rewards: RewardConfig = RewardConfig()
    rollouts: RolloutConfig = RolloutConfig()
    optim: OptimConfig = OptimConfig()
    policy: PolicyConfig = PolicyConfig()
    engine: EngineConfig = EngineConfig()
    monitor: MonitorConfig = MonitorConfig()
    plan: PlanConfig = PlanConfig()

    @property
    def updates(self) -> int:
        """Optimizer steps of the whole run."""
        return self.steps * self.optim.mini_batches * self.optim.epochs

    @property
    def base_model(self) -> str:
        return self.base or self.model

    def section(self, kind: type[S]) -> S:
        """The section of this kind, which a hook registered. Raises LookupError where none did."""
        for name in type(self).model_fields:
            if isinstance(value := getattr(self, name), kind):
                return value
        raise LookupError(f"no hook registered the section {kind.__name__}")
