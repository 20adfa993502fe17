#!/usr/bin/env bash
# Nodes that train and nodes where vLLM generates:   sbatch launch/slurm_server.sh recipe=grpo_qwen7b [key=value ...]
# Starts the server, waits for it, trains, and stops the server however the training ends. Before its time ends,
# or when it is preempted, the run finishes its step, saves, and the job is queued again.
#
#   SERVER_NODES  the last so many nodes serve (1)       TENSOR  GPUs that share one copy of the model (1)
#   LAUNCH        launch file (launch/nodes2_zero3.yaml) VENV    the environment (.venv-gpu)
#   PORT          of the server (8000)                   WAIT    seconds until it must answer (1800)
#SBATCH --job-name=rlvr
#SBATCH --nodes=3
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

gpus=${SLURM_GPUS_PER_NODE:-8} port=${PORT:-8000}
gpus=${gpus##*:} # of "h100:8" the number
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
serving=${SERVER_NODES:-1}
training=$((${#nodes[@]} - serving))
if ((serving < 1 || training < 1)); then
    echo "error: ${#nodes[@]} node(s), of which $serving serve: give --nodes and SERVER_NODES that leave some to train" >&2
    exit 1
fi
servers=("${nodes[@]:training}")
url="http://${servers[0]}:$port"
settings=("$@" engine.name=vllm engine.mode=server "engine.url=$url")
mapfile -t serve < <(python -m launch.server "${settings[@]}")
[[ ${#serve[@]} -gt 0 ]] || exit 1 # it has said why

steps=() signals=0
# shellcheck disable=SC2329 # called by the trap
at_exit() {
    local status=$?
    for step in "${steps[@]}"; do kill "$step" 2>/dev/null || true; done # srun ends its step
    wait
    if ((signals && status)); then scontrol requeue "$SLURM_JOB_ID"; fi
}
trap at_exit EXIT
# The servers' steps are numbered from 0, the trainer's comes after them.
trap 'signals=$((signals + 1)); scancel --signal=TERM "$SLURM_JOB_ID.$serving" || true' TERM

# vLLM's data parallelism: every node holds gpus / TENSOR copies, the first node answers for all.
copies=$((gpus / ${TENSOR:-1}))
for rank in "${!servers[@]}"; do
    place=(--host 0.0.0.0 --port "$port")
    ((rank == 0)) || place=(--headless --data-parallel-start-rank "$((rank * copies))")
    VLLM_SERVER_DEV_MODE=1 srun --nodes=1 --ntasks=1 --nodelist="${servers[rank]}" \
        "${serve[@]}" "${place[@]}" --tensor-parallel-size "${TENSOR:-1}" \
        --data-parallel-size "$((copies * serving))" --data-parallel-size-local "$copies" \
        --data-parallel-address "${servers[0]}" --data-parallel-rpc-port "$((port + 1))" &
    steps+=($!)
done

deadline=$((SECONDS + ${WAIT:-1800}))
until curl --silent --fail --max-time 5 --output /dev/null "$url/health"; do
    for step in "${steps[@]}"; do
        kill -0 "$step" 2>/dev/null || { echo "error: a vLLM server ended before it answered; see above" >&2; exit 1; }
    done
    ((SECONDS < deadline)) || { echo "error: $url did not answer within ${WAIT:-1800} s" >&2; exit 1; }
    ((signals == 0)) || exit 1
    sleep 2
done

# shellcheck disable=SC2016 # SLURM_PROCID is that of each node
srun --nodes="$training" --ntasks="$training" --nodelist="$(IFS=,; echo "${nodes[*]:0:training}")" \
    bash -c 'exec accelerate launch --machine_rank "$SLURM_PROCID" "$@"' launch \
    --config_file "${LAUNCH:-$launch/nodes2_zero3.yaml}" \
    --num_machines "$training" --num_processes "$((training * gpus))" --main_process_ip "${nodes[0]}" \
    -m rlvr.train "${settings[@]}" &
trainer=$!
until
    seen=$signals status=0
    wait "$trainer" || status=$?
    ((seen == signals)) # else it was a signal that ended the wait
do :; done
exit "$status"
