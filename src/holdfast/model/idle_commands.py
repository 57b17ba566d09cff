"""The commands of a shell script that make no difference to a backup."""

from __future__ import annotations

_SHELL = """
    [ [[ ] ]] { } ( ) : true false test echo printf set exit cd trap umask shift return unset local readonly export declare
    case in esac fi done wait break continue command read
"""
_PROGRAMS = """
    mkdir chmod chown touch date sleep logger cat ls wc du awk sed grep head cut tr sort xargs mv basename dirname mktemp
    hostname nice ionice split tar sync stat gzip pigz zstd bzip2 xz
"""
IDLE = frozenset(f"{_SHELL} {_PROGRAMS}".split())
