"""The images, the compose file and what stands beside them: right by their own tools' rules."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release.dependencies import closure, is_forbidden, licence

from dineuro_server import settings as settings_module
from dineuro_server.ops.metrics import GAUGES, Metrics
from dineuro_server.settings import GIB, Settings
from tests.support.server import ROOT

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "docker-compose.yml").read_text())


def test_the_compose_file_is_one_by_the_specification() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    checker = jsonschema_rs.validator_for(json.loads(schema.read_text()))
    assert [str(error) for error in checker.iter_errors(COMPOSE)] == []
    broken = json.loads(json.dumps(COMPOSE))
    broken["services"]["server"]["restrat"] = "no"
    assert not checker.is_valid(broken)


def test_every_service_is_bounded_and_hardened() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        if name == "keys":  # runs for a moment, without a network
            continue
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${DINEURO_PUBLISH:-127.0.0.1}:")), port


def test_every_setting_of_the_compose_file_is_the_server_s() -> None:
    known = {f"DINEURO_{name.upper()}" for name in Settings.model_fields}
    for name in ("server", "server-gpu"):
        assert set(COMPOSE["services"][name]["environment"]) <= known
    text = (DOCKER / "docker-compose.yml").read_text()
    example = set(re.findall(r"^#(\w+)=", (DOCKER / ".env.example").read_text(), re.MULTILINE))
    assert example == set(re.findall(r"\$\{(\w+)", text)) | {"COMPOSE_PROFILES"}


def test_what_is_left_out_does_not_undo_what_the_image_says() -> None:
    """An empty variable would put the server's own default, loopback, in the image's place."""
    image = set(re.findall(r"(DINEURO_\w+)=", (DOCKER / "Dockerfile").read_text()))
    for name in ("server", "server-gpu"):
        environment = COMPOSE["services"][name]["environment"]
        for variable in image & set(environment):
            assert not environment[variable].endswith(":-}"), variable


def test_files_that_are_mounted_are_there() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DOCKER / source).exists(), source


def test_the_image_is_built_from_every_package() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = [
        path.parent.relative_to(ROOT)
        for folder in build["packages"]["find"]["where"]
        for path in (ROOT / folder).glob("*/__init__.py")
    ]
    assert len(packages) >= 6
    sources = re.findall(r"^COPY (\S+) \1$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    context = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for package in packages:
        if package.name != "dineuro_napari":  # the image opens no window
            assert any(package.is_relative_to(source) for source in sources), package
            assert any(package.is_relative_to(source) for source in context), package


def test_the_board_and_the_alerts_ask_for_figures_that_exist() -> None:
    metrics = Metrics(dict.fromkeys(GAUGES, lambda: 0.0))
    metrics.worker_lost()
    page = metrics.page().decode()
    exist = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    exist |= {f"{name}{end}" for name in exist for end in ("_bucket", "_sum", "_count")}
    board = json.loads((DOCKER / "grafana/dashboards/dineuro.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    alerts = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())
    asked += [rule["expr"] for group in alerts["groups"] for rule in group["rules"]]
    for name in {name for expr in asked for name in re.findall(r"dineuro_\w+", expr)}:
        assert name in exist, name
    uid = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {uid}


def lines_of(name: str) -> list[str]:
    """The requirements of a file, each with its hashes on one line."""
    text = (DOCKER / name).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if not line.startswith("#")]


def pins() -> dict[str, Requirement]:
    pins = [
        Requirement(line.split(" --hash")[0])
        for name in ("requirements.txt", "torch.txt")
        for line in lines_of(name)
    ]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_the_image_installs_only_wheels_with_a_known_hash() -> None:
    for line in lines_of("requirements.txt"):
        pin, *hashes = line.split()
        assert re.fullmatch(r"[\w.-]+==[\w.]+", pin), line
        assert hashes, f"{pin}: run python -m release.dependencies"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in hashes), line
    installs = re.findall(r"pip install (.*)", (DOCKER / "Dockerfile").read_text())
    assert len(installs) == 3
    for arguments in installs:
        assert (
            "--require-hashes -r docker/requirements.txt" in arguments
            or "-r docker/torch.txt" in arguments  # PyPI's and PyTorch's builds differ
            or "--no-deps --no-build-isolation ." in arguments
        ), arguments


def test_the_images_pin_what_the_packages_ask_for() -> None:
    pinned = pins()
    for package in closure():
        name = canonicalize_name(package.metadata["Name"])
        if not re.match(r"nvidia-|cuda-|triton$", name):  # torch pins these
            assert name in pinned, f"{name}: run python -m release.dependencies"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"] + project["optional-dependencies"]["server"]:
        wanted = Requirement(line)
        version = next(iter(pinned[canonicalize_name(wanted.name)].specifier)).version
        assert wanted.specifier.contains(version), line


def test_nothing_that_runs_is_under_the_gpl() -> None:
    table = (ROOT / "docs" / "licences.md").read_text()
    for package in closure():
        name = canonicalize_name(package.metadata["Name"])
        assert not is_forbidden(licence(package)), f"{name}: {licence(package)}"
        if not re.match(r"nvidia-|cuda-|triton$", name):
            assert f"| {name} |" in table, f"{name}: run python -m release.dependencies"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("GPL-3.0-or-later", True), ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0", True), ("not stated", True), ("LGPL-3.0-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False), ("MIT", False),
    ],
)  # fmt: skip
def test_which_licences_are_refused(text: str, *, forbidden: bool) -> None:
    assert is_forbidden(text) is forbidden


def test_a_container_s_bound_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{2 * GIB}\n")
    bound = settings_module._container_memory
    assert list(bound(tmp_path)) == [2 * GIB]
    monkeypatch.setattr(settings_module, "_container_memory", lambda: bound(tmp_path))
    assert Settings(devices="cpu").memory_bytes == int(0.9 * 2 * GIB)
    (tmp_path / "memory.max").write_text("max\n")
    assert list(bound(tmp_path)) == []
    assert Settings(devices="cpu").memory_bytes > 0


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINEURO_TOKENS", "")
    monkeypatch.setenv("DINEURO_MAX_GIB", "")
    assert Settings().tokens is None
    assert Settings().max_gib == 16
