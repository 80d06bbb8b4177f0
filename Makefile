# Two commands on a fresh machine: `make run` and `make test`. They need Python 3.11 or newer, and nothing else.
# PORT=8001 and OPSROOM_HOME=folder may follow any of them; PYTHON=python3.12 chooses the Python.
PYTHON ?= python3
ARGS ?=
# Dozens of processes are started here, and each would compile everything it imports.
unexport PYTHONDONTWRITEBYTECODE

# Each line of these recipes is one plain command, so that make runs it itself: a shell in between would keep SIGTERM.
BIN := .venv/bin/python
PYTEST := $(BIN) -m pytest
PARALLEL := -n auto --dist worksteal
# What a production settings check needs named. Nothing is connected to.
DEPLOY := env -u OPSROOM_LOCAL DATABASE_URL=postgres://checks@localhost:1/checks REDIS_URL=redis://localhost \
	CELERY_BROKER_URL=amqp://localhost SECRET_KEY=only-for-this-check-0123456789-abcdefghijklmnopqrstuvwxyz-ABC \
	ALLOWED_HOSTS=example.com BANNER_API_URL=https://example.com/photos/

.DEFAULT_GOAL := help
.PHONY: help
help:  ## This list
	@awk -F ':.*## ' '/^[a-z\/-]+:.*## / { printf "make %-24s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run setup setup/run test test/one test/thorough test/browser test/clients chaos coverage
run: setup/run  ## Opsroom with its own database, until Ctrl-C (PORT=8001, OPSROOM_HOME=folder)
	@$(BIN) -m config.local.launcher

setup:  ## Only install: .venv with everything, tests and tools included
	@$(PYTHON) -I config/local/bootstrap.py dev

setup/run:
	@$(PYTHON) -I config/local/bootstrap.py run

test: setup  ## The suite, in parallel, on real servers of its own (ARGS="-k word")
	@$(PYTEST) $(PARALLEL) $(ARGS)

test/one: setup  ## One file, folder or test, without workers (T=chats/tests/test_fanout.py)
	@$(PYTEST) $(or $(T),$(error T=path says what to run)) $(ARGS)

test/thorough: setup  ## Every role at every address, every pair of verbs, every hostile file and schema
	@$(PYTEST) $(PARALLEL) -m "thorough and not chaos" $(ARGS)

test/browser: setup  ## The screens, in a real browser
	@$(PYTEST) -n 2 --dist loadfile -m browser $(ARGS)

test/clients: setup  ## Clients generated from /schema/, and its linters (needs Node.js 20 with npm for most of it)
	@$(PYTHON) -I config/local/bootstrap.py clients
	@$(PYTEST) -m clients config/tests/test_generated_clients.py $(ARGS)

chaos: setup  ## The tests that kill and restart things
	@$(PYTEST) -m chaos --timeout 600 $(ARGS)

coverage: setup  ## The suite with branch coverage, and what it misses
	@$(PYTEST) $(PARALLEL) -m "not browser and not chaos and not clients" --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: fmt lint bench loadtest screenshots lock
fmt: setup  ## Format the code
	@$(BIN) -m ruff format .
	@$(BIN) -m ruff check --fix .

lint: setup  ## Style, words, floors, types, migrations, settings for production, API description
	@$(BIN) -m ruff check .
	@$(BIN) -m ruff format --check .
	@.venv/bin/lint-imports
	@$(BIN) -m config.local.word_list
	@$(DEPLOY) $(BIN) -m mypy .
	@$(DEPLOY) $(BIN) manage.py lint

bench: setup  ## Every figure of docs/, each against its peer and its limit in the same run
	@$(BIN) -m benchmarks $(ARGS)

PORT ?= 8000
USERS ?= 50
SECONDS ?= 30
loadtest:  ## Load on the running local instance, with a report (PORT=8001, USERS=50, SECONDS=30)
	@$(PYTHON) -I config/local/bootstrap.py load
	@.venv-load/bin/python -m locust --locustfile loadtest/locustfile.py --headless --only-summary --reset-stats \
		--host http://127.0.0.1:$(PORT) --users $(USERS) --spawn-rate $(USERS) --run-time $(SECONDS)s $(ARGS)

screenshots: setup  ## The pictures in docs/, anew (needs chromium)
	@$(BIN) -m config.tests.screenshots

lock: setup  ## Lock the newest versions that the .in files allow, for every platform, with hashes
	@$(BIN) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --upgrade requirements-dev.in -o requirements-dev.txt
	@$(BIN) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements-dev.txt requirements-embedded.in -o requirements-embedded.txt
	@$(BIN) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 -c requirements-dev.txt requirements.in -o requirements.txt
	@$(BIN) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --upgrade requirements-load.in -o requirements-load.txt
	@$(BIN) -m uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --upgrade requirements-clients.in -o requirements-clients.txt

# Containers: docs/operations.md. COMPOSE="podman compose" chooses another client.
COMPOSE ?= docker compose
TESTS := $(COMPOSE) --project-name opsroom-tests
total ?= 1000
.PHONY: docker/run docker/tests docker/create-fake-chats
docker/run: .env  ## Everything in containers, as in production, until Ctrl-C
	@$(COMPOSE) up --build

docker/tests: .env  ## The suite in containers, on PostgreSQL, Redis and RabbitMQ of its own
	@trap '$(TESTS) down --volumes' EXIT; $(TESTS) run --build --rm tests

docker/create-fake-chats: .env  ## Fake chats for the containers (total=1000)
	@$(COMPOSE) run --build --rm web python manage.py create_fake_chats --total $(total)

# The secrets that .env.example leaves open, made once; nobody else may read the file.
SECRET := import secrets; print(secrets.token_hex(32))
.env:
	@umask 077; for name in SECRET_KEY RUNNER_SECRET_KEY POSTGRES_PASSWORD POSTGRES_ADMIN_PASSWORD RUNNER_PASSWORD \
		RABBITMQ_PASSWORD REDIS_PASSWORD; do \
		echo "s|^$$name=$$|$$name=$$($(PYTHON) -c '$(SECRET)')|"; \
	done | sed -f - .env.example > .env.new && mv .env.new .env
	@echo "Wrote .env with random secrets. Keep it: the database is made with its password."
