"""What the fork server of `forked` imports once: all that is heavy in a training run and in a probe."""

from __future__ import annotations
