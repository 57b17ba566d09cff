"""Both directions against the commands that restore without Holdfast: age, age-keygen, zstd and minisign."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from holdfast.streams import age, age_keys, sign
from holdfast.streams.compress import compress, decompress
from support.frames import small_frames
from support.streams import noise

pytestmark = pytest.mark.extended

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SIZES = [0, 1, 65535, 65536, 65537, 16 * 65536, 2_000_000]


def run(*argv: str | Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run([str(arg) for arg in argv], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def age_command(*, post_quantum: bool) -> tuple[str, str]:
    """`age` and `age-keygen`; TEST_AGE_DIR names a folder with newer ones than the machine's own."""
    folder = os.environ.get("TEST_AGE_DIR")
    program, keygen = (str(Path(folder, name)) if folder else name for name in ("age", "age-keygen"))
    if post_quantum:
        version = re.search(rb"(\d+)\.(\d+)", run(program, "--version"))
        if version and (int(version[1]), int(version[2])) < (1, 3):
            pytest.skip("post-quantum keys need age 1.3: set TEST_AGE_DIR to the folder of one")
    return program, keygen


@pytest.mark.parametrize("post_quantum", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_wrote(tmp_path: Path, size: int, *, post_quantum: bool) -> None:
    program, _ = age_command(post_quantum=post_quantum)
    identity = age_keys.generate(post_quantum=post_quantum)
    path = tmp_path / "identity.txt"
    age_keys.write_identity_file(path, identity, sign.generate().public, NOW)
    file = b"".join(age.encrypt([noise(size)], [identity.recipient]))
    assert run(program, "-d", "-i", path, stdin=file) == noise(size)


@pytest.mark.parametrize("post_quantum", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_wrote(tmp_path: Path, size: int, *, post_quantum: bool) -> None:
    program, keygen = age_command(post_quantum=post_quantum)
    path = tmp_path / "identity.txt"
    run(keygen, *(["-pq"] if post_quantum else []), "-o", path)
    identity = age_keys.read_identity_file(path).identities[0]
    recipients = tmp_path / "recipients.txt"
    recipients.write_bytes(run(keygen, "-y", path))
    assert recipients.read_text().strip() == identity.recipient.text
    file = run(program, "-R", recipients, stdin=noise(size))
    assert b"".join(age.decrypt([file], [identity])) == noise(size)


@pytest.mark.parametrize("post_quantum", [False, True])
def test_age_keygen_reads_our_identity_file(tmp_path: Path, *, post_quantum: bool) -> None:
    _, keygen = age_command(post_quantum=post_quantum)
    identity = age_keys.generate(post_quantum=post_quantum)
    path = tmp_path / "identity.txt"
    age_keys.write_identity_file(path, identity, sign.generate().public, NOW)
    assert run(keygen, "-y", path).decode().strip() == identity.recipient.text


def test_zstd_opens_what_we_wrote_and_we_what_it_wrote() -> None:
    assert shutil.which("zstd"), "install zstd"
    data = noise(100_000) + bytes(2_000_000)
    packed = b"".join(compress([data], threads=1, note=lambda: b"a note"))
    assert run("zstd", "-d", "-c", stdin=packed) == data
    with small_frames(70_000):
        assert run("zstd", "-d", "-c", stdin=b"".join(compress([data]))) == data
    assert b"".join(decompress([run("zstd", "-19", "-c", stdin=data)])) == data


def test_minisign_verifies_what_we_signed(tmp_path: Path) -> None:
    key, data = sign.generate(), tmp_path / "manifest.json"
    data.write_bytes(b"{}\n")
    data.with_suffix(".json.minisig").write_bytes(
        sign.sign(b"{}\n", key, trusted_comment="manifest of app, größe 3")
    )
    told = run("minisign", "-V", "-m", data, "-P", key.public.text)
    assert "manifest of app, größe 3" in told.decode()
    data.write_bytes(b"{ }\n")
    with pytest.raises(AssertionError, match="verification failed"):
        run("minisign", "-V", "-m", data, "-P", key.public.text)


def test_we_verify_what_minisign_signed_with_its_key_and_with_ours(tmp_path: Path) -> None:
    data, theirs, ours = tmp_path / "data", tmp_path / "theirs.key", tmp_path / "ours.key"
    data.write_bytes(noise(1000))
    run("minisign", "-G", "-W", "-s", theirs, "-p", tmp_path / "theirs.pub")
    sign.write_signing_key(ours, sign.generate())
    for path in (theirs, ours):
        key = sign.read_signing_key(path)
        run("minisign", "-S", "-W", "-s", path, "-m", data, "-t", "by minisign")
        signature = (tmp_path / "data.minisig").read_bytes()
        found = sign.verify(noise(1000), signature, [key.public])
        assert (found.signer, found.trusted_comment) == (key.public, "by minisign")
    public = sign.parse_public_key((tmp_path / "theirs.pub").read_text())
    assert public == sign.read_signing_key(theirs).public
    assert public.to_text() == (tmp_path / "theirs.pub").read_text()
