"""The algorithms, one file each. A builder's keyword arguments are the keys of `algorithm.*`.

Builders import torch inside, so that a configuration is checked before torch is loaded.
"""

# name -> module:function that builds it
ALGORITHMS = {
    "grpo": "rlvr.algorithms.grpo:grpo",
}
