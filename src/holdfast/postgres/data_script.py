"""Digests the script of data that pg_restore -a and pg_dump -a print: rows by table, sequences, large objects.

The script is SQL with the rows of COPY in between. Nothing of it is kept but digests, names and a few bytes; a row, or
a statement with a row in it, may be of any length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from holdfast.model.errors import IntegrityError
from holdfast.postgres import column_lists
from holdfast.postgres.data_digest import DataDigest, Listener, Name, Rows
from holdfast.postgres.multiset import LongLine
from holdfast.postgres.trail import Follower, Trail

_LONG = 4 * 1024 * 1024  # what is longer than this is not held whole
_HEAD = 64 * 1024  # of a long statement
_LAST = b"\\."
_END = _LAST + b"\n"

_NAME = rb'(?:"(?>(?:[^"]|"")*)"|[^\s".,;()\']++)'
_BLANK = re.compile(rb"(?>(?:\s++|--[^\n]*+\n|\\[^\n]*+\n)+)")
_STATEMENT = re.compile(rb"""(?>(?:[^'";]++|'[^']*+'|"[^"]*+"|;(?!\n))*);\n""")
_MARK = re.compile(rb"""['"]|;\n""")
# Dumps from before March 2018 set a search_path, and leave the schema out.
_RELATION = rb"(?:(" + _NAME + rb")\.)?(" + _NAME + rb")"
_PATH = re.compile(rb"SET search_path = (" + _NAME + rb"), pg_catalog;\n\Z")
_COPY = re.compile(rb"COPY " + _RELATION + rb" (?s:(.*))FROM stdin;\n\Z")
_INSERT = re.compile(rb"INSERT INTO " + _RELATION + rb" (\(?)")
_SEVERAL = re.compile(rb"(?s:.{0,60000}?)VALUES\n\t\(")
_NO_CONFLICT = b" ON CONFLICT DO NOTHING;\n"
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('((?:[^']|'')*)', (-?\d+), (true|false)\);\n\Z")
_QUALIFIED = re.compile(_RELATION + rb"\Z")
_LARGE_OBJECT = re.compile(
    rb"SELECT pg_catalog\.lo_(?:create|open)\('(\d+)'|.*?\bLARGE OBJECT (\d+)\b", re.DOTALL
)
_CREATE, _OPEN, _CLOSE = (b"SELECT pg_catalog.lo_" + word + b"(" for word in (b"create", b"open", b"close"))
_WRITE = re.compile(rb"SELECT pg_catalog\.lowrite\(0, '\\{1,2}x")
_WRITTEN = b"');\n"
# Of the session, and the planner's statistics: nobody's data.
_NO_DATA = (
    b"SET ",
    b"SELECT pg_catalog.set_config(",
    b"BEGIN;",
    b"COMMIT;",
    b"SELECT * FROM pg_catalog.pg_restore_",
)


