# The two commands of a checkout: `make demo` lints a small shop, `make test` runs every test.
# Both set up .venv by themselves; a second run finds it ready.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test generate clean

demo: $(VENV)/.ready
	@echo "+ meshlint examples"
	@$(BIN)/meshlint examples; code=$$?; \
	if [ $$code -gt 1 ]; then echo "demo: meshlint exited with $$code" >&2; exit $$code; fi; \
	echo "+ exit code $$code (1 means: findings; the shop in examples/ is wrong on purpose)"

test: $(VENV)/.ready-for-tests
	$(BIN)/python -m pytest -n auto --dist loadfile

$(VENV)/.ready: pyproject.toml tools/setup
	tools/setup $(VENV) .
	@touch $@

$(VENV)/.ready-for-tests: pyproject.toml tools/setup
	tools/setup $(VENV) '.[dev]'
	@touch $(VENV)/.ready $@

# every tool writes files that are made from others; with --check it only says whether they are stale
generate: $(VENV)/.ready-for-tests
	@for tool in tools/*.py; do echo "+ $$tool"; $(BIN)/python $$tool || exit; done

clean:
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
