"""An estimate of GPU memory from an architecture's numbers alone, for a machine without its weights."""

from __future__ import annotations

from dataclasses import dataclass

from rlvr.algorithms import build_algorithm
from rlvr.config.schema import Config, Shape
from rlvr.hooks.loading import longest_completion

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}
# Of the optimizer's two moments, for each parameter on the GPU.
MOMENTS = {"adamw": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2}
# Tokens whose logits exist at once: the head runs in chunks.
HEAD_CHUNK = 1024
# 4 bits and an fp32 scale for every 64 weights (QLoRA's NF4).
QUANTIZED = 0.5 + 4 / 64
# Parameters that ZeRO-3 holds whole at once (DeepSpeed's stage3_max_live_parameters).
GATHERED = 1_000_000_000


@dataclass(frozen=True)
class Memory:
    """GiB on each GPU.

    kv_completion: the KV cache of one completion of full length. asleep: whether the engine's memory is
    free while the policy trains.
    """

    weights: float
    gradients: float
    optimizer: float
    activations: float
    engine_weights: float
    kv_cache: float
    kv_completion: float
    asleep: bool

    @property
    def states(self) -> float:
        """What stays from step to step."""
        return self.weights + self.gradients + self.optimizer

    @property
    def training(self) -> float:
        """The most while the policy trains."""
        return self.states + self.activations + (0.0 if self.asleep else self.engine_weights)

    @property
    def generating(self) -> float:
        """The most while the engine generates."""
        return self.states + self.engine_weights + self.kv_cache

    @property
    def peak(self) -> float:
        return max(self.training, self.generating)

    @property
    def completions(self) -> float:
        """Completions of full length that the KV cache holds."""
        return self.kv_cache / self.kv_completion


def parameters(shape: Shape) -> int:
    """Parameters of a decoder with gated MLP and grouped queries."""
    q, kv = _widths(shape)
    norms_and_biases = 2 * shape.hidden + (q + 2 * kv if shape.biases else 0)
    layer = sum(inputs * outputs for inputs, outputs in _linears(shape)) + norms_and_biases
    return shape.layers * layer + shape.vocab * shape.hidden + _head(shape) + shape.hidden


def critic_parameters(shape: Shape) -> int:
    """Parameters of a separate critic backbone."""
    return parameters(shape) - _head(shape) + shape.hidden + 1


def lora_parameters(shape: Shape, rank: int) -> int:
    """Trained parameters with adapters of that rank on every linear layer but the head."""
    return shape.layers * rank * sum(inputs + outputs for inputs, outputs in _linears(shape))


def estimate(config: Config, shape: Shape, processes: int, gpu: float | None = None) -> Memory:
    """Per GPU, with the states that ZeRO shards divided by the number of processes.

    gpu: GiB of each; without it vLLM's share is unknown and its KV cache that of `engine.batch_size`
    completions, as the hf engine's always is. Gradients are summed in fp32. Prompts and what adapters add
    to the activations are left out.
    """
    zero = config.policy.zero
    all_shards, some_shards = (processes if zero == 3 else 1), (processes if zero else 1)
    trained, frozen = _trained(config, shape), _frozen_bytes(config, shape)
    width = BYTES[config.policy.dtype] if zero else 4
    weights = (trained * width + frozen) / all_shards
    if zero == 3:
        weights += min(parameters(shape), GATHERED) * width
    if _autocast(config):
        weights += trained * 2  # the casts of a pass
    master = 4 if zero else 0
    buckets = 2 if processes > 1 and not zero else 1  # DDP's are a second copy of the gradients
    longest = longest_completion(config)
    cached = 2 * shape.layers * shape.kv_heads * shape.head_dim * BYTES[config.engine.dtype] * longest
    held = 0.0 if _elsewhere(config) else parameters(shape) * BYTES[config.engine.dtype] / GIB
    kv_cache = 0.0 if _elsewhere(config) else cached * config.engine.batch_size / GIB
    if gpu is not None and shares_gpus(config):
        kv_cache = max(config.engine.memory_share * gpu - held, 0.0)
    return Memory(
        weights=weights / GIB,
        gradients=trained * 4 * buckets / some_shards / GIB,
        optimizer=trained * (MOMENTS[config.optim.name] + master) / some_shards / GIB,
        activations=_activations(config, shape) / GIB,
        engine_weights=held,
        kv_cache=kv_cache,
        kv_completion=cached / GIB,
        asleep=shares_gpus(config),
    )


