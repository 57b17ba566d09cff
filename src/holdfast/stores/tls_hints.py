"""What to do when TLS with a store fails, by what OpenSSL and the libraries above it say."""

from __future__ import annotations

import re

_HINTS = (
    (
        r"doesn't match|hostname mismatch|ip address mismatch|not valid for",
        "The certificate is for another name: write the name that it was made out to in `endpoint_url`.",
    ),
    (
        r"has expired|not yet valid",
        "The server's certificate is out of date: have it renewed, and look at this machine's clock.",
    ),
    (
        r"wrong.version.number|record layer failure|unknown protocol",
        "The server does not speak TLS at this port: write http:// in `endpoint_url`, or its TLS port.",
    ),
    (
        r"no such file|is a directory|permission denied|no.certificate.or.crl|could not find a suitable|invalid path",
        "Check `ca_bundle` of this store: a PEM file with certificates, which this user can read.",
    ),
)
_UNTRUSTED = "The server's certificate is not trusted: set `ca_bundle` to the file of its authority."


def hint(said: str) -> str:
    """Give the hint for an error of TLS that says this."""
    return next((text for pattern, text in _HINTS if re.search(pattern, said, re.IGNORECASE)), _UNTRUSTED)
