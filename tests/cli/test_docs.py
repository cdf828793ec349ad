"""Every command of README and docs is run, on small stacks and against a real server.

Each block of ```sh or ```python runs line by line, in the order of its page. Its folder contains
the stacks, trees and tables that the pages name.

A comment `# -> text` after a command or a `print` states a line of the output. `...` in it
matches any text. Every `print` has such a comment, and the test compares it with the output.

Some commands need what a test cannot have (Docker, Vaa3D, apt, a long benchmark). The test checks
the names in them instead: targets, options, services, packages.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from release.from_nothing import EmptyRoot, commands, shortened

from dineuro_bridge.trees.swc import write_swc
from dineuro_bridge.volumes.formats import write_volume
from dineuro_bridge.volumes.volume import Volume
from tests.support.server import PACKAGES, ROOT
from tests.support.shapes import chain, line, paint

PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md",
        ROOT / "examples/README.md", ROOT / "vaa3d_bridge/plugin/README.md",
    ]
    if path.name != "CHANGELOG.md"
)  # fmt: skip
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SHOWN_ONLY = {"text", "nginx", "ini", "toml", "yaml"}
_SHAPE = (20, 64, 96)


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    text: str

    def commands(self) -> list[str]:
        """Lines, with those joined that go on."""
        joined = self.text.replace("\\\n", " ")
        return [text for text in joined.splitlines() if text and not text.startswith("#")]


def output_lines(text: str) -> list[str]:
    """The lines of output that the comments of a block or a command state."""
    return re.findall(r"# -> (.*?)\s*$", text, re.MULTILINE)


def check_output(text: str, output: str) -> None:
    """Compare the output of a command or a script with the comments in its text.

    Raises:
        AssertionError: a line that a comment states is missing from the rest of the output.
    """
    lines = iter(output.splitlines())
    for stated in output_lines(text):
        pattern = ".*".join(re.escape(part) for part in stated.split("..."))
        assert any(re.fullmatch(pattern, line.strip()) for line in lines), (
            f"no further line of the output is {stated!r}:\n{output[-2000:]}"
        )


def blocks_of(page: Path) -> list[Block]:
    return [Block(kind, text) for kind, text in _FENCE.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks_of(page):
        assert block.kind in {"sh", "python", *_SHOWN_ONLY}, block.text
        commands = block.commands() if block.kind in ("sh", "python") else []
        for command in commands:
            if "print(" in command and "$(" not in command:
                assert output_lines(command), f"what does this print? {command}"
    text = _FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target and not target.startswith("#"):
            path = (page.parent / target.split("#")[0]).resolve()
            assert path.exists(), f"{page.name} leads to {target}"


def test_a_stated_output_is_compared() -> None:
    check_output("print(a)  # -> 0.9... of b\nprint(b)  # -> c", "first\n0.95 of b\nc\n")
    for output in ("", "0.8 of b\nc\n", "c\n0.95 of b\n"):
        with pytest.raises(AssertionError, match="no further line"):
            check_output("print(a)  # -> 0.9... of b\nprint(b)  # -> c", output)


# The files that the pages name


def furnish(folder: Path) -> None:
    """Stacks, trees and tables by the names that the pages use."""
    trunk = line((8, 30, 10), (88, 30, 10))
    voxels = paint([trunk, line((48, 30, 10), (48, 58, 10))], _SHAPE)[None]
    stack, one, tree = Volume(np.concatenate([voxels, voxels])), Volume(voxels), chain(trunk)
    for name in ("neuron.tif", "neuron.v3dpbd", "new.tif"):
        write_volume(folder / name, stack)
    (folder / "demo").mkdir()
    shutil.copy(folder / "neuron.tif", folder / "demo")
    (folder / "stacks").mkdir()
    for name in ("a.tif", "b.tif"):
        write_volume(folder / "stacks" / name, one)
    mine = folder / "mine"
    mine.mkdir()
    for name in ("a", "b"):
        write_volume(mine / f"{name}.tif", one)
        write_swc(mine / f"{name}.swc", tree)
    (folder / "corrected").mkdir()
    for name, traced in (("a", "a_traced"), ("b", "b_dineuro")):
        write_volume(folder / "corrected" / f"{name}.tif", one)
        write_swc(folder / "corrected" / f"{traced}.swc", tree)
        write_swc(folder / "corrected" / f"{name}.swc", tree)
    write_volume(mine / "judge.tif", one)
    write_volume(mine / "judge_mask.tif", one)
    write_swc(folder / "gold.swc", tree)
    (folder / "srv" / "lab").mkdir(parents=True)
    shutil.copy(folder / "neuron.tif", folder / "srv" / "lab")
    (folder / "soma.marker").write_text("##x,y,z\n11,31,11\n")
    (folder / "cases.csv").write_text(
        "volume,mask,gold,group\nmine/judge.tif,mine/judge_mask.tif,mine/a.swc,here\n"
    )
    page = (ROOT / "docs" / "training.md").read_text()
    recipe = next(text for kind, text in _FENCE.findall(page) if kind == "toml")
    quick = recipe.replace("steps = 400", "steps = 1").replace("warmup = 20", "batch = 1")
    assert quick != recipe
    (mine / "recipe.toml").write_text(quick)
    (folder / "recipe.toml").write_text(re.sub(r'= "(\*|\{name\}|judge)', r'= "mine/\1', quick))


def test_volumes_are_sent_under_their_names() -> None:
    """Without one, the results and the messages of a server call every image "volume"."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    sent = [
        text for page in pages if page.name != "from-nothing.md"  # what was run is not changed
        for text in page.read_text().splitlines() if text.startswith("curl ") and "@" in text
    ]  # fmt: skip
    assert len(sent) > 5
    for text in sent:
        assert "-F file=@" in text or re.search(r"--data-binary @(\S+) .*name=\1'", text), text