def checkpoint(config: Config, shape: Shape) -> float:
    """GiB on disk of one checkpoint: what is trained, and its optimizer with the fp32 copies."""
    width, master = (BYTES[config.policy.dtype], 4) if config.policy.zero else (4, 0)
    return _trained(config, shape) * (width + 8 + master) / GIB


def shares_gpus(config: Config) -> bool:
    """Whether vLLM takes its share of the training GPUs, and sleeps while they train."""
    return config.engine.name == "vllm" and config.engine.mode == "colocate"


def _elsewhere(config: Config) -> bool:
    return config.engine.name == "vllm" and config.engine.mode == "server"


def _autocast(config: Config) -> bool:
    """Whether fp32 weights are cast for each pass; DeepSpeed and adapters hold them in halves."""
    policy = config.policy
    return policy.dtype == "bfloat16" and not policy.zero and policy.lora is None


def _trained(config: Config, shape: Shape) -> int:
    """Trained parameters of the policy or its adapters, and of the critic, whose trunk has them too."""
    lora = config.policy.lora
    trunk = critic_parameters(shape) - shape.hidden - 1 if lora is None else lora_parameters(shape, lora.rank)
    policy = parameters(shape) if lora is None else trunk
    critic = build_algorithm(config.algorithm).critic
    if critic is None:
        return policy
    return policy + shape.hidden + 1 + (trunk if critic.trunk == "copy" else 0)


def _frozen_bytes(config: Config, shape: Shape) -> float:
    """The base under adapters, which is the reference too, with the critic's trunk; or, without adapters,
    the reference where the KL coefficient is above 0, and the teacher."""
    count, width = parameters(shape), BYTES[config.policy.dtype]
    algorithm = build_algorithm(config.algorithm)
    if config.policy.lora is None:
        held = width if config.policy.zero else 4  # as the trained weights are
        frozen = (algorithm.kl.coefficient > 0) + (algorithm.taught is not None)
        return count * held * frozen  # the teacher's size is not known: that of the policy is taken
    linears = shape.layers * sum(inputs * outputs for inputs, outputs in _linears(shape))
    others = count - linears
    if algorithm.critic is not None and algorithm.critic.trunk == "copy":
        others, linears = 2 * others - _head(shape), 2 * linears
    return others * width + linears * (QUANTIZED if config.policy.lora.quantized else width)


def _activations(config: Config, shape: Shape) -> int:
    """Bytes that the backward pass of one micro-batch needs; with checkpointing one layer's and the
    inputs of all. The head's logits and their gradient exist for a chunk of tokens, in fp32."""
    tokens = max(config.optim.micro_batch_tokens, config.rollouts.max_new_tokens)
    layer = layer_activations(shape, config.policy.dtype, _autocast(config))
    inputs = shape.hidden * (4 if _autocast(config) else BYTES[config.policy.dtype])
    critic = build_algorithm(config.algorithm).critic
    trunks = 2 if critic is not None and critic.trunk == "copy" else 1
    if config.policy.gradient_checkpointing:
        per_token = trunks * shape.layers * inputs + layer
    else:
        per_token = trunks * shape.layers * layer
    return tokens * per_token + 2 * 4 * min(tokens, HEAD_CHUNK) * shape.vocab


def layer_activations(shape: Shape, dtype: str, autocast: bool = False) -> int:
    """Bytes per token that one layer keeps for its backward pass; attention scores are never stored.

    Hidden-sized: both norms keep their input and normalised input, in fp32 whatever the dtype is, and
    their output. Then the queries, keys and values, the attention's output, and four of the MLP's width.
    """
    q, kv = _widths(shape)
    hidden = 13 if autocast else 8 if dtype == "bfloat16" else 6
    return BYTES[dtype] * (hidden * shape.hidden + 2 * q + 2 * kv + 4 * shape.intermediate)


def _widths(shape: Shape) -> tuple[int, int]:
    """Width of the queries, and of the keys or values."""
    return shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim


def _linears(shape: Shape) -> list[tuple[int, int]]:
    """Inputs and outputs of a layer's linear maps: q, k, v, o; gate, up, down."""
    q, kv = _widths(shape)
    hidden, wide = shape.hidden, shape.intermediate
    return [
        (hidden, q),
        (hidden, kv),
        (hidden, kv),
        (q, hidden),
        (hidden, wide),
        (hidden, wide),
        (wide, hidden),
    ]


def _head(shape: Shape) -> int:
    """Parameters of the output head that are not the embedding's."""
    return 0 if shape.tied else shape.vocab * shape.hidden
