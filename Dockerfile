# syntax=docker/dockerfile:1
# One image for web, worker, beat and migrate. Everything that differs between them is an environment variable.
# The Python that the suite runs on; the lock is good for newer ones too.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS requirements
RUN python -m venv /venv
COPY requirements.txt /tmp/
# Only wheels, each with its hash: nothing is compiled, so neither stage needs a compiler.
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --disable-pip-version-check --only-binary=:all: --require-hashes -r /tmp/requirements.txt

FROM python:${PYTHON}-slim-bookworm AS opsroom
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/opsroom opsroom \
    # A new volume takes over the owner of the folder it covers: pictures are written by the worker, read by web.
    && install --directory --owner=opsroom --group=opsroom /var/lib/opsroom /var/lib/opsroom/media /var/lib/opsroom/uploads
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OPSROOM_HOME=/var/lib/opsroom
WORKDIR /srv/opsroom
COPY --from=requirements /venv /venv
COPY . .
# The settings refuse to be read without these. Nothing is connected to, and nothing of this stays in the image.
RUN SECRET_KEY=only-for-this-build-0123456789-abcdefghijklmnopqrstuvwxyz \
    ALLOWED_HOSTS=localhost DATABASE_URL=postgres://localhost/none REDIS_URL=redis://localhost \
    CELERY_BROKER_URL=amqp://localhost BANNER_API_URL=https://example.com/photos/ \
    python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q accounts config core chats events live projects testrunner
USER opsroom
EXPOSE 8000
CMD ["python", "-m", "config.processes.watchdog", "web", \
     "-m", "uvicorn", "config.asgi:application", "--host", "0.0.0.0", "--port", "8000", \
     "--lifespan", "on", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "5", \
     "--no-proxy-headers", \
     "--http", "config.server.http_protocol:LimitedProtocol", "--ws", "config.server.http_protocol:LimitedSocket", \
     "--ws-max-size", "65536", "--ws-per-message-deflate", "false"]

# `make docker/tests`: the same, with the tests' own requirements.
FROM opsroom AS tests
USER root
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --disable-pip-version-check --only-binary=:all: --require-hashes -r requirements-dev.txt
USER opsroom
CMD ["python", "-m", "pytest", "-n", "auto", "--dist", "worksteal", "-p", "no:cacheprovider"]

# Last, so that a plain `docker build .` makes it.
FROM opsroom
