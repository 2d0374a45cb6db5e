# Two commands for a fresh machine: `make demo` walks the whole road on synthetic data, `make test` checks everything
# but what is huge. `make quick` leaves out the slow tests and is for every small change, `make full` leaves out nothing.

PYTHON ?= python3
BIN := .venv/bin
DARE := $(BIN)/dare
# Two workers: a third makes the others slower by more than it does, as they fight for the same two cores.
# Modules are compiled as they are first imported, and kept wherever Python is told otherwise: tests start hundreds of
# processes, and most of what is installed is never imported.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: demo test suite quick full lint types clean

# torchaudio, which braindecode imports, comes built for CUDA alone. It does without its libraries where they are
# absent, so beside a torch that they do not load with they are moved away; beside one for CUDA they stay.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]' --constraint constraints.txt
	$(BIN)/python -c 'import torchaudio' 2> /dev/null || \
		find .venv -path '*/torchaudio/lib/*.so' -exec mv {} {}.needs-cuda \;
	touch $@

demo: .venv/installed
	rm -rf demo
	$(DARE) synth physionetmi --out demo/raw/eegmmidb --subjects 4 --seconds 60
	$(DARE) synth tuab --out demo/raw/tuab --subjects 24 --seconds 60
	$(DARE) preprocess physionetmi --for pretrain --src demo/raw --out demo/shards
	$(DARE) preprocess tuab --for pretrain --src demo/raw --out demo/shards
	$(DARE) preprocess tuab --src demo/raw --out demo/shards
	$(DARE) merge demo/shards/physionetmi-pretrain demo/shards/tuab-pretrain --exclude demo/shards/tuab:test \
		--out demo/shards/merged
	$(DARE) pretrain --shards demo/shards/merged --size nano --steps 300 --global-batch 32 --micro-batch 32 \
		--out demo/runs/nano
	$(DARE) probe tuab --shards demo/shards/tuab --encoder demo/runs/nano --out demo/probes/nano
	$(DARE) probe tuab --shards demo/shards/tuab --encoder scratch --size nano --out demo/probes/scratch
	@echo
	@echo 'The run is in demo/runs/nano, the results in demo/probes/nano/results.json,'
	@echo 'the report page is demo/probes/nano/report.html (control: demo/probes/scratch/report.html).'

# Types are checked beside the tests, which leave a core idle now and then.
test: lint
	$(MAKE) --jobs 2 types suite

suite: .venv/installed
	$(PYTEST) -m 'not full'

quick: .venv/installed
	$(PYTEST) -m 'not slow and not full'

full: lint types
	$(PYTEST)

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/installed
	$(BIN)/mypy

clean:
	rm -rf .venv demo build *.egg-info
