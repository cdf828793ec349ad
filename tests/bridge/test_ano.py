"""Linker files as Vaa3D reads them: a key, one "=", a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from dineuro.files.outputs import plan_outputs
from dineuro_bridge.errors import BadParameter
from dineuro_bridge.trees.ano import write_ano


def test_paths_are_relative_to_the_linker_file(tmp_path: Path) -> None:
    image, tree = tmp_path / "a b.tif", tmp_path / "out" / "a.swc"
    path = tmp_path / "out" / "a.ano"
    path.parent.mkdir()
    write_ano(path, {"SWCFILE": tree, "GRAYIMG": image})
    assert path.read_text() == "GRAYIMG=../a b.tif\nSWCFILE=a.swc\n"


@pytest.mark.parametrize(("name", "why"), [("a=b.tif", "'='"), ("a\nb.tif", "a line break")])
def test_a_name_that_vaa3d_would_skip_is_refused_before_the_work(
    tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(BadParameter, match=f"has {why} in its name"):
        write_ano(tmp_path / "a.ano", {"GRAYIMG": tmp_path / name})
    assert not (tmp_path / "a.ano").exists()
    with pytest.raises(BadParameter, match="rename it"):
        plan_outputs([tmp_path / name], {"swc": None, "ano": None})
    assert plan_outputs([tmp_path / name], {"swc": None})
