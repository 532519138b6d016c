# raftsdk. `make help` lists what there is. Only Python 3.11+ and make are needed; everything else is set up in .venv.

PYTHON ?= python3
BIN := .venv/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
UV_VERSION := 0.13.9
MANIFESTS := pyproject.toml $(wildcard codecs/*/pyproject.toml adapters/*/pyproject.toml)
TYPED := raftsdk tests examples bench spec $(wildcard codecs/*/src codecs/*/tests adapters/*/src adapters/*/tests)

.DEFAULT_GOAL := help
.PHONY: help setup demo test verify fix generate fuzz simulate mutants soak bench bench-codecs

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make .venv with everything in it, raftsdk's own packages editable

.venv/.ready: $(MANIFESTS)
	@$(PYTHON) -c 'import sys; sys.exit("raftsdk needs Python 3.11 or newer; name one: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(UV) sync --quiet --inexact --all-packages --all-extras
	@touch $@

demo: setup ## the main job: 3 processes, the standard library's files replicated, the leader killed on the way
	@$(BIN)/raftsdk demo

test: setup ## every test, on all cores
	@$(BIN)/pytest --numprocesses auto --dist loadfile

verify: setup ## format, lint, types, import arrows, executed README and docstrings; writes nothing
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy $(TYPED)
	@$(BIN)/lint-imports
	@$(BIN)/pytest --quiet raftsdk tests/house $(wildcard codecs/*/src adapters/*/src)

fix: setup ## format, and fix what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

generate: setup ## the generated code and the missing vectors; what is there already comes out the same
	@$(BIN)/python -m grpc_tools.protoc -I codecs/protobuf/src --python_out=codecs/protobuf/src \
		--pyi_out=codecs/protobuf/src raftsdk_protobuf/raft.proto
	@$(BIN)/python spec/make_vectors.py

fuzz: setup ## a million damaged inputs for every decoder, the frames and the hellos (INPUTS=20000000 for a long run)
	@$(BIN)/python tests/fuzz/fuzz_run.py --inputs $(or $(INPUTS),1000000)

simulate: setup ## whole clusters under every fault, by seed, invariants after every event (SEEDS=20000 EVENTS=20000 to soak)
	@$(BIN)/raftsdk simulate --seeds $(or $(SEEDS),400) --events $(or $(EVENTS),10000)

mutants: setup ## does the simulator bite? thirty known bugs put in, one at a time; at least 28 must be found
	@$(BIN)/python tests/simulation/mutants/mutant_run.py --seeds $(or $(SEEDS),400) --events $(or $(EVENTS),10000)

soak: setup ## real processes under every fault, on five nodes, for an hour (MINUTES=600 ROWS="kill -9,pause" NODES=3 SCALE=0.1 SEED=7)
	@$(BIN)/python tests/faults/soak.py --minutes $(or $(MINUTES),60) --nodes $(or $(NODES),5) \
		--scale $(or $(SCALE),1) --seed $(or $(SEED),1) $(if $(ROWS),--rows "$(ROWS)")

bench: setup ## side by side with other Rafts, in one run (SUITES="writes reads" ROUNDS=3 SECONDS=2 JSON=run.json CHARTS=docs/charts)
	@$(UV) sync --quiet --inexact --all-packages --all-extras --group bench
	@$(BIN)/python -m bench $(SUITES) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(JSON),--json $(JSON)) $(if $(CHARTS),--chart $(CHARTS)) $(if $(DOCUMENT),--document $(DOCUMENT))

bench-codecs: setup ## the five codecs beside the bare libraries, pickle and a plain join
	@$(BIN)/python -m bench.codecs
