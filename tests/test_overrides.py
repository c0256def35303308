"""From what a person types to what Hydra reads: a word is the word that was typed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aecli.cli.compose import compose, compose_sweep
from aecli.cli.options import parse_options
from aecli.cli.override_checks import check_overrides
from aecli.cli.overrides import MAX_RUNS, override, parse_overrides, read_arguments, split
from aecli.commands import embed
from aecli.config import TrainConfig, config_groups
from aecli.errors import UsageError
from tests.conftest import TINY

pytestmark = pytest.mark.undrawn

WORDS = ["true", "null", "1.10", "1e3", "1_0", "01", "-0", ".5", "nan", "Inf", "a b", "a&b", "é"]


def typed(*line: str) -> TrainConfig:
    """The configuration of what is typed."""
    overrides = read_arguments(line)
    check_overrides(overrides, multirun=False)
    return compose(overrides)


def test_classes_are_kept_as_typed() -> None:
    assert typed(f"data.classes=[{','.join(WORDS)}]").data.classes == WORDS
    assert typed(f"data.exclude_classes=[ {' , '.join(WORDS)} ]").data.exclude_classes == WORDS
    assert typed("data.classes=['a,b',\"it's\",'true']").data.classes == ["a,b", "it's", "true"]
    assert typed("data.classes=null").data.classes is None
    assert typed("data.classes=[$\\frac,\\,a\\]").data.classes == ["$\\frac", "\\", "a\\"]


def test_a_sweep_over_classes_keeps_their_words() -> None:
    line = read_arguments(["data.classes=[true],[01,1],[a&b]"])
    check_overrides(line, multirun=True)
    jobs = compose_sweep(line).jobs
    assert jobs is not None
    assert [job.config.data.classes for job in jobs] == [["true"], ["01", "1"], ["a&b"]]


@pytest.mark.parametrize(
    "word",
    ["o/ümläut", "a=b", "#1", "x(1)", "it's", "a\\p", "1.10", "1e3", "007", "true", "a{b", "x[1]",
     "'open", "a;b", "<>&!^~`", "50%", "C:\\x\\y"],
)  # fmt: skip
def test_text_is_kept_as_typed(word: str) -> None:
    assert typed(f"output_dir={word}").output_dir == word
    assert typed("data=folder", f"path={word}").data.path == word
    line = read_arguments([f"hydra.run.dir={word}"])
    assert parse_overrides(line)[0].value() == word


def test_a_tilde_stands_for_the_home_folder_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert typed("output_dir=~/a b").output_dir == "/home/x/a b"
    assert typed("data_dir=~").data_dir == "/home/x"
    assert typed("data=folder", "path=~/x").data.path == "/home/x/x"
    assert typed("data.classes=[~,~/x]").data.classes == ["~", "~/x"]
    for key in ("hydra.run.dir", "hydra.sweep.dir"):
        assert parse_overrides(read_arguments([f"{key}=~/y"]))[0].value() == "/home/x/y"
    (one, other) = split(read_arguments(["path=~/a,b"]))
    assert parse_overrides([*one, *other])[0].value() == "/home/x/a"
    monkeypatch.setenv("AECLI_DATA", "~/data")
    assert typed().data_dir == "/home/x/data"
    options = parse_options("embed", embed.Options, ["~/run", "path=~/p", "images=~/i", "output=~"])
    assert (options.run, options.path) == (["/home/x/run"], "/home/x/p")
    assert (options.images, options.output) == (["/home/x/i"], "/home/x")


@pytest.mark.parametrize(
    "line",
    [
        *("train output_dir=?", "train data_dir=?", "train data=folder path=?", "train resume=?"),
        *("train hydra.run.dir=?", "train -m hydra.sweep.dir=?", "shapes data_dir=?"),
        *("evaluate ?", "embed run images=?", "compare runs output=?", "conv input=? kernel=1"),
    ],
)
def test_the_home_folder_of_an_unknown_user_is_refused(
    line: str, aecli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert aecli(*line.replace("?", "~nobody-here/x").split()) == 2
    error = capsys.readouterr().err
    assert "=~nobody-here/x is not valid: give ~ or ~user of a user that exists, or ./" in error
    assert error.count("\n") == 1 and not any(Path().iterdir())


@pytest.mark.parametrize("group", config_groups())
def test_null_is_not_a_choice_of_a_group(
    group: str, aecli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for line in (["train"], ["train", "-m"], ["shapes"]):
        assert aecli(*line, f"{group}=null") == 2
        assert re.match(
            rf"aecli: {group}=null.*: (valid|add -m|did you mean)", capsys.readouterr().err
        )


def test_null_quotes_and_interpolations_keep_their_meaning() -> None:
    assert typed("data=folder", "path=null").data.path is None
    assert typed("data=folder", "path='a, b'").data.path == "a, b"
    assert typed("output_dir=o/${name}", "name=x").output_dir == "o/x"
    assert typed("data=folder", "image_size=64").data.image_size == "64"


def test_several_texts_are_a_sweep() -> None:
    assert split(read_arguments(["path=ü,1.10,null"])) == [
        ["data.path='ü'"], ["data.path='1.10'"], ["data.path=null"]
    ]  # fmt: skip
    assert len(split(read_arguments(["image_size=range(8,12)"]))) == 4
    with pytest.raises(UsageError, match="names several values: add -m"):
        typed("path=ü,ä")


@given(st.text())
def test_any_text_survives_quoting(text: str) -> None:
    (parsed,) = parse_overrides([override("hydra.run.dir", text)])
    assert parsed.value() == text


def test_a_glob_names_the_choices_that_match() -> None:
    assert read_arguments(["model=glob(*)"]) == ["model=conv,deep,denoising,fc"]
    assert read_arguments(["model=glob([f*,d*], exclude=deep)"]) == ["model=denoising,fc"]
    with pytest.raises(UsageError, match=r"model=glob\(x\*\) matches none: valid names are conv"):
        read_arguments(["model=glob(x*)"])
    with pytest.raises(UsageError, match=r"latent=glob\(\*\): only augment, budget, corruption, "):
        read_arguments(["latent=glob(*)"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latent=range(1,1000000000)", f"these are 999,999,999 runs: give values for at most "
         f"{MAX_RUNS:,}"),
        ("lr=range(0.1,1e9,0.1)", "these are 9,999,999,999 runs"),
        ("latent=range(1,5,0)", "latent=range(1,5,0) never ends"),
        ("lr=range(0.1,inf)", "lr=range(0.1,inf) never ends"),
        ("latent=range(5,1)", "latent=range(5,1) names no value"),
        ("hydra/help=5", "hydra/help=5 is not valid: give the name of a choice"),
        ("hydra.run.dir=", "hydra.run.dir= has no value"),
        ("hydra.foo=1", "there is no key 'hydra.foo'"),
        (f"epochs={'9' * 400}", f"epochs={'9' * 60}... is not valid: give a whole number of at"),
        (f"epochs={'9' * 5000}", f"epochs={'9' * 60}... is not valid: give a whole number"),
        ("latent=a=b", "latent=a=b is not valid: give a whole number"),
        ("image_size=[28,28]", "image_size=[28, 28] is not valid: give one value, not a list"),
        ("path=", "path= is not valid: give the folder with the images"),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_invalid_overrides_are_named_at_once(line: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        overrides = read_arguments([line])
        check_overrides(overrides, multirun=True)
        compose_sweep(overrides)
    assert str(caught.value).startswith(message)


def test_a_plus_before_a_key_is_not_needed() -> None:
    assert typed("+latent=3", "++epochs=4", "+model=fc").latent == 3
    with pytest.raises(UsageError, match="there is no key 'new'"):
        typed("+new=1")


def test_a_folder_may_have_any_name(
    aecli: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "it's\\a #1"
    here.mkdir()
    monkeypatch.chdir(here)
    assert aecli("train", *TINY, "output_dir=o\\p=ü") == 0
    assert [path.name for path in here.iterdir()] == ["o\\p=ü"]
    assert aecli("train", "-m", *TINY, "latent=2,3", "output_dir=x(1)", "compare=false") == 0
    assert {path.name for path in here.iterdir()} == {"o\\p=ü", "x(1)"}
    assert len(list(here.glob("x(1)/*/*/*/summary.json"))) == 2
