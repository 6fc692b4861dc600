# `make` or `make help` lists the targets. Each prepares .venv first, which takes no time when it is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv lint format typecheck test bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

venv: ## make or refresh .venv, with what lint and tests need
	@scripts/venv.sh dev

lint: venv ## style, import rules, shell scripts, lock files
	@scripts/lint.sh

format: venv ## let ruff rewrite what it can
	.venv/bin/ruff check --fix-only . && .venv/bin/ruff format .

typecheck: venv ## mypy, strict
	.venv/bin/mypy

test: venv ## all tests, on real servers and containers, in parallel; ARGS='-k name' picks some
	scripts/debian_servers.sh
	scripts/docker_engine.sh
	.venv/bin/pytest --numprocesses auto $(ARGS)

bench: venv ## the figures in the READMEs of backend/app/db and deploy; ARGS= and STACK_ARGS= for each
	.venv/bin/python backend/bench/run.py $(ARGS)
	.venv/bin/python deploy/bench/run.py $(STACK_ARGS)

lock: venv ## write the lock files anew from pyproject.toml; ARGS=--upgrade takes newer versions
	scripts/lock.sh $(ARGS)

clean: ## remove what make and the tests leave behind (.venv and downloaded servers too)
	rm -rf .venv .cache && find . -name __pycache__ -prune -exec rm -rf {} +
