"""What several test files share."""

import fcntl
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# One thread for each process of the tests, before any of them imports torch: several of them run at
# once, and threads that wait for one another on busy cores make a step take seconds.
os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402

from aecli.cli import main as cli  # noqa: E402
from aecli.data import synthetic_cache, tensor_cache  # noqa: E402
from aecli.data.synthetic_cache import load_synthetic  # noqa: E402
from aecli.files.storage import fingerprint  # noqa: E402
from aecli.runs.directory import RunDirectory  # noqa: E402
from tests.undrawn import undrawn, undrawn_training  # noqa: E402

# On a busy machine an example may take any time.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

# A run that takes a moment: a few synthetic images, one epoch.
TINY = [
    "data=synthetic",
    "data.train_size=256",
    "data.val_size=100",
    "data.test_size=100",
    "epochs=1",
    "device=cpu",
]

# Where the data sets of whoever runs the tests are.
OWN_DATA = Path(os.environ.get("AECLI_DATA", "data")).resolve()

# The fixtures by which a test knows how much to try.
MORE = {"kills", "states", "soak"}


def with_project(**variables: str) -> dict[str, str]:
    """An environment in which another process finds the package, in addition to everything else."""
    paths = [str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths)}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=5, help="how often a run is killed at a random moment"
    )
    parser.addoption(
        "--states",
        type=int,
        default=200,
        help="how many states that a power cut leaves are tried",
    )
    parser.addoption(
        "--soak",
        action="store_true",
        help="run only the long tests, and those that try more with this option",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --soak skip the long tests; with it run only those, and those that try more then."""
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="takes long: make soak"))
        return
    chosen = [item for item in items if item.get_closest_marker("soak") or _has_more(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _has_more(item: pytest.Item) -> bool:
    """Whether a test tries more with --soak than without."""
    return isinstance(item, pytest.Function) and not MORE.isdisjoint(item.fixturenames)


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: many tests wait for a process that they have started."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_collection_finish() -> None:
    """Imported modules stay: Python need not scan them again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """They may be collected at the end: nanobind complains about what is left."""
    gc.unfreeze()


@pytest.fixture
def kills(pytestconfig: pytest.Config) -> int:
    """How often a run is killed at a random moment."""
    return int(pytestconfig.getoption("--kills"))


@pytest.fixture
def states(pytestconfig: pytest.Config) -> int:
    """How many of the states that a power cut may leave are to be tried."""
    return int(pytestconfig.getoption("--states"))


@pytest.fixture
def soak(pytestconfig: pytest.Config) -> bool:
    """Whether a test is to try everything that there is to try."""
    return bool(pytestconfig.getoption("--soak"))


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test session, the same for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(autouse=True, scope="session")
def own_folders(common_folder: Path) -> Iterator[None]:
    """The user's own cache and data are not written to; the workers of a session share others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(common_folder / "cache"))
        patch.setenv("AECLI_DATA", str(common_folder / "data"))
        yield


@pytest.fixture(autouse=True, scope="session")
def digits_read_once() -> Iterator[None]:
    """The file with the synthetic digits, from which nearly every test takes some, is read once for
    as long as it is the same. Its tensors are shared: no test may change them in place."""
    read = tensor_cache.read_tensors
    known: dict[tuple[object, ...], Any] = {}

    def read_once(path: Path) -> Any:
        if not path.is_file():
            return None
        stat = path.stat()
        key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if key not in known:
            known.clear()
            known[key] = read(path)
        found = known[key]
        return None if found is None else (dict(found[0]), dict(found[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_cache, "read_tensors", read_once)
        yield


@pytest.fixture(autouse=True)
def arithmetic_of_torch() -> None:
    """Undo what an earlier test may have set: flushing of denormal numbers, which Hypothesis does
    not accept, and deterministic algorithms, which are required with a GPU."""
    torch.set_flush_denormal(False)
    torch.set_deterministic_debug_mode("default")


@pytest.fixture(scope="session")
def data_dir(common_folder: Path) -> Path:
    """A data folder of the test session, where the synthetic digits are drawn once for all."""
    folder = common_folder / "data"
    folder.mkdir(exist_ok=True)
    with open(common_folder / "data.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        load_synthetic(folder)
    return folder


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST, which AECLI_DATA names."""
    if not (OWN_DATA / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("needs the MNIST files under $AECLI_DATA")
    return OWN_DATA


@pytest.fixture
def aecli(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., int]:
    """Run a command line in an empty folder, in this process; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AECLI_DATA", str(data_dir))
    mark = request.node.get_closest_marker("undrawn")
    commands = () if mark is None else mark.args or ("train",)

    def run(*arguments: str) -> int:
        command = arguments[0] if arguments else ""
        if command not in commands:
            return cli.run(arguments)
        with undrawn_training() if command == "train" else undrawn():
            return cli.run(arguments)

    return run


def train_once(folder: Path, data_dir: Path, *overrides: str, drawn: bool = False) -> Path:
    """Train a run in `folder`, for a fixture that outlives a test, and return the folder.

    Its figures are not made unless `drawn`.
    """
    line = ["train", *TINY, f"data_dir={data_dir}", *overrides, f"hydra.run.dir={folder}"]
    figures = nullcontext() if drawn else undrawn_training()
    with pytest.MonkeyPatch.context() as patch, figures:
        patch.chdir(folder.parent)
        assert cli.run(line) == 0
    return folder


@pytest.fixture(scope="session")
def train_for_all(data_dir: Path, common_folder: Path) -> Callable[..., Path]:
    """Train a run once for all workers, and return its folder, which is not to be written to."""

    def train(name: str, *overrides: str) -> Path:
        folder = common_folder / "trained" / name
        folder.parent.mkdir(exist_ok=True)
        with open(folder.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                train_once(folder, data_dir, *overrides, drawn=True)
        return folder

    return train


@pytest.fixture(scope="session")
def finished(train_for_all: Callable[..., Path]) -> Path:
    """The folder of a finished run of one epoch, on synthetic digits; not to be written to."""
    return train_for_all("run", "latent=3")


def planted(run: RunDirectory, name: str, content: str | bytes) -> None:
    """Put a file into a run, with a manifest that lists it."""
    content = content.encode() if isinstance(content, str) else content
    (run.path / name).write_bytes(content)
    manifest = json.loads(run.manifest_file.read_bytes())
    run.manifest_file.write_text(json.dumps({**manifest, name: fingerprint(content)}))


def undo(run: RunDirectory) -> None:
    """Return a run to the state in which it is planned and has not started."""
    config = run.load_config()
    shutil.rmtree(run.path)
    run.path.mkdir()
    run.save_config(config)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> RunDirectory:
    """A finished run that the test may use and damage."""
    return RunDirectory(Path(shutil.copytree(finished, tmp_path / "run")))


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are synced and renamed from now on, in order, by name."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        done.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return done
