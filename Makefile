.DEFAULT_GOAL := help
PACKAGES := api cli db domain learning likeness pipeline providers reports runtime sandbox storage tasks tools validation worker
# Only the files that have such tests are imported: importing all takes each process of pytest more than a minute.
SLOW = $(shell grep -rl --include='test_*.py' 'mark\.slow' tests | sort)
QUIET = $(shell grep -rl --include='test_*.py' 'mark\.quiet' tests | sort)
.PHONY: help setup check test slow crash bench docs sbom demo clean

help:            ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:           ## install everything into .venv
	./run true

check:           ## lint, format, types, import contracts, security
	./run ruff check .
	./run ruff format --check .
	./run mypy
	./run lint-imports
	./run bandit --configfile pyproject.toml --quiet --recursive $(PACKAGES)

test:            ## the tests a developer runs at every change, and the branches they cover
	./run pytest --cov --cov-report=term

slow:            ## the long tests: two at a time, then those that need the machine to themselves
	@red=0; \
	./run pytest -m "slow and not quiet" --numprocesses=2 --dist=worksteal --timeout=600 $(SLOW) || red=1; \
	./run pytest -m "slow and quiet" --numprocesses=0 --timeout=600 $(QUIET) || red=1; \
	exit $$red

crash:           ## kill and stop processes at random: make crash SEED=7 MINUTES=30
	./run python -m tests.crash.driver --seed $(or $(SEED),1) --minutes $(or $(MINUTES),5)

bench:           ## every benchmark beside its control; renews the tables of the documentation
	./run python -m benchmarks.run_all

docs:            ## write the parts of the documentation that code says already
	./run python -m tools.generate_docs

sbom:            ## write down what this environment holds, as CycloneDX (sbom.json)
	./run cyclonedx-py environment .venv/bin/python --pyproject pyproject.toml --no-validate --output-reproducible --output-format JSON --output-file sbom.json

demo:            ## 28 prompts through the whole system, on this machine
	./run likeness demo

clean:           ## remove caches (data in .likeness/ stays)
	rm -rf .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
