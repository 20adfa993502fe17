"""How long 100,000 rows take: read, rendered and tokenised, on one core.

python benchmarks/own_rows.py [rows=100000] [kinds=jsonl,csv,parquet] [model=DIRECTORY]. Without a model a
byte-level BPE tokenizer of 4,000 tokens, trained on the questions, with a chat template of the usual form
stands in for one.
"""

from __future__ import annotations

import os
import sys

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import csv
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "the", "a", "of", "to", "in", "how", "many", "apples", "trains", "cost", "each", "day", "week", "price",
    "find", "sum", "if", "then", "left", "sold", "bought", "km",
)  # fmt: skip


def question(rng: random.Random, number: int) -> str:
    """About 60 words."""
    words = [rng.choice(WORDS) if rng.random() < 0.9 else str(rng.randint(2, 999)) for _ in range(60)]
    return f"({number}) {' '.join(words)}?"


def tokenizer_of(model: str | None, questions: list[str]) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if model is not None:
        return AutoTokenizer.from_pretrained(model)
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        questions[:5000], trainers.BpeTrainer(vocab_size=4000, initial_alphabet=alphabet)
    )
    core.add_special_tokens([AddedToken(text, special=True) for text in ("<|im_start|>", "<|im_end|>")])
    made = PreTrainedTokenizerFast(tokenizer_object=core)
    made.chat_template = TEMPLATE
    return made


def main(arguments: list[str]) -> None:
    given = dict(argument.split("=", 1) for argument in arguments)
    count = int(given.get("rows", "100000"))
    rng = random.Random(0)
    questions = [question(rng, i) for i in range(count)]
    tokenizer = tokenizer_of(given.get("model"), questions)

    from rlvr.tasks import build_task
    from rlvr.tasks.templates.chat import posed, prompt_lengths

    print(f"{count:,} rows, one core: seconds of CPU to read, render and tokenise")
    with tempfile.TemporaryDirectory() as room:
        for kind in given.get("kinds", "jsonl,csv,parquet").split(","):
            path = written(Path(room) / f"rows.{kind}", questions)
            for template in ("r1_zero", "chat"):
                begun = time.process_time()
                task = build_task("data", path=path, template=template)
                read = time.process_time()
                task = posed(task, tokenizer)
                rendered = time.process_time()
                tokens = sum(prompt_lengths(tokenizer, [*task.train, *task.test]))
                ended = time.process_time()
                seconds = (read - begun, rendered - read, ended - rendered, ended - begun)
                shown = "  ".join(
                    f"{name} {took:5.1f}"
                    for name, took in zip(("read", "render", "tokenise", "all"), seconds, strict=True)
                )
                print(f"{kind:<8} {template:<8} {shown}  ({tokens / count:.0f} tokens a prompt)")


def written(path: Path, questions: list[str]) -> str:
    rows = [{"question": text, "answer": str(i), "source": "made"} for i, text in enumerate(questions)]
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0].keys())
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


if __name__ == "__main__":
    main(sys.argv[1:])
