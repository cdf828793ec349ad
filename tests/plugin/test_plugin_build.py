"""`dineuro plugin build`, against the stub headers as the sources of a Vaa3D."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dineuro_bridge.errors import BadParameter, DineuroError, FileAccess
from dineuro_cli.app import app
from tests.support.host import ROOT, Build

STUBS = ROOT / "vaa3d_bridge" / "plugin" / "tests" / "stubs"


def build_plugin(*words: str) -> str:
    done = CliRunner().invoke(app, ["plugin", "build", *words])
    if isinstance(done.exception, DineuroError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_one_command_builds_checks_and_copies(build: Build, tmp_path: Path) -> None:
    """The host takes the place of the program: it tells the Qt, and the plugin goes beside it."""
    vaa3d = tmp_path / "v3d_external"
    shutil.copytree(STUBS / "v3d_main", vaa3d / "v3d_main")
    (vaa3d / "bin").mkdir()
    shutil.copy2(build.host, vaa3d / "bin" / "Vaa3D-x")
    said = build_plugin("--vaa3d", str(vaa3d))
    qt = 5 if "qt5" in build.name else 6
    place = vaa3d / "bin" / "plugins" / "DINeuro" / f"libdineuro_vaa3d_qt{qt}.so"
    assert place.is_file()
    assert f"for Qt {qt}" in said
    assert "it can be loaded" in said
    # What cannot be compiled is shown, and nothing is copied.
    place.unlink()
    with (vaa3d / "v3d_main/basic_c_fun/v3d_interface.h").open("a") as header:
        header.write("#error another Vaa3D\n")
    with pytest.raises(BadParameter, match="another Vaa3D"):
        build_plugin("--vaa3d", str(vaa3d))
    assert not place.exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileAccess, match="holds no v3d_main"):
        build_plugin("--vaa3d", str(tmp_path), "--qt", "6")
    with pytest.raises(FileAccess, match="holds no sources of the plugin"):
        build_plugin("--vaa3d", str(STUBS), "--source", str(tmp_path))
    with pytest.raises(BadParameter, match="give --program or --output"):
        build_plugin("--vaa3d", str(STUBS))
    with pytest.raises(BadParameter, match="linked to no Qt"):
        build_plugin("--vaa3d", str(STUBS), "--program", "/bin/true")