class Shell:
    """Runs a page's commands in one folder; `dineuro serve` stays until the page ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http, self.zmq = free_port(), free_port()
        self.servers: list[subprocess.Popen[bytes]] = []
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        python = shlex.quote(sys.executable)
        for name, code in {
            "dineuro": f'{python} -c "from dineuro_cli import main; main()"',
            "python3": python,
        }.items():
            (bin_folder / name).write_text(f'#!/bin/sh\nexec {code} "$@"\n')
            (bin_folder / name).chmod(0o755)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DINEURO_")}
        self.environment = clean | {
            "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": PACKAGES,
            "HOME": str(folder), "XDG_DATA_HOME": str(folder / "share"),
        }  # fmt: skip

    def here(self, command: str) -> str:
        """The command with this folder's paths and this server's ports."""
        command = re.sub(r"\b(127\.0\.0\.1|0\.0\.0\.0|lab):8000", f"127.0.0.1:{self.http}", command)
        command = re.sub(
            r"tcp://(127\.0\.0\.1|0\.0\.0\.0|lab):5599", f"tcp://127.0.0.1:{self.zmq}", command
        )
        command = command.replace("/srv/lab", f"{self.folder}/srv/lab")
        return re.sub(r"(?<!\S)/(etc|srv)/dineuro", rf"{self.folder}/\1/dineuro", command)

    def run(self, command: str) -> None:
        """Run one command, and compare its output with the comment in it."""
        line = command
        plain = command.split("#")[0]
        if command.startswith("dineuro keys token"):
            command = f"{plain} > token"  # what a person would copy from the terminal
        elif command.startswith("dineuro keys curve"):
            command = f"cp $({plain}) ."  # what is handed to her
        elif command.startswith("dineuro send") and "--server" not in command:
            command = f"{plain} --server tcp://127.0.0.1:5599"
        elif "$TOKEN" in command:
            command = f"TOKEN=$(cat token); {command}"
        if "$JOB" in command and not command.startswith("JOB="):
            command = f"JOB=$(cat JOB); {command}"
        elif command.startswith("JOB="):
            command = f"{command}; echo $JOB > JOB"
        # Without -f, curl exits with 0 after a refusal too.
        command = re.sub(r"^curl ", "curl -fsS ", self.here(command))
        command = re.sub(r"; curl ", "; curl -fsS ", command)
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=self.environment, capture_output=True,
            text=True, timeout=280,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        check_output(line, done.stdout)

    def serve(self, command: str) -> None:
        """Start the server in place of the page's last one, and wait until it listens."""
        self.end()
        plain = command.split("#")[0]
        if "--http" not in plain:
            plain += " --http 127.0.0.1:8000"
        if "--zmq" not in plain:
            plain += " --zmq tcp://127.0.0.1:5599"
        log = (self.folder / "serve.log").open("ab")
        server = subprocess.Popen(
            ["bash", "-c", f"exec {self.here(plain)} --min-free-gib 0"], cwd=self.folder,
            env=self.environment, stdout=log, stderr=log,
        )  # fmt: skip
        log.close()
        self.servers.append(server)
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/livez", timeout=5):
                    return
            except OSError:
                assert server.poll() is None, (self.folder / "serve.log").read_text()
                assert time.monotonic() < end
                time.sleep(0.2)

    def python(self, code: str) -> None:
        script = self.folder / "block.py"
        script.write_text(self.here(code.replace("tcp://lab", "tcp://127.0.0.1")))
        stated = "".join(f"\n# -> {text}" for text in output_lines(code))
        self.run(f"python3 {script}{stated}")

    def end(self) -> None:
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
        for server in self.servers:
            server.wait(60)
        self.servers.clear()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# Commands that are checked and not run


