"""Knows in which package of an operating system an extension of PostgreSQL comes."""

from __future__ import annotations

# Where NN is the server's major: the package of apt.postgresql.org, and that of yum.postgresql.org.
_POSTGIS = ("postgresql-NN-postgis-3", "postgis3*_NN")
_PACKAGES = {
    "address_standardizer": _POSTGIS,
    "hll": ("postgresql-NN-hll", "hll_NN"),
    "hypopg": ("postgresql-NN-hypopg", "hypopg_NN"),
    "ip4r": ("postgresql-NN-ip4r", "ip4r_NN"),
    "mysql_fdw": ("postgresql-NN-mysql-fdw", "mysql_fdw_NN"),
    "oracle_fdw": ("postgresql-NN-oracle-fdw", "oracle_fdw_NN"),
    "orafce": ("postgresql-NN-orafce", "orafce_NN"),
    "pg_cron": ("postgresql-NN-cron", "pg_cron_NN"),
    "pg_hint_plan": ("postgresql-NN-pg-hint-plan", "pg_hint_plan_NN"),
    "pg_partman": ("postgresql-NN-partman", "pg_partman_NN"),
    "pg_repack": ("postgresql-NN-repack", "pg_repack_NN"),
    "pg_squeeze": ("postgresql-NN-squeeze", "pg_squeeze_NN"),
    "pgaudit": ("postgresql-NN-pgaudit", "pgaudit_NN"),
    "pglogical": ("postgresql-NN-pglogical", "pglogical_NN"),
    "pgrouting": ("postgresql-NN-pgrouting", "pgrouting_NN"),
    "pgtap": ("postgresql-NN-pgtap", "pgtap_NN"),
    "plperl": ("postgresql-plperl-NN", "postgresqlNN-plperl"),
    "plperlu": ("postgresql-plperl-NN", "postgresqlNN-plperl"),
    "plpython3u": ("postgresql-plpython3-NN", "postgresqlNN-plpython3"),
    "pltcl": ("postgresql-pltcl-NN", "postgresqlNN-pltcl"),
    "pltclu": ("postgresql-pltcl-NN", "postgresqlNN-pltcl"),
    "postgis": _POSTGIS,
    "postgis_raster": _POSTGIS,
    "postgis_sfcgal": _POSTGIS,
    "postgis_tiger_geocoder": _POSTGIS,
    "postgis_topology": _POSTGIS,
    "rum": ("postgresql-NN-rum", "rum_NN"),
    "tds_fdw": ("postgresql-NN-tds-fdw", "tds_fdw_NN"),
    "timescaledb": ("timescaledb-2-postgresql-NN", "timescaledb-2-postgresql-NN"),
    "vector": ("postgresql-NN-pgvector", "pgvector_NN"),
}
# Those of PostgreSQL's own source; Debian has them in the server's package.
_CONTRIB_WORDS = (
    "adminpack amcheck autoinc bloom btree_gin btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw"
    " fuzzystrmatch hstore insert_username intagg intarray isn lo ltree moddatetime pageinspect pg_buffercache"
    " pg_freespacemap pg_prewarm pg_stat_statements pg_surgery pg_trgm pg_visibility pg_walinspect pgcrypto pgrowlocks"
    " pgstattuple postgres_fdw refint seg sslinfo tablefunc tcn tsm_system_rows tsm_system_time unaccent uuid-ossp"
    " xml2"
)
_CONTRIB = frozenset(_CONTRIB_WORDS.split())


def package(extension: str, major: int) -> tuple[str, str]:
    """Give the packages (apt, dnf) that bring an extension to a server of this major; a good guess for an unknown one."""
    if extension in _CONTRIB:
        names = ("postgresql-NN postgresql-contrib", "postgresqlNN-contrib")
    else:
        names = _PACKAGES.get(extension, (f"postgresql-NN-{extension.replace('_', '-')}", f"{extension}_NN"))
    apt, dnf = (name.replace("NN", str(major)) for name in names)
    return apt, dnf


def is_known(extension: str) -> bool:
    """Whether the package's name is more than a guess."""
    return extension in _CONTRIB or extension in _PACKAGES