class DataReader:
    """Takes a script in chunks of any size and fills `digest`. Raise IntegrityError where it cannot be understood.

    Names are read in `codec`. What comes as it came `before` is not looked at line by line, so that a listener hears
    nothing of it. Rows of the tables in `orders` are put into the order of the list of columns there, but for those of
    more than 4 MiB.
    """

    def __init__(
        self,
        codec: str = "utf-8",
        listener: Listener | None = None,
        before: Mapping[Name, Rows] | None = None,
        orders: Mapping[Name, bytes] | None = None,
    ) -> None:
        self.digest = DataDigest()
        self._codec = codec
        self._listener = listener
        self._before = before or {}
        self._orders = orders or {}
        self._order: tuple[int, ...] = ()
        self._follower: Follower | None = None
        self._trail = Trail()
        self._rest = b""
        self._step: Callable[[bytes], bytes | None] = self._sql
        self._schema = b""
        self._table: Name = ("", "")
        self._rows = Rows()
        self._long = LongLine()
        self._head = b""
        self._quote = b""
        self._object = b""  # the large object that is being written
        self._content = LongLine()

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        data: bytes | None = self._rest + chunk if self._rest else chunk
        self._rest = b""
        while data:
            before = (self._step, len(data))
            data = self._step(data)
            if data is not None and (self._step, len(data)) == before:
                self._rest = data
                return

    def finish(self) -> DataDigest:
        """Give the whole. Raise IntegrityError when it ended inside something."""
        if self._follower is not None:
            self.feed(self._by_line(b""))
        if self._rest.strip() or self._step != self._sql:
            raise IntegrityError(
                "the data ends inside a table or a statement",
                hint="pg_restore or pg_dump ended too early; the archive may be damaged.",
            )
        return self.digest

    # Each step takes what is there and gives what is left; when it can do nothing it gives back all of it.

    def _sql(self, data: bytes) -> bytes:
        at = 0
        while at < len(data):
            if blank := _BLANK.match(data, at):
                at = blank.end()
            elif self._object and (write := _WRITE.match(data, at)):
                end = data.find(_WRITTEN, write.end())  # in between are hexadecimal digits
                if end < 0:
                    return data[at:]
                self._content.feed(data[write.end() : end])
                at = end + len(_WRITTEN)
            elif found := _STATEMENT.match(data, at):
                at = found.end()
                self._statement(found[0])
                if self._step != self._sql:
                    break
            else:
                return self._unfinished(data[at:])
        return data[at:]

    def _unfinished(self, data: bytes) -> bytes:
        if len(data) > _LONG and not data.startswith((b"--", b"\\")):
            self._long, self._head, self._quote = LongLine(), data[:_HEAD], b""
            self._step = self._long_statement
        return data

    def _statement(self, text: bytes) -> None:
        if copy := _COPY.match(text):
            self._begin(copy[1], copy[2], copy[3].strip())
            self._begin_rows()
        elif insert := _INSERT.match(text):
            self._begin_insert(insert, text)
            self._add_line(text)
        elif setval := _SETVAL.match(text):
            self._sequence(setval)
        elif text.startswith((_CREATE, _OPEN, _CLOSE)) or b"LARGE OBJECT " in text[:_HEAD]:
            self._large_object(text)
        elif path := _PATH.match(text):
            self._schema = path[1]
        elif not text.startswith(_NO_DATA):
            self.digest.others.append(text[:200].decode(self._codec, "replace").split("\n")[0])

    def _begin(self, schema: bytes | None, name: bytes, columns: bytes) -> None:
        self._table = (self._word(schema or self._schema), self._word(name))
        self._rows = self.digest.tables.setdefault(self._table, Rows())
        self._rows.columns.add(columns)
        wanted = self._orders.get(self._table)
        self._order = () if wanted is None else column_lists.places(columns, wanted)

    def _begin_rows(self) -> None:
        self._trail = Trail(self._rows.lines.sum)
        self._rows.trails.append(self._trail)
        known = self._before.get(self._table)
        number = len(self._rows.trails)
        if known is not None and number <= len(known.trails):
            self._follower = Follower(known.trails[number - 1])
            self._step = self._in_known_rows
        else:
            self._step = self._in_rows

    def _begin_insert(self, insert: re.Match[bytes], text: bytes) -> None:
        self._begin(insert[1], insert[2], b"INSERT")
        self.digest.inserts.add("--column-inserts" if insert[3] else "--inserts")
        if text.endswith(_NO_CONFLICT):
            self.digest.inserts.add("--on-conflict-do-nothing")
        if _SEVERAL.match(text, insert.end() - 1):
            raise IntegrityError(
                "the archive has several rows in each INSERT, and such rows cannot be compared",
                hint="Dump without --rows-per-insert.",
            )

    def _sequence(self, found: re.Match[bytes]) -> None:
        name = _QUALIFIED.match(found[1].replace(b"''", b"'"))
        if name is None:
            raise IntegrityError("the data sets a sequence whose name cannot be read")
        key = (self._word(name[1] or self._schema), self._word(name[2]))
        called = "called" if found[3] == b"true" else "not yet called"
        self.digest.sequences[key] = f"{found[2].decode()}, {called}"

    def _large_object(self, text: bytes) -> None:
        """Take what is said of a large object; what is written into it counts when it is closed."""
        if text.startswith(_CLOSE):
            self._fact(self._object, b"content " + self._object + b" %032x" % self._content.number)
            self._object = b""
            return
        found = _LARGE_OBJECT.match(text)
        if found is None:
            raise IntegrityError("the data holds a statement on a large object that cannot be read")
        number = found[1] or found[2]
        if text.startswith(_OPEN):
            self._object, self._content = number, LongLine()
            return
        made = text.startswith(_CREATE)
        self.digest.large_objects += made
        self._fact(number, text, made=made)

    def _fact(self, number: bytes, text: bytes, *, made: bool = False) -> None:
        line = LongLine()
        line.feed(text)
        self.digest.large_object_facts.add_hash(line.number)
        if self._listener is not None:
            self._listener.large_object(int(number), line.number, made=made)

    def _in_known_rows(self, data: bytes) -> bytes | None:
        assert self._follower is not None  # noqa: S101 - this step is taken with one alone
        found, left = self._follower.take(data)
        if found is not None:
            self._rows.lines.add_sum(found)
        elif left:
            return self._by_line(left)
        return left

    def _by_line(self, data: bytes) -> bytes:
        """Look at the lines from here on."""
        held = self._follower.give_up() if self._follower is not None else b""
        self._follower, self._step = None, self._in_rows
        return held + data

    def _in_rows(self, data: bytes) -> bytes:
        cut = data.rfind(b"\n") + 1
        lines = data[: cut - 1].split(b"\n") if cut else []
        try:
            last = lines.index(_LAST)  # quicker than to look for it in the text
        except ValueError:
            self._take(lines, data, cut)
        else:
            del lines[last:]
            end = sum(map(len, lines)) + last
            self._take(lines, data, end)
            self._trail.end(self._rows.lines)
            self._step = self._sql
            return data[end + len(_END) :]
        if len(data) - cut > _LONG:
            self._long = LongLine()
            self._step = self._in_long_row
        return data[cut:]

    def _in_long_row(self, data: bytes) -> bytes | None:
        end = data.find(b"\n")
        self._long.feed(data if end < 0 else data[:end])
        if end < 0:
            return None
        self._trail.end(self._rows.lines)
        self._add_long_line()
        self._step = self._in_rows
        return data[end + 1 :]

    def _long_statement(self, data: bytes) -> bytes | None:
        at = 0
        while True:
            if self._quote:
                end = data.find(self._quote, at)
                if end < 0:
                    break
                at, self._quote = end + 1, b""
            elif mark := _MARK.search(data, at):
                at = mark.end()
                if mark[0] == b";\n":
                    self._end_of_statement(data[:at])
                    return data[at:]
                self._quote = mark[0]
            else:
                break
        held = data.endswith(b";") and not self._quote
        self._long.feed(data[:-1] if held else data)
        return data[-1:] if held else None

    def _end_of_statement(self, data: bytes) -> None:
        self._long.feed(data)
        self._step = self._sql
        if insert := _INSERT.match(self._head):
            self._begin_insert(insert, self._head)
            self._add_long_line()
        else:
            self.digest.others.append(self._head[:200].decode(self._codec, "replace").split("\n")[0])

    def _take(self, lines: Sequence[bytes], data: bytes, end: int) -> None:
        """Take rows, which are what stands before `end`."""
        rows = column_lists.put(lines, self._order) if self._order else lines
        self._rows.lines.add(rows)
        self._trail.note(memoryview(data)[:end], self._rows.lines)
        if self._listener is not None and rows:
            self._listener.lines(self._table, rows)

    def _add_line(self, text: bytes) -> None:
        self._long = LongLine()
        self._long.feed(text)
        self._add_long_line()

    def _add_long_line(self) -> None:
        self._rows.lines.add_hash(self._long.number)
        if self._listener is not None:
            self._listener.long_line(self._table, self._long.number)

    def _word(self, raw: bytes) -> str:
        inside = raw[1:-1].replace(b'""', b'"') if raw.startswith(b'"') else raw
        return inside.decode(self._codec, "surrogateescape")
