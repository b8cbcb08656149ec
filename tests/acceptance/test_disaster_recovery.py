"""The page docs/disaster-recovery.md, followed word by word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from chunker.digest import Kind
from tests.support.daemon import ROOT
from tests.support.damage import entries_of, flip, packs_of
from tests.support.page_commands import SERVE, Machine
from tests.support.volumes import guest_like_bytes

PAGE = ROOT / "docs" / "disaster-recovery.md"
pytestmark = pytest.mark.timeout(240)  # Some forty commands, each a process of its own.
CONTENT = guest_like_bytes(1024 * 1024)
SET_UP = """
backupctl type add standard --target local --copy second --quorum 2
backupctl volume add web-1 --path /srv/images/web-1.img --type standard
backupctl backup create web-1 --wait
"""


class Story:
    """A machine, and the one backup that must survive all that happens to it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.backup = ""

    def follow(self, section: str, *, with_daemon: bool = True) -> str:
        """Run the commands of a section as they stand on the page."""
        commands = self.machine.section(section)
        return self.machine.run((SERVE if with_daemon else "") + commands, BACKUP=self.backup)

    def writers(self) -> int:
        """Return how many catalogs are written down as writers, on all targets together."""
        found = self.machine.path("/srv").glob("*/default/encrypted/writers/*")
        return len([one for one in found if one.suffix == ""])

    def restored(self, name: str) -> bytes:
        return self.machine.path(f"/srv/restores/{name}").read_bytes()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    machine = Machine(tmp_path, PAGE)
    for name in ("images", "restores", "backups", "second"):
        machine.path(f"/srv/{name}").mkdir(parents=True)
    machine.path("/root").mkdir()
    machine.path("/srv/images/web-1.img").write_bytes(CONTENT)
    machine.configure()
    story = Story(machine)
    told = machine.run(SERVE + SET_UP + "backupctl backup list --json >/root/list.json")
    assert "available" in told
    story.backup = json.loads(machine.path("/root/list.json").read_text())[0]["id"]
    return story


def damage(story: Story, *targets: str) -> None:
    """Garble the same frame on each target."""
    for target in targets:
        (path,) = packs_of(story.machine.path(f"/srv/{target}"), Kind.CHUNK)
        flip(path, entries_of(path)[1].offset + 50)


def test_p6_rebuild_the_page_on_disasters_holds_word_by_word(story: Story) -> None:
    story.follow("before")
    damage(story, "backups")
    told = story.follow("damaged")
    assert "packs/" in told
    assert "repaired" in told

    shutil.rmtree(story.machine.path("/srv/backups"))
    story.machine.path("/srv/backups").mkdir()
    assert '"state": "succeeded"' in story.follow("target")

    told = story.follow("key", with_daemon=False)
    assert "was added" in told
    assert "rewrapped" in told
    assert told.splitlines()[-1].endswith("current")

    shutil.rmtree(story.machine.path("/var/lib/backupd"))
    told = story.follow("catalog", with_daemon=False)
    assert "1 backups of 1 volumes are in the catalog again" in told
    assert story.restored("after-rebuild.img") == CONTENT
    assert story.writers() == 2  # Of the new catalog, one on each target.

    story.follow("nothing", with_daemon=False)
    assert story.restored("latest.img") == story.restored("that-one.img") == CONTENT

    damage_for_good(story)
    story.follow("damaged-for-good")
    left = story.restored("what-is-left.img")
    assert len(left) == len(CONTENT)
    assert left != CONTENT


def damage_for_good(story: Story) -> None:
    """Garble a chunk of the backup wherever it is, and change the volume."""
    story.machine.path("/srv/images/web-1.img").write_bytes(bytes(len(CONTENT)))
    for target in ("backups", "second"):
        for path in packs_of(story.machine.path(f"/srv/{target}"), Kind.CHUNK):
            flip(path, entries_of(path)[1].offset + 50)


def test_the_page_has_no_commands_that_are_not_run() -> None:
    sections = {"before", "damaged", "damaged-for-good", "target", "key", "catalog", "nothing"}
    with_name = PAGE.read_text("utf-8").count("```sh ")
    assert PAGE.read_text("utf-8").count("```sh") == with_name
    assert {line.split()[1] for line in PAGE.read_text("utf-8").splitlines() if line.startswith("```sh ")} == sections
