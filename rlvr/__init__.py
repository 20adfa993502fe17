"""RL with verifiable rewards: the training half. See ARCHITECTURE.md."""

__version__ = "0.1.0"
