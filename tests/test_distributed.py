"""Several processes that train one model, as torchrun starts them."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn

import aecli
from aecli.cli.compose import compose
from aecli.config import to_yaml
from aecli.errors import DataError, StorageError, UsageError
from aecli.runs.directory import RunDirectory
from aecli.runtime import distributed
from aecli.runtime.device import resolve_device
from aecli.runtime.distributed import SINGLE_PROCESS, ProcessGroup, is_process_lost
from aecli.runtime.signals import StopRequest
from aecli.training import experiment
from aecli.training.callback import Callback
from aecli.training.loop import new_model, train
from aecli.training.state import TrainingState
from tests.apart import Done, run_apart
from tests.same_run import assert_same, assert_same_run
from tests.test_conf import some_data

# Ten batches an epoch and one more of a single image, which is fewer than there are processes.
# Validation has three batches, which is more.
LINE = [
    "train", "model=conv", "latent=4", "data=mnist", "data.train_size=641", "data.val_size=1200",
    "data.test_size=200", "batch_size=64", "epochs=3", "corruption=gaussian",
    "optimizer=adam_cosine", "optimizer.clip_norm=1", "lr=0.003", "device=cpu",
    "hydra.run.dir=run",
]  # fmt: skip
STEPS = 11


@dataclass(frozen=True)
class Ended:
    """What became of processes that torchrun has started."""

    status: int
    lines: list[str]
    """What aecli has written to stderr; torchrun adds a report of its own."""
    seconds: float
    """From the signal to the end."""


@contextmanager
def started(line: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have torchrun start a line in two processes."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    torchrun += [f"--log-dir={folder / '.torchrun'}"]  # which would outlive the test
    with open(folder / ".errors", "wb") as errors:
        process = subprocess.Popen(
            [*torchrun, "-m", "aecli", *line],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            # pytest-xdist's workers may have SIGINT ignored, and would pass that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def torchrun(
    line: list[str], folder: Path, disturb: Callable[[int], None] = lambda torchrun: None
) -> Ended:
    """Have two processes run a line to its end, having had `disturb` do something to them."""
    with started(line, folder) as process:
        disturb(process.pid)
        disturbed = time.monotonic()
        status = process.wait(120)
    errors = (folder / ".errors").read_text().replace("\r", "\n")
    assert aecli.__path__[0] not in errors, errors  # torchrun writes a traceback, of itself alone
    lines = [each for each in errors.splitlines() if each.startswith("aecli: ")]
    return Ended(status, lines, time.monotonic() - disturbed)


def rank_below(torchrun: int, rank: int) -> int:
    """The number of the process that has a rank."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    (process,) = (
        int(child)
        for child in children
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    )
    return process


def wait_for_checkpoint(run: RunDirectory, position: int) -> None:
    """Until there is one of at least that position."""
    until = time.monotonic() + 60
    while not any(int(file.stem) >= position for file in run.checkpoints.folder.glob("*.json")):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture(scope="module")
