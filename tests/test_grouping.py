"""How a comparison calls what it compares."""

from dataclasses import replace

import pytest

from aecli.cli.compose import compose
from aecli.comparison.grouping import grouped
from aecli.config import model_values, settings
from aecli.config.wording import as_typed
from tests.test_comparison_table import some_setting


def families(*lines: str) -> list[str]:
    """The names of the families, in the order of the lines that train them."""
    template = some_setting(0.1).first
    results = [replace(template, config=compose(line.split())) for line in lines]
    settings, _ = grouped(results)
    by_run = {id(result): each.family for each in settings for result in each.results}
    return [by_run[id(result)] for result in results]


def test_differences_set_by_an_experiment_are_named_after_it() -> None:
    lecture, own = families("experiment=lecture_fc latent=5", "model=fc latent=5")
    assert (lecture, own) == ("lecture_fc", "fc")  # all that differs is as it comes with the model
    lecture, other = families("experiment=lecture_conv latent=5", "experiment=lecture_fc latent=5")
    assert (lecture, other) == ("conv", "fc")  # the models tell them apart


def test_a_family_is_named_with_the_words_of_its_runs_names() -> None:
    assert families("corruption=gaussian", "corruption=none") == [
        "conv, gaussian", "conv, no corruption",
    ]  # fmt: skip
    noisy = "corruption=gaussian corruption.noise_std="
    assert families(f"{noisy}0.1", f"{noisy}0.3") == ["conv, noise_std=0.1", "conv, noise_std=0.3"]
    cosine, plain = families("optimizer=adam_cosine", "optimizer=adam")
    assert (cosine, plain) == ("conv, adam_cosine", "conv, adam")
    clipped, plain = families("optimizer.clip_norm=1", "optimizer=adam")  # which is no choice
    assert (clipped, plain) == ("conv, clip_norm=1", "conv, clip_norm=null")


def test_differences_from_an_experiment_are_named_by_their_settings() -> None:
    first, second = families("experiment=lecture_fc lr=0.1", "experiment=lecture_fc lr=0.01")
    assert (first, second) == ("fc, lr=0.1", "fc, lr=0.01")
    preset, changed = families("experiment=lecture_fc", "experiment=lecture_fc data.std=0.5")
    assert (preset, changed) == ("lecture_fc", "fc, std=0.5")


def test_sharing_one_value_with_an_experiment_is_not_enough() -> None:
    first, second = families("model=fc lr=0.01", "model=fc")  # 0.01 as in experiment=linear
    assert (first, second) == ("fc, lr=0.01", "fc, lr=0.001")
    assert families("experiment=linear", "model=fc latent=32") == ["linear", "fc"]


def test_a_plain_model_next_to_experiments_is_named_after_the_model() -> None:
    lecture, changed = families("experiment=lecture_fc", "model=fc data.mean=0.1")
    assert lecture == "lecture_fc" and changed.startswith("fc, mean=0.1, std=1, ")
    lecture, plain, faster = families("experiment=lecture_fc", "model=fc", "model=fc lr=0.1")
    assert lecture == "lecture_fc"
    assert "lr=0.001" in plain and "lr=0.1" in faster
    assert families("model=fc", "model=conv lr=0.01") == ["fc, lr=0.001", "conv, lr=0.01"]


def test_keys_with_the_same_last_part_are_distinguished() -> None:
    # checkpoint.epochs is 1 unless it is set, and epochs 25; a layer's kernel is 3.
    assert families("experiment=hinton", "model=fc") == ["hinton", "fc"]
    _, short = families("experiment=hinton", "model=fc epochs=1")
    assert "epochs=1" in short
    _, kernel = families("experiment=lecture_conv", "model=conv upsample.kernel=3")
    assert "kernel=3" in kernel


@pytest.mark.parametrize("model", ["fc", "conv", "deep"])
def test_the_values_of_a_model_are_the_composed_ones(model: str) -> None:
    composed, known = settings(compose([f"model={model}"])), model_values(model)
    assert [key for key, value in composed.items() if as_typed(known[key]) != as_typed(value)] == [
        "model.latent"
    ]


def test_a_model_that_overrides_other_groups_has_no_known_values() -> None:
    assert model_values("denoising") == model_values("mine") == {}


def test_a_run_closed_early_is_not_averaged_with_complete_ones() -> None:
    template = some_setting(0.1).first
    whole = [replace(template, config=replace(template.config, seed=seed)) for seed in (0, 1)]
    closed = replace(
        template, config=replace(template.config, seed=2), closed="interrupted",
        records=template.records[:1],
    )  # fmt: skip
    settings, _ = grouped([*whole, closed])
    assert {(each.family, len(each.results)) for each in settings} == {
        ("fc", 2), ("fc, closed=epoch 1", 1),
    }  # fmt: skip
    # Alone, or with others that ended at the same epoch, there is nothing to tell apart.
    others = [replace(closed, config=replace(closed.config, seed=seed)) for seed in (3, 4)]
    (setting,), _ = grouped([closed, *others])
    assert (setting.family, len(setting.results)) == ("fc", 3)
