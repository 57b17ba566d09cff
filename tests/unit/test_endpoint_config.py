"""The keys of the endpoint are checked as a whole, and its password goes nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config.loading import Config, load
from holdfast.metrics import auth
from holdfast.model.errors import ConfigError


def loaded(folder: Path, *keys: str) -> Config:
    path = folder / "holdfast.toml"
    lines = [f'state_dir = "{folder}"', *keys]
    path.write_text("[daemon]\n" + "\n".join(lines) + '\n[stores.disk]\nurl = "/backups"\n')
    return load(path, environ={})


def test_by_default_there_is_neither_tls_nor_a_login(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    assert (config.tls, config.login(), config.listen_address) == (None, None, ("127.0.0.1", 9853))


def test_paths_begin_at_the_file_and_the_password_is_known_by_its_hash_only(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("let me in\n")
    config = loaded(
        tmp_path,
        'tls_certificate_file = "tls.crt"',
        'tls_key_file = "tls.key"',
        'auth_user = "prometheus"',
        'auth_password_file = "password"',
    )
    assert config.tls is not None
    assert (config.tls.certificate, config.tls.key) == (tmp_path / "tls.crt", tmp_path / "tls.key")
    login = config.login()
    assert login is not None
    assert login.user == "prometheus"
    assert "let me in" not in repr(config) + login.password_hash
    assert "let me in" in config.secrets()


def test_a_hash_is_taken_as_it_is(tmp_path: Path) -> None:
    hashed = auth.hashed("let me in")
    login = loaded(tmp_path, 'auth_user = "me"', f'auth_password = "{hashed}"').login()
    assert login == auth.Login("me", hashed)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (['auth_user = "me"'], "daemon.auth_password is missing beside it"),
        (['auth_password = "secret"'], "daemon.auth_user is missing beside it"),
        (['tls_key_file = "tls.key"'], "daemon.tls_certificate_file is missing beside it"),
        (['auth_user = "a:b"', 'auth_password = "secret"'], "a name without a colon"),
        (['auth_user = "me"', 'auth_password = "scrypt:secret"'], "begins like a hash but is not one"),
        (
            ['auth_user = "me"', f'auth_password = "scrypt:3:1:1:{"a" * 16}:{"b" * 64}"'],
            "no possible ones",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_without_an_echo(
    tmp_path: Path, keys: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        loaded(tmp_path, *keys)
    assert "secret" not in str(caught.value)
    assert "bbbb" not in str(caught.value)
