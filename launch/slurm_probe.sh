#!/usr/bin/env bash
# The probe alone, beside or after training:   sbatch launch/slurm_probe.sh run=runs/grpo_qwen7b-s0 follow=true
#                               or any pair:   sbatch launch/slurm_probe.sh model=PATH base=PATH task=NAME out=DIR
# Every sample is stored as it is drawn: when its time ends the job is queued again, and goes on.
#
#   VENV    the environment (.venv-gpu)
#SBATCH --job-name=rlvr-probe
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?start this with sbatch}"
export PATH="$PWD/${VENV:-.venv-gpu}/bin:$PATH"

srun accelerate launch --num_processes "${SLURM_GPUS_ON_NODE:-1}" --num_machines 1 --mixed_precision no \
    --dynamo_backend no -m evals probe "$@" &
probe=$!
# shellcheck disable=SC2329 # called by the trap
queue_again() {
    kill "$probe" 2>/dev/null || true
    wait "$probe" || true
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
}
trap queue_again TERM
wait "$probe"
