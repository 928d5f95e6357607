# make            what there is
# Every target makes the environment first when it is missing or pyproject.toml is newer, so each works in a fresh clone.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # some containers set it: each process then compiles torch's modules again, for three seconds

.PHONY: help figures figure tasks multiverse mediation placebos baselines architectures stability compare run verify theory test test-cluster test-kernels test-all lint bench docs clean

help:  ## this list
	@grep -E '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | awk -F'\t' '{printf "  make %-13s %s\n", $$1, $$2}'

.venv: $(BIN)/.installed  ## the environment, in .venv/

$(BIN)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("make: Python 3.11 or newer is needed, %s is %s; try make PYTHON=python3.11" % (sys.executable, sys.version.split()[0]) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --editable '.[dev]'  # most modules are never imported
	@touch $@

# Everything the figures follow from: when none of it is newer than the report, there is nothing to do.
SOURCES := pyproject.toml docs/conventions.md $(shell find hclm_runner experiments conf -name '*.py' -o -name '*.yaml' -o -name '*.css' -o -name '*.js' -o -name '*.jinja')
RESULTS := $(wildcard $(addprefix outputs/paper/,runs records figures) outputs/tasks/claims.json outputs/multiverse/multiverse.json outputs/architectures/architectures.json outputs/theory/gates.json outputs/theory/studies.json)

figures: outputs/paper/report.html  ## the paper's sweep (what is missing of it), Figures 3-32, every claim's verdict, the report

outputs/paper/report.html: $(BIN)/.installed $(SOURCES) $(RESULTS)
	$(BIN)/python -m hclm_runner -m experiment=paper || test $$? -eq 1  # 1: a run diverged, and the figures mark it
	$(BIN)/python -m experiments figures paper
	$(BIN)/python -m experiments claims paper
	$(BIN)/python -m experiments report paper $(if $(wildcard outputs/tasks/claims.json),--tasks tasks)

figure: .venv  ## one figure: make figure N=18 (from the runs of make figures that there are; 3 and 4 need none)
	$(BIN)/python -m experiments figures paper --only $(or $(N),$(error make figure N=18: N is a number from 3 to 32)) --force --incomplete

tasks: .venv  ## the claims on four tasks (2880 runs); then make figures has the matrix claims x tasks
	$(BIN)/python -m hclm_runner -m experiment=tasks || test $$? -eq 1
	$(BIN)/python -m experiments claims tasks

multiverse: .venv  ## every claim in 85 plausible reconstructions of the experiment: trains what is missing, judges, draws
	$(BIN)/python -m experiments multiverse

compare: .venv  ## two stores, paired: make compare A=paper B=other
	$(BIN)/python -m experiments compare $(A) $(B)

mediation: .venv  ## does the gap follow the force, or lam? lam and the force are drawn (540 runs)
	$(BIN)/python -m experiments mediation

placebos: .venv  ## is it feedback? each controlled run beside its placebo (1800 runs; 5400 with STORE=paper_full)
	$(BIN)/python -m experiments placebos $(or $(STORE),paper)

baselines: .venv  ## does an entropy term beat the obvious? every method tuned at an equal budget, judged on fresh seeds
	$(BIN)/python -m experiments baselines
	$(BIN)/python -m experiments baselines task=breast_cancer --name baselines_breast_cancer

architectures: .venv  ## do the claims hold in CNNs and transformers, trained hard? (1440 runs); FOLDER= of Fashion-MNIST's files
	$(BIN)/python -m experiments architectures $(if $(FOLDER),--root $(FOLDER))

stability: .venv  ## at which gain and delay is a thermostat's loop unstable? the plant, the margins, the map (3132 runs)
	$(BIN)/python -m experiments stability

verify: .venv  ## every theorem of the paper as a gate that can fail
	$(BIN)/python -m experiments verify

theory: .venv  ## the theorems on real runs: what they assume, Theorem 3 over samples, Proposition 4 (2240 runs)
	names=$$($(BIN)/python -m experiments statements --sweeps) || exit 2; for name in $$names; do \
		$(BIN)/python -m hclm_runner -m experiment=$$name || test $$? -eq 1 || exit 2; \
	done
	$(BIN)/python -m experiments theory

run: .venv  ## one run: the log-det surrogate held by a thermostat; make run ARGS="task=digits lam=0.3"
	$(BIN)/python -m hclm_runner surrogate=logdet regime=thermostat $(ARGS)

# How MKL and torch choose their kernels on other processors than this one: any, one of AVX2, and one of SSE4.2 with two threads.
KERNELS := 'MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default' 'MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=avx2' \
	'MKL_ENABLE_INSTRUCTIONS=SSE4_2 OMP_NUM_THREADS=2'

OF_KERNELS = $(shell grep -l mark.kernels tests/test_*.py)

test: .venv  ## the fast tests, and equalities and tolerances with the kernels of other processors
	$(BIN)/python -m pytest
	printf '%s\n' $(KERNELS) | xargs -P 2 -I{} sh -c \
		'{} $(BIN)/python -m pytest -n 0 -m "kernels and not slow" $(OF_KERNELS) || { echo "failed with {}"; exit 1; }'

test-kernels: .venv  ## all the fast tests with the kernels of other processors, one kind after the other
	for setting in $(KERNELS); do echo "== $$setting"; env $$setting $(BIN)/python -m pytest || exit 1; done

test-all: test-kernels  ## all tests, the slow ones too, and the fast ones with the kernels of other processors
	$(BIN)/python -m pytest -m ''

test-cluster: .venv  ## a sweep on a real SLURM, a real dask and into S3, on this machine (what is not installed is skipped, with the reason)
	$(BIN)/python -m pytest -n 0 -m slow -rs tests/cluster

lint: .venv  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv  ## an epoch against its matrix products and a plain loop, a sweep against stock Hydra, a store as it grows, JAX where installed
	$(BIN)/python -m experiments benchmark

docs: $(BIN)/.installed-docs  ## the site, with the API and the executed examples: docs/_build/html/index.html
	$(BIN)/python -m sphinx -E -W --keep-going -b html -c docs . docs/_build/html

$(BIN)/.installed-docs: $(BIN)/.installed
	$(BIN)/python -m pip install --no-compile --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

clean:  ## remove the environment and the caches, never results
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