def by_one(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one process."""
    folder = tmp_path_factory.mktemp("one")
    assert run_apart([*LINE, f"data_dir={mnist_dir}"], folder).status == 0
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def by_two(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """The same of two."""
    folder = tmp_path_factory.mktemp("two")
    ended = torchrun([*LINE, f"data_dir={mnist_dir}"], folder)
    assert (ended.status, ended.lines) == (0, [])
    return RunDirectory(folder / "run")


def assert_alike(one: RunDirectory, other: RunDirectory) -> None:
    """The same numbers but for the rounding of sums in another order.

    An image that was seen twice, or by nobody, would be far from it, as would be other noise.
    """
    weights, others = load_file(one.weights_file), load_file(other.weights_file)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-3, atol=1e-4)
    for record, same in zip(one.load_metrics(), other.load_metrics(), strict=True):
        for key in ("train_loss", "val_loss", "val_mse", "lr"):
            assert record[key] == pytest.approx(same[key], rel=1e-4)
        # Of the square of the mean, which is small.
        assert record["val_checkerboard"] == pytest.approx(same["val_checkerboard"], rel=1e-2)
    mse, same_mse = (run.load_summary()["test"]["mse"] for run in (one, other))
    assert mse == pytest.approx(same_mse, rel=1e-3)


def test_two_processes_train_what_one_trains(by_one: RunDirectory, by_two: RunDirectory) -> None:
    assert_alike(by_one, by_two)
    assert {file.name for file in by_one.path.iterdir()} - {".errors"} == {
        file.name if "tfevents" not in file.name else next(by_one.path.glob("events*")).name
        for file in by_two.path.iterdir()
    }
    assert by_two.load_summary()["device"] == "cpu, 1 thread, in each of 2 processes"


@pytest.mark.parametrize(
    "whom", ["torchrun", pytest.param("the second process", marks=pytest.mark.soak)]
)
def test_a_signal_to_any_of_them_ends_all_and_the_run_goes_on(
    whom: str, by_one: RunDirectory, by_two: RunDirectory, mnist_dir: Path, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "run")

    def terminate(torchrun: int) -> None:
        wait_for_checkpoint(run, STEPS + 1)  # that of the first epoch
        os.kill(torchrun if whom == "torchrun" else rank_below(torchrun, 1), signal.SIGTERM)

    ended = torchrun([*LINE, f"data_dir={mnist_dir}"], tmp_path, terminate)
    assert ended.status != 0
    assert len(ended.lines) == 1
    assert "aecli train resume=run" in ended.lines[0]
    assert not run.summary_file.exists()
    if whom == "torchrun":
        assert_two_go_on(run, by_two)
    else:  # by another number of processes
        assert run_apart(["train", "resume=run"], tmp_path).status == 0
        assert_alike(by_one, run)


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_a_killed_process_ends_all_within_30_seconds(
    rank: int, by_two: RunDirectory, mnist_dir: Path, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "run")

    def kill(torchrun: int) -> None:
        wait_for_checkpoint(run, STEPS + 4)
        os.kill(rank_below(torchrun, rank), signal.SIGKILL)

    line = [*LINE, f"data_dir={mnist_dir}", "checkpoint.minutes=0"]
    ended = torchrun(line, tmp_path, kill)
    assert ended.status != 0
    assert ended.seconds < 30
    assert len(ended.lines) == 1
    assert "aecli train resume=run" in ended.lines[0]
    assert_two_go_on(run, by_two)


@dataclass(frozen=True)
class Started:
    """One of two processes, as torchrun would have started it."""

    rank: int
    port: int
    """Where what torchrun keeps for them is to be asked for."""
    dies: bool = False
    """As soon as all have joined."""
    is_terminated: bool = False
    """By a signal that arrives while it leaves the others, as torchrun sends one when one dies."""

    def __call__(self) -> None:
        if self.is_terminated:
            leave = dist.destroy_process_group

            def leave_terminated(group: Any = None) -> None:
                os.kill(os.getpid(), signal.SIGTERM)
                leave(group)

            dist.destroy_process_group = leave_terminated
        os.environ |= {
            "TORCHELASTIC_RUN_ID": "none",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(self.port),
            "RANK": str(self.rank),
            "WORLD_SIZE": "2",
            "LOCAL_RANK": str(self.rank),
            "LOCAL_WORLD_SIZE": "2",
        }
        if self.dies:
            with distributed.init_distributed():
                os._exit(1)


def side_by_side(
    line: list[str], folder: Path, dying: int | None = None, terminated: int | None = None
) -> list[Done]:
    """Have two processes run a line, of which one may die; torchrun takes more time."""
    store = dist.TCPStore(  # type: ignore[attr-defined]
        "localhost", 0, is_master=True, wait_for_workers=False
    )
    folders = [folder / str(rank) for rank in range(2)]
    for each in folders:
        each.mkdir()
    befores = [Started(rank, store.port, rank == dying, rank == terminated) for rank in range(2)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(partial(run_apart, line), folders, befores))
    # Without a network torch warns that it cannot find the name of a socket's host.
    warning = re.compile(r"^\[W.*\[c10d\] The hostname of .*\n", re.MULTILINE)
    return [replace(each, errors=warning.sub("", each.errors)) for each in done]


def assert_two_go_on(run: RunDirectory, whole: RunDirectory) -> None:
    """Have two processes finish an interrupted run, which is then that of which nothing was cut."""
    first, second = side_by_side(["train", f"resume={run.path}"], run.path.parent)
    assert (first.status, second.status, second.errors) == (0, 0, ""), first.errors
    assert_same_run(run.path, whole.path)


def test_a_finished_run_is_left_as_it_is(by_two: RunDirectory, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in by_two.path.rglob("*") if file.is_file()}
    first, second = side_by_side(["train", f"resume={by_two.path}"], tmp_path)
    assert (first.status, first.errors.count("\n")) == (0, 1)
    assert "is finished: there is nothing to do" in first.errors
    assert (second.status, second.errors) == (0, "")
    assert {f: f.read_bytes() for f in by_two.path.rglob("*") if f.is_file()} == before


@pytest.mark.parametrize(
    ("line", "status", "problem"),
    [
        (["train", "latnt=5"], 2, "did you mean latent?"),
        (["train", "-m", "sweep=latent"], 2, "start a sweep without it"),
        (["train", "data=folder", "path=nowhere"], 3, "nowhere"),
    ],
)
def test_a_mistake_is_reported_once(
    line: list[str], status: int, problem: str, tmp_path: Path
) -> None:
    first, second = side_by_side(line, tmp_path)
    assert (first.status, first.errors.count("\n")) == (status, 1)
    assert problem in first.errors
    assert (second.status, second.errors) == (1, "")


def test_the_loss_of_the_first_process_is_reported_by_another(tmp_path: Path) -> None:
    first, second = side_by_side(["train"], tmp_path, dying=0)
    assert (first.status, first.errors) == (1, "")
    line = "aecli: one of the training processes has ended\n"
    assert (second.status, second.errors) == (1, line)


def test_the_signal_that_follows_a_loss_does_not_hide_it(mnist_dir: Path, tmp_path: Path) -> None:
    line = [*LINE, f"data_dir={mnist_dir}"]
    first, second = side_by_side(line, tmp_path, dying=1, terminated=0)
    assert second == Done(1, "")
    assert first.status == 1
    assert "one of the training processes has ended" in first.errors
    assert "aecli train resume=run" in first.errors


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 7, 128])
def test_the_ranks_see_every_image_once(images: int, size: int) -> None:
    batch = torch.arange(images, dtype=torch.float64).add(1).reshape(-1, 1)
    group = [ProcessGroup(rank, size) for rank in range(size)]
    shares = [each.local_shard(batch) for each in group]
    means = [
        each.scale_loss(share.mean(), images) for each, share in zip(group, shares, strict=True)
    ]
    # The mean of 1 ... n is (n + 1) / 2.
    assert sum(float(mean) for mean in means) / size == pytest.approx((images + 1) / 2)
    if images >= size:
        assert torch.equal(torch.cat(shares), batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [sum(each.owns_batch(number) for each in group) for number in range(9)] == [1] * 9


def test_a_rank_is_lost_where_torch_says_so() -> None:
    assert is_process_lost(dist.DistNetworkError("reset by peer"))
    assert is_process_lost(
        RuntimeError("[.../gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    )
    assert not is_process_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_process_lost(StorageError("outputs/gloo is in use"))


def test_sums_are_restored_for_the_same_or_another_number_of_ranks() -> None:
    parts = torch.tensor([3.0, 5.0])
    assert [float(ProcessGroup(rank, 2).local_value(parts)) for rank in range(2)] == [3, 5]
    assert [float(ProcessGroup(rank, 4).local_value(parts)) for rank in range(4)] == [4, 4, 4, 4]
    assert float(SINGLE_PROCESS.local_value(parts)) == 4
    assert SINGLE_PROCESS.local_value(SINGLE_PROCESS.all_gather(torch.tensor(7.0))) == 7


@dataclass(frozen=True)
class Talking:
    """One of two processes, which say everything to one another that there is to say."""

    store: Path
    rank: int

    def __call__(self) -> None:
        store = dist.FileStore(str(self.store), 2)  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=2)
        group = ProcessGroup(self.rank, 2, store)
        self.say_everything(group)
        self.train(group)
        if group.is_main_process:
            started = time.monotonic()
            group.release_workers()
            assert time.monotonic() - started > 0.4  # it has waited for the other
        else:
            assert group.receive_object() is None
            time.sleep(0.5)
            group.shutdown()
        group.release_workers()  # they need one another no longer, so nobody need hear it

    def train(self, group: ProcessGroup) -> None:
        """Have the running means of both be the same when a model is validated."""
        config, data = compose(["model.batch_norm=true", "batch_size=16", "epochs=2"]), some_data()
        state = TrainingState(config, new_model(config, data), data.fingerprints, group)
        train(config, data, state, Callback(RunDirectory(self.store.parent / str(self.rank))))
        means = [m.running_mean for m in state.model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(means) == 3
        for mean in means:
            assert isinstance(mean, Tensor)
            assert mean.abs().sum() > 0
            one, other = (group.all_gather(number) for number in (mean.sum(), mean.square().sum()))
            assert one[0] == one[1] and other[0] == other[1]

    def say_everything(self, group: ProcessGroup) -> None:
        for flags in itertools.product((False, True), repeat=2):
            assert group.any_process(flags[self.rank]) is any(flags)
        assert group.all_gather(torch.tensor(self.rank + 0.5)).tolist() == [0.5, 1.5]
        message = {"text": "a", "numbers": torch.arange(3), "nothing": None}
        if group.is_main_process:
            group.broadcast_object(message)
            group.broadcast_object(None)
        else:
            assert_same(group.receive_object(), message)
            assert group.receive_object() is None
        norm = torch.nn.BatchNorm1d(4)
        mean = norm.get_buffer("running_mean").fill_(self.rank + 1.0)
        group.broadcast_buffers(norm)
        assert mean.tolist() == [1.0] * 4
        # The gradient of w x is x: 1 and 4, of which the mean is 2.5. Both begin at the first's w.
        layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(layer.weight, self.rank)
        wrapped = group.wrap_ddp(layer)
        wrapped(torch.tensor([[1.0 + 3 * self.rank]])).sum().backward()
        assert layer.weight.grad is not None
        assert (layer.weight.item(), layer.weight.grad.item()) == (0, 2.5)


def test_ranks_exchange_messages(tmp_path: Path) -> None:
    folders = [tmp_path / str(rank) for rank in range(2)]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        befores = [Talking(tmp_path / "store", rank) for rank in range(2)]
        done = pool.map(partial(run_apart, ["--version"]), folders, befores)
    assert [(each.status, each.errors) for each in done] == [(0, ""), (0, "")]


@dataclass(frozen=True)
class Hanging:
    """Waits for ever, as for a rank that does not answer."""

    def __call__(self) -> None:
        distributed.GRACE_SECONDS = 1.0
        store = dist.HashStore()  # type: ignore[attr-defined]
        with StopRequest(), distributed._exit_on_signal(store):
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Event().wait()


def test_a_signal_ends_a_process_that_waits_for_ever(tmp_path: Path) -> None:
    done = run_apart(["--version"], tmp_path, Hanging())
    assert done.status == 143
    assert done.errors == "aecli: interrupted: another process has not answered for 1 s\n"


@pytest.mark.parametrize(
    ("name", "gpus", "problem"),
    [
        ("cuda:0", 2, "cannot be used by several processes"),
        ("mps", 0, "cannot be used by several processes"),
        ("cuda", 1, "1 GPUs for 2 processes"),
        ("auto", 1, "1 GPUs for 2 processes"),
    ],
)
def test_a_device_that_not_all_processes_can_use_is_refused(
    name: str, gpus: int, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_torchrun_says(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UsageError, match=problem):
        resolve_device(name)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_has_a_gpu_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_torchrun_says(monkeypatch)
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert resolve_device(name) == torch.device("cuda:1")
    assert chosen == [torch.device("cuda:1")]


def as_torchrun_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the second of two processes."""
    said = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2"}
    for key, value in {**said, "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)


def test_a_rank_with_other_images_does_not_train(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, data = compose(["model=fc", "latent=2"]), some_data()
    task = {"config": to_yaml(config), "run": str(tmp_path), "state": None}
    images = {**data.fingerprints, "validation": "of another folder"}

    class Group(ProcessGroup):
        def receive_object(self) -> Any:
            return {**task, "images": images}

    monkeypatch.setattr(experiment, "load_cached_data", lambda _: data)
    monkeypatch.setattr(experiment, "train", lambda *_: pytest.fail("it trains"))
    with pytest.raises(DataError, match="the validation images are not those"):
        experiment.run_worker(Group())
