"""The table of the options of a trace, and the code in other languages that must agree with it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from dineuro_bridge.errors import BadParameter
from dineuro_bridge.option_table import Option, retrace_names
from dineuro_bridge.options import OPTIONS, RetraceKwargs, TraceKwargs, TraceOptions, json_text

_ROOT = Path(__file__).parents[2]
_PAGE = _ROOT / "server/web/src"
_PLUGIN = _ROOT / "vaa3d_bridge/plugin/vaa3d"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0}, "threshold 0: must be a whole number from 1 to 255"),
        ({"threshold": "1_0"}, "threshold '1_0': must be a whole number"),
        ({"threshold": True}, "threshold True: must be a whole number"),
        ({"threshold": 1.5}, "threshold 1.5: must be a whole number"),
        ({"gap": -1.0}, "gap -1.0: must be a number of at least 0"),
        ({"gap": "1e999"}, "gap '1e999': must be a number"),
        ({"min_length": float("nan")}, "min_length nan: must be a number"),
        ({"trees": "two"}, "trees 'two': must be 'auto', 'one' or 'all'"),
        ({"roi": (1, 2, 3)}, "roi .*: must be 6 whole numbers x0,y0,z0,x1,y1,z1"),
        ({"roi": "1,1,1,1,5,5"}, "roi .*: needs x0 < x1"),
        ({"root": 5}, "root 5: must be 3 numbers x,y,z"),
        ({"spacing": [0, 1, 1]}, "spacing .* above 0"),
        ({"name": None}, "name None: must be a text"),
        ({"units": "x" * 5000}, "units 'x+…: must be 'voxel' or 'um'"),
        ({"model": "a", "enhancer": "none"}, "the enhancer none uses none"),
        ({"colour": 3}, "colour: is no parameter; parameters are name, channel"),
    ],
)
def test_a_refused_value_is_named_with_its_rule(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        TraceOptions.from_dict(values)


def test_the_texts_of_a_query_and_json_values_make_the_same_options() -> None:
    texts = {"roi": "0,0,0,5,6,7", "root": "1,2.5,3", "threshold": "90", "gap": "0"}
    values = {"roi": [0, 0, 0, 5, 6, 7], "root": [1, 2.5, 3], "threshold": 90, "gap": 0}
    options = TraceOptions.from_dict(texts)
    assert options == TraceOptions.from_dict(values)
    assert options == TraceOptions.from_dict(json.loads(json.dumps(options.as_dict())))
    assert (options.roi, options.gap) == ((0, 0, 0, 5, 6, 7), 0.0)


def test_a_name_loses_its_folders_and_its_control_characters() -> None:
    assert TraceOptions(name="a/b\\c\n.tif").name == "c.tif"
    assert TraceOptions(name="..//").name == "volume"


def test_the_keyword_types_are_those_of_the_table() -> None:
    hints = get_type_hints(TraceOptions)
    assert get_type_hints(TraceKwargs) == hints
    assert set(get_type_hints(RetraceKwargs)) == set(retrace_names(OPTIONS.values()))


def test_the_committed_table_is_the_one_that_the_code_makes() -> None:
    assert (_PAGE / "options.json").read_text(encoding="utf-8") == json_text()


class _Form(HTMLParser):
    """The named fields of the page's forms, and the values of their selects."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, dict[str, list[str]]] = {}
        self._form = self._field = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = values.get("id", "")
            self.forms[self._form] = {}
        elif tag in ("input", "select") and "name" in values:
            self.forms[self._form][values["name"]] = []
            self._field = values["name"] if tag == "select" else ""
        elif tag == "option" and self._field:
            self.forms[self._form][self._field].append(values["value"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._field = ""


def test_the_page_has_fields_of_the_table_alone() -> None:
    page = _Form()
    page.feed((_PAGE / "index.html").read_text(encoding="utf-8"))
    new, again = page.forms["new"], page.forms["again"]
    assert new.keys() - OPTIONS.keys() == {"reuse"}
    assert again.keys() <= set(retrace_names(OPTIONS.values()))
    assert {"threshold", "min_confidence", "trees"} <= new.keys() & again.keys()
    for name, values in (*new.items(), *again.items()):
        if values:
            for value in values:
                OPTIONS[name].parse(value)
            assert OPTIONS[name].kind != "choice" or set(values) == set(OPTIONS[name].choices)


def _words() -> dict[str, str]:
    """The plugin's words of the command line: each with its source up to the next one."""
    text = (_PLUGIN / "words.cpp").read_text(encoding="utf-8")
    parts = re.split(r'\n\s+\{"(\w+)",', text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _default(option: Option) -> str:
    value = option.default
    return f"{value:g}" if option.kind in ("integer", "number") else str(value)


#: The plugin takes name and axes from Vaa3D, and always sends the rows in Vaa3D's order.
_OF_VAA3D = {"name", "row_order", "z_axis"}


def test_the_plugin_s_words_have_the_names_defaults_and_choices_of_the_table() -> None:
    words = _words()
    assert words.keys() >= OPTIONS.keys() - _OF_VAA3D
    compared = 0
    for option in OPTIONS.values():
        if option.name in _OF_VAA3D:
            continue
        source = words[option.name]
        if option.default is not None:
            hint = re.search(r"\[([^\]]*)\]\"", source)
            assert hint is not None, option.name
            assert hint[1] == _default(option), option.name
            compared += 1
        if option.kind == "choice":
            choices = re.search(r"one\(k, v, \{([^}]*)\}\)", source)
            assert choices is not None, option.name
            assert re.findall(r'"(\w+)"', choices[1]) == list(option.choices)
    assert compared >= 8


def test_the_plugin_s_choices_start_with_the_defaults_of_the_table() -> None:
    text = (_PLUGIN / "choices.h").read_text(encoding="utf-8")
    members = dict(re.findall(r"^\s+\w+ (\w+) = ([^;]+);", text, re.M))
    for name in (
        "enhancer", "threshold", "min_length", "gap", "trees", "min_confidence", "passes",
    ):  # fmt: skip
        first, *rest = name.split("_")
        member = first + "".join(word.title() for word in rest)
        assert members[member].strip('"') == _default(OPTIONS[name]), name
    assert (members["micrometres"], OPTIONS["units"].default) == ("false", "voxel")


def test_the_plugin_s_dialog_has_the_bounds_of_the_table() -> None:
    text = (_PLUGIN / "trace_dialog.cpp").read_text(encoding="utf-8")
    boxes = re.findall(r'spinBox<\w+>\(\s*"(\w+)",\s*([\d.e]+),\s*([\d.e]+),', text)
    bounds = {name: (float(low), float(high)) for name, low, high in boxes}
    for name in ("threshold", "min_confidence", "passes"):
        assert bounds[name] == (OPTIONS[name].minimum, OPTIONS[name].maximum), name
    for name in ("min_length", "gap"):
        assert bounds[name][0] == OPTIONS[name].minimum
        assert bounds[name][1] <= OPTIONS[name].maximum
