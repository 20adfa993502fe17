"""Asking a model about completions: a prompt of one's own, and replies that are never paid for twice.

What is asked is a text with {prompt}, {completion} and {reference} filled in, sent as one user message to an
OpenAI-compatible server. Replies lie in the store below judges/, one directory for each model, text,
temperature and token limit, found again by what was asked and by the number of the vote; so more votes later
ask for the further ones alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from rlvr.config.schema import Positive, Section
from rlvr.core.errors import UserError

if TYPE_CHECKING:
    from rlvr.core.endpoint import Endpoint, Failed
    from rlvr.core.shards import Shards

PLACES = ("prompt", "completion", "reference")
_PLACE = re.compile("{(" + "|".join(PLACES) + ")}")
# Requests, in units of those that run at once, after which replies are written down.
_TOGETHER = 8
REFUSED = "refused"


class JudgeError(UserError):
    """A judge cannot be asked as it is configured; the message says which key or file is to blame."""

    status = 2


class EndpointSettings(Section):
    """An OpenAI-compatible server, such as vLLM's, and how it is asked."""

    url: str
    """Of the server, such as http://localhost:8000."""
    model: str
    """What the server calls the model."""
    key: str = ""
    """The environment variable that holds the API key; empty sends none."""
    concurrency: Positive = 32
    """Requests at once."""
    timeout: Annotated[float, Field(gt=0)] = 120.0
    """Seconds that a request may take."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Of a request that was cut off, timed out or answered with 5xx or 429, each after a longer wait."""

    @property
    def endpoint(self) -> Endpoint:
        from rlvr.core.endpoint import Endpoint  # imports httpx

        return Endpoint(self.url, self.model, self.key, self.concurrency, self.timeout, self.retries)


class AskSettings(EndpointSettings):
    """What a model is asked about completions, and how often."""

    prompt: str | None = None
    """A file with {completion}, and {prompt} and {reference} as wanted; null: the text that ships."""
    votes: Positive = 1
    """Replies to each completion."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of the replies; several votes need one above 0."""
    max_tokens: Positive = 1024
    """The longest reply, in tokens."""


@dataclass(frozen=True)
class Asking:
    """A model with a text to ask. text: see `read_prompt`. Nothing is sent before it is asked."""

    settings: AskSettings
    text: str

    @cached_property
    def key(self) -> dict[str, Any]:
        """What a reply depends on, beside what is filled in and the number of the vote."""
        s = self.settings
        text = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        return {
            "model": s.model, "prompt": text, "temperature": s.temperature, "max_tokens": s.max_tokens,
        }  # fmt: skip

    @property
    def digest(self) -> str:
        """8 hex digits of the key."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:8]

    @cached_property
    def _table(self) -> Shards:
        import pyarrow as pa

        from rlvr.core.replacing import remove_litter, write_bytes
        from rlvr.core.shards import Shards, short_hash, store_root

        directory = store_root() / "judges" / short_hash(self.key)
        remove_litter(directory, recursive=True)
        if not (about := directory / "judge.json").exists():
            directory.mkdir(parents=True, exist_ok=True)
            write_bytes(about, json.dumps(self.key | {"text": self.text}, indent=1).encode())
        kinds = {"prompt": pa.string(), "index": pa.int32(), "text": pa.large_string()}
        schema = pa.schema([*kinds.items(), ("finish_reason", pa.string())])
        return Shards(directory / "replies", schema, ("prompt", "index"))

    def replies(self, filled: Sequence[Mapping[str, str]]) -> list[list[str | None]]:
        """`votes` replies to each, from the store where they are there; None for a request that the server
        refused, such as one longer than the model's context.

        filled: what stands at {prompt}, {completion} and {reference}. Raises EndpointError.
        """
        texts = [_fill(self.text, each) for each in filled]
        hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in texts]
        known = self._known(hashes)
        by_hash = dict(zip(hashes, texts, strict=True))
        votes = range(self.settings.votes)
        missing = [(h, i) for h in by_hash for i in votes if (h, i) not in known]
        for rows in self._asked(missing, by_hash):
            self._table.append(rows)
            known |= {(row["prompt"], row["index"]): row for row in rows}
        return [[_said(known[h, i]) for i in votes] for h in hashes]

    def _known(self, hashes: Sequence[str]) -> dict[tuple[str, int], dict[str, Any]]:
        table = self._table.read(["text", "finish_reason"], {*hashes})
        return {(row["prompt"], row["index"]): row for row in table.to_pylist()}

    def _asked(
        self, missing: Sequence[tuple[str, int]], texts: Mapping[str, str]
    ) -> Iterator[list[dict[str, Any]]]:
        """Replies that came, a part at a time. Raises EndpointError, after what came with it was given."""
        if not missing:
            return
        from rlvr.core.endpoint import CHAT, Client, EndpointError, Failed
        from rlvr.core.seeds import derive_seed  # imports numpy

        client, s = Client(self.settings.endpoint), self.settings
        client.check()
        for start in range(0, len(missing), size := _TOGETHER * s.concurrency):
            part = missing[start : start + size]
            bodies = [
                {
                    "messages": [{"role": "user", "content": texts[h]}],
                    "temperature": s.temperature,
                    "max_tokens": s.max_tokens,
                    "seed": derive_seed("judge", h, i) % 2**31,
                }
                for h, i in part
            ]
            answers = client.ask(CHAT, bodies)
            failed = [a for a in answers if isinstance(a, Failed)]
            rows = [
                {"prompt": h, "index": i, **_read(answer)}
                for (h, i), answer in zip(part, answers, strict=True)
                if not (isinstance(answer, Failed) and (not answer.refused or len(failed) == len(answers)))
            ]
            if rows:
                yield rows
            broken = [f for f in failed if not f.refused] or (failed if not rows else [])
            if broken:
                raise EndpointError(
                    f"{len(broken)} of {len(part)} replies of the judge {s.model} did not come; those that "
                    f"did are kept: give the same command again to go on. {broken[0].text}"
                )


def read_prompt(file: str | None, default: str) -> str:
    """The text to ask. Raises JudgeError for a file that cannot be read or asks about no completion."""
    if file is None:
        return default
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JudgeError(f"the judge's prompt {file} cannot be read: {error}") from None
    if "{completion}" not in text:
        raise JudgeError(
            f"the judge's prompt {file} has no {{completion}}, so it asks about nothing; also filled in are "
            "{prompt} and {reference}"
        )
    return text


def written(reference: Any) -> str:
    """A reference as it stands in a text."""
    return reference if isinstance(reference, str) else json.dumps(reference, default=str)


def _fill(text: str, values: Mapping[str, str]) -> str:
    """In one pass: what stands in a completion is no place."""
    return _PLACE.sub(lambda place: values[place[1]], text)


def _read(answer: dict[str, Any] | Failed) -> dict[str, Any]:
    """An answer without a text, as of a model that only thought, is an empty one."""
    if not isinstance(answer, dict):
        return {"text": answer.text, "finish_reason": REFUSED}
    choice = answer["choices"][0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else None
    return {
        "text": text if isinstance(text, str) else "",
        "finish_reason": str(choice.get("finish_reason")),
    }


def _said(row: Mapping[str, Any]) -> str | None:
    return None if row["finish_reason"] == REFUSED else str(row["text"])
