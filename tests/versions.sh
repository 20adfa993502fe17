#!/usr/bin/env bash
# tests/versions.sh oldest|newest ...: the fast tests of what calls torch, transformers, accelerate, peft, wandb
# or datasets, on the versions in requirements/NAME.txt, each set in an environment of its own (.venv-NAME).
# PYTHON: the interpreter. TORCH_INDEX: where torch comes from, such as an index of CPU builds.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
for name in "$@"; do
  python=.venv-$name/bin/python
  if ! cmp --silent "requirements/$name.txt" ".venv-$name/installed.txt"; then
    "${PYTHON:-python3}" -m venv ".venv-$name"
    "$python" -m pip --disable-pip-version-check install --quiet ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
      -r "requirements/$name.txt" -e ".[train]" pytest pytest-xdist hypothesis pandas
    cp "requirements/$name.txt" ".venv-$name/installed.txt"
  fi
  echo "== $name: $(grep -v '^#' "requirements/$name.txt" | tr '\n' ' ')"
  OMP_NUM_THREADS=1 "$python" -m pytest -q -n 2 -m "not slow and not gpu and not vllm and not distributed" \
    tests/rlvr/{algorithms,engines,learning,models,rollouts,tracking} tests/evals/sampling || failed+=("$name")
done
if ((${#failed[@]})); then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
