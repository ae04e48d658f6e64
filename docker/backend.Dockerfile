# The backend's image: docker build -f docker/backend.Dockerfile --build-arg RELEASE="$(git rev-parse HEAD)" .
#
# Debian trixie, because its PostgreSQL client is 17: pg_dump must not be older than the server, so this image
# backs up servers 14 to 17. For a server 18, set BASE_IMAGE to one with PostgreSQL's own apt repository and
# PG_CLIENT to postgresql-client-18.
ARG BASE_IMAGE=python:3.11-slim-trixie

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.txt .
# Only wheels: nothing of a dependency runs at build time.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --only-binary :all: -r requirements.txt

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS runtime
ARG PG_CLIENT=postgresql-client-17
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends "${PG_CLIENT}" \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent app \
    && install -d -o app -g app /var/lib/deploy
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 STATIC_ROOT=/app/staticfiles
WORKDIR /app
COPY . .
# Settings don't load without these; none of them stays in the image.
RUN python -m compileall -q deploy optifit \
    && SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
       ALLOWED_HOSTS=build.invalid DATABASE_URL=sqlite:////nonexistent/build.sqlite3 \
       python manage.py collectstatic --no-input --verbosity 0
# Last, so that a new commit doesn't invalidate the layers above.
ARG RELEASE
ENV RELEASE=${RELEASE} PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="OptiFit backend" \
      org.opencontainers.image.revision="${RELEASE}"
USER 10001:10001
EXPOSE 8000
# The start period covers the wait for the database and the schema (DEPLOY["WAIT_TIMEOUT_SECONDS"]).
HEALTHCHECK --interval=10s --timeout=5s --start-period=150s --retries=3 \
    CMD ["python", "-m", "deploy.health.probe", "http://127.0.0.1:8000/readyz"]
ENTRYPOINT ["docker/entrypoint"]
CMD ["serve"]
