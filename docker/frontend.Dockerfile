# The frontend's image. Check its repository out as frontend/ beside docker/, then
#   docker build -f docker/frontend.Dockerfile --build-arg RELEASE="$(git -C frontend rev-parse HEAD)" .
# or, with a bundle that is ready in frontend/build/web: the same with --build-arg BUNDLE=ready.
#
# The Flutter image is the last that its publisher (Cirrus Labs) made: for a newer SDK set FLUTTER_IMAGE to one
# of your own, by digest, or build the bundle outside and give it ready.
ARG BUNDLE=built
ARG FLUTTER_IMAGE=ghcr.io/cirruslabs/flutter:3.44.0@sha256:46691e311715845de03a3ba4753a475476936805b29431b1f00f1816981033f8
ARG CADDY_IMAGE=caddy:2.11.7-alpine

# hadolint ignore=DL3006
FROM ${FLUTTER_IMAGE} AS built
WORKDIR /source
COPY frontend/pubspec.yaml frontend/pubspec.lock ./
RUN --mount=type=cache,target=/root/.pub-cache flutter pub get --enforce-lockfile
COPY frontend .
# CanvasKit and fonts from our own address: the content security policy knows no other.
RUN --mount=type=cache,target=/root/.pub-cache \
    flutter pub get --offline --enforce-lockfile \
    && flutter build web --release --no-pub --no-web-resources-cdn \
    && mv build/web /bundle

FROM scratch AS ready
COPY frontend/build/web /bundle

# hadolint ignore=DL3006
FROM ${BUNDLE} AS bundle

# hadolint ignore=DL3006
FROM ${CADDY_IMAGE}
# The official binary may bind ports under 1024 by a file capability, and doesn't start where that is dropped.
RUN if command -v setcap >/dev/null && [ -n "$(getcap "$(command -v caddy)")" ]; then \
        setcap -r "$(command -v caddy)"; \
    fi
COPY --from=bundle /bundle /srv
# Compressed once, here, not for each visitor.
RUN find /srv -type f \( -name '*.js' -o -name '*.mjs' -o -name '*.wasm' -o -name '*.json' -o -name '*.html' \
        -o -name '*.css' -o -name '*.svg' -o -name '*.otf' -o -name '*.ttf' -o -name '*.frag' \) \
        -exec gzip -9 -n -k {} +
COPY docker/caddy/frontend.Caddyfile /etc/caddy/Caddyfile
ARG RELEASE
ARG SOURCE
ARG VERSION
ARG CREATED
# Caddy keeps nothing: what it would write goes to the container's /tmp.
ENV RELEASE=${RELEASE} XDG_CONFIG_HOME=/tmp/config XDG_DATA_HOME=/tmp/data
LABEL org.opencontainers.image.title="OptiFit frontend" \
      org.opencontainers.image.revision="${RELEASE}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"
WORKDIR /srv
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT []
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
