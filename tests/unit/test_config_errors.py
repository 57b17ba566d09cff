"""What a wrong config says: the place, what is wrong, what was meant; and never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config import sources
from holdfast.config.loading import load
from holdfast.model.errors import ConfigError
from holdfast.streams import bech32
from support.config import BASE, CONTAINER, RECIPIENT, Place

POST_QUANTUM = bech32.encode("age1pq", bytes(1216))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sources, "RUN_SECRETS", tmp_path / "none")
    return Place(folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("urll = 'x'", "targets.shop.urll: unknown key; did you mean url?"),
        ("zzzzzz = 1", "targets.shop.zzzzzz: unknown key; config.example.toml shows all that there are"),
        (
            "[daemon]\ntimezone = 'CEST'",
            "daemon.timezone: no time zone of that name; write one such as Europe/Berlin",
        ),
        ("[stores.x]\nurl = 's3:/bucket/prefix'", "stores.x.url: s3://bucket/prefix, gs://bucket/prefix, "),
        ("[deamon]\nlisten = 'x:1'", "deamon: unknown key; did you mean daemon?"),
        ("[daemon]\nlisten = 'localhost'", "daemon.listen: host:port was expected"),
        ("[daemon]\nlisten = 'localhost:65536'", "daemon.listen: host:port was expected"),
        (
            "[daemon]\ntimezone = 'Europe/Berlni'",
            "daemon.timezone: no time zone of that name; did you mean Europe/Berlin?",
        ),
        ("[daemon]\ntimezone = '../etc/passwd'", "daemon.timezone: no time zone of that name"),
        ("[daemon]\nlog_format = 'xml'", "daemon.log_format: it has to be 'console' or 'json'"),
        ("[daemon]\nstate_dir = ''", "daemon.state_dir: it is empty"),
        ("[daemon]\nstate_dir = '~bob/x'", "daemon.state_dir: ~bob is not replaced: write the path out"),
        ("[daemon]\nspool_dir = '$TMPDIR'", "daemon.spool_dir: variables are not replaced in a path"),
        ('[daemon]\nstate_dir = "/x\\u0000"', "daemon.state_dir: no path has a null character"),
        ('[daemon]\nauth_password_file = "\\u0000"', "daemon.auth_password_file: no path has a null"),
        ("[stores.x]\nurl = '~bob/x'", "stores.x.url: ~bob is not replaced"),
        ("[stores.x]\nurl = '/x/${HOST}'", "stores.x.url: variables are not replaced in a path"),
        (
            "[stores.x]\nurl = 's3://b/p?region=x'",
            "stores.x.url: s3://bucket/prefix was expected; a login, a",
        ),
        ("[stores.x]\nurl = 's3://me:s3cret@b'", "stores.x.url: s3://bucket/prefix was expected; a login, a"),
        (
            "[stores.x]\nurl = 'gs://b/p#x'",
            "stores.x.url: gs://bucket/prefix was expected; a login, a region",
        ),
        (
            "[stores.x]\nurl = 'azblob://k@a/b'",
            "stores.x.url: azblob://account/container/prefix was expected",
        ),
        (
            "[stores.x]\nurl = 's3://b'\nendpoint_url = 'https://h/?key=s3cret'",
            "stores.x.endpoint_url: https://host or http://host:port was expected; a login or token goes into keys of the config",
        ),
        ("[defaults]\nurl = 'postgresql://'", "defaults.url: unknown key"),
        ("[defaults]\nstores = ['dsik']", "defaults.stores: no store 'dsik'; did you mean disk?"),
        ("stores = []", "targets.shop.stores: no store is named"),
        ("stores = ['disk', 'disk']", "targets.shop.stores: an item is there twice"),
        ("databases = []", 'targets.shop.databases: it is empty; name databases, or write "all"'),
        ("include_tables = ['']", "targets.shop.include_tables: an item is empty"),
        ("include_tables = '[x'", "targets.shop.include_tables: it begins like a JSON list but is not one"),
        ("include_tables = 3", "targets.shop.include_tables: a list of texts was expected"),
        ("globals = 'maybe'", "targets.shop.globals: true or false was expected"),
        ("compression_level = 20", "targets.shop.compression_level: it has to be less than or equal to 19"),
        ("compression_level = 'high'", "targets.shop.compression_level: a whole number was expected"),
        ("lock_database = ''", "targets.shop.lock_database: it should have at least 1 character"),
        ("schedule = '@dialy'", "targets.shop.schedule: no such word; did you mean @daily?"),
        ("schedule = '@reboot'", "targets.shop.schedule: five cron fields or @daily"),
        ("schedule = 'sometimes'", "targets.shop.schedule: five cron fields or @daily"),
        (
            "schedule = '60 * * * *'",
            "targets.shop.schedule: '60' cannot be the minute: write a number from 0 to 59",
        ),
        (
            "schedule = '*/90 * * * *'",
            "targets.shop.schedule: '*/90' cannot be the minute: write a number from 0 to 59",
        ),
        ("schedule = '* * * 5-2 *'", "targets.shop.schedule: '5-2' cannot be the month"),
        ("lock_wait_timeout = 0", "targets.shop.lock_wait_timeout: a duration longer than 0 was expected"),
        ("lock_wait_timeout = 'off'", "targets.shop.lock_wait_timeout: a duration was expected"),
        ("blocking_limit = true", "targets.shop.blocking_limit: a duration was expected"),
        (
            "pg_dump_options = ['--inserts']",
            "targets.shop.pg_dump_options: --inserts is refused: rows as INSERT",
        ),
        ("password = 12345", "targets.shop.password: a text (in quotes) was expected"),
        ("password = 'x'\npassword_file = 'x'", "targets.shop.password_file: password is set too"),
        ("password_file = 'gone'", "targets.shop.password_file: cannot read"),
        ("[targets.Shop]", "targets.Shop: 'Shop' cannot name a target"),
        ("[targets]\nx = 3", "targets.x: a table of keys was expected"),
        ("[stores.Disk]\nurl = '/x'", "stores.Disk: 'Disk' cannot name a store"),
        ("[stores.x]", "stores.x: a type or a url is missing"),
        ("[stores.x]\ntype = 's4'", "stores.x: type is one of local, s3"),
        ("[stores.x]\ntype = 'local'", "stores.x.path: it is missing"),
        (
            "[stores.x]\nurl = 'ftp://h/x'",
            "stores.x.url: s3://bucket/prefix, gs://bucket/prefix, azblob://account/container/prefix, file:///path or a path was expected",
        ),
        ("[stores.x]\nurl = 'file://host/x'", "stores.x.url: s3://bucket/prefix, gs://"),
        ("[stores.x]\nurl = 's3://'", "stores.x.url: s3://bucket/prefix was expected"),
        ("[stores.x]\nurl = '/x'\npath = '/y'", "stores.x.url: url and path contradict each other"),
        ("[stores.x]\nurl = '/x'\nbucket = 'y'", "stores.x.bucket: unknown key; it belongs to type s3"),
        ("[stores.x]\nurl = 's3://b/../c'", "stores.x.url: a path such as"),
        ("[stores.x]\nurl = 's3://b'\nbuckte = 'y'", "stores.x.buckte: unknown key; did you mean bucket?"),
        (
            "[stores.x]\nurl = 's3://b'\naccess_key_id = 'a'",
            "stores.x: access_key_id and secret_access_key go",
        ),
        ("[stores.x]\nurl = 's3://b'\nkms_key_id = 'a'", 'stores.x: kms_key_id needs sse = "aws:kms"'),
        ("[stores.x]\nurl = 's3://b'\nendpoint_url = 'host:9000'", "stores.x.endpoint_url: https://host or"),
    ],
)
def test_a_problem_names_the_file_the_key_and_what_was_meant(place: Place, text: str, said: str) -> None:
    message = place.refused(BASE + text + "\n").message
    assert message.startswith(f"{place.file}: {said}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("encryption", "said"),
    [
        ("", "encryption.recipients: no recipients"),
        ("recipients = []", "encryption.recipients: no recipients"),
        ("recipients = ['age1xyz']", "encryption.recipients.0: not an age recipient: it is too short"),
        (
            f"recipients = ['{RECIPIENT[:-1]}q']",
            "encryption.recipients.0: not an age recipient: its checksum",
        ),
        ("recipients = ['ssh-ed25519 AAAA']", "encryption.recipients.0: not an age recipient"),
        (f"recipients = ['{RECIPIENT}', '{POST_QUANTUM}']", "encryption.recipients: post-quantum recipients"),
        ("recipients_file = 'gone'", "encryption.recipients_file: cannot read"),
        (
            f"recipients = ['{RECIPIENT}']\nsigners = ['RWshort']",
            "encryption.signers.0: not a signer's public key",
        ),
        (
            f"recipients = ['{RECIPIENT}']\nenabeld = true",
            "encryption.enabeld: unknown key; did you mean enabled?",
        ),
    ],
)
def test_a_problem_of_the_encryption_names_the_key(place: Place, encryption: str, said: str) -> None:
    text = BASE.replace(f'recipients = ["{RECIPIENT}"]', encryption)
    assert f"{place.file}: {said}" in place.refused(text).message


def test_an_identity_among_the_recipients_is_refused_without_a_word_of_it(place: Place) -> None:
    secret = bech32.encode("age-secret-key-", bytes(range(32))).upper()
    error = place.refused(BASE.replace(RECIPIENT, secret))
    assert "this is an identity (a private key)" in error.message
    assert secret not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


def test_no_recipients_say_how_to_make_some() -> None:
    with pytest.raises(ConfigError, match="no recipients") as caught:
        load(environ={**CONTAINER, "HOLDFAST_RECIPIENT": ""})
    assert "holdfast keygen" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("HOLDFAST_URLS", "no such variable; did you mean HOLDFAST_URL?"),
        (
            "HOLDFAST_TARGET__SHOP__URL",
            "no such variable; one of [targets] is written HOLDFAST_TARGETS__NAME__KEY",
        ),
        (
            "HOLDFAST_TARGETS__SHOP",
            "no such variable; one of [targets] is written HOLDFAST_TARGETS__NAME__KEY",
        ),
        ("HOLDFAST_DAEMON_LISTEN", "no such variable; one of [daemon] is written HOLDFAST_DAEMON__KEY"),
        ("HOLDFAST_CONFG", "no such variable; did you mean HOLDFAST_CONFIG?"),
        ("HOLDFAST_XYZZY", "no such variable"),
        ("HOLDFAST_DAEMON__LISTNE", "unknown key; did you mean HOLDFAST_DAEMON__LISTEN?"),
        ("HOLDFAST_TARGETS__SHOP__URLL", "unknown key; did you mean HOLDFAST_TARGETS__SHOP__URL?"),
        ("HOLDFAST_TARGETS__SHPO__PASSWORD", "no target shpo anywhere else; did you mean shop?"),
        ("HOLDFAST_STORES__DISK__BUCKET", "unknown key; it belongs to type s3"),
        (
            "HOLDFAST_URL",
            "it sets targets.main, but there is targets.shop too; write HOLDFAST_TARGETS__SHOP__URL",
        ),
        (
            "HOLDFAST_STORE",
            "it sets stores.main, but there is stores.disk too; write HOLDFAST_STORES__DISK__URL",
        ),
        (
            "HOLDFAST_TARGETS__SHOP__URL",
            "postgresql://user@host:5432/database or key=value pairs were expected",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_what_was_meant(place: Place, variable: str, said: str) -> None:
    value = "postgresql://h" if variable == "HOLDFAST_URL" else "hunter2"
    message = place.refused(BASE, **{variable: value}).message
    assert message.startswith(f"{variable}: {said}")
    assert "hunter2" not in message


def test_a_flag_for_a_target_that_is_not_there_is_refused(place: Place) -> None:
    with pytest.raises(
        ConfigError, match=r"^command line: targets\.shpo: no target shpo .*did you mean shop\?"
    ):
        place.load(BASE, overrides={"targets": {"shpo": {"globals": False}}})


def test_two_variables_for_the_same_thing_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^HOLDFAST_URL: it sets the same as HOLDFAST_TARGETS__MAIN__URL"):
        load(environ={**CONTAINER, "HOLDFAST_TARGETS__MAIN__URL": "postgresql://other"})


def test_all_problems_are_told_at_once_one_a_line(place: Place) -> None:
    error = place.refused(
        BASE + "urll = 1\nglobals = 7\npassword_file = 'gone'\n[daemon]\nlistne = 1\n", HOLDFAST_URLS="x"
    )
    first, *lines = error.message.split("\n")
    assert first == "5 problems in the config:"
    for said in (
        "targets.shop.urll",
        "targets.shop.globals",
        "password_file",
        "daemon.listne",
        "HOLDFAST_URLS",
    ):
        assert len([line for line in lines if said in line]) == 1


def test_no_secret_is_ever_in_the_error(place: Place) -> None:
    secret = "hunter2hunter2"
    texts = [
        BASE + f"passwrod = '{secret}'",
        BASE + f"password = ['{secret}']",
        BASE + f"password = '{secret}'\nglobals = 7",
        BASE.replace("postgresql://app@db/shop", f"mysql://u:{secret}@h/d"),
        BASE + f"[stores.x]\ntype = 's3'\nsecret_access_key = '{secret}'",
        BASE + f"[targets.x]\nurl = ['postgresql://u:{secret}@h/d']",
        BASE + f"[targets.x]\npassword = '{secret}",
    ]
    for text in texts:
        error = place.refused(text)
        chain = f"{error!r} {error.message} {error.hint} {error.__cause__!r} {error.__context__!r}"
        assert secret not in chain, text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a = 1\nb = [\n", "line 2, column"),
        (b"a = 1\nb == 2\n", "line 2, column 4: not valid TOML: invalid value"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"a = 1\na = 2\n", "line 2, column"),
        (b"a = 1\n\nb = '\xff'\n", "line 3: it is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_place(place: Place, content: bytes, said: str) -> None:
    place.file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(place.file, environ={})
    assert caught.value.message.startswith(f"{place.file}: {said}")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 70_000])
def test_a_secret_file_without_a_secret_is_refused(place: Place, content: bytes) -> None:
    (place.folder / "secret").write_bytes(content)
    assert "targets.shop.password_file" in place.refused(BASE + "password_file = 'secret'").message


def test_nothing_at_all_says_where_it_looked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(sources, "FILE_NAMES", (Path("holdfast.toml"), Path("/nowhere/holdfast.toml")))
    with pytest.raises(ConfigError, match=r"no holdfast.toml or /nowhere/holdfast.toml") as caught:
        load(environ={})
    assert "holdfast init" in str(caught.value.hint)


def test_a_config_without_stores_says_so(place: Place) -> None:
    text = BASE.replace('[stores.disk]\ntype = "local"\npath = "backups"', "")
    assert place.refused(text).message.startswith(f"{place.file}: no stores: there is no place")


def test_who_only_restores_needs_a_store_alone(place: Place) -> None:
    config = place.load("[stores.disk]\nurl = 'backups'\n")
    assert (list(config.stores), config.targets()) == (["disk"], ())


def test_problems_of_stores_and_targets_are_told_together(place: Place) -> None:
    text = BASE + "pg_dump_options = ['-Fp', '--frobnicate']\n[stores.x]\nurl = 's3://b'\nkms_key_id = 'k'\n"
    lines = place.refused(text).message.split("\n")
    assert [
        sum(word in line for line in lines) for word in ("-F is refused", "--frobnicate", "kms_key_id")
    ] == [1] * 3
    assert lines[0] == "3 problems in the config:"
