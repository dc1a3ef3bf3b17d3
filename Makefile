# Tasks of mentor; "make help" lists them. Everything is installed into .venv, nothing elsewhere.

PYTHON ?= python3
CXX ?= g++
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NATIVE := $(shell find core bindings -type f 2>/dev/null)
DEMO := demo

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format docs bench clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## install mentor and what its tests need into .venv

demo: $(INSTALLED) ## learn a potential for ethanol from GFN2-xTB, starting from one structure
	@mkdir -p $(DEMO)
	@cp -n examples/ethanol/* $(DEMO)/ 2>/dev/null || true
	$(BIN)/mentor learn $(DEMO)/campaign.toml
	@$(BIN)/mentor report $(DEMO)

test: lint ## check the style, then run all tests
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(INSTALLED) ## check style, formatting and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@find core bindings lammps -name '*.[ch]pp' | xargs -r $(BIN)/clang-format --dry-run -Werror
	$(BIN)/lint-imports

format: $(INSTALLED) ## put all sources into the standard format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@find core bindings lammps -name '*.[ch]pp' | xargs -r $(BIN)/clang-format -i

docs: $(INSTALLED) ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(INSTALLED) ## measure the speed on a calm machine and fill in docs/speed.md (20 minutes)
	@mkdir -p build/speed
	$(BIN)/python benchmarks/speed/kernel.py --json build/speed/kernel.json --plot docs/pictures/speed_levels.png
	$(BIN)/python benchmarks/speed/peak.py --json build/speed/peak.json --plot docs/pictures/speed_peak.png
	$(BIN)/python benchmarks/speed/in_lammps.py --json build/speed/in_lammps.json --plot docs/pictures/speed_lammps.png
	$(BIN)/python benchmarks/speed/scaling.py --json build/speed/scaling.json --plot docs/pictures/speed_scaling.png
	$(BIN)/python benchmarks/speed/page.py docs/speed.md build/speed/*.json

clean: ## remove .venv and everything built; the demo folder stays
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml $(wildcard CMakeLists.txt) $(NATIVE)
	@.ci/check-machine '$(PYTHON)' '$(CXX)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	CXX='$(CXX)' $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
