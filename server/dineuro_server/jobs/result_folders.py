"""The folders of results on disk: `results/ID` for a done job, `results/ID.part` for a running one.

A folder gets its final name by one rename, so that a reader sees all results of a job or none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Set
from pathlib import Path


class ResultFolders:
    """The results of all jobs of one state folder.

    Args:
        root: path of the folder `results`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, job_id: str) -> Path:
        """Path of a done job's results."""
        return self._root / job_id

    def unfinished(self, job_id: str) -> Path:
        """Path of the folder that a running job writes to."""
        return self._root / f"{job_id}.part"

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
        self.publish(job_id)

    def discard(self, job_id: str) -> None:
        """Remove the unfinished results of a job."""
        shutil.rmtree(self.unfinished(job_id), ignore_errors=True)

    def remove_others(self, job_ids: Set[str]) -> None:
        """Remove all unfinished results, and the results of all jobs but these."""
        for folder in self._root.iterdir():
            if folder.name not in job_ids:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self, job_id: str) -> None:
        """Remove the results of a job."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)
