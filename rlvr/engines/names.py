"""What may stand in a model's place. Imports nothing heavy."""

from __future__ import annotations


def is_endpoint(model: str) -> bool:
    """Whether the name is of a model on an OpenAI-compatible server: http://HOST:PORT#NAME."""
    return model.startswith(("http://", "https://"))


def endpoint_parts(model: str) -> tuple[str, str]:
    """The server's URL, and what it calls the model: empty where that is left to the server."""
    url, _, name = model.partition("#")
    return url.rstrip("/"), name
