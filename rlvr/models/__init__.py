"""Models: loading them, adapters, and the tiny base that is pretrained in place."""
