"""The check of the Markdown pages."""

from __future__ import annotations

import pytest
from release.prose import violations


def reasons(page: str) -> list[tuple[int, str]]:
    return [(line, reason.split(":")[0]) for line, reason in violations(page)]


@pytest.mark.parametrize(
    "page",
    [
        "# A title\n\nOne sentence.\nAnother sentence, which goes on\nover two lines.\n",
        "- The first item. \n- The second item uses e.g. `a. B` and v1.2.\n",
        "1. An item.\n2. Another item.\n",
        "Is it so?\nYes.\n",
        "Word " * 14 + "end.\nnumpy and [a link](page.md) may open " + "word " * 12 + ".\n",
        "It holds for every page.\n",
        f"A [link]({'x' * 120}) is as long as its address.\n",
        f"| {'a table. May be wide. ' * 10} |\n",
        f"```text\n{'code is not prose. It is code. ' * 10}\n```\n",
        "\n".join(["Word"] * 25) + ".\n",
        f"`{'a span of code ' * 4}` is one word.\n",
    ],
)
def test_plain_prose_passes(page: str) -> None:
    assert reasons(page) == []


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("Fine.\n\n" + "x" * 101 + "\n", [(3, "101 columns, over 100")]),
        ("One sentence. Another sentence.\n", [(1, "second sentence on one line")]),
        ("One sentence\nends here. Another begins.\n", [(2, "second sentence on one line")]),
        ("**Is it?** It is.\n", [(1, "second sentence on one line")]),
        ("> A quotation. `Code` opens the next.\n", [(1, "second sentence on one line")]),
        ("Text.\n" + "\n".join(["Word"] * 26) + ".\n", [(2, "a sentence of 26 words, over 25")]),
        ("A plain line.\nIt tells of the\ndearest first.\n", [(2, "banned phrase 'dearest'")]),
        ("None asks\nnobody.\n", [(1, "banned phrase 'asks nobody'")]),
    ],
)
def test_violations_name_their_line(page: str, expected: list[tuple[int, str]]) -> None:
    assert reasons(page) == expected
