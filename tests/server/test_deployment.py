"""The images, the compose file and what stands beside them: right by their own tools' rules."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import tomllib
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from release.dependencies import CPU, OPTIONAL, closure, is_forbidden, licence

from dineuro_server import settings as settings_module
from dineuro_server.jobs.records import JobSpec, WorkFigures
from dineuro_server.jobs.store import JobStore
from dineuro_server.ops.metrics import GAUGES, Metrics
from dineuro_server.settings import GIB, Settings
from tests.support.server import ROOT, until

DOCKER = ROOT / "docker"
BASE, PLAIN = "docker-compose.yml", "docker-compose.override.yml"
GPU, TLS = "docker-compose.gpu.yml", "docker-compose.tls.yml"
FILES = (BASE, PLAIN, GPU, TLS)
#: The combinations that .env.example offers; the first is what `docker compose up` reads.
STACKS = ((BASE, PLAIN), (BASE, TLS), (BASE, PLAIN, GPU), (BASE, TLS, GPU))


def merge(base: Any, other: Any) -> Any:
    """Merge two parts of compose files as Compose does: mappings by key, lists by appending."""
    if isinstance(base, dict) and isinstance(other, dict):
        return {
            key: merge(base[key], other[key]) if key in base and key in other
            else base.get(key, other.get(key))
            for key in [*base, *(key for key in other if key not in base)]
        }  # fmt: skip
    if isinstance(base, list) and isinstance(other, list):
        return [*base, *other]
    return other


def read(name: str) -> dict[str, Any]:
    """One compose file."""
    content: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text())
    return content


def services(*names: str) -> dict[str, dict[str, Any]]:
    """The services of a stack, after all its files are merged."""
    stack: dict[str, dict[str, Any]] = reduce(merge, map(read, names))["services"]
    return stack


@pytest.mark.parametrize("name", FILES)
def test_the_compose_files_follow_the_specification(name: str) -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    checker = jsonschema_rs.validator_for(json.loads(schema.read_text()))
    assert [str(error) for error in checker.iter_errors(read(name))] == []
    broken = json.loads(json.dumps(read(name)))
    broken["services"]["server"]["restrat"] = "no"
    assert not checker.is_valid(broken)


@pytest.mark.parametrize("stack", STACKS)
def test_every_service_is_bounded_and_hardened(stack: tuple[str, ...]) -> None:
    for name, service in services(*stack).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        if name == "keys":  # runs for a moment, without a network
            continue
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == "unless-stopped", name
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${DINEURO_PUBLISH:-127.0.0.1}:")), port


@pytest.mark.parametrize("stack", STACKS)
def test_one_server_alone_uses_the_state(stack: tuple[str, ...]) -> None:
    users = [
        name
        for name, service in services(*stack).items()
        if any(volume.startswith("state:") for volume in service.get("volumes", ()))
    ]
    assert users == ["server"]
    assert "replicas" not in services(*stack)["server"]["deploy"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_cluster_has_the_image_the_runs_and_the_network_of_the_server(
    stack: tuple[str, ...],
) -> None:
    merged = services(*stack)
    server, scheduler, blocks = (merged[name] for name in ("server", "scheduler", "blocks"))
    for service in (scheduler, blocks):
        assert service["profiles"] == ["cluster"]
        assert service["image"] == server["image"]  # Dask's versions must agree
        assert service["networks"] == ["cluster"]
        assert "ports" not in service
        check = service["healthcheck"]["test"][-1]
        port = re.search(r"127\.0\.0\.1', (\d+)", check)
        assert port
        assert port[1] in service["command"]
    assert "cluster" in server["networks"]
    assert read(BASE)["networks"]["cluster"]["internal"] is True
    runs = [volume for volume in server["volumes"] if volume.startswith("runs:")]
    assert runs == blocks["volumes"] == [f"runs:{server['environment']['DINEURO_RUNS']}"]
    assert server["environment"]["DINEURO_RUNS"] in (DOCKER / "Dockerfile").read_text()
    example = (DOCKER / ".env.example").read_text()
    (address,) = re.findall(r"^#DINEURO_SCHEDULER=(.*)", example, re.MULTILINE)
    assert address in blocks["entrypoint"]
    text = (DOCKER / BASE).read_text()
    assert text.count("# - /srv/lab:/srv/lab:ro") == 2


def test_the_cluster_s_commands_start_and_are_healthy(tmp_path: Path) -> None:
    """The commands of the compose file, on free ports and without Docker."""
    merged = services(BASE)
    places = {"8786": str(free_port()), "8788": str(free_port())}
    bin_folder = Path(sys.executable).parent

    def words(name: str) -> list[str]:
        service = merged[name]
        line = [*service["entrypoint"], *service["command"]]
        local = {"/tmp/dask": str(tmp_path), "tcp://scheduler:8786":
                 f"tcp://127.0.0.1:{places['8786']}"}  # fmt: skip
        return [str(bin_folder / line[0]), *(local.get(w, places.get(w, w)) for w in line[1:])]

    def healthy(name: str) -> bool:
        check = merged[name]["healthcheck"]["test"][-1]
        for port, other in places.items():
            check = check.replace(port, other)
        return not subprocess.run(
            [sys.executable, "-c", check], capture_output=True, check=False
        ).returncode

    with contextlib.ExitStack() as stack:
        for name in ("scheduler", "blocks"):
            assert not healthy(name)
            process = subprocess.Popen(words(name), cwd=tmp_path, stderr=subprocess.PIPE)
            stack.callback(process.communicate)
            stack.callback(process.terminate)
            until(lambda name=name: healthy(name), 60, name)  # type: ignore[misc]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_plain_http_is_published_only_without_tls() -> None:
    for stack in STACKS:
        ports = services(*stack)["server"]["ports"]
        assert any(port.endswith(":5599") for port in ports)
        assert any(port.endswith(":8000") for port in ports) == (TLS not in stack)
        assert ("caddy" in services(*stack)) == (TLS in stack)
    assert "ports" not in services(BASE)["server"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_keys_are_made_by_the_image_of_the_server(stack: tuple[str, ...]) -> None:
    server, keys = (services(*stack)[name] for name in ("server", "keys"))
    assert keys["image"] == server["image"]
    assert keys["build"] == server["build"]
    device = "cuda" if GPU in stack else "cpu"
    assert server["build"]["args"]["DEVICE"] == device
    assert server["image"].endswith(f"-{device}")
    assert (DOCKER / server["build"]["context"] / server["build"]["dockerfile"]).is_file()


def test_images_of_others_have_a_version_and_may_have_a_digest() -> None:
    for name, service in services(*FILES).items():
        if "build" not in service:
            image = re.fullmatch(r"\$\{DINEURO_\w+_IMAGE:-([\w/.-]+):([\w.-]+)\}", service["image"])
            assert image, name
            assert re.search(r"\d", image[2]), name
    assert (
        services(BASE)["server"]["build"]["args"]["BASE"] == "${DINEURO_BASE_IMAGE:-debian:12-slim}"
    )


def test_every_setting_of_the_compose_files_is_the_server_s() -> None:
    settings = {f"DINEURO_{name.upper()}" for name in Settings.model_fields}
    assert set(services(*FILES)["server"]["environment"]) <= settings
    text = "".join((DOCKER / name).read_text() for name in FILES)
    example = (DOCKER / ".env.example").read_text()
    names = set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    assert names == set(re.findall(r"\$\{(\w+)", text)) | {"COMPOSE_FILE", "COMPOSE_PROFILES"}
    stacks = re.findall(r"^#COMPOSE_FILE=(.*)", example, re.MULTILINE)
    assert {frozenset(stack.split(":")) for stack in stacks} == set(map(frozenset, STACKS[1:]))


def test_what_is_left_out_does_not_undo_what_the_image_says() -> None:
    """An empty variable would put the server's own default, loopback, in the image's place."""
    image = set(re.findall(r"(DINEURO_\w+)=", (DOCKER / "Dockerfile").read_text()))
    environment = services(*FILES)["server"]["environment"]
    for variable in image & set(environment):
        assert not environment[variable].endswith(":-}"), variable


def test_files_that_are_mounted_are_there() -> None:
    volumes = reduce(merge, map(read, FILES))["volumes"]
    for service in services(*FILES).values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in volumes or (DOCKER / source).exists(), source


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


def board() -> list[dict[str, Any]]:
    """The panels of the board."""
    content = json.loads((DOCKER / "grafana/dashboards/dineuro.json").read_text())
    panels: list[dict[str, Any]] = content["panels"]
    return panels


def alerts() -> list[dict[str, Any]]:
    content = yaml.safe_load((DOCKER / "prometheus/alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def figures(tmp_path: Path) -> str:
    """What a server exposes that has had a job, a request and a lost worker."""
    metrics = Metrics(dict.fromkeys(GAUGES, lambda: 0.0), lambda: {("anna", "queued"): 1})
    store = JobStore(tmp_path / "state")
    job = store.begin(store.add(JobSpec("trace", "anna"), "key", 10).id)
    store.close()
    metrics.worker_lost()
    metrics.begun(job)
    metrics.ended(job, "done", None, WorkFigures(1, 1, {"trace": 1.0}, 1), reused=False)
    metrics.answered("GET", "/v1/jobs", 200)
    return metrics.page(owners=True).decode()


def test_the_board_and_the_alerts_ask_for_figures_that_exist(tmp_path: Path) -> None:
    page = figures(tmp_path)
    expressions = [target["expr"] for panel in board() for target in panel["targets"]]
    asked = {name for expr in expressions for name in re.findall(r"dineuro_\w+", expr)}
    expressions += [rule["expr"] for rule in alerts()]
    for expr in expressions:
        for name in re.findall(r"dineuro_\w+", expr):
            samples = re.findall(rf"^{name}(?:{{(.*)}})? ", page, re.MULTILINE)
            assert samples, name
            labels = set(re.findall(r"(\w+)=", samples[0]))
            chosen = re.findall(rf"{name}{{(\w+)=", expr)
            grouped = ", ".join(re.findall(r"by \((.*?)\)", expr))
            wanted = {*chosen, *(grouped.split(", ") if grouped else ())}
            assert wanted <= labels, expr
    for target in (target for panel in board() for target in panel["targets"]):
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert label in target["expr"] or target["expr"] == "dineuro_build_info"
    # Every figure that the server exposes is on the board.
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)", page, re.MULTILINE))
    for name, kind in kinds.items():
        assert name in asked or (kind == "histogram" and f"{name}_bucket" in asked), name
    uid = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ][0]["uid"]
    assert {panel["datasource"]["uid"] for panel in board()} == {uid}


def test_every_panel_says_what_it_shows_in_which_unit_and_what_is_too_much() -> None:
    places: set[tuple[int, int]] = set()
    for panel in board():
        title, at = panel["title"], panel["gridPos"]
        assert len(panel["description"]) > 20, title
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], title
        steps = defaults["thresholds"]["steps"]
        assert steps[0]["value"] is None, title
        values = [step["value"] for step in steps[1:]]
        assert values == sorted(values), title
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & places, title
        assert max(x for x, _ in cells) < 24, title
        places |= cells
    assert len({panel["id"] for panel in board()}) == len(board())
    # The limits of the alerts are drawn.
    drawn = {
        (panel["targets"][0]["expr"], float(step["value"]))
        for panel in board()
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]
    }
    for rule in alerts():
        limit = re.fullmatch(r"(\S+) [<>] (\S+)", rule["expr"])
        if limit:
            assert (limit[1], float(limit[2])) in drawn, rule["alert"]


def lines_of(name: str) -> list[str]:
    """The requirements of a file, each with its hashes on one line."""
    text = (DOCKER / name).read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if not line.startswith("#")]


def pins() -> dict[str, Requirement]:
    pins = [
        Requirement(line.split(" --hash")[0])
        for name in ("requirements.txt", "requirements-cuda.txt", "torch.txt")
        for line in lines_of(name)
    ]
    return {canonicalize_name(pin.name): pin for pin in pins}


def test_the_image_installs_only_wheels_with_a_known_hash() -> None:
    for line in lines_of("requirements.txt") + lines_of("requirements-cuda.txt"):
        pin, *hashes = line.split()
        assert re.fullmatch(r"[\w.-]+==[\w.]+", pin), line
        assert hashes, f"{pin}: run python -m release.dependencies"
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", digest) for digest in hashes), line
    installs = re.findall(r"pip install (.*)", (DOCKER / "Dockerfile").read_text())
    assert len(installs) == 4
    for arguments in installs:
        assert (
            re.search(r"--require-hashes -r docker/requirements(-cuda)?\.txt", arguments)
            or "-r docker/torch.txt" in arguments  # it pins NVIDIA's packages
            or "--no-deps --no-build-isolation ." in arguments
        ), arguments


def test_the_images_pin_what_the_packages_ask_for() -> None:
    pinned = pins()
    for package in closure():
        name = canonicalize_name(package.metadata["Name"])
        if not re.match(r"nvidia-|cuda-|triton$", name):  # torch pins these
            assert name in pinned, f"{name}: run python -m release.dependencies"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in project["dependencies"] + extras["cpu"] + extras["brain"] + extras["server"]:
        requirement = Requirement(line)
        if requirement.name == "dineuro":
            continue
        version = next(iter(pinned[canonicalize_name(requirement.name)].specifier)).version
        assert requirement.specifier.contains(version), line


def test_the_image_for_the_processor_has_no_torch_and_nothing_of_cuda() -> None:
    """The packages of its extras, without those that only torch or timm need."""
    names = {Requirement(line.split(" --hash")[0]).name for line in lines_of("requirements.txt")}
    assert {canonicalize_name(p.metadata["Name"]) for p in closure(extras=CPU)} == (
        {canonicalize_name(name) for name in names} - {"setuptools"}
    )
    assert not [name for name in names if re.match(r"torch|timm|nvidia-|cuda-|triton", name)]
    assert "openvino" in names
    stages = (DOCKER / "Dockerfile").read_text().split("FROM ")
    assert all(
        "torch" not in re.sub(r"#.*", "", stage) or "AS packages-cuda" in stage for stage in stages
    )


def test_nothing_that_runs_is_under_the_gpl() -> None:
    table = (ROOT / "docs" / "licences.md").read_text()
    for package in closure(extras=OPTIONAL):
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
