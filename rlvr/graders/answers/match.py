"""What a confined worker runs for `patterns`."""

import re


def matches(patterns: list[str], answer: str) -> bool:
    """Whether one of the patterns matches the whole answer."""
    return any(re.fullmatch(pattern, answer) for pattern in patterns)
