"""P8: what version 1 wrote reads for ever, and today's writer makes the same bytes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backupd.repository import condemned, description, forward, keyring, manifest, writer
from backupd.repository.forward import Place
from backupd.repository.writer import Writer
from chunker import node, pack
from chunker.digest import Ids, Kind
from chunker.frame import FrameReader
from tests.formats import golden

PAGES = Path(__file__).parents[2] / "docs" / "formats"
DUMP = re.compile(r"```(hex|text) (\S+)\n(.*?)```", re.DOTALL)


def stored(name: str) -> bytes:
    return (golden.DIRECTORY / name).read_bytes()


def dumps() -> dict[str, bytes]:
    """The examples of the format pages, by the golden file that they show."""
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        for form, name, text in DUMP.findall(page.read_text()):
            found[name] = dumped_bytes(text) if form == "hex" else text.encode()
    return found


def dumped_bytes(text: str) -> bytes:
    content = b""
    for line in text.splitlines():
        assert int(line[:8], 16) == len(content), f"offset of line {line!r}"
        content += bytes.fromhex(line[10:57].strip())
    return content


@pytest.mark.parametrize("name", golden.FILES)
def test_p8_old_todays_writer_makes_the_released_bytes(name: str) -> None:
    assert golden.FILES[name]() == stored(name)


@pytest.mark.parametrize(
    "name", [n for n in golden.FILES if n not in ("frame-raw-encrypted.bin", "frame-raw-plain.bin")]
)
def test_the_page_shows_the_released_bytes(name: str) -> None:
    assert dumps()[name].rstrip(b"\n") == stored(name).rstrip(b"\n")


@pytest.mark.parametrize("compression", ["zstd", "raw"])
@pytest.mark.parametrize("encryption", ["encrypted", "plain"])
def test_p8_old_released_frames_decode(compression: str, encryption: str) -> None:
    plain = golden.COMPRESSIBLE if compression == "zstd" else golden.RANDOM
    out = bytearray(len(plain))
    FrameReader(golden.KEYS).decode(
        Kind.CHUNK,
        Ids(golden.KEYS.id_key).of(Kind.CHUNK, plain),
        memoryview(stored(f"frame-{compression}-{encryption}.bin")),
        memoryview(out),
    )
    assert out == plain


def test_p8_old_released_pack_lists_its_frames() -> None:
    body = stored("pack.bin")
    entries = pack.read_footer(golden.PACK_ID, len(body), memoryview(body))
    assert [body[e.offset : e.offset + e.length] for e in entries] == [
        golden.frame(golden.COMPRESSIBLE),
        golden.frame(golden.RANDOM),
    ]


def test_p8_old_released_node_decodes() -> None:
    assert sorted(node.decode(0, stored("node.bin"))) == [0, 511]


def test_p8_old_released_manifest_decodes() -> None:
    found = manifest.decode(golden.BACKUP_ID, stored("manifest.bin"), golden.KEYS)
    assert found == golden.sample_manifest()


def test_p8_old_released_repository_opens_with_the_released_key(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(stored("master.key"))
    path.chmod(0o600)
    assert description.read(stored("repository.json"), keyring.load(path)).keys == golden.KEYS


def test_p8_old_released_forward_decodes() -> None:
    assert forward.decode(golden.PACK_ID, stored("forward.bin")) == {
        0: Place(golden.OTHER_PACK_ID, 0, 83),
        83: Place(golden.OTHER_PACK_ID, 1000, 124),
    }


def test_p8_old_released_condemnation_decodes() -> None:
    found = condemned.decode(golden.CATALOG_ID, stored("condemned.bin"))
    assert (found.epoch, found.pack_ids) == (7, [golden.PACK_ID, golden.OTHER_PACK_ID])


def test_p8_old_released_writer_decodes() -> None:
    found = writer.decode(golden.CATALOG_ID, stored("writer.json"))
    assert found == Writer(golden.CATALOG_ID, "node-1:/var/lib/backupd")
