"""Quotes a word for a shell, so that no name becomes a command, and a command stays on its line."""

from __future__ import annotations

import shlex


def shell_word(text: str) -> str:
    """Quote a word; one with line breaks and the like as bash writes it, so that it stays on a line."""
    if text.isprintable():
        return shlex.quote(text)
    plain = (
        chr(byte) if byte in range(0x20, 0x7F) and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in text.encode("utf-8", "surrogateescape")
    )
    return f"$'{''.join(plain)}'"
