"""Checks the prose of the Markdown pages.

    python -m release.prose [PAGE ...]

Rules:

* a line has at most 100 columns (the target of a link does not count);
* a sentence begins on a line of its own (it may go on over several lines);
* a sentence has at most 25 words (a code span is one word);
* no page contains a phrase of `BANNED`.

Code blocks, tables and HTML are exempt. Each violation is printed as `page:line: reason`.
The exit code is 1 if there is a violation, else 0.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 100
WORDS = 25
#: Constructions that readers stumble over, as regular expressions. Case is ignored.
BANNED = (
    r"asks? nobody",
    r"dearest",
    r"honest word",
    r"in vain",
    r"what hangs",
    r"knows? of",
    r"that (?:was|is|were|are) said",
    r"(?:was|were|is|are) said to be",
    r"(?:is|are) (?:asked|told) (?:of|about)",
    r"the (?:asked|found|given|known|made|said|seen|told|wanted)(?: (?:is|are|was|of)\b|[.,;:])",
    r"shown places",
    r"takes for granted",
    r"taken for granted",
    r"what (?:stands|lies) (?:in|there|beside|beyond)",
    r"whereof",
    r"of its own accord",
    r"for ever\b",
)
_BANNED = re.compile(rf"\b(?:{'|'.join(BANNED)})", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(```|~~~)")
_EXEMPT = re.compile(r"^\s*(\||<)")
#: What opens a paragraph: a heading, an item of a list, a quotation.
_OPENER = re.compile(r"^\s*(#{1,6}\s+|(?:[-*+]|\d+[.)])\s+|>\s*)")
_LINK_TARGET = re.compile(r"(?<=\])\((?:[^()\s]|\([^()]*\))*(?:\s+\"[^\"]*\")?\)")
_CODE_SPAN = re.compile(r"(`+)(?:(?!\1).)+\1", re.DOTALL)
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|approx|Fig|Figs|Eq|No|al|St)\.$")
#: The end of a sentence inside a text: a stop, closing marks, then the end of the line, or white
#: space and an opening letter.
_STOP = re.compile(r"[.!?][\"')\]*_]*(?=\n|\s+[\"'(\[*_]*[A-Z0-9`\x00])")


class Violation(NamedTuple):
    """A place in a page that breaks a rule; `line` counts from 1."""

    line: int
    reason: str


class Line(NamedTuple):
    """A line of a paragraph, without its opening mark; `number` counts from 1."""

    number: int
    text: str


def paragraphs(page: str) -> Iterator[list[Line]]:
    """Yield the paragraphs, headings and list items of a Markdown text, in order."""
    paragraph: list[Line] = []
    is_code = False
    for number, text in enumerate(page.splitlines(), 1):
        is_fence = bool(_FENCE.match(text))
        is_code ^= is_fence
        is_prose = not (is_fence or is_code or _EXEMPT.match(text) or not text.strip())
        opener = _OPENER.match(text)
        if paragraph and (opener or not is_prose):
            yield paragraph
            paragraph = []
        if is_prose:
            paragraph.append(Line(number, text[opener.end() if opener else 0 :]))
        if opener and opener.group(1).startswith("#"):
            yield paragraph
            paragraph = []
    if paragraph:
        yield paragraph


def plain(text: str) -> str:
    """Return a text without link targets, each code span replaced by one NUL character."""
    text = _CODE_SPAN.sub(lambda span: "\0" + "\n" * span.group().count("\n"), text)
    return _LINK_TARGET.sub("", text)


def sentences(paragraph: list[Line]) -> Iterator[tuple[int, bool, str]]:
    """Yield the line, whether it opens that line, and the plain text of each sentence."""
    text = plain("\n".join(line.text for line in paragraph))
    first = paragraph[0].number
    ends = [
        stop.end() for stop in _STOP.finditer(text) if not _ABBREVIATION.search(text, 0, stop.end())
    ]
    begin = 0
    for end in [*ends, len(text)]:
        gap = len(text[begin:end]) - len(text[begin:end].lstrip())
        opens = begin == 0 or "\n" in text[begin : begin + gap]
        yield first + text.count("\n", 0, begin + gap), opens, text[begin:end].strip()
        begin = end


def violations(page: str) -> list[Violation]:
    """Return the violations in a Markdown text, ordered by line."""
    violations = []
    lines = page.splitlines()
    for paragraph in paragraphs(page):
        for line in paragraph:
            columns = len(_LINK_TARGET.sub("", lines[line.number - 1]))
            if columns > COLUMNS:
                violations.append(Violation(line.number, f"{columns} columns, over {COLUMNS}"))
        for number, opens, sentence in sentences(paragraph):
            if not opens:
                reason = f"second sentence on one line: {sentence[:40]!r}".replace("\\x00", "`…`")
                violations.append(Violation(number, reason))
            words = len([word for word in sentence.split() if re.search(r"[\w\x00]", word)])
            if words > WORDS:
                violations.append(Violation(number, f"a sentence of {words} words, over {WORDS}"))
            violations += [
                Violation(number, f"banned phrase {phrase.group()!r}")
                for phrase in _BANNED.finditer(" ".join(sentence.split()))
            ]
    return sorted(violations)


def pages() -> list[Path]:
    """Return the Markdown pages of the repository."""
    folders = ["", "docs", "benchmarks", "examples", "vaa3d_bridge/plugin"]
    card = ROOT / "model/dineuro_model/models/MODEL_CARD.md"
    return [*(page for folder in folders for page in sorted((ROOT / folder).glob("*.md"))), card]


def main(arguments: Iterable[str]) -> int:
    """Check the pages of the arguments, by default all; return the exit code."""
    count = 0
    for page in [Path(argument).resolve() for argument in arguments] or pages():
        name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        for violation in violations(page.read_text(encoding="utf-8")):
            print(f"{name}:{violation.line}: {violation.reason}")
            count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
