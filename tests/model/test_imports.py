"""Large imports: the garbage collector rests meanwhile, and works again after."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dineuro_model.imports import import_quickly


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Modules can be imported from here; what was frozen is let go."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    gc.unfreeze()
    for name in ("dn_large", "dn_broken"):
        sys.modules.pop(name, None)


def test_the_collector_rests_while_a_module_is_imported_and_leaves_it_alone_after(
    folder: Path,
) -> None:
    (folder / "dn_large.py").write_text(
        "import gc\nrested = not gc.isenabled()\nlarge = [[i] for i in range(1000)]\n"
    )
    before = gc.get_freeze_count()
    import_quickly("dn_large")
    assert sys.modules["dn_large"].rested
    assert gc.isenabled()
    frozen = gc.get_freeze_count()
    assert frozen >= before + 1000
    kept = [[i] for i in range(1000)]
    import_quickly("dn_large")
    assert gc.get_freeze_count() == frozen  # what was made since may become garbage
    assert kept


def test_a_failed_import_is_told_and_the_collector_works_again(folder: Path) -> None:
    (folder / "dn_broken.py").write_text("import dn_nowhere\n")
    with pytest.raises(ModuleNotFoundError, match="dn_nowhere"):
        import_quickly("dn_broken")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(folder: Path) -> None:
    (folder / "dn_large.py").write_text("")
    gc.disable()
    try:
        import_quickly("dn_large")
        assert not gc.isenabled()
    finally:
        gc.enable()
