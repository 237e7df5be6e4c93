# Everything that is done with this checkout. `make` alone shows the list.
# PYTHON=/path/to/python3 chooses the Python of the environment (.venv), when it is made.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo dogfood run test coverage test-long test-clients check fix vscode screenshots bench clean
BIN := .venv/bin
export PYTHON

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.ready-demo ## Set everything up, ask a real model on this machine, show what the daemon does, and leave nothing running
	@$(BIN)/beast demo

dogfood: .venv/.ready-test ## The daemon on its own source: a test and an answer by the local coder model (1.1 GB, fetched once), and the sum
	@$(BIN)/python -P bench/dogfood.py

run: .venv/.ready-demo ## Run the daemon in this terminal, until Ctrl-C
	@$(BIN)/beast start --foreground

test: check ## Check the code, then run every test
	@$(BIN)/pytest -q -n 2 --durations=25 --durations-min=5

coverage: .venv/.ready-test ## Every test again with coverage, daemons that they start included: at least 95% of lines
	@$(BIN)/python -P bench/coverage.py

test-long: .venv/.ready-test ## The tests that run over a minute: 50 kills under load
	@$(BIN)/pytest -m long -s -q

test-clients: .venv/.ready-test build/clients/.ready ## Real programs against the daemon: agents, chat programs, editors (2.5 GB, once)
	@$(BIN)/pytest -m clients -v tests/clients

check: .venv/.ready-test ## Formatting, lint, types, import floors, and a documentation for every public thing
	@echo "Checking: format, lint, types, imports, documentation"
	@failed=0; \
	$(BIN)/ruff format --check --quiet . || failed=1; \
	$(BIN)/ruff check --quiet . || failed=1; \
	$(BIN)/mypy --no-error-summary || failed=1; \
	$(BIN)/mypy --no-error-summary --explicit-package-bases bench docs || failed=1; \
	found=$$($(BIN)/lint-imports --no-logo 2>&1) || { echo "$$found"; failed=1; }; \
	$(BIN)/python -P docs/reference.py --check || failed=1; \
	exit $$failed

fix: .venv/.ready-test ## Format, mend what lint can mend, and write docs/reference anew
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python -P docs/reference.py

vscode: .venv/.ready-test ## Pack the extension for VS Code and Cursor: dist/beast-mode.vsix
	@mkdir -p dist
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix editors/vscode run --silent pack

screenshots: .venv/.ready-test ## Take the pictures of docs/dashboard and of Neovim in docs/editors anew, in Chromium
	@$(BIN)/python -P tests/support/pictures.py
	@$(BIN)/python -P tests/support/neovim_pictures.py

bench: .venv/.ready-test ## Run the benchmarks and show what changed since bench/baseline.json
	@$(BIN)/python -P bench/run.py

clean: ## Remove everything that was made here, the environment too
	@rm -rf .venv build dist tests/clients/node/node_modules editors/vscode/node_modules editors/vscode/dist editors/vscode/build bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.ready-demo: pyproject.toml .ci/setup
	@.ci/setup demo

.venv/.ready-test: pyproject.toml .ci/setup
	@.ci/setup test

build/clients/.ready: .ci/setup | .venv/.ready-test
	@.ci/setup clients