def check_make(command: str) -> None:
    words = shlex.split(command.split("&&")[0], comments=True)[1:]
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def check_benchmark(command: str) -> None:
    words = shlex.split(command.split("&&")[-1], comments=True)
    told = subprocess.run(
        [sys.executable, "-m", words[2], "--help"], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": PACKAGES},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    for option in (word for word in words[3:] if word.startswith("--")):
        assert option in told.stdout, f"{command}: {words[2]} knows no {option}"


def check_pip(command: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [w for w in shlex.split(command, comments=True)[2:] if not w.startswith("-")]
    name, _, extra = wanted.rstrip("]").partition("[")
    assert name in (".", project["name"]), command
    assert not extra or extra in project["optional-dependencies"], command


def check_compose(command: str) -> None:
    """Check the files, profiles, services and options that a command names."""
    words = shlex.split(command.split(">")[0], comments=True)[2:]
    names = ["docker-compose.yml"]
    while words[0] == "-f":
        names.append(words[1])
        words = words[2:]
    services: dict[str, dict[str, Any]] = {}
    for name in names:
        services |= yaml.safe_load((ROOT / "docker" / name).read_text())["services"]
    profiles = {profile for s in services.values() for profile in s.get("profiles", ())}
    while words[0] == "--profile":
        assert words[1] in profiles, command
        words = words[2:]
    verb, *rest = words
    known: dict[str, set[str]] = {
        "up": {"-d", "--build"}, "run": {"--rm", "--entrypoint"}, "down": set(),
        "ps": set(), "logs": set(), "stop": set(), "start": set(), "restart": set(), "exec": set(),
    }  # fmt: skip
    assert {word for word in rest if word.startswith("-")} <= known[verb], command
    named = [w for w in rest if w in services or w.split("=")[0] in services]
    assert named or verb in ("up", "ps", "down"), command
    if "keys" in named and "--entrypoint" not in rest:
        told = subprocess.run(
            [sys.executable, "-c", "from dineuro_cli import main; main()", "keys", "--help"],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": PACKAGES},
        ).stdout  # fmt: skip
        assert rest[rest.index("keys") + 1] in told, command


def check_docker(command: str) -> None:
    if command.startswith("docker compose"):
        check_compose(command)
    else:
        assert "dineuro_state:" in command, command  # the volume that compose makes
        compose = yaml.safe_load((ROOT / "docker" / "docker-compose.yml").read_text())
        assert compose["name"] == "dineuro"
        assert "state" in compose["volumes"]


def check_vaa3d(command: str) -> None:
    source = (ROOT / "vaa3d_bridge/plugin/vaa3d").glob("*.cpp")
    code = "".join(path.read_text() for path in source)
    words = shlex.split(command, comments=True)
    assert words[1:3] == ["-x", "dineuro"]
    assert f'"{words[words.index("-f") + 1]}"' in code, command
    for key in re.findall(r"(\w+)=", command):
        assert f'"{key}"' in code, f"{command}: {key}"


def check_apt(command: str) -> None:
    ci = (ROOT / ".ci" / "run").read_text()
    for package in shlex.split(command.removeprefix("sudo "), comments=True)[2:]:
        if not package.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(package)}(?![\w-])", ci), package


def check_built(command: str) -> None:
    """What `make plugin` does too, or looks at what it made."""
    build = (ROOT / "vaa3d_bridge/plugin/CMakeLists.txt").read_text()
    for option in re.findall(r"-D(\w+)=", command):
        assert option in build, command


def ignore(command: str) -> None:
    """Not the project's."""


CHECKED: dict[str, Callable[[str], None]] = {
    "make": check_make, "python -m benchmarks": check_benchmark, "pip install": check_pip,
    "docker": check_docker, "Vaa3D-x": check_vaa3d, "apt install": check_apt,
    "sudo apt-get install": check_apt, "cmake": check_built, "ldd": ignore, "cd docker": ignore,
    "git clone": ignore, "cd dineuro": ignore, ". .venv/": ignore,
    "python3 -m venv": ignore, "mkdir -p secrets": ignore, "touch secrets": ignore,
    "openssl": ignore,
}  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    furnish(tmp_path)
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def runs(page: Path) -> bool:
    return any(block.kind in ("sh", "python") for block in blocks_of(page))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if runs(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_command_does_what_the_page_says(page: Path, shell: Shell) -> None:
    blocks = [block for block in blocks_of(page) if block.kind in ("sh", "python")]
    server_wanted = any(re.search(r"8000|5599", block.text) for block in blocks)
    if server_wanted and not any("dineuro serve" in block.text for block in blocks):
        shell.serve("dineuro serve")
    for block in blocks:
        if block.kind == "python":
            shell.python(block.text)
            continue
        for command in block.commands():
            checks = [check for words, check in CHECKED.items() if command.startswith(words)]
            if checks:
                checks[0](command)
            elif command.startswith("dineuro serve"):
                shell.serve(command)
            else:
                shell.run(command)


def test_what_was_run_from_nothing_is_what_the_readme_says() -> None:
    shown = {
        line.split("#")[0].strip()
        for block in blocks_of(ROOT / "README.md") if block.kind == "sh"
        for line in block.commands()
    }  # fmt: skip
    run = commands((ROOT / "docs" / "from-nothing.md").read_text())
    for command in run:
        plain = command.replace("demo/neuron.tif", "neuron.tif")
        assert any(plain.split()[:2] == line.split()[:2] for line in shown), command
    transcript = blocks_of(ROOT / "docs" / "from-nothing.md")[1].text
    assert re.findall(r"^\$ (.*?)(?:    \[\d+ s\])?$", transcript, re.MULTILINE) == run


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot is for root")
def test_the_shell_behind_the_transcript_keeps_its_place_and_tells_failures() -> None:
    shell = EmptyRoot(Path("/"), {})
    assert shell.run("pwd")[0] == "/root\n"
    # A command that reads does not read what comes next, and what is written over is one line.
    answer, seconds = shell.run("cd /tmp; cat; printf 'half\\rwhole\\n'; sleep 0.2")
    assert shortened(answer) == "whole\n"
    assert seconds >= 0.2
    assert shell.run("pwd")[0] == "/tmp\n"
    with pytest.raises(RuntimeError, match="false"):
        shell.run("false")
    assert shortened("\n".join("abcdefghijklmnopqrst")).split() == [*"abcd", "...", *"klmnopqrst"]
    assert shortened("") == ""
    shell.run("sleep 100 &")
    shell.end()


def test_a_command_that_has_gone_is_noticed(shell: Shell) -> None:
    with pytest.raises(AssertionError):
        shell.run("dineuro tracee neuron.tif")
    for command in (
        "make nothing", "python -m benchmarks.formats --gib 3", "pip install '.[gpu]'",
        "docker compose --profile gone up", "Vaa3D-x -x dineuro -f vanish", "apt install emacs",
    ):  # fmt: skip
        check = next(check for words, check in CHECKED.items() if command.startswith(words))
        with pytest.raises(AssertionError):
            check(command)
