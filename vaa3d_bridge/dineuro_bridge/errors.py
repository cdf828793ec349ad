"""Every error that a user can meet, each with its exit code.

    DineuroError                        1
    ├── BadInput (ValueError)           3   the input itself is wrong
    │   ├── BadFile                     3   empty, truncated, lying, or not what its suffix says
    │   ├── BadVolume                   3   a 2D image, colour samples, NaN voxels, no such channel
    │   ├── BadTree                     3   a tree with cycles, missing parents, duplicate ids
    │   └── BadParameter                3   a region outside the volume, an unknown name
    ├── UnsupportedFormat (ValueError)  4   a suffix, code or sample type not read or written
    ├── LimitExceeded (ValueError)      5   larger than what was allowed
    ├── FileAccess (OSError)            6   a path cannot be read or written
    ├── MissingDependency (ImportError) 7   the thin install lacks a library that this needs
    └── Cancelled                     130   the user stopped it

A message names the file first, then what is wrong, then what to do.
"""

from __future__ import annotations


class DineuroError(Exception):
    """Base of all errors that are reported as a message and not as a traceback."""

    exit_code = 1


class BadInput(DineuroError, ValueError):
    """The input itself is wrong: doing the same again cannot help."""

    exit_code = 3


class BadFile(BadInput):
    """A file that is empty, truncated, contradicts its header, or is not what its suffix says."""


class BadVolume(BadInput):
    """Voxels that cannot be traced: a 2D image, colour samples, NaN, a missing channel."""


class BadTree(BadInput):
    """A tree that is none: cycles, missing parents, duplicate ids, words for numbers."""


class BadParameter(BadInput):
    """A parameter out of its range, or a region outside the volume."""


class UnsupportedFormat(DineuroError, ValueError):
    """A suffix, a code or a sample type that is not read, or not written."""

    exit_code = 4


class LimitExceeded(DineuroError, ValueError):
    """Larger than what was allowed; said before anything is allocated."""

    exit_code = 5


class FileAccess(DineuroError, OSError):
    """A path that cannot be read or written."""

    exit_code = 6


class MissingDependency(DineuroError, ImportError):
    """The plain install is a thin client; what was asked for needs an extra."""

    exit_code = 7


class Cancelled(DineuroError):
    """The user stopped the work; nothing half-written stays."""

    exit_code = 130
