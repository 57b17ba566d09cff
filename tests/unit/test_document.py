"""In no form of a document does a name look like a command of its own."""

from __future__ import annotations

from holdfast.model.document import Commands, Document, Paragraph, Section, Table, as_html, as_text


def test_a_name_with_line_breaks_begins_no_line() -> None:
    name = "a\nrm -rf ~\n\x1b[2J"
    blocks = (Commands((f"holdfast restore '{name}'",)), Paragraph(name), Table(("NAME",), ((name,),)))
    made = Document(name, name, (Section(name, blocks),))
    for text in (as_text(made), as_html(made)):
        assert not any(line.startswith(("rm", "<pre>rm")) for line in text.splitlines())
        assert "\x1b" not in text
