# What there is to do here; every target works from a clean clone.
PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check -c constraints.txt
DEMO = .venv/demo/bin
TEST = .venv/test/bin

.PHONY: help demo test slow lint types lite accuracy bench train-demo eval-willow gpu-check clean installed

help: ## list these targets
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: ## match two photographs with the base install, draw demo.png
	rm -rf .venv/demo
	$(PYTHON) -m venv .venv/demo
	rm -rf build
	$(DEMO)/python $(PIP) .
	$(DEMO)/georun match examples/cheetah1.jpg examples/chelsea.png --points "90,92 163,94 124,150 127,185" --draw demo.png
	@echo "drawn: $(CURDIR)/demo.png"

test: ## fresh environment, then the whole suite but for slow tests
	rm -rf .venv/test
	$(MAKE) --no-print-directory .venv/test/ready
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(TEST)/python -m pytest -n auto --dist loadfile

slow: installed ## the tests on full datasets
	$(TEST)/python -m pytest -m slow

lint: .venv/test/ready ## style
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .

types: .venv/test/ready ## strict types on runtime and kernels
	mkdir -p .venv/types/geoaware
	ln -sfn $(CURDIR)/runtime $(CURDIR)/kernels .venv/types/geoaware/
	MYPYPATH=.venv/types $(TEST)/mypy

lite: installed ## rebuild the bundle that ships with the package
	$(TEST)/geoexport build lite --compact --force --out runtime/bundles/lite

accuracy: installed ## accuracy of lite, into benchmarks/results
	$(TEST)/python -m benchmarks.lite_accuracy

bench: installed ## latency and throughput beside rivals, tables and plots of them, into benchmarks/results
	$(TEST)/georun bench
	$(TEST)/georun bench --report

train-demo: installed ## extract, train, build, evaluate on small data: before and after, minutes
	$(TEST)/python -m benchmarks.train_demo

eval-willow: installed ## all of PF-Willow with lite: the committed numbers again?
	$(TEST)/python -m benchmarks.eval_willow

gpu-check: ## the GPU path tested and timed on this GPU with $(PYTHON), into benchmarks/results
	@$(PYTHON) -c "import numpy, threadpoolctl" || { echo "gpu-check needs numpy and threadpoolctl, and pytest for its tests"; exit 1; }
	@mkdir -p .venv/checkout/geoaware
	@ln -sfn $(CURDIR)/kernels $(CURDIR)/runtime $(CURDIR)/export $(CURDIR)/train $(CURDIR)/examples $(CURDIR)/benchmarks/bench .venv/checkout/geoaware/
	@export GEOAWARE_HOME=$${GEOAWARE_HOME:-$(CURDIR)/.venv/checkout/home}; \
	PYTHONPATH=$(CURDIR)/.venv/checkout:$(PYTHONPATH) $(PYTHON) -m benchmarks.gpu

clean: ## remove environments and caches
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/test/ready: setup.py constraints.txt
	$(PYTHON) -m venv --clear .venv/test
	rm -rf build
	$(TEST)/python $(PIP) ".[dev]"
	touch $@

installed: .venv/test/ready # the code as it is now, in the environment that is there
	rm -rf build
	$(TEST)/python $(PIP) --no-deps --force-reinstall .
