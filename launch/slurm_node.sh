#!/usr/bin/env bash
# One node, the engine in the training processes:   sbatch launch/slurm_node.sh recipe=grpo_qwen7b [key=value ...]
# Before its time ends, or when it is preempted, the run finishes its step, saves, and the job is queued again.
#
#   LAUNCH    launch file (launch/node_zero3.yaml)       VENV    the environment (.venv-gpu)
#SBATCH --job-name=rlvr
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@600
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch}"
export PATH="$PWD/${VENV:-.venv-gpu}/bin:$PATH"
launch=$(python -c 'import launch; print(*launch.__path__)') # in the checkout, or where rlvr is installed
# torchrun kills what has not ended 30 s after a signal: a step and a checkpoint take longer.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=570

signals=0
# shellcheck disable=SC2329 # called by the trap
at_exit() {
    local status=$?
    if ((signals && status)); then scontrol requeue "$SLURM_JOB_ID"; fi
}
trap at_exit EXIT
trap 'signals=$((signals + 1)); scancel --signal=TERM "$SLURM_JOB_ID" || true' TERM # to the steps, not to this script

srun python -m launch.preflight "$@"

srun accelerate launch --config_file "${LAUNCH:-$launch/node_zero3.yaml}" -m rlvr.train "$@" &
trainer=$!
until
    seen=$signals status=0
    wait "$trainer" || status=$?
    ((seen == signals)) # else it was a signal that ended the wait
do :; done
exit "$status"
