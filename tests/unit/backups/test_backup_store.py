"""The folder of backups: shared by processes, and by clocks that are set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.core.backups.backup_store import BackupStore
from service.core.errors import NotFoundError

NAMES = [f"hirebase-2026010{day}T000000.000000Z.zip" for day in range(1, 6)]
OTHER = "jobs-20260101T000000.000000Z.avro"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, OTHER):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("keep", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("saved", range(5))
def test_only_older_backups_are_removed(folder: Path, saved: int, keep: int) -> None:
    """Newer ones are another process's, or from before the clock was set back."""
    BackupStore(folder)._prune(NAMES[saved], keep)
    kept = NAMES[max(0, saved + 1 - keep) :]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, OTHER])


@pytest.fixture
def removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> BackupStore:
    """A store whose newest backup another process removes while the folder is read."""
    store = BackupStore(folder)
    paths = store._paths()
    (folder / NAMES[-1]).unlink()
    monkeypatch.setattr(store, "_paths", lambda: paths)
    return store


def test_a_backup_that_another_process_removes_is_not_listed(removed: BackupStore) -> None:
    assert {one.name for one in removed.list()} == {*NAMES[:-1], OTHER}


def test_a_backup_that_another_process_removes_is_not_found(removed: BackupStore) -> None:
    with pytest.raises(NotFoundError):
        removed.open(NAMES[-1])
