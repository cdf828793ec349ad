"""Runs the commands of docs/from-nothing.md in an empty Debian, and writes the page's transcript.

    sudo .venv/bin/python -m release.from_nothing [--copy FILE ...] [--env NAME=VALUE ...]

The command needs root and debootstrap. The files and variables are for the certificates of a
package mirror, for example. The page is written only if every command succeeds.
"""

from __future__ import annotations

import argparse
import io
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "from-nothing.md"
#: The numbers of first and last lines of a long output that the page shows.
_SHOWN = (4, 10)
_READY = "until curl -fs http://127.0.0.1:8000/readyz > /dev/null; do sleep 0.1; done"
_BARE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def commands(page: str) -> list[str]:
    """Return the lines of the page's first block of commands."""
    block = re.search(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert block, f"{PAGE} has no commands"
    return block.group(1).splitlines()


def with_transcript(page: str, transcript: str) -> str:
    """Return the page with a new transcript."""
    return re.sub(
        r"^```text\n.*?^```", lambda _: f"```text\n{transcript}```", page, flags=re.M | re.S
    )


def shortened(answer: str) -> str:
    """Return the beginning and the end of an output, without lines that were overwritten."""
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in answer.split("\n")]
    if not lines[-1]:
        lines.pop()
    first, last = _SHOWN
    if len(lines) > first + last:
        lines = [*lines[:first], "...", *lines[-last:]]
    return "".join(f"{line}\n" for line in lines)


class EmptyRoot:
    """A new Debian, with one shell that keeps its folder and environment."""

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        variables = [f"{name}={value}" for name, value in (_BARE | environment).items()]
        self._shell = subprocess.Popen(
            ["chroot", str(root), "env", "-i", *variables, "bash"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._say = io.TextIOWrapper(self._shell.stdin)
        # Overwritten text stays on its line.
        self._hear = io.TextIOWrapper(self._shell.stdout, newline="\n")
        self.run("cd /root")

    def run(self, command: str) -> tuple[str, float]:
        """Return the output of a command and its seconds. A server keeps running.

        Raises:
            RuntimeError: the command failed.
        """
        if command.startswith("dineuro serve"):
            command += f" > serve.log 2>&1 & {_READY}"
        start, mark = time.monotonic(), "-- the end of it:"
        # The next lines are for the shell, and not for the command's standard input.
        self._say.write(f"{{ {command}\n}} < /dev/null\necho '{mark}' $?\n")
        self._say.flush()
        answer = ""
        for line in self._hear:
            before, found, code = line.partition(mark)
            answer += before
            if found:
                if int(code):
                    raise RuntimeError(f"{command}\n{answer}")
                return answer, time.monotonic() - start
        raise RuntimeError(f"{command}\n{answer}\nthe shell has ended")

    def end(self) -> None:
        """End all processes, the server before the shell."""
        self.run('[ -z "$(jobs -p)" ] || { kill $(jobs -p); wait; }')
        self._say.close()
        self._hear.close()
        self._shell.wait()


@contextmanager
def empty_root(copied: list[str], environment: dict[str, str]) -> Iterator[EmptyRoot]:
    """Make a Debian with the repository at /srv and copies of some files of this machine.

    Only a /proc of its own is mounted there. The root is removed without following mounts.
    """
    root = Path(tempfile.mkdtemp(prefix="dineuro-nothing-"))
    root.chmod(0o755)  # apt downloads as another user
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", "--one-file-system", str(root)], check=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", "bookworm", str(root)], check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        clone = ["git", "clone", "-q", "--bare", str(ROOT), str(root / "srv/dineuro.git")]
        subprocess.run(clone, check=True)
        for path in ["/etc/resolv.conf", *copied]:
            (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path.lstrip("/"))
        subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=True)
        stack.callback(subprocess.run, ["umount", "--lazy", str(root / "proc")], check=True)
        (root / "dev/shm").mkdir(exist_ok=True)
        debian = EmptyRoot(root, environment)
        stack.callback(debian.end)
        debian.run("apt-get update -q")
        yield debian


def transcript(debian: EmptyRoot, wanted: list[str]) -> str:
    """Run the commands. Return the transcript of a terminal, with the seconds of each command."""
    told = ""
    for command in wanted:
        here = re.sub(r"https://\S+/dineuro\.git", "/srv/dineuro.git", command)
        here = re.sub(r"^sudo ", "DEBIAN_FRONTEND=noninteractive ", here)
        print(f"$ {command}", flush=True)
        answer, seconds = debian.run(here)
        took = f"    [{seconds:.0f} s]" if seconds >= 0.5 else ""
        told += f"$ {command}{took}\n{shortened(answer)}"
    return told


def main() -> None:
    """Make the root, run the commands, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copy", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--env", nargs="+", default=[], metavar="NAME=VALUE")
    told = parser.parse_args()
    page = PAGE.read_text()
    version = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True,
        check=True,
    ).stdout.strip()  # fmt: skip
    environment = dict(pair.split("=", 1) for pair in told.env)
    with empty_root(told.copy, environment) as debian:
        text = transcript(debian, commands(page))
        nodes, _ = debian.run("grep -vc '^#' tree.swc; grep -vc '^#' served.swc")
    head = f"{date.today()}, version {version}, {platform.machine()}\n\n"
    tail = f"\nnodes in tree.swc and in served.swc: {' and '.join(nodes.split())}\n"
    PAGE.write_text(with_transcript(page, head + text + tail))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
