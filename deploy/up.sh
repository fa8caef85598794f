#!/usr/bin/env bash
# Starts the stack of docker-compose.yaml, waits until all of it is healthy, and
# prints where it is. `make up` runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "up: $*" >&2
  exit 1
}

command -v docker >/dev/null ||
  fail "docker is not installed: https://docs.docker.com/engine/install"
docker compose version >/dev/null 2>&1 ||
  fail "docker has no compose: https://docs.docker.com/compose/install"
docker info >/dev/null 2>&1 ||
  fail "docker does not answer: is it running, and may this user use it?"
problem=$(docker compose config --quiet 2>&1) ||
  fail "$problem (see .env.example)"
services=$(docker compose config --services)
config=$(docker compose config)
if grep -qx loki <<<"$services" && ! grep -q options/loki.yaml <<<"$config"; then
  fail "Loki would get nothing: the profile logs needs COLLECTOR_OPTIONS=--config=/etc/otelcol/options/loki.yaml (see .env.example)"
fi

docker compose up --detach --build --wait --wait-timeout 300 || {
  docker compose ps --all
  fail "not all of it is healthy; docker compose logs SERVICE says why"
}

cat <<'LINKS'

The stack is up; its first figures are there in a minute.

  http://localhost:3000   Grafana, user admin
  http://localhost:9090   Prometheus
  http://localhost:9093   Alertmanager
  http://localhost:8080   example service
  localhost:4317, :4318   OTLP, for your services

make check-grafana asks every panel for its data; make down stops the stack.
LINKS

# Both would show with the first alert only, which nobody would get.
alerts=deploy/alertmanager
grep -qE '^    [a-z]+_configs:' "$alerts/alertmanager.yml" ||
  echo "Nobody is notified of alerts yet: $alerts/alertmanager.yml says how."
closed=$(find "$alerts/secrets" -type f ! -name '.*' ! -perm -o=r)
[[ -z $closed ]] ||
  echo "Alertmanager may not read these, chmod 644 lets it: $closed"
