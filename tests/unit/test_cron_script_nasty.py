"""A script that is written in an odd way loses nothing: what is not in the proposed config is told, and nothing is made up."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.model.cron_script import read
from holdfast.model.script_reading import Reading
from holdfast.starter import answers_of, starter_config

READ: dict[str, tuple[str, dict[str, Any]]] = {
    "after &&": ("cd /x && pg_dump a | gzip > /b/a.gz && s3cmd put /b/a.gz s3://k/z/a.gz", {"bucket": "s3://k/z"}),
    "su -c": ('su - postgres -c "pg_dump -Fc app > /b/app.dump"', {"databases": ["app"], "directory": "/b"}),
    "ssh": ('ssh -i k u@h "sudo -u postgres pg_dump crm" > /b/crm.dump', {"databases": ["crm"], "directory": "/b"}),
    "sh -c in a container": ("docker exec -i db sh -c 'pg_dump -U app shop' > /b/x.dump", {"databases": ["shop"]}),
    "eval": ('C="pg_dump -h db3 orders"\neval "$C > /b/o.sql"', {"databases": ["orders"], "host": "db3"}),
    "a text for a shell": ("sudo -u postgres -i <<'END'\npg_dump her > /b/h.dump\nEND\n", {"databases": ["her"]}),
    "a text for others": ("cat <<'U'\npg_dump -h no evil\nU\npg_dump good > /b/g.sql", {"databases": ["good"]}),
    "a shift of bits": ("x=$((1<<2))\npg_dump app > /b/a.sql", {"databases": ["app"]}),
    "quotes over lines": ('echo "a\npg_dump -h no bad > /n.sql\nb"\npg_dump ok > /b/o.sql', {"databases": ["ok"]}),
    "options in an array": (
        "X=(-T 'p.t*' -N s)\npg_dump \"${X[@]}\" -d app > /b/a.sql",
        {"databases": ["app"], "selection": {"exclude_tables": ["p.t*"], "exclude_schemas": ["s"]}},
    ),
    "names with values": (
        'declare -A H=( [c]=10.0.0.1 )\nfor d in "${!H[@]}"; do pg_dump -h "${H[$d]}" "$d" > /b/x.sql; done',
        {"databases": [], "host": None},
    ),
    "quotes in a conninfo": (
        "pg_dump \"dbname='my db' host=/run user=o\\\\'k sslmode=require\" > '/b/a.sql'",
        {"databases": ["my db"], "server": {"host": "/run", "username": "o'k", "sslmode": "require"}},
    ),
    "a URL with parameters": (
        "pg_dump 'postgres://u:p%40@h:5433/d?sslmode=verify-full' > /b/a.sql",
        {"server": {"host": "h", "port": "5433", "username": "u", "sslmode": "verify-full"}, "databases": ["d"]},
    ),
    "an option before the environment": ("PGHOST=a\npg_dump -h b d > /b/a.sql", {"host": "b"}),
    "two ages": ("pg_dump a > /b/d/a.sql\nfind /b/d -mtime +7 -delete\nfind /tmp -mtime +1 -delete", {"days": 7}),
    "a schedule of something else": (
        "*/15 * * * * root /bin/foo\n5 4 * * sun root pg_dump -U p s > /b/s.sql", {"schedule": "5 4 * * sun"},
    ),
    "labels of case": ('case "$1" in\n  a) pg_dump one > /b/1.sql ;;\n  *) echo no ;;\nesac', {"missed": []}),
    "iterations": ("pg_dump a | openssl enc -aes-256-cbc -pbkdf2 -iter 99 -k x > /b/a.enc", {"iterations": "99"}),
    "a cipher as command": ("pg_dump a | openssl aes-256-cbc -k xx -out /b/a.enc", {"encryption": ["openssl enc"]}),
    "another end of lines": ("DB=bill\r\npg_dump -h w \\\r\n  $DB > /b/$DB.dump\r\n", {"databases": ["bill"]}),
    "a suffix cut off": ('F=app.list\npg_dump "${F%.list}" > /b/a.sql', {"databases": ["app"]}),
}  # fmt: skip
TOLD: dict[str, tuple[str, int, str]] = {
    "a second server": ("pg_dump -h a x > /b/x.sql\npg_dump -h b y > /b/y.sql", 2, "another server (b; y)"),
    "tables of one dump": ("pg_dump x > /b/x.sql\npg_dump y -t s > /b/y.sql", 2, "include_tables = s of y"),
    "definitions alone": ("pg_dump -s x > /b/x.sql", 1, "--schema-only of x"),
    "a schedule in a comment": ("# 0 1 * * * root /x\npg_dump a > /b/a.sql", 1, "in a comment"),
    "a second schedule": ("1 1 * * * pg_dump a > /b/a\n2 2 * * * pg_dump b > /b/b", 2, "another schedule (2 2 * * *)"),
    "a query of names": (
        'for d in $(psql -Atc "select datname from pg_database"); do pg_dump $d > /b/$d.sql; done', 1, "a query chooses",
    ),
    "names that are read": ("while read d; do pg_dump $d > /b/$d.sql; done < /l", 1, "which database it dumps is not known"),
    "names by xargs": ("echo a b | xargs -I{} pg_dump -f /b/{}.sql {}", 1, "others are named by what calls it"),
    "no name": ("pg_dump > /b/a.sql", 1, "no database is named"),
    "a name that is not UTF-8": ("pg_dump 'k\ufffdufe' > /b/k.sql", 1, "not UTF-8"),
    "a URL with a bare slash in its password": ("pg_dump postgres://u:a/b@h/d > /b/a.sql", 1, "URL cannot be read"),
    "a URL with a login in a number's place": ("pg_dump postgres://u:12/geheim@h/d > /b/a.sql", 1, "URL cannot be read"),
    "a region": ("pg_dump a | aws s3 cp --region eu-west-1 - s3://k/a.gz", 1, "--region"),
}  # fmt: skip
UNREAD = {
    "another language": 'subprocess.run(["pg_dump", "-h", "h", "d"])',
    "a text": "cat <<U\npg_dump -h no evil\nU",
    "a function of its own": 'run "pg_dump app > /b/app.sql"',
    "other encryption": "pg_dump a | openssl smime -encrypt c.pem > /b/a.sml",
}


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name: str) -> None:
    text, expected = READ[name]
    reading = read(text)
    assert {key: getattr(reading, key) for key in expected} == expected


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told(name: str) -> None:
    text, line, said = TOLD[name]
    assert [note for note in read(text).notes if note[0] == line and said in note[1]] != []


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_understood_is_named(name: str) -> None:
    assert read(UNREAD[name]).missed != []


def test_a_target_is_not_narrowed_by_what_only_one_dump_leaves_out() -> None:
    reading = read("pg_dump x > /b/x.sql\npg_dump y -t s > /b/y.sql")
    assert (reading.databases, dict(reading.selection)) == (["x", "y"], {})


def test_a_script_that_dumps_roles_alone_is_read() -> None:
    assert (read("pg_dumpall -h a -g > /b/g.sql").host, read("pg_dumpall -g").every_database) == ("a", False)


def test_the_databases_of_two_servers_are_not_mixed() -> None:
    text = starter_config(answers_of(read("pg_dump -h a x > /b/x.sql\npg_dump -h b -p 5544 y > /b/y.sql")))
    assert 'url = "postgresql://postgres@a/x"' in text
    assert 'databases = ["x"]' in text


@pytest.mark.parametrize(
    "text",
    [
        "pg_dump 'host=h password=geheim dbname=d' > /b/a",
        "pg_dump postgres://u:12/geheim@h/d > /b/a.sql",
        "pg_dump postgres://u:12?geheim@h/d > /b/a.sql",
        "pg_dump a | aws --endpoint-url https://u:geheim@minio:9000 s3 cp - s3://b/a.gz",
        "pg_dump a | aws s3 cp - s3://k:geheim@b/a.gz",
        "pg_dump a | 7z a -si -pgeheim /b/a.7z\ncurl -u u:geheim https://x/ -T /b/a.7z\nmysqldump -pgeheim x > /b/m.sql",
    ],
)
def test_no_secret_is_told(text: str) -> None:
    reading: Reading = read(text)
    assert "geheim" not in repr(reading) + starter_config(answers_of(reading))
