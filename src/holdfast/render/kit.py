"""The recovery kit as a document: where the backups are, which keys open them, the commands, and the runbook."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from holdfast import __version__
from holdfast.jobs.kit import Kit, KitStore, KitTarget
from holdfast.model.document import Block, Commands, Document, Paragraph, Section, Table
from holdfast.render.runbook import IDENTITY, recover_command, runbook
from holdfast.render.words import duration, size, when


def document(kit: Kit) -> Document:
    """Give the whole document."""
    sections = (
        _where(kit),
        _keys(kit),
        _backups(kit),
        _with_holdfast(kit),
        _without_holdfast(kit),
        *(runbook(kit, target) for target in kit.targets),
    )
    under = (
        f"made {when(kit.at)} on {kit.host} by Holdfast {__version__}. Keep it where the database host cannot take it"
        " down with it, and make it anew when the config or a key changes."
    )
    return Document("Recovery kit", under, sections)


def _where(kit: Kit) -> Section:
    rows = tuple(
        (
            store.name,
            store.url,
            ", ".join(store.options),
            ", ".join(target.name for target in kit.targets if store.name in target.stores),
        )
        for store in kit.stores
    )
    text = (
        "Each backup is a folder, TARGET/ID, in every store of its target. The ids sort by time; a folder without a"
        " manifest.json is not a backup. Credentials that may read and list the stores are not in this document."
    )
    return Section(
        "1. Where the backups are",
        (Paragraph(text), Table(("STORE", "URL", "SETTINGS", "HOLDS"), rows)),
    )


def _keys(kit: Kit) -> Section:
    blocks: list[Block] = []
    if kit.openers:
        blocks.append(
            Paragraph(
                "One of these keys opens them. The private half is the identity file that `holdfast keygen` wrote;"
                " `age-keygen -y identity.txt` prints the public half, to compare."
            )
        )
        rows = tuple(
            (
                opener.fingerprint,
                _short(opener.recipient),
                "on this host" if opener.here else "NOT on this host",
            )
            for opener in kit.openers
        )
        blocks.append(Table(("FINGERPRINT", "PUBLIC KEY (RECIPIENT)", "PRIVATE KEY"), rows))
    else:
        blocks.append(Paragraph("The backups are NOT encrypted: no key is needed to open them."))
    blocks.append(
        Paragraph(
            "These signers are believed. The identity file should name each in a line `# holdfast-signer: …`."
        )
    )
    blocks.append(Table(("SIGNER",), tuple((text,) for text in kit.signers) or (("none",),)))
    if kit.secrets:
        blocks.append(
            Paragraph(
                "SECRET, as it was asked for: these open every backup. Who has this page has the data. Written into a"
                " file, they are the identity."
            )
        )
        signers = tuple(f"# holdfast-signer: {text}" for text in kit.signers)
        blocks.append(Commands((f"cat > {IDENTITY} <<'END'", *signers, *kit.secrets, "END")))
    return Section("2. Which keys", tuple(blocks))


def _short(recipient: str) -> str:
    longest = 80  # a post-quantum one has two thousand characters
    return recipient if len(recipient) <= longest else f"{recipient[:40]}…{recipient[-12:]}"


def _backups(kit: Kit) -> Section:
    rows = tuple(_backup_cells(target) for target in kit.targets)
    columns = ("TARGET", "SERVER", "NEWEST BACKUP", "NEWEST PROVEN", "SIZE", "RESTORING TAKES", "LAST DRILL")
    text = "What was there when this was made. There are newer ones by now, if all went well."
    return Section("3. What there is", (Paragraph(text), Table(columns, rows)))


def _backup_cells(target: KitTarget) -> tuple[str, ...]:
    newest = target.newest
    measured = (
        "not measured yet"
        if target.seconds is None or target.measured_at is None
        else f"{duration(target.seconds)}, measured {target.measured_at:%Y-%m-%d}"
    )
    return (
        target.name,
        target.server,
        newest.backup.id if newest is not None else "none",
        target.proven.backup.id if target.proven is not None else "none",
        size(newest.backup.size) if newest is not None else "",
        measured,
        f"{target.drill.at:%Y-%m-%d}, took {duration(target.drill.seconds)}" if target.drill else "none yet",
    )


def _with_holdfast(kit: Kit) -> Section:
    blocks: list[Block] = [
        Paragraph(
            "On any Linux with Python 3.11 to 3.14, PostgreSQL's client programs, the identity file (mode 0600) and an"
            " empty PostgreSQL server of the same major version or a later one, with the packages of the extensions"
            " in use. One command finds the newest whole backup, shows it, asks, and restores roles and all databases."
        ),
    ]
    for target in kit.targets:
        first = next((store for store in kit.stores if store.name in target.stores), None)
        if first is not None:
            blocks.append(Commands((recover_command(first, target.name),)))
    blocks.append(
        Paragraph(
            "With --dry-run it changes nothing. Another store's URL does as well. `--before TIME` chooses an older"
            " backup, `--jobs 4` restores in parallel."
        )
    )
    return Section("4. With Holdfast", tuple(blocks))


def _without_holdfast(kit: Kit) -> Section:
    text = (
        "With age, zstd, psql and pg_restore alone, in bash, and what every Linux has. Look which backups there are, fetch the folder"
        " of one (here the newest when this was made; put the id of a later one in its place), and go into it; set PGHOST,"
        " PGPORT, PGUSER and PGPASSWORD for the new server, as a superuser of it."
    )
    blocks: list[Block] = [Paragraph(text)]
    for target in kit.targets:
        first = next((store for store in kit.stores if store.name in target.stores), None)
        if first is not None:
            blocks.append(Commands(tuple(_fetch(first, target))))
    signers = " or ".join(kit.signers) or "the signer's key"
    blocks += [
        Paragraph(
            "Check who wrote it, with minisign where it is at hand: the manifest has to be signed by a signer of section"
            f" 2 ({signers}), and has to hold the digest of RESTORE.txt."
        ),
        Commands(
            (
                f"minisign -V -P {kit.signers[0] if kit.signers else 'RW…'} -m manifest.json",
                "digest=$(sha256sum RESTORE.txt | cut -d ' ' -f 1)",
                'grep "$digest" manifest.json || echo "RESTORE.txt is not the one that was signed"',
            )
        ),
        Paragraph(
            "RESTORE.txt has the commands for exactly this backup, on the lines that begin with four spaces. Read it, then"
            " run them one after the other, or all at once:"
        ),
        Commands(
            (
                f"export IDENTITY=../{IDENTITY}",
                "sed -n 's/^    //p' RESTORE.txt > restore.sh",
                "bash -ex restore.sh",
            )
        ),
    ]
    return Section("5. Without Holdfast", tuple(blocks))


def _fetch(store: KitStore, target: KitTarget) -> Iterator[str]:
    folder = target.newest.backup.id if target.newest is not None else "ID"
    among = f"{store.url}/{target.name}"
    source = f"{among}/{folder}"
    if store.url.startswith("s3://"):
        endpoint = next((o.partition("=")[2] for o in store.options if o.startswith("endpoint_url=")), None)
        where = ("--endpoint-url", endpoint) if endpoint is not None else ()
        yield shlex.join(["aws", *where, "s3", "ls", f"{among}/"])
        yield shlex.join(["aws", *where, "s3", "cp", "--recursive", f"{source}/", f"{folder}/"])
    elif store.url.startswith("gs://"):
        yield shlex.join(["gcloud", "storage", "ls", f"{among}/"])
        yield shlex.join(["gcloud", "storage", "cp", "--recursive", source, "."])
    elif store.url.startswith("azblob://"):
        account, container, path = source.removeprefix("azblob://").split("/", 2)
        prefix = ["--prefix", f"{path.rpartition('/')[0]}/", "--delimiter", "/", "--query", "[].name"]
        listed = ["--account-name", account, "--container-name", container, *prefix, "--output", "tsv"]
        yield shlex.join(["az", "storage", "blob", "list", *listed])
        batch = ["--account-name", account, "--source", container, "--pattern", f"{path}/*"]
        yield shlex.join(["az", "storage", "blob", "download-batch", *batch, "--destination", "."])
        folder = path
    else:
        yield shlex.join(["ls", among])
        yield shlex.join(["cp", "-r", source, "."])
    yield shlex.join(["cd", folder])
