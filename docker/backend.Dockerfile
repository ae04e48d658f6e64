# The backend's image: docker build -f docker/backend.Dockerfile --build-arg RELEASE="$(git rev-parse HEAD)" .
#
# Debian trixie, because its PostgreSQL client is 17: pg_dump must not be older than the server, so this image
# backs up servers 14 to 17. For a server 18, set BASE_IMAGE to one with PostgreSQL's own apt repository and
# PG_CLIENT to postgresql-client-18. A base that has a pg_dump keeps it.
ARG BASE_IMAGE=python:3.11-slim-trixie

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
# pip stays in this stage: /opt/venv has none.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
WORKDIR /build
COPY requirements.txt .
# Only wheels: nothing of a dependency runs at build time. Of the descriptions of Google's hundreds of APIs,
# 100 MB that every machine would pull, only those that deploy/backup and deploy/preflight call are kept.
# hadolint ignore=DL3042
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/pip/bin/pip --disable-pip-version-check --python /opt/venv/bin/python install --no-compile \
        --require-hashes --only-binary :all: -r requirements.txt \
    && find /opt/venv/lib/python3*/site-packages/googleapiclient/discovery_cache/documents \
        -type f ! -name 'sqladmin.*' -delete \
    && /opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib

# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS runtime
ARG PG_CLIENT=postgresql-client-17
# hadolint ignore=DL3008
RUN if ! command -v pg_dump >/dev/null; then \
        apt-get update \
        && apt-get install -y --no-install-recommends "${PG_CLIENT}" \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent app \
    && install -d -o app -g app /var/lib/deploy
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 STATIC_ROOT=/app/staticfiles
WORKDIR /app
COPY . .
# Settings don't load without these; none of them stays in the image.
RUN python -m compileall -q -j 0 deploy optifit docker \
    && SECRET_KEY="$(python -c 'import secrets; print(secrets.token_urlsafe(50))')" \
       ALLOWED_HOSTS=build.invalid DATABASE_URL=sqlite:////nonexistent/build.sqlite3 \
       python manage.py collectstatic --no-input --verbosity 0
# Last, so that a new commit doesn't invalidate the layers above. SOURCE: the repository's address; VERSION:
# the tag, if it has one; CREATED: when the commit was made, so that a second build gives the same image.
ARG RELEASE
ARG SOURCE
ARG VERSION
ARG CREATED
ENV RELEASE=${RELEASE} PYTHONDONTWRITEBYTECODE=1
LABEL org.opencontainers.image.title="OptiFit backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${RELEASE}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"
USER 10001:10001
EXPOSE 8000
# The start period covers the wait for the database and the schema (DEPLOY["WAIT_TIMEOUT_SECONDS"]).
HEALTHCHECK --interval=10s --timeout=5s --start-period=150s --retries=3 \
    CMD ["python", "-m", "deploy.health.probe", "http://127.0.0.1:8000/readyz"]
ENTRYPOINT ["docker/entrypoint"]
CMD ["serve"]
