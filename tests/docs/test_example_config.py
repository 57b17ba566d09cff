"""The example and the reference name every key of the model, and the example loads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from holdfast.config import model as config_model
from holdfast.config import notify, options, prepare, restore_test, sources, stores
from holdfast.config.loading import load
from holdfast.config.retention import RetentionSettings
from holdfast.model.errors import ConfigError

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config.example.toml").read_text()
REFERENCE = (ROOT / "docs/reference/config.md").read_text()
PLACEHOLDER = "age1-PUT-YOUR-RECIPIENT-HERE"
RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
COMMENTED = re.compile(r"^#(?=[a-z_]+ = |\[)", re.MULTILINE)


TABLES = {"hooks", "retention", "restore_test", "checks"}


def filled_in(text: str) -> str:
    return text.replace(PLACEHOLDER, RECIPIENT)


def keys_by_section() -> list[tuple[str, str]]:
    sections: dict[str, set[str]] = {
        "daemon": set(config_model.Daemon.model_fields),
        "encryption": set(config_model.Encryption.model_fields),
        "targets": {
            *config_model.TargetSettings.model_fields,
            *config_model.HookSettings.model_fields,
            *RetentionSettings.model_fields,
            *restore_test.RestoreTestSettings.model_fields,
            *restore_test.CheckSettings.model_fields,
        }
        - TABLES,
        "stores": {key for kind in stores.KINDS.values() for key in kind.model_fields} - TABLES,
        "notify": {key for kind in notify.KINDS.values() for key in kind.model_fields},
    }
    return [(section, key) for section, keys in sections.items() for key in sorted(keys)]


def section_of(text: str, heading: str) -> str:
    """Cut out all parts of a text whose heading holds `heading`, up to the next of another section."""
    pieces = re.split(r"(?m)^(?=#?\[|## )", text)
    return "".join(piece for piece in pieces if heading in piece.split("\n")[0])


def test_the_example_loads_once_the_recipient_is_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(filled_in(EXAMPLE))
    config = load(path, environ={})
    assert [target.name for target in config.targets()] == ["shop"]
    assert list(config.stores) == ["disk", "offsite"]


def test_the_example_as_it_stands_is_refused_for_its_recipient_only(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(EXAMPLE)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    assert "encryption.recipients" in caught.value.message
    assert "problems" not in caught.value.message


def test_every_commented_key_of_the_example_can_be_uncommented(tmp_path: Path) -> None:
    text = filled_in(COMMENTED.sub("", EXAMPLE))
    # What contradicts another key, and files that are not there.
    text = re.sub(r"(?m)^(\w+_file|profile|every|scratch_url|anonymous|sas_token|client_id) = .*$", "", text)
    path = tmp_path / "holdfast.toml"
    path.write_text(text)
    config = load(path, environ={})
    assert config.targets()[0].options == ("--no-comments", "--role=backup")
    assert config.stores["offsite"].secrets()


def test_what_the_example_shows_as_default_is_the_default(tmp_path: Path) -> None:
    plain, shown = tmp_path / "plain.toml", tmp_path / "shown.toml"
    shown_keys = (
        "listen|timezone|log_format|log_level|enabled|checksum|deadline|databases|globals|stores|"
        "lock_wait_timeout|blocking_limit|compression|compression_level|fingerprint|lock_database|"
        "max_dumps|hourly|daily|weekly|monthly|yearly|keep_last|within|minimum|require|grace|prune_schedule|jitter|catch_up|attempts|retry_delay|timeout|stall_limit|bandwidth_limit|read_only"
    )
    plain.write_text(filled_in(EXAMPLE))
    shown.write_text(re.sub(rf"(?m)^#(?=({shown_keys}) = )", "", filled_in(EXAMPLE)))
    first, second = load(plain, environ={}), load(shown, environ={})
    assert first.targets() == second.targets()
    assert (first.daemon, first.encryption, first.stores) == (second.daemon, second.encryption, second.stores)


@pytest.mark.parametrize(("section", "key"), keys_by_section())
def test_every_key_stands_in_the_example(section: str, key: str) -> None:
    assert re.search(rf"(?m)^#?{key} = ", section_of(EXAMPLE, section)), f"{section}: {key}"


@pytest.mark.parametrize(("section", "key"), keys_by_section())
def test_every_key_stands_in_the_reference(section: str, key: str) -> None:
    assert re.search(rf"(?m)^\|[^|]*`{key}`", section_of(REFERENCE, f"[{section}")), f"{section}: {key}"


def test_the_example_and_the_reference_name_no_key_that_is_unknown() -> None:
    known = set(keys_by_section())
    tables = tomllib.loads(
        COMMENTED.sub("", EXAMPLE).replace("[defaults]\nschedule", "[defaults]\n#schedule")
    )
    for section, _, table in sources.tables(tables):
        assert {(section, key) for key in table if key not in TABLES} <= known
    for section in ("daemon", "encryption", "stores", "targets", "notify"):
        rows = re.findall(r"(?m)^\|(.*?)\|", section_of(REFERENCE, f"[{section}"))
        assert {(section, key) for row in rows for key in re.findall(r"`(\w+)`", row)} <= known | {
            (place, table) for place in ("targets", "stores") for table in TABLES
        }


def test_every_allowed_option_of_pg_dump_stands_in_the_reference() -> None:
    allowed = re.findall(r"`(--[a-z-]+)(?:=…)?`", section_of(REFERENCE, "[targets"))
    assert set(allowed) - {"--compress"} >= options.ALLOWED


def test_every_variable_of_the_short_form_stands_in_the_reference() -> None:
    for word in sources.SHORTHAND:
        assert f"`HOLDFAST_{word.upper()}`" in REFERENCE


def test_every_key_that_holds_a_path_is_treated_as_one() -> None:
    models = [
        config_model.Daemon,
        config_model.Encryption,
        config_model.TargetSettings,
        *stores.KINDS.values(),
        *notify.KINDS.values(),
    ]
    for model in models:
        for key, field in model.model_fields.items():
            assert ("Path" in str(field.annotation)) == prepare.is_path(key), key
