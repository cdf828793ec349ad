"""Real and semi-real stacks through the command line; skipped only where they are absent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import morphio
import numpy as np
import pytest

from dineuro_bridge.trees.swc import read_swc
from dineuro_bridge.volumes.formats import read_header
from dineuro_cli import main
from dineuro_tracing.scores import score_trees

pytestmark = pytest.mark.slow

#: Least F1 within 4 voxels; None where there is no reference tree. The references of `diadem` and
#: `bigneuron` are manual; the others are automatic traces or waypoints of one dendrite.
REAL = {
    "bigneuron_frog245": 0.85,
    "bpl_dendrite": 0.6,
    "diadem_OP_1": 0.95,
    "diadem_OP_5_crop": 0.9,
    "dlmbmap_1000": None,
    "flycircuit_branch": 0.9,
    "flycircuit_full": 0.8,
    "flycircuit_small": 0.95,
    "trailmap_train": None,
}
#: Ten held-out stacks: the eight of the Janelia kind, and two of other laboratories.
LIFTED = {
    "lifted_31": 0.93,
    "lifted_38": 0.93,
    "lifted_43": 0.9,
    "lifted_52": 0.93,
    "lifted_6": 0.93,
    "lifted_7": 0.93,
    "lifted_8": 0.93,
    "lifted_92": 0.93,
    "lifted_251": 0.85,
    "lifted_283": 0.9,
}


@pytest.mark.parametrize("name", [*REAL, *LIFTED])
def test_a_real_stack_becomes_a_sound_tree(
    name: str,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = shared_data / ("real" if name in REAL else "lifted") / f"{name}.tif"
    swc = tmp_path / "tree.swc"
    words = ["trace", image, "-o", swc, "--json", "--preview", tmp_path / "picture.png"]
    monkeypatch.setattr(sys, "argv", ["dineuro", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    report = json.loads(capsys.readouterr().out)
    tree = read_swc(swc)
    assert report["nodes"] == len(tree) > 20
    assert tree.n_trees == 1 or report["layout"] == "field"
    size = np.array(read_header(image).shape[:0:-1])
    assert ((tree.xyz >= 0) & (tree.xyz <= size - 1)).all()
    assert report["supported"] > 0.5
    assert (tmp_path / "picture.png").stat().st_size > 1000
    least = {**REAL, **LIFTED}[name]
    if least is not None:
        assert score_trees(read_swc(image.with_suffix(".swc")), tree).at4.f1 > least


def test_another_program_reads_the_tree_without_a_complaint(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swc = tmp_path / "tree.swc"
    image = shared_data / "lifted" / "lifted_7.tif"
    monkeypatch.setattr(sys, "argv", ["dineuro", "trace", str(image), "-o", str(swc)])
    with pytest.raises(SystemExit):
        main()
    morphio.set_raise_warnings(True)
    try:
        morphology = morphio.Morphology(swc)
    finally:
        morphio.set_raise_warnings(False)
    assert len(morphology.root_sections) >= 1
    assert sum(len(s.points) - 1 for s in morphology.iter()) >= len(read_swc(swc)) * 0.9
