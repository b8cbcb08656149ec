"""Which type a backup has, and what the configuration says about types."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backupd.application import Application
from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.configured import apply_configuration
from backupd.application.volumes import NewVolume, VolumeChange
from backupd.config import BackupTypeConfig, PolicyConfig, TargetConfig
from backupd.errors import ConfigError, Conflict, InvalidRequest, NotFound
from backupd.model import Backup, BackupMode, BackupState, Volume
from tests.support.world import PROJECT, World, open_world

POLICY = PolicyConfig(default_backup_type="standard", request_backup_types=("standard", "plain"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as world:
        for new in (
            NewBackupType(name="standard", target="local"),
            NewBackupType(name="plain", target="other", is_encrypted=False),
            NewBackupType(name="both", target="local", copies=("other",), quorum=2, retention="short"),
        ):
            await world.application.backup_types.add(new)
        yield world


async def add_volume(world: World, backup_type: str | None = None) -> Volume:
    path = world.sources / "disk.img"
    path.touch()
    new = NewVolume(name="disk", path=str(path), backup_type=backup_type)
    return await world.application.volumes.add(PROJECT, new)


async def create(application: Application, **fields: Any) -> Backup:
    backup, _ = await application.backups.create(PROJECT, NewBackup(**{"volume": "disk", **fields}))
    return backup


async def type_of(application: Application) -> tuple[str, str] | None:
    (detail,) = await application.volumes.details(await application.volumes.all(PROJECT))
    found = detail.backup_type
    return (found.backup_type.name, found.origin) if found else None


def stored(backup: Backup) -> tuple[Any, ...]:
    return backup.targets, backup.quorum, backup.is_encrypted


async def test_a_volume_has_its_own_type(world: World) -> None:
    await add_volume(world, "both")
    application = world.configured(policy=POLICY)
    assert await type_of(application) == ("both", "volume")
    assert stored(await create(application)) == (("local", "other"), 2, True)


async def test_a_volume_without_a_type_has_the_default_of_its_project(world: World) -> None:
    assert (await add_volume(world)).backup_type_id is None
    application = world.configured(policy=POLICY)
    assert await type_of(application) == ("standard", "project default")
    assert stored(await create(application)) == (("local",), 1, True)


async def test_the_default_of_one_project_is_its_own(world: World) -> None:
    await add_volume(world)
    own = PolicyConfig(default_backup_type="plain")
    application = world.configured(policy=POLICY, projects={PROJECT: own, "another": POLICY})
    assert await type_of(application) == ("plain", "project default")


async def test_without_any_type_the_conflict_says_what_to_do(world: World) -> None:
    await add_volume(world)
    assert await type_of(world.application) is None
    with pytest.raises(Conflict, match=r"no backup type, and its project has no default\nHINT: backupctl volume set"):
        await create(world.application)


async def test_a_request_may_name_a_type_that_the_policy_allows(world: World) -> None:
    await add_volume(world, "both")
    application = world.configured(policy=POLICY)
    assert stored(await create(application, backup_type="plain")) == (("other",), 1, False)


async def test_a_request_may_name_what_the_volume_has_anyway(world: World) -> None:
    await add_volume(world, "both")
    assert stored(await create(world.application, backup_type="both")) == (("local", "other"), 2, True)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (PolicyConfig(), 'backup_type = "plain": expected one of standard, as request_backup_types'),
        (
            PolicyConfig(request_backup_types=("both",)),
            'backup_type = "plain": expected one of both, standard, as request_backup_types',
        ),
    ],
)
async def test_a_request_may_name_no_other_type(world: World, policy: PolicyConfig, expected: str) -> None:
    await add_volume(world, "standard")
    with pytest.raises(InvalidRequest) as caught:
        await create(world.configured(policy=policy), backup_type="plain")
    assert str(caught.value).startswith(expected)


async def test_a_request_that_names_no_type_of_the_catalog_is_not_found(world: World) -> None:
    await add_volume(world, "standard")
    with pytest.raises(NotFound, match='there is no backup type "gold"'):
        await create(world.application, backup_type="gold")


async def test_another_type_makes_a_full_backup_and_says_why(world: World) -> None:
    await add_volume(world, "standard")
    latest = await world.add_backup()
    backup = await create(world.configured(policy=POLICY), backup_type="plain")
    assert (backup.mode, backup.parent_id) == (BackupMode.FULL, None)
    assert backup.full_read_reason == (
        f'no parent: backup type "plain" has target other, the latest backup {latest.id} local'
    )
    await world.finish_job()
    published = await world.catalog.backup(PROJECT, backup.id)
    assert (published.state, published.full_read_reason) == (BackupState.AVAILABLE, backup.full_read_reason)


async def test_a_first_backup_needs_no_reason_to_be_full(world: World) -> None:
    await add_volume(world, "standard")
    assert (await create(world.application)).full_read_reason is None


async def test_another_type_cannot_be_incremental_where_that_is_asked_for(world: World) -> None:
    await add_volume(world, "standard")
    await world.add_backup()
    with pytest.raises(Conflict, match='none on target "other" with the chunk size and encryption'):
        await create(world.configured(policy=POLICY), backup_type="plain", mode=BackupMode.INCREMENTAL)


async def test_a_volume_gets_another_type_for_its_new_backups_only(world: World) -> None:
    await add_volume(world, "standard")
    old = await world.add_backup()
    changed = await world.application.volumes.change(PROJECT, "disk", VolumeChange(backup_type="both"))
    assert await type_of(world.application) == ("both", "volume")
    assert await world.application.volumes.one(PROJECT, "disk") == changed
    new = await create(world.application)
    assert stored(new) == (("local", "other"), 2, True)
    assert await world.catalog.backup(PROJECT, old.id) == old


async def test_a_volume_goes_back_to_the_default(world: World) -> None:
    await add_volume(world, "both")
    application = world.configured(policy=POLICY)
    await application.volumes.change(PROJECT, "disk", VolumeChange(backup_type=None))
    assert await type_of(application) == ("standard", "project default")


async def test_a_volume_gets_no_type_that_is_not_there(world: World) -> None:
    await add_volume(world, "both")
    with pytest.raises(NotFound, match='there is no backup type "gold"'):
        await world.application.volumes.change(PROJECT, "disk", VolumeChange(backup_type="gold"))
    assert await type_of(world.application) == ("both", "volume")


async def test_a_type_shows_what_its_targets_can_do(world: World) -> None:
    types = world.application.backup_types
    detail = types.detail(await types.one("both"))
    assert {name: found is not None and found.conditional_put for name, found in detail.targets.items()} == {
        "local": True,
        "other": True,
    }
    assert detail.problems == []


async def test_a_type_whose_target_and_retention_are_gone_shows_that(world: World) -> None:
    local = {"local": TargetConfig(name="local", url="file:///srv/backups")}
    types = world.configured(targets=local, retention={}).backup_types
    detail = types.detail(await types.one("both"))
    assert detail.targets["other"] is None
    assert detail.problems == [
        'copies[0] = "other": expected a target of the configuration: local',
        'retention = "short": expected a retention of the configuration: none',
    ]


async def configure(world: World, **sections: Any) -> Application:
    application = world.configured(**sections)
    await apply_configuration(application.backup_types.config, world.catalog, world.clock)
    return application


async def test_the_types_of_the_configuration_are_in_the_catalog(world: World) -> None:
    gold = BackupTypeConfig(target="local", copies=("other",), quorum=2, compression_level=0)
    application = await configure(world, backup_types={"gold": gold})
    found = await application.backup_types.one("gold")
    assert (found.is_configured, found.targets, found.quorum, found.compression_level) == (
        True,
        ("local", "other"),
        2,
        0,
    )
    await configure(world, backup_types={"gold": BackupTypeConfig(target="other")})
    changed = await application.backup_types.one("gold")
    assert (changed.id, changed.targets) == (found.id, ("other",))


async def test_a_type_of_the_configuration_is_not_removed_by_a_request(world: World) -> None:
    application = await configure(world, backup_types={"gold": BackupTypeConfig(target="local")})
    with pytest.raises(Conflict, match=r'"gold" is the configuration\'s: only \[backup_types.gold\] changes it'):
        await application.backup_types.remove("gold")
    with pytest.raises(Conflict, match="there is a backup type of that name"):
        await application.backup_types.add(NewBackupType(name="gold", target="other"))


async def test_a_type_that_the_policy_names_is_not_removed(world: World) -> None:
    application = world.configured(policy=POLICY)
    with pytest.raises(Conflict, match=r"is in use by policy\.default_backup_type of the configuration"):
        await application.backup_types.remove("standard")
    with pytest.raises(Conflict, match=r"is in use by policy\.request_backup_types of the configuration"):
        await application.backup_types.remove("plain")


async def test_every_name_that_is_wrong_is_reported_at_once(world: World) -> None:
    policy = PolicyConfig(default_backup_type="gold", request_backup_types=("standard", "tin"))
    own = PolicyConfig(default_backup_type="lead", request_backup_types=policy.request_backup_types)
    with pytest.raises(ConfigError) as caught:
        await configure(
            world,
            policy=policy,
            projects={"one": own},
            backup_types={"plain": BackupTypeConfig(target="local")},
        )
    first, hint, *others = str(caught.value).splitlines()
    assert first.startswith("backup_types.plain: expected what the type of that name says that was made through the")
    assert hint.endswith("backupctl type show plain")
    assert others == [
        "policy.default_backup_type = 'gold': expected a backup type: both, plain, standard",
        "policy.request_backup_types = 'tin': expected a backup type: both, plain, standard",
        "projects.one.default_backup_type = 'lead': expected a backup type: both, plain, standard",
    ]
    assert {one.name: one.is_configured for one in await world.catalog.backup_types()} == {
        "both": False,
        "plain": False,
        "standard": False,
    }


async def test_a_section_that_was_away_takes_its_type_back(world: World) -> None:
    gold = BackupTypeConfig(target="local", copies=("other",), retention="short")
    await configure(world, backup_types={"gold": gold})
    known = await world.catalog.backup_type("gold")
    await configure(world, backup_types={})
    assert not (await world.catalog.backup_type("gold")).is_configured
    await configure(world, backup_types={"gold": gold})
    assert await world.catalog.backup_type("gold") == known


async def test_the_policy_may_name_types_made_by_requests_and_configured_ones(world: World) -> None:
    policy = PolicyConfig(default_backup_type="gold", request_backup_types=("standard",))
    await configure(world, policy=policy, backup_types={"gold": BackupTypeConfig(target="local")})
    assert (await world.catalog.backup_type("gold")).is_configured


async def test_a_type_that_no_longer_fits_is_warned_of_at_the_start(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await configure(world, retention={})
    (record,) = caplog.records
    problem = 'retention = "short": expected a retention of the configuration: none'
    assert record.getMessage() == f'backup type "both" cannot be used as it is: {problem}'
