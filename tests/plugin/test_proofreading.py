"""The list of the places to proofread, beside the windows of Vaa3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.host import MENU, Build, Host, stack_file

PLACES = """##x,y,z,radius,shape,name,comment, color_r,color_g,color_b
41.000,31.000,16.400,0,1,1 join,joined over 4 voxels; 60% sure; 30 voxels hang on it,255,128,0
71.500,11.000,21.000,0,1,2 end,may go on over 9 voxels,0,128,255
11.000,51.000,3.000,0,1,3 segment,segment of 12 voxels; 40% sure,255,0,0
"""


def steps(path: Path, *press: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"open": str(path), **more},
        {"menu": MENU[2]},
        {"proofread": True, "press": list(press)},
    ]


def test_from_place_to_place(build: Build, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    doubts = tmp_path / "cell_dineuro_doubts.marker"
    doubts.write_text(PLACES)
    press = ("accept", "next", "previous", "reject", "landmarks")
    cut = [0, 79, 0, 59, 0, 29]
    host = Host(build, tmp_path, steps(path, *press, cut=cut, landmarks=[[1, 2, 3, "mine"]]))
    seen = host.step(2)
    first, second, third = [41, 31, 16], [72, 11, 21], [11, 51, 3]
    assert seen["focus"][:6] == [first, second, third, second, third, third]
    # The 3D window shows the surroundings of each place, and all of it at the end.
    assert seen["cut"][0] == [0, 79, 0, 59, 0, 29]
    assert seen["cut"][2] == [0, 50, 10, 59, 0, 29]
    assert seen["cut"][-1] == cut
    assert [text.split(":")[0] for text in seen["places"]] == ["right", "wrong", "3 segment"]
    assert seen["state"] == "2 of 3 places are decided."
    assert [mark[3] for mark in seen["landmarks"]] == ["mine", "1 join", "2 end", "3 segment"]
    assert seen["landmarks"][2][:3] == [71.5, 11, 21]
    decisions = tmp_path / "cell_dineuro_decisions.csv"
    assert decisions.read_text().splitlines() == [
        "x,y,z,name,decision",
        "40.000,30.000,15.400,1 join,accepted",
        "70.500,10.000,20.000,2 end,rejected",
    ]
    assert doubts.read_text() == PLACES
    # The next time they are there again, and no landmark is made unasked.
    host = Host(build, tmp_path, steps(path, "next", "accept"))
    assert [text.split(":")[0] for text in host.step(2)["places"]] == ["right"] * 2 + ["3 segment"]
    assert "landmarks" not in host.step(2)
    assert "71.500" not in decisions.read_text()
    assert "2 end,accepted" in decisions.read_text()


def test_without_places_there_is_no_list(build: Build, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    (tmp_path / "cell_dineuro_doubts.marker").write_text("##x,y,z\n")
    host = Host(build, tmp_path, [{"menu": MENU[2]}, *steps(path)])
    assert host.messages(0) == "Open the image first."
    assert "has no places to proofread" in host.messages(2)
    assert "places" not in host.step(3)


def test_a_place_that_cannot_be_stored_stays_undecided(build: Build, tmp_path: Path) -> None:
    path = stack_file(tmp_path)
    (tmp_path / "cell_dineuro_doubts.marker").write_text(PLACES)
    (tmp_path / "cell_dineuro_decisions.csv").mkdir()
    host = Host(build, tmp_path, steps(path, "accept"))
    assert "cannot be written" in host.step(2)["state"]
    assert host.step(2)["places"][0].startswith("1 join")
