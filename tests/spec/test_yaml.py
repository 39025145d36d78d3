"""What the strict YAML reader takes, and the exact words with which it refuses the rest."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecompress.errors import SpecError
from edgecompress.spec.yaml import load_yaml


def read(tmp_path: Path, text: str) -> dict[str, object]:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return dict(load_yaml(path))


def refusal(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        load_yaml(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_plain_scalars_follow_yaml_1_2(tmp_path: Path) -> None:
    text = "a: 1e-3\nb: 1E5\nc: -.5\nd: 7\ne: true\nf: FALSE\ng:\nh: ~\ni: 12:30\nj: 2020-01-01\n"
    assert read(tmp_path, text) == {
        "a": 1e-3,
        "b": 1e5,
        "c": -0.5,
        "d": 7,
        "e": True,
        "f": False,
        "g": None,
        "h": None,
        "i": "12:30",
        "j": "2020-01-01",
    }


def test_quoted_scalars_are_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a: 'no'\nb: \"1\"\nc: |\n  on\n'1': x\n") == {
        "a": "no",
        "b": "1",
        "c": "on\n",
        "1": "x",
    }


def test_nesting_and_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeffa: {b: [1, 2.5], c: {d: x}}\n"
    assert read(tmp_path, text) == {"a": {"b": [1, 2.5], "c": {"d": "x"}}}


@pytest.mark.parametrize("word", ["no", "No", "YES", "on", "Off", "y", "N"])
def test_words_that_yaml_1_1_takes_for_booleans(tmp_path: Path, word: str) -> None:
    path = tmp_path / "file.yaml"
    problem = f"'{word}' could be text or a truth value; quote it, or write true or false"
    path.write_text(f"a: 1\nb: {word}\n")
    assert refusal(path) == f"line 2: {problem}"
    path.write_text(f"{word}: 1\n")
    assert refusal(path) == f"line 1: {problem}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is given twice, first on line 1; remove one"),
        ("x: {b: 1, b: 2}\n", "line 1: key 'b' is given twice, first on line 1; remove one"),
        ("a: 1\n2: b\n", "line 2: key 2 is not text; put it in quotes"),
        ("true: b\n", "line 1: key true is not text; put it in quotes"),
        ("? [a]\n: b\n", "line 1: key a list or mapping is not text; put it in quotes"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document (---) begins; keep one per file"),
        ("a:\n\tb: 1\n", "line 2: a tab is used for indentation; use spaces"),
        ("a: b: c\n", "line 1: a second ': ' on the line; quote the value, or mend the"),
        ("a: 1\n b: 2\n", "line 2: a second ': ' on the line; quote the value, or mend the"),
        ("a: &x [1]\nb: *x\n", "line 1: anchors and aliases (& and *) are not supported"),
        ("a: *\n", "line 1: not valid YAML: "),
        ("<<: {a: 1}\n", "line 1: merge keys (<<) are not supported; write the keys out"),
        ("a: !!python/name:os.system\n", "line 1: tags such as 'tag:yaml.org,2002:python/name"),
        ("a: !!int '3'\n", "line 1: tags such as 'tag:yaml.org,2002:int' are not supported"),
        ("a: 010\n", "line 1: 010 begins with 0; quote it if it is text, or drop the 0"),
        ("a: 1e999\n", "line 1: 1e999 is too large a number"),
        ("a: [1, 2\n", "line 2: not valid YAML: expected ',' or ']'"),
        ("- a\n", "line 1: expected keys at the top level, like 'name: value'"),
        ("a:1\n", "line 1: expected keys at the top level, like 'name: value'"),
        ("", "line 1: the file is empty"),
        ("# nothing\n", "line 1: the file is empty"),
        ("a: 1\nb: \x00\n", "line 2: control character in the text"),
        ('a: "\\ud800"\n', "line 1: half of a surrogate pair; write the character itself"),
        ("a: " + "[" * 4000 + "]" * 4000, "line 1: nested more than 50 deep"),
    ],
)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert refusal(path).startswith(message)


def test_an_alias_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    path = tmp_path / "bomb.yaml"
    path.write_text("\n".join(lines))
    assert refusal(path).startswith("line 1: anchors and aliases")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.yaml") == "no such file"
    assert refusal(tmp_path) == "is a folder; name the YAML file inside it"
    assert refusal(tmp_path / "a\0b") == "not a file name"
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert refusal(path) == "line 2: not UTF-8 text; save it as UTF-8"
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "x.yaml") == "cannot be read: Not a directory"


@settings(deadline=None)
@given(st.text())
def test_any_text_gives_a_mapping_or_a_spec_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        values = load_yaml(path)
    except SpecError:
        return
    assert isinstance(values, dict)
