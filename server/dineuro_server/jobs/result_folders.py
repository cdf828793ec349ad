"""The folders of results on disk: `results/ID` for a done job, `results/ID.part` for a running one.

A folder gets its final name by one rename, so that a reader sees all results of a job or none. A
job in blocks has a folder of its run besides, which outlives a restart of the server.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Set
from pathlib import Path

#: The id of a job.
_JOB = re.compile(r"[0-9a-f]{32}")


class ResultFolders:
    """The results of all jobs of one state folder.

    Args:
        root: path of the folder `results`.
        runs: path of the folder of runs in blocks.
    """

    def __init__(self, root: Path, runs: Path) -> None:
        self._root, self._runs = root, runs

    def folder(self, job_id: str) -> Path:
        """Path of a done job's results."""
        return self._root / job_id

    def unfinished(self, job_id: str) -> Path:
        """Path of the folder that a running job writes to."""
        return self._root / f"{job_id}.part"

    def run(self, job_id: str) -> Path:
        """Path of the run of a job in blocks."""
        return self._runs / job_id

    def publish(self, job_id: str) -> None:
        """Give a job's unfinished results their final name.

        An earlier folder of that name is removed first: a server that died between the rename and
        the store's record of it leaves such a folder.
        """
        target = self.folder(job_id)
        shutil.rmtree(target, ignore_errors=True)
        self.unfinished(job_id).rename(target)

    def link(self, source_id: str, job_id: str) -> None:
        """Publish the results of one job as those of another, by hard links."""
        self.discard(job_id)
        shutil.copytree(self.folder(source_id), self.unfinished(job_id), copy_function=os.link)
        if self.run(source_id).is_dir():
            shutil.rmtree(self.run(job_id), ignore_errors=True)
            shutil.copytree(self.run(source_id), self.run(job_id), copy_function=os.link)
        self.publish(job_id)

    def discard(self, job_id: str) -> None:
        """Remove the unfinished results of a job."""
        shutil.rmtree(self.unfinished(job_id), ignore_errors=True)

    def remove_others(self, job_ids: Set[str]) -> None:
        """Remove all unfinished results, and the results of all jobs but these."""
        for folder in self._root.iterdir():
            if folder.name not in job_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def remove_other_runs(self, job_ids: Set[str]) -> None:
        """Remove the runs of all jobs but these.

        Other folders may lie beside them. A worker of a cluster may go on for a while in the run
        of a job that has ended.
        """
        for folder in self._runs.iterdir() if self._runs.is_dir() else ():
            if _JOB.fullmatch(folder.name) and folder.name not in job_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Remove the results of a job, and its run."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
        self.drop_run(job_id)

    def trim_run(self, job_id: str) -> None:
        """Keep the volumes of a run alone, once its results are published."""
        if self.run(job_id).is_dir():
            for each in self.run(job_id).iterdir():
                if not is_kept(each):
                    shutil.rmtree(each, ignore_errors=True) if each.is_dir() else each.unlink()

    def drop_run(self, job_id: str) -> None:
        """Remove the run of a job in blocks, if there is one."""
        shutil.rmtree(self.run(job_id), ignore_errors=True)


def is_kept(path: Path) -> bool:
    """Whether an entry of a run stays with the results of its job: its volumes."""
    return path.name.endswith(".zarr")
