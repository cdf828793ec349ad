"""An option that is declared in the table alone appears in every interface."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

_SCRIPT = """
from dataclasses import dataclass
import json

import dineuro_bridge.options as table
from dineuro_bridge.option_table import option, table_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Extended(table.TraceOptions):
    glow: float = option(
        0.25, help="Brightness of the halo.", group="tracing", minimum=0, maximum=1,
        comment=True, retrace=True,
    )


# Before any other module imports the table.
table.TraceOptions, table.OPTIONS = Extended, table_of(Extended)
table.DEFAULTS = Extended()

import numpy as np
from typer.testing import CliRunner

import dineuro
from dineuro_bridge.client import Client
from dineuro_bridge.client.transport import TraceResult
from dineuro_bridge.errors import BadParameter
from dineuro_cli.app import app
from dineuro_server.doors.http.openapi import submission_docs
from dineuro_server.doors.zeromq.transfers import spec_of
from dineuro_server.jobs.kinds import KINDS
from dineuro_server.jobs.records import JobSpec
from dineuro_server.jobs.validation import RETRACE_OPTIONS, checked

voxels = np.zeros((12, 20, 60), np.uint8)
voxels[5:8, 8:11, 5:55] = 255


class Door:
    def run(self, job, progress, deadline):
        self.job = job


def refusal(call):
    try:
        call()
    except BadParameter as error:
        return str(error)


client = Client("http://127.0.0.1:9")
client._door = Door()
client.trace(voxels, glow=0.5)
docs = submission_docs(KINDS["trace"])["openapi_extra"]["parameters"]
traced = dineuro.trace(voxels, enhancer="none", glow=0.75)
spec = JobSpec(kind="trace", owner="a", input="0", parameters={"glow": "0.5"})
header = {"kind": "trace", "request": "r", "params": {"glow": 0.5}}
print(json.dumps({
    "help": {c: CliRunner().invoke(app, [c, "--help"]).output for c in ("trace", "send")},
    "openapi": [each for each in docs if each["name"] == "glow"],
    "http": checked(spec, [], None).parameters["glow"],
    "zeromq": spec_of("a", header).parameters["glow"],
    "retrace": "glow" in RETRACE_OPTIONS,
    "client": client._door.job.params["glow"],
    "refusal": refusal(lambda: client.trace(voxels, glow=2)),
    "comments": [line for line in traced.tree.comments if line.startswith("glow")],
    "json": [each for each in json.loads(table.json_text()) if each["name"] == "glow"],
}))
"""


@pytest.fixture(scope="module")
def interfaces() -> Any:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_line_offers_it(interfaces: Any) -> None:
    for command in ("trace", "send"):
        text = interfaces["help"][command]
        assert "--glow" in text
        assert "0<=x<=1" in text
        assert "Brightness" in text


def test_both_doors_check_it_and_openapi_describes_it(interfaces: Any) -> None:
    (parameter,) = interfaces["openapi"]
    assert parameter["description"] == "Brightness of the halo."
    bounds = {"type": "number", "minimum": 0, "maximum": 1, "default": 0.25}
    assert parameter["schema"] == bounds
    assert (interfaces["http"], interfaces["zeromq"]) == (0.5, 0.5)
    assert interfaces["retrace"]


def test_the_client_sends_it_and_checks_it(interfaces: Any) -> None:
    assert interfaces["client"] == 0.5
    assert interfaces["refusal"] == "glow 2: must be a number from 0 to 1"


def test_comments_and_the_table_s_file_state_it(interfaces: Any) -> None:
    assert interfaces["comments"] == ["glow 0.75"]
    (record,) = interfaces["json"]
    assert record["schema"]["default"] == 0.25
