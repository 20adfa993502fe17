"""Templates of the user's own: a text file with {question} and any column of the row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlvr.tasks import TaskError
from rlvr.tasks.templates import TEMPLATES, text_hash

# {{ and }} are braces; {column} is a column.
_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w .-]*)\}")


class TemplateError(TaskError):
    """A template of the user's own cannot be used; the message says why and what to do."""

    status = 2


@dataclass(frozen=True)
class FileTemplate:
    """A template's text and the columns that it names. name: the file's stem, with a hash of the text."""

    name: str
    text: str

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(field for field in _FIELD.findall(self.text) if field))

    def render(self, question: str, columns: Mapping[str, Any]) -> str:
        """The prompt. Braces in what is put in are left alone."""
        values = {**columns, "question": question}

        def put(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0][0]
            value = values.get(match[1])
            return "" if value is None else str(value)

        return _FIELD.sub(put, self.text)


def read_template(path: str) -> FileTemplate:
    """Raises TemplateError for a file that cannot be read or has no {question}."""
    place = Path(path).expanduser()
    try:
        text = place.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise TemplateError(
            f"task.template={path}: no such file; or give one of {', '.join(TEMPLATES)}, chat"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"task.template={path} cannot be read as UTF-8: {error}") from None
    text = text.removeprefix("\ufeff")
    template = FileTemplate(f"{place.stem}-{text_hash(text)}", text)
    if "question" not in template.columns:
        raise TemplateError(f"task.template={path} has no {{question}}; braces are written {{{{ and }}}}")
    return template
