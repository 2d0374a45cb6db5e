#!/usr/bin/env bash
# All that a session with a GPU measures, as one command; the tables lie in OUT afterwards.
#
#     benchmarks/gpu.sh OUT           base and deep, a few minutes on one GPU
#     benchmarks/gpu.sh OUT tiny      nano and few steps, to try the script on any machine
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?"usage: benchmarks/gpu.sh OUT [tiny]"}
case ${2:-whole} in
    whole) sizes=base,deep steps=60 compared=21 windows=6000 batch=64 ;;
    tiny) sizes=nano steps=4 compared=2 windows=600 batch=8 ;;
    *) echo "benchmarks/gpu.sh: $2 is neither whole nor tiny" >&2; exit 2 ;;
esac
python=$PWD/.venv/bin/python
[ -x "$python" ] || python=python3
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH=$PWD
mkdir -p "$out"
{ nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.max.sm --format=csv || echo "no GPU"; nproc --all; } \
    > "$out/machine.txt" 2>/dev/null
"$python" benchmarks/stream.py --windows "$windows" --folder "$out/windows" | tee "$out/stream.md"
"$python" benchmarks/pretrain.py --sizes "$sizes" --precisions fp32,bf16 --steps "$compared" | tee "$out/step.md"
"$python" benchmarks/throughput.py --folder "$out/windows" --sizes "$sizes" --micro-batch "$batch" --steps "$steps" \
    | tee "$out/throughput.md"
rm -rf "$out/windows"
