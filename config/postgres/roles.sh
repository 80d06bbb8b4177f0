#!/bin/sh
# Run once by the postgres container, when its data folder is made: two roles that are no superusers.
#   opsroom         owns its database: web, worker, beat, migrate
#   opsroom_runner  only what `migrate` grants it: the process that runs other people's tests
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set app="$OPSROOM_PASSWORD" --set runner="$RUNNER_PASSWORD" <<'SQL'
CREATE ROLE opsroom LOGIN PASSWORD :'app';
CREATE ROLE opsroom_runner LOGIN PASSWORD :'runner';
CREATE DATABASE opsroom OWNER opsroom;
REVOKE CONNECT, TEMPORARY ON DATABASE opsroom FROM PUBLIC;
GRANT CONNECT ON DATABASE opsroom TO opsroom_runner;
SQL
