"""What a training leaves to be desired is found in its curve."""

from typing import Any

import pytest
import torch

from aecli.config import Activation, DataConfig, FCConfig, Keep, TrainConfig
from aecli.evaluation.variation import VariationAccumulator, varying_pixels
from aecli.runs.diagnosis import Symptom, diagnose
from aecli.runs.records import EpochRecord, Validation


def records(*errors: float, live_units: int = 5, constant_pixels: int = 0) -> list[EpochRecord]:
    """An epoch for each validation mse."""
    return [
        EpochRecord.from_epoch(
            epoch, 0.1, Validation(mse, mse, None, live_units, constant_pixels), 1e-3, 1.0, 100
        )
        for epoch, mse in enumerate(errors, start=1)
    ]


def symptoms(
    curve: list[EpochRecord], best: int, steps: int = 400, **options: Any
) -> dict[Symptom, str]:
    """Symptom -> details and advice, of a run with five units."""
    options = {"epochs": len(curve), **options}
    model = FCConfig(name="fc", latent=5, code_activation=Activation.relu)
    config = TrainConfig(name="a", latent=5, model=model, **options)
    found = diagnose(config, curve, best, steps, mse=0.01, mean_image_mse=0.07)
    return {each.symptom: f"{each.details}: {each.advice}" for each in found}


def test_a_flat_curve_has_no_symptom() -> None:
    assert symptoms(records(0.5, 0.1, 0.05, 0.0499, 0.0498), best=5) == {}


def test_a_falling_curve_needs_more_epochs() -> None:
    falling = [0.97**epoch for epoch in range(10)]
    assert symptoms(records(*falling), best=10) == {
        Symptom.still_falling: "the validation mse still fell by 3.0% an epoch at the end: "
        "try epochs=20"
    }
    assert symptoms(records(*falling), best=10, steps=11) == {
        Symptom.still_falling: "the validation mse still fell by 3.0% an epoch at the end, of 110 "
        "steps in all: try epochs=182"  # 2,000 steps
    }


def test_one_epoch_in_which_the_error_fell_may_be_chance() -> None:
    assert symptoms(records(*[0.1] * 9, 0.0985), best=10) == {}


def test_a_curve_that_rises_again() -> None:
    assert symptoms(records(0.5, 0.1, 0.2, 0.15), best=2) == {
        Symptom.rose_again: "the validation mse rose by 50% after epoch 2, whose weights were "
        "kept: try a smaller lr, optimizer.clip_norm=1 or more training images"
    }
    assert symptoms(records(0.5, 0.1, 0.2, 0.109), best=2) == {}


def test_a_curve_that_rises_again_before_the_last_weights_are_kept() -> None:
    assert symptoms(records(0.5, 0.1, 0.2, 0.15), best=4, keep=Keep.last) == {
        Symptom.rose_again: "the validation mse rose by 50% after epoch 2, and the last weights "
        "were kept: try keep=best, a smaller lr, optimizer.clip_norm=1 or more training images"
    }
    falling = [0.97**epoch for epoch in range(10)]
    assert Symptom.still_falling in symptoms(records(*falling), best=10, keep=Keep.last)


def test_a_curve_without_validation_has_no_symptom() -> None:
    unvalidated = [EpochRecord.from_epoch(n, 1 / n, None, 1e-3, 1.0, 100) for n in range(1, 11)]
    assert (
        symptoms(unvalidated, best=10, keep=Keep.last, data=DataConfig("mnist", val_size=0)) == {}
    )


def test_an_error_of_zero_cannot_rise() -> None:
    assert symptoms(records(0.5, 0.0, 0.1), best=2) == {}


def test_a_training_that_stopped_at_once() -> None:
    assert symptoms(records(0.1, 0.2, 0.3), best=1, epochs=25, patience=2) == {
        Symptom.no_progress: "training stopped early after 3 epochs, none better than the first: "
        "try a smaller lr or a larger patience"
    }


def test_a_training_whose_time_was_up() -> None:
    assert symptoms(records(0.1), best=1, epochs=25, minutes=1) == {}
    found = symptoms(records(0.2, 0.1), best=2, epochs=25, minutes=1.5)
    assert found[Symptom.still_falling].endswith(": try minutes=3")


def test_dead_units_and_pixels() -> None:
    found = symptoms(records(0.1, 0.1, live_units=4, constant_pixels=196), best=1)
    assert found == {
        Symptom.dead_units: "1 of the 5 units of the code never varies: "
        "try model.code_activation=identity, a smaller lr or another seed",
        Symptom.constant_pixels: "196 pixels of the output never vary, though the images' do: "
        "try a smaller lr or another seed",
    }


@pytest.mark.parametrize(("count", "is_said"), [(7, False), (8, True)])
def test_one_per_cent_of_dead_pixels_is_reported(count: int, is_said: bool) -> None:
    curve = records(0.1, constant_pixels=count)
    found = symptoms(curve, best=1, data=DataConfig(name="mnist", image_shape=[1, 28, 28]))
    assert (Symptom.constant_pixels in found) == is_said


def test_advice_leaves_out_what_is_already_set() -> None:
    model = FCConfig(
        name="fc",
        latent=1,
        code_activation=Activation.identity,
        output_activation=Activation.relu,
    )
    config = TrainConfig(name="a", latent=1, epochs=1, model=model)
    curve = records(0.1, live_units=0, constant_pixels=7)
    dead, constant = diagnose(config, curve, 1, 400, mse=0.01, mean_image_mse=0.07)
    assert dead.details == "the only unit of the code never varies"
    assert dead.advice == "try a smaller lr or another seed"
    assert constant.advice.startswith("try model.output_activation=sigmoid, ")


def test_a_network_that_has_learned_nothing() -> None:
    config = TrainConfig(name="a", latent=5, epochs=2, model=FCConfig(name="fc", latent=5))
    (found,) = diagnose(config, records(0.5, 0.1), 2, 1500, mse=0.07, mean_image_mse=0.07)
    assert found.symptom is Symptom.useless
    assert found.advice == "try another lr, or epochs=4"


def test_records_of_earlier_versions_have_no_dead_units() -> None:
    names = "epoch train_loss val_loss val_mse val_psnr val_checkerboard lr images_per_second"
    line = {**dict.fromkeys(names.split(), 1), "seconds": 1.0}
    assert symptoms([EpochRecord.from_json(line)], best=1) == {}
    with pytest.raises(ValueError, match="has a line that is not"):
        EpochRecord.from_json({**line, "another": 1})


def test_what_varies_is_what_differs_between_two_images() -> None:
    batches = torch.tensor([[[1.0, 5.0, -1.0], [1.0, 5.0, -1.0]], [[1.0, 6.0, -2.0]] * 2])
    accumulator = VariationAccumulator((3,), torch.device("cpu"))
    for batch in batches:
        accumulator.add(batch)
    assert accumulator.varies().tolist() == [False, True, True]
    images = torch.tensor([[7, 0], [7, 255]], dtype=torch.uint8).reshape(2, 1, 1, 2)
    assert varying_pixels(images).flatten().tolist() == [False, True]
