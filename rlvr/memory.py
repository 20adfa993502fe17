"""An estimate of GPU memory from an architecture's numbers alone, for a machine without its weights."""

from __future__ import annotations

from dataclasses import dataclass

from rlvr.config import Config, Shape

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Memory:
    """GiB on each GPU. The engine's share is apart, since it may sleep or live elsewhere."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    engine_weights: float
    kv_cache: float

    @property
    def training(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations

    @property
    def engine(self) -> float:
        return self.engine_weights + self.kv_cache


def parameters(shape: Shape) -> int:
    """Parameters of a decoder with gated MLP, grouped queries and biases on q, k, v (Qwen2)."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = shape.hidden * (q + 2 * kv) + q + 2 * kv + q * shape.hidden
    layer = attention + 3 * shape.hidden * shape.intermediate + 2 * shape.hidden
    embeddings = shape.vocab * shape.hidden * (1 if shape.tied else 2)
    return shape.layers * layer + embeddings + shape.hidden


def estimate(config: Config, shape: Shape, processes: int) -> Memory:
    """Per GPU, with the states that ZeRO shards divided by the number of processes.

    AdamW: two fp32 moments, and an fp32 copy of half-precision weights. Activations of one micro-batch:
    per token and layer 34 hidden-sized halves and the MLP's (arXiv 2205.05198, eq. 2, without attention
    scores, which are never stored), or one layer's input with checkpointing; logits in fp32, three times.
    KV cache: `engine.batch_size` completions (vLLM fits as many as it has room for) of full length.
    """
    count = parameters(shape)
    policy, engine = BYTES[config.policy.dtype], BYTES[config.engine.dtype]
    zero = config.policy.zero
    master = 4 if config.policy.dtype != "float32" else 0
    tokens = max(config.optim.micro_batch_tokens, config.rollouts.max_new_tokens)
    if config.policy.gradient_checkpointing:
        per_token = shape.layers * shape.hidden * policy + _layer_activations(shape, policy)
    else:
        per_token = shape.layers * _layer_activations(shape, policy)
    logits = 3 * 4 * shape.vocab
    cached = 2 * shape.layers * shape.kv_heads * shape.head_dim * engine
    reference = 1 if config.algorithm.options["kl"]["coefficient"] > 0 else 0
    trained = 2 if config.algorithm.options.get("critic", {}).get("trunk") == "copy" else 1
    return Memory(
        weights=(trained + reference) * count * policy / (processes if zero == 3 else 1) / GIB,
        gradients=trained * count * policy / (processes if zero >= 2 else 1) / GIB,
        optimizer=trained * count * (8 + master) / (processes if zero >= 2 else 1) / GIB,
        activations=trained * tokens * (per_token + logits) / GIB,
        engine_weights=count * engine / GIB,
        kv_cache=cached * config.engine.batch_size * config.rollouts.max_new_tokens / GIB,
    )


def _layer_activations(shape: Shape, width: int) -> int:
    """Bytes per token that one layer keeps for its backward pass."""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    return width * (6 * shape.hidden + 2 * q + 2 * kv + 4 * shape.intermediate)
