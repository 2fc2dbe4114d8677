"""Doctor on folders, their room and the backups in them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.cli.doctor import folders
from service.cli.doctor.backups import backups
from service.cli.doctor.findings import Finding
from service.core.backups.backup_store import BackupStore
from service.core.database.transactions import Database
from service.core.settings import Settings


def of(name: str, settings: Settings) -> Finding:
    (finding,) = [one for one in folders.folders(settings) if one.check == name]
    return finding


def test_a_folder_that_does_not_exist_yet_is_not_made(tmp_path: Path) -> None:
    finding = of("BACKUP_DIR", Settings(backup_dir=tmp_path / "a" / "b"))
    assert (finding.status, "creates it" in finding.text) == ("ok", True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_instead_of_a_folder_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "backups"):
        finding = of("BACKUP_DIR", Settings(backup_dir=folder))
        assert finding.status == "error"
        assert f"({file})" in finding.text


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere, so be another user."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_cannot_be_written_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        with as_nobody():
            finding = of("REJECTS_DIR", Settings(rejects_dir=folder))
        folder.chmod(0o755)
    assert finding.status == "error"
    assert "Permission denied" in finding.text
    assert "REJECTS_DIR" in finding.remedy


def test_a_full_disk_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    finding = of("BACKUP_DIR", Settings(backup_dir=tmp_path))
    assert (finding.status, "No space left" in finding.text) == ("error", True)
    assert finding.remedy == "Make room, or set BACKUP_DIR to another folder."


@pytest.mark.parametrize(("limit", "status"), [("LITTLE_ROOM", "warning"), ("NO_ROOM", "error")])
def test_little_room_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, status: str
) -> None:
    monkeypatch.setattr(folders, limit, 1 << 80)
    assert of("BACKUP_DIR", Settings(backup_dir=tmp_path)).status == status


def test_a_folder_without_files_to_load_is_a_warning(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        finding = of("DATA_DIR", Settings(data_dir=folder))
        assert (finding.status, str(folder) in finding.text) == ("warning", True)


async def test_the_age_of_the_newest_backup_counts(database: Database, tmp_path: Path) -> None:
    settings = Settings(backup_dir=tmp_path)
    assert backups(settings, None).status == "warning"
    assert backups(settings, 1).status == "error"
    saved = await BackupStore(tmp_path).save(database, None, "null")
    for limit in (None, 1):
        finding = backups(settings, limit)
        assert (finding.status, saved.name in finding.text) == ("ok", True)
    (tmp_path / saved.name).rename(tmp_path / "hirebase-20210727T160208.000000Z.zip")
    assert backups(settings, None).status == "warning"
    assert backups(settings, 24).status == "error"
    assert backups(settings, 24 * 366 * 1000).status == "ok"
