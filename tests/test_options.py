"""The grammar of the commands other than `train`."""

from pathlib import Path
from typing import Any

import pytest

from aecli.cli.main import run as run_line
from aecli.cli.options import RunOptions, one_run, open_chosen, parse_options
from aecli.commands import compare, conv, embed, interpolate, probe, reconstruct, sample
from aecli.commands.compare import SortKey
from aecli.data.images import find_images
from aecli.errors import DataError, UsageError
from aecli.runs.directory import RunDirectory


def test_values_and_bare_paths_become_a_dataclass() -> None:
    arguments = ["a/run", "sort=mse", "run=b=c", "output=there"]
    options = parse_options("compare", compare.Options, arguments)
    assert options == compare.Options(["a/run", "b=c"], sort=SortKey.mse, output="there")


def test_text_stays_as_it_was_typed() -> None:
    arguments = ["input=[[1, 2]]", "stride=01", "transposed=true"]
    options = parse_options("conv", conv.Options, arguments)
    assert options == conv.Options("[[1, 2]]", stride="01", transposed=True)


@pytest.mark.parametrize(
    ("command", "options", "line", "words"),
    [
        ("reconstruct", reconstruct.Options, "corrupt=7", "give true or false"),
        ("reconstruct", reconstruct.Options, "resize=yes", "give true or false"),
        ("embed", embed.Options, f"n={10**9}", "give at most 1,000,000"),
        ("interpolate", interpolate.Options, f"n=-{'9' * 400}", "give at most 1,000,000"),
        ("probe", probe.Options, f"draws={'9' * 5000}", "give a whole number"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_value_is_refused(
    command: str, options: type[Any], line: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_options(command, options, ["run", line])
    assert len(str(caught.value)) < 200


def test_a_path_may_contain_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b/r").mkdir(parents=True)
    assert parse_options("embed", embed.Options, ["a=b/r"]).run == ["a=b/r"]
    with pytest.raises(UsageError, match="there is no key 'a'"):
        parse_options("embed", embed.Options, ["a=b/s"])


def test_missing_runs_are_usage_errors_and_missing_images_data_errors(
    run: RunDirectory, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        open_chosen(tmp_path / "nope", RunOptions())
    trained = open_chosen(run.path, RunOptions(data_dir="nope"))
    with pytest.raises(DataError, match="data_dir=nope is not a folder: give the one with synth"):
        trained.data()
    assert not Path("nope").exists()
    with pytest.raises(DataError, match="there is no file or folder nope"):
        find_images([Path("nope")])


@pytest.mark.parametrize("command", ["probe", "denoise", "compress"])
def test_a_run_is_not_compared_with_itself(
    command: str, run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"{run.path}/../{run.path.name}"
    assert run_line([command, str(run.path), other]) == 2
    printed = capsys.readouterr().err
    assert "is given twice, and comparing a run with itself is meaningless" in printed


def test_null_is_none_and_not_text() -> None:
    options = parse_options("compare", compare.Options, ["output=there", "output=null"])
    assert options.output is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sort"], "compare has no flag --sort: give key=value or a path"),
        (["srt=mse"], "there is no key 'srt': did you mean sort?"),
        (["sort=mze"], "sort=mze is not valid: did you mean mse?"),
        (["output=${oc.env:HOME}"], "output is not valid: ${...} is not resolved here"),
        (["${nowhere}"], "run is not valid: ${...} is not resolved here"),
    ],
)
def test_a_mistake_is_named(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_options("compare", compare.Options, arguments)
    assert words in str(caught.value)


def test_a_command_without_paths_takes_no_bare_words() -> None:
    with pytest.raises(UsageError, match="conv takes key=value, not 'a/run': valid keys are input"):
        parse_options("conv", conv.Options, ["input=3", "a/run"])


def test_a_required_key_is_requested() -> None:
    with pytest.raises(UsageError, match="conv needs input=...: aecli conv --help says"):
        parse_options("conv", conv.Options, ["kernel=3"])


@pytest.mark.parametrize("seed", ["-1", "4294967296", "99999999999999999999"])
@pytest.mark.parametrize("command", [embed, interpolate, sample])
def test_a_seed_that_no_library_takes_is_refused(command: Any, seed: str) -> None:
    expected = f"^seed={seed} is not valid: give a whole number from 0 to 4294967295$"
    with pytest.raises(UsageError, match=expected):
        parse_options("command", command.Options, ["run", f"seed={seed}"])


def test_null_where_a_value_is_needed_is_named() -> None:
    with pytest.raises(UsageError, match="^n=null is not valid: give a value, or leave it out$"):
        parse_options("sample", sample.Options, ["run", "n=null"])


@pytest.mark.parametrize("argument", ["output=", "run="])
def test_an_empty_value_is_refused(argument: str) -> None:
    with pytest.raises(UsageError, match=f"^{argument} has no value: give one, or leave"):
        parse_options("compare", compare.Options, [argument])


def test_a_stray_word_is_named() -> None:
    options = parse_options("sample", sample.Options, ["a/run", "density"])
    with pytest.raises(UsageError, match="one finished run, not 2: a/run, density$"):
        one_run("sample", options)


@pytest.mark.parametrize("command", ["evaluate", "compare"])
def test_an_empty_path_is_not_the_working_folder(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_line([command, ""]) == 2
    expected = f"aecli: {command} was given a path that is empty: give a folder\n"
    assert capsys.readouterr().err == expected
