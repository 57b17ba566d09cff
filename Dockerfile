# Holdfast in a container (docs/how-to/docker.md):
#   docker build -t holdfast .                            takes backups, and restores into servers
#   docker build -t holdfast:prover --target prover .     has PostgreSQL servers of its own, too, to test restores in
#
# Where PostgreSQL's programs come from: `pgdg`, the project's own packages, has every supported major. `debian` has one, 17, and
# needs no registry but Debian's: --build-arg POSTGRES_APT=debian --build-arg POSTGRES_MAJORS=17
ARG POSTGRES_APT=pgdg

FROM debian:trixie-slim AS apt-debian

FROM apt-debian AS apt-pgdg
ADD --chmod=644 --checksum=sha256:0144068502a1eddd2a0280ede10ef607d1ec592ce819940991203941564e8e76 \
    https://www.postgresql.org/media/keys/ACCC4CF8.asc /usr/share/keyrings/pgdg.asc
RUN echo "deb [signed-by=/usr/share/keyrings/pgdg.asc] http://apt.postgresql.org/pub/repos/apt trixie-pgdg main" \
    > /etc/apt/sources.list.d/pgdg.list

# --- PostgreSQL's client programs: the four that are used, without the packages' scripts around them -------------------
# hadolint ignore=DL3006 # it is one of the two stages above
FROM apt-${POSTGRES_APT} AS clients
ARG POSTGRES_MAJORS="14 15 16 17 18"
WORKDIR /packages
RUN apt-get update \
    && for major in ${POSTGRES_MAJORS}; do \
        apt-get download "postgresql-client-${major}" \
        && dpkg-deb --extract postgresql-client-"${major}"_*.deb "${major}" \
        && mkdir -p "/clients/usr/lib/postgresql/${major}/bin" \
        && for program in pg_dump pg_dumpall pg_restore psql; do \
            cp "${major}/usr/lib/postgresql/${major}/bin/${program}" "/clients/usr/lib/postgresql/${major}/bin/" || exit 1; \
        done || exit 1; \
    done

# --- Holdfast and the Python packages that it needs, with hashes; what only builds does not stay ------------------------
FROM apt-debian AS build
# `all` knows every store and channel; `runtime` does without Google's and Azure's stores, and apprise.
ARG REQUIREMENTS=all
# hadolint ignore=DL3008 # the newest security fixes of a stable Debian are wanted
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-venv
WORKDIR /build
COPY requirements/all.txt requirements/runtime.txt requirements/
RUN python3 -m venv /opt/holdfast \
    && /opt/holdfast/bin/pip install --no-cache-dir --require-hashes --requirement "requirements/${REQUIREMENTS}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /opt/holdfast/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/holdfast/bin/pip uninstall --yes editables hatchling pathspec pluggy trove-classifiers \
    && /opt/holdfast/bin/pip uninstall --yes pip

# --- What both images are ------------------------------------------------------------------------------------------------
# hadolint ignore=DL3006 # as for the clients
FROM apt-${POSTGRES_APT} AS base
# hadolint ignore=DL3008 # as above
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libpq5 libreadline8t64 python3 tzdata \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --system --gid 10001 holdfast \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/holdfast holdfast \
    && install -d -m 700 -o holdfast -g holdfast /var/lib/holdfast /var/backups/holdfast
COPY --from=clients /clients /
COPY --from=build /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /var/lib/holdfast
# Every program has to find its libraries here.
RUN holdfast --version \
    && for program in /usr/lib/postgresql/*/bin/*; do "${program}" --version || exit 1; done
VOLUME /var/lib/holdfast
EXPOSE 9853
# It asks where the config says that the daemon answers, in TLS or not.
HEALTHCHECK --interval=1m --timeout=10s --start-period=30s --retries=3 CMD ["holdfast", "health", "--quiet"]
# No shell stands between: the daemon itself hears `docker stop`, and ends within ten seconds.
ENTRYPOINT ["holdfast"]
CMD ["run"]
LABEL org.opencontainers.image.title="Holdfast" \
    org.opencontainers.image.description="PostgreSQL backups on a schedule that are proven to restore" \
    org.opencontainers.image.licenses="Apache-2.0"

# --- With servers, locales and the common extensions, to restore into --------------------------------------------------
FROM base AS prover
ARG POSTGRES_MAJORS="14 15 16 17 18"
# PostGIS is large: --build-arg POSTGIS=yes
ARG POSTGIS=no
# hadolint ignore=DL3008 # as above
RUN install -d /etc/postgresql-common \
    && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
    && set -- locales-all \
    && for major in ${POSTGRES_MAJORS}; do \
        set -- "$@" "postgresql-${major}" "postgresql-${major}-cron" "postgresql-${major}-pgvector"; \
        if [ "${POSTGIS}" = yes ]; then set -- "$@" "postgresql-${major}-postgis-3"; fi; \
    done \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$@" \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
USER 10001:10001

FROM base AS holdfast
USER 10001:10001
