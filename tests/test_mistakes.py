"""Mistakes of every kind: each has its exit status and one line, which names it and what to do."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aecli.runs.directory import RunDirectory

pytestmark = pytest.mark.undrawn

Aecli = Callable[..., int]

# What is typed, where RUN is a finished run and EMPTY an empty folder; the status; a pattern.
MISTAKES: list[tuple[str, int, str]] = [
    # Commands.
    ("trian", 2, "there is no command 'trian': did you mean train?"),
    ("--verison", 2, "there is no command '--verison'"),
    ("Train", 2, "there is no command 'Train': did you mean train?"),
    # Lines that cannot be read.
    ("train latent", 2, "'latent' is not of the form key=value"),
    ("train =5", 2, "there is no key ''"),
    ("train latent=[5", 2, r"'latent=\[5' cannot be parsed"),
    ("train --cfg=everything", 2, "--cfg=everything is not valid: give one of job"),
    ("train --resolve", 2, "--resolve goes with --cfg job"),
    ("train --cfg job -m", 2, "--cfg shows the configuration of one run: leave -m out"),
    ("train -x", 2, "unrecognized arguments: -x"),
    ("train compare=maybe -m", 2, "compare=maybe is not valid: give true or false"),
    ("train compare=true", 2, "compare=true is for a sweep: add -m"),
    ("train ~latent", 2, "~latent would remove a key: give it a value instead"),
    # Keys.
    ("train latnt=5", 2, "there is no key 'latnt': did you mean latent?"),
    ("train delta=0.1", 2, "there is no key 'delta': it is now called min_delta"),
    ("train -m model.output=tanh", 2, "'model.output': it is now called model.output_activation"),
    ("train model.latnt=5", 2, "there is no key 'model.latnt': did you mean"),
    ("train corruption.std=1", 2, "there is no key 'corruption.std'"),
    ("train checkpoint.hours=1", 2, "there is no key 'checkpoint.hours'"),
    ("train +latent2=5", 2, "there is no key 'latent2'|latent2"),
    ("train model.layers.9.kernel=3", 2, "there is no key 'model.layers.9.kernel'"),
    # Choices.
    ("train model=cnv", 2, "model=cnv: did you mean conv?"),
    ("train model=", 2, "model=: valid: "),
    ("train data=mnits", 2, "data=mnits: did you mean mnist?"),
    ("train upsample=bilinaer", 2, "upsample=bilinaer: did you mean bilinear?"),
    ("train corruption=gausian", 2, "corruption=gausian: did you mean gaussian?"),
    ("train optimizer=sgd", 2, "optimizer=sgd: valid: "),
    ("train experiment=lecture", 2, "experiment=lecture: did you mean lecture_"),
    ("train -m sweep=latnet", 2, "sweep=latnet: did you mean latent"),
    ("train hydra/launcher=slurm", 2, "hydra/launcher=slurm: .*submitit_slurm"),
    ("train hydra/sweeper=grid", 2, "hydra/sweeper=grid: valid: basic, optuna"),
    # Several values.
    ("train latent=5,25", 2, "latent=5,25 names several values: add -m"),
    ("train sweep=latent", 2, "sweep=latent describes several runs: add -m"),
    ("train -m latent=interval(1,9)", 2, r"latent=interval\(1,9\) is for a search"),
    ("train -m hydra.run.dir=a,b", 2, "Hydra's own keys take one value for all runs"),
    # Values.
    ("train latent=0", 2, "latent=0 is not valid: give a whole number of at least 1"),
    ("train latent=2.5", 2, "latent=2.5 is not valid: give a whole number"),
    ("train latent=many", 2, "latent=many is not valid: give a whole number"),
    ("train latent=null", 2, "latent"),
    ("train epochs=0", 2, "epochs=0 is not valid"),
    ("train epochs=-1", 2, "epochs=-1 is not valid"),
    ("train batch_size=0", 2, "batch_size=0 is not valid"),
    ("train val_every=0", 2, "val_every=0 is not valid"),
    ("train lr=0", 2, "lr=0.0 is not valid: give a finite number above 0"),
    ("train lr=nan", 2, "lr=nan is not valid"),
    ("train lr=fast", 2, "lr=fast is not valid: give a number"),
    ("train weight_decay=-1", 2, "weight_decay=-1.0 is not valid"),
    ("train min_delta=inf", 2, "min_delta=inf is not valid"),
    ("train patience=0", 2, "patience=0 is not valid"),
    ("train output_dir=", 2, "output_dir= is not valid: give a folder"),
    ("train seed=-1", 2, "seed=-1 is not valid: give a whole number from 0 to 4294967295"),
    ("train seed=4294967296", 2, "seed=4294967296 is not valid"),
    ("train device=gpu", 2, "device=gpu is not valid: give auto, cpu, cuda, cuda:1 or mps"),
    ("train device=cuda:99", 2, "device=cuda:99 is not available on this machine"),
    ("train precision=int8", 2, "precision=int8 is not valid"),
    ("train compile=perhaps", 2, "compile=perhaps is not valid: give true or false"),
    ("train name=../../etc", 2, "name=../../etc is not valid"),
    ("train name=a:b", 2, "name=a:b is not valid"),
    ("train checkpoint.epochs=0", 2, "checkpoint.epochs=0 is not valid"),
    ("train checkpoint.minutes=-1", 2, "checkpoint.minutes=-1.0 is not valid"),
    ("train optimizer.clip_norm=0", 2, "optimizer.clip_norm=0.0 is not valid"),
    ("train optimizer.warmup_epochs=-1", 2, "optimizer.warmup_epochs=-1.0 is not valid"),
    ("train optimizer.schedule=step", 2, "optimizer.schedule=step is not valid"),
    ("train corruption=gaussian corruption.noise_std=-1", 2, "corruption.noise_std=-1.0"),
    ("train corruption=masking corruption.rate=2", 2, "corruption.rate=2.0 is not valid"),
    ("train corruption=downsample factor=1", 2, "factor=1 is not valid"),
    ("train factor=2", 2, "factor=2 is for downsampling only"),
    ("train model=fc model.widths=[0]", 2, "model.widths"),
    ("train model.activation=softplus", 2, "model.activation=softplus is not valid"),
    ("train model.layers.0.kernel=99", 2, "layer 1 of 2 .* leaves nothing of its 28x28 map"),
    ("train model.layers.0.stride=0", 2, "stride=0 is not valid"),
    ("train model=fc upsample=max_unpool", 2, "upsample=max_unpool needs an encoder that pools"),
    # Images.
    ("train data.train_size=0", 2, "data.train_size=0 is not valid"),
    ("train data.train_size=99999", 2, "data.train_size=99999 is not valid: the data set has"),
    ("train data.val_size=60000", 2, "data.val_size=60000 is not valid"),
    ("train data.test_size=20000", 2, "data.test_size=20000 is not valid"),
    ("train data.classes=[11]", 2, "data.classes"),
    ("train data.classes=[1] data.exclude_classes=[2]", 2, "data.exclude_classes|data.classes"),
    ("train data=mnist data_dir=EMPTY/file", 5, "file"),
    ("train data=folder", 2, "data=folder needs|path"),
    ("train data=folder path=nowhere", 3, "nowhere"),
    ("train data=folder path=EMPTY", 3, "EMPTY"),
    ("train path=photos", 2, "path=photos is for images of your own: add data=folder"),
    ("train image_size=64", 2, "image_size=64 is for images of your own"),
    ("train data=folder path=EMPTY channels=2", 2, "channels=2 is not valid"),
    (
        "train data.image_shape=[1,8,8]",
        3,
        "has 1x28x28 images, but data.image_shape requires 1x8x8",
    ),
    # Places.
    ("train output_dir=EMPTY/file", 5, r"EMPTY/file cannot be written .* output_dir=\.\.\."),
    ("train hydra.run.dir=RUN", 2, "RUN already holds a run: resume it with resume=RUN"),
    ("train resume=nowhere", 2, "resume=nowhere is neither a run folder"),
    ("train resume=", 2, "resume= is empty: give the folder of a run or of a sweep"),
    ("train resume=EMPTY", 2, "resume=EMPTY is neither a run folder"),
    ("train resume=RUN lr=1", 2, "lr=1 would make it a different run"),
    ("train resume=RUN latent=4", 2, "latent=4 would make it a different run"),
    ("train resume=RUN -m", 2, "resume=RUN is a single run: leave -m out"),
    ("train resume=RUN epochs=0", 2, "epochs=0 is not valid"),
    # Commands on runs.
    ("evaluate", 2, "run"),
    ("evaluate nowhere", 2, "nowhere is not a folder: give the folder of a finished run"),
    ("evaluate EMPTY", 2, "EMPTY holds no runs"),
    ("evaluate RUN RUN", 2, "takes the folder of one finished run, not 2"),
    ("evaluate RUN images=nowhere", 3, "there is no file or folder .*nowhere"),
    ("evaluate RUN device=tpu", 2, "device=tpu"),
    ("reconstruct RUN corrupt=fog", 2, "corrupt=fog"),
    ("interpolate RUN pairs=3", 2, "pairs=3"),
    ("interpolate RUN steps=1", 2, "steps=1"),
    ("sample RUN density=uniform", 2, "density=uniform is not valid"),
    ("sample RUN n=0", 2, "n=0 is not valid"),
    ("embed RUN k=0", 2, "k=0 is not valid"),
    ("probe RUN labels=x", 2, "labels"),
    ("anomaly RUN fpr=2", 2, "fpr=2"),
    ("export RUN what=both", 2, "what"),
    ("superres RUN", 2, "downsample"),
    ("compare", 2, "folder"),
    ("compare nowhere", 2, "nowhere is not a folder"),
    ("compare EMPTY", 2, "EMPTY holds no runs"),
    ("compare RUN sort=size", 2, "sort=size"),
    ("shapes model=cnv", 2, "model=cnv: did you mean conv?"),
    ("conv", 2, "input"),
    ("conv input=2", 2, "kernel"),
    ("conv input=2 kernel=5", 2, "kernel"),
    ("conv input=2 kernel=3 stride=0", 2, "stride=0"),
    ("conv input=nowhere.npy kernel=3", 2, "nowhere.npy: there is no such file"),
]


@pytest.mark.parametrize(("line", "status", "pattern"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_mistake_gets_one_line(
    line: str,
    status: int,
    pattern: str,
    finished: Path,
    aecli: Aecli,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "EMPTY").mkdir()
    if "EMPTY/file" in line:
        (tmp_path / "EMPTY" / "file").touch()
    if "RUN" in line:
        shutil.copytree(finished, tmp_path / "RUN")
    words = line.split()
    if words[0] == "train" and not re.search(r"\b(data|resume)=", line):
        words.append("data=synthetic")
    assert aecli(*words) == status, capsys.readouterr().err
    errors = capsys.readouterr().err
    assert errors.startswith("aecli: ") and errors.count("\n") == 1, errors
    assert re.search(pattern, errors), errors
    assert not list(tmp_path.glob("outputs/**/config.yaml"))
    if "RUN" in line:  # nothing has become of it
        assert (
            RunDirectory(tmp_path / "RUN").load_summary() == RunDirectory(finished).load_summary()
        )
