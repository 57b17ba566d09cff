from __future__ import annotations

import pytest

from holdfast.methods.subject import names_are_quoted
from holdfast.postgres.entries import Entry, Header, Toc


def _toc(*copies: str) -> Toc:
    entries = [
        Entry(
            dump_id=number,
            table_oid=0,
            oid=0,
            tag="t",
            desc="TABLE DATA",
            section="data",
            namespace="s",
            owner="o",
            has_data=True,
            dependencies=(),
            copy=copy,
        )
        for number, copy in enumerate(copies)
    ]
    header = Header(version="1.14", compression="none", database="d", server_version="15", dump_version="15")
    return Toc(header=header, entries=entries, end=0)


@pytest.mark.parametrize(
    ("copies", "quoted"),
    [
        (('COPY "public"."orders" ("id", "Total") FROM stdin;\n',), True),
        (('COPY "Core"."Users" ("Id", "select", "a "" FROM (b") FROM stdin;\n',), False),
        (('COPY "Core"."Users" ("Id", name) FROM stdin;\n',), False),
        (('COPY "Core"."Users" ("Id") FROM stdin;\n', "COPY public.t (id) FROM stdin;\n"), False),
        (("COPY public.t (id) FROM stdin;\n",), False),
        ((), False),
    ],
)
def test_a_dump_with_all_names_in_quotes_is_told_from_one_whose_names_need_them(
    copies: tuple[str, ...], *, quoted: bool
) -> None:
    assert names_are_quoted(_toc(*copies)) is quoted
