"""Downloads: given up when they stall, and verified and whole in their place or not there."""

import gc
import gzip
import hashlib
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision import datasets
from tqdm import tqdm

import aecli.data
from aecli.config import DataConfig
from aecli.data import DATASETS, synthetic_cache, vision
from aecli.data import download as download_module
from aecli.data.download import POLL_SECONDS, MissingDataError, download
from aecli.data.vision import load_torchvision
from aecli.errors import StorageError
from tests import test_data
from tests.test_data import IDX_CLASSES, cifar_files, idx_files, load, publish_tiny_mnist

# Seconds. A test that waits for the end of one of them allows for a busy machine.
STALL_TIMEOUT, TOTAL_TIMEOUT, BUSY = 0.6, 60.0, 6.0

# torchvision leaves the answer to a refused request open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "POLL_SECONDS", 0.05)


def is_clean(folder: Path) -> bool:
    return not list(folder.rglob(".download-*"))


def run(
    fetch: Callable[[str], object],
    data_dir: Path,
    archives: tuple[Path, ...] = (),
    stall_timeout: float = STALL_TIMEOUT,
    total_timeout: float = TOTAL_TIMEOUT,
) -> str | None:
    return download(fetch, data_dir, list(archives), stall_timeout, total_timeout)


def started_since(before: list[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before]


def test_shipped_limits() -> None:
    # noticed at the next look, and given one more to end: within 15 s in all
    assert 10 <= vision.STALL_TIMEOUT <= 15 - 2 * POLL_SECONDS
    assert vision.TOTAL_TIMEOUT > vision.STALL_TIMEOUT
    assert (
        aecli.data.AUTO_STALL_TIMEOUT <= vision.STALL_TIMEOUT
        and aecli.data.AUTO_TOTAL_TIMEOUT <= 60
    )


def test_files_come_from_the_scratch_folder_to_their_place(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old").write_text("old")
    (tmp_path / "other").write_text("kept")

    def fetch(folder: str) -> None:
        Path(folder, "set", "raw").mkdir(parents=True)
        Path(folder, "set", "raw", "new").write_text("new")
        Path(folder, "set", "old").write_text("replaced")

    assert run(fetch, tmp_path) is None
    files = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    assert {name: path.read_text() for name, path in files.items()} == {
        "set/raw/new": "new",
        "set/old": "replaced",
        "other": "kept",
    }
    assert is_clean(tmp_path)


def test_folder_is_made_for_what_comes(tmp_path: Path) -> None:
    data_dir = tmp_path / "not" / "there"
    assert run(lambda folder: Path(folder, "file").write_text("x"), data_dir) is None
    assert [path.name for path in data_dir.iterdir()] == ["file"]


def test_archives_go_along_and_stay_as_they_are(tmp_path: Path) -> None:
    archive = tmp_path / "set" / "raw" / "a.gz"
    archive.parent.mkdir(parents=True)
    archive.write_text("content")
    (archive.parent / "b").write_text("not an archive")

    def fetch(folder: str) -> None:
        assert [p.name for p in Path(folder).rglob("*") if p.is_file()] == ["a.gz"]
        Path(folder, "set", "raw", "a").write_text(
            Path(folder, "set", "raw", "a.gz").read_text() + " unpacked"
        )

    assert run(fetch, tmp_path, archives=(archive,)) is None
    assert (archive.parent / "a").read_text() == "content unpacked"
    assert archive.read_text() == "content"


def test_archives_stay_where_the_download_fails(tmp_path: Path) -> None:
    archive = tmp_path / "a.gz"
    archive.write_text("content")

    def fetch(folder: str) -> None:
        Path(folder, "a.gz").write_text("half")
        raise RuntimeError

    assert run(fetch, tmp_path, archives=(archive,)) is not None
    assert archive.read_text() == "content"
    assert list(tmp_path.iterdir()) == [archive]


def test_failure_is_told_by_its_last_line_and_leaves_nothing(tmp_path: Path) -> None:
    def fetch(folder: str) -> None:
        Path(folder, "half").write_text("x")
        raise RuntimeError("Error downloading half:\nTried here, got:\nno such file\n")

    failure = run(fetch, tmp_path / "not" / "there")
    assert failure == "it could not be downloaded (no such file)"
    assert not list(tmp_path.iterdir())


def test_failure_without_words_is_told_by_its_kind(tmp_path: Path) -> None:
    def fetch(folder: str) -> None:
        raise EOFError

    assert run(fetch, tmp_path) == "it could not be downloaded (EOFError)"
    assert tmp_path.exists()  # it was there before


def test_silence_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    ended = threading.Event()
    before, started = threading.enumerate(), time.monotonic()
    failure = run(lambda _: ended.wait(60), tmp_path / "not" / "there")
    elapsed = time.monotonic() - started
    ended.set()
    assert failure == "the download was aborted after 1 s without data"
    assert STALL_TIMEOUT <= elapsed < STALL_TIMEOUT + BUSY
    assert not list(tmp_path.iterdir())
    for thread in started_since(before):
        thread.join(BUSY)
        assert not thread.is_alive()


def test_a_bar_that_keeps_its_lock_when_it_is_given_up_holds_up_no_other(tmp_path: Path) -> None:
    def fetch(_: str) -> None:
        tqdm.get_lock().acquire()  # as tqdm.refresh does, which an exception leaves without release
        while True:
            time.sleep(0.01)

    assert run(fetch, tmp_path) == "the download was aborted after 1 s without data"
    # Several at once: a single one may get the number of the thread that has ended, and its lock.
    together = threading.Barrier(3)

    def bar() -> None:
        together.wait()
        tqdm(total=1, file=io.StringIO()).close()

    bars = [threading.Thread(target=bar, daemon=True) for _ in range(together.parties)]
    for thread in bars:
        thread.start()
    for thread in bars:
        thread.join(BUSY)
        assert not thread.is_alive()


def grow(folder: str, seconds: float) -> None:
    """A slow download: a byte every twentieth of a second."""
    end = time.monotonic() + seconds
    with open(os.path.join(folder, "slow"), "wb", buffering=0) as file:
        while time.monotonic() < end:
            file.write(b".")
            time.sleep(0.05)


def test_slow_download_may_take_longer_than_a_silence(tmp_path: Path) -> None:
    assert run(partial(grow, seconds=1.5), tmp_path, stall_timeout=1) is None
    assert (tmp_path / "slow").stat().st_size > 1


def test_endless_download_is_given_up(tmp_path: Path) -> None:
    started = time.monotonic()
    failure = run(partial(grow, seconds=60), tmp_path / "data", stall_timeout=30, total_timeout=0.6)
    assert failure == "the download was aborted after 1 s"
    assert 0.6 <= time.monotonic() - started < 0.6 + BUSY
    assert not list(tmp_path.iterdir())


def test_download_given_up_does_not_go_on_unseen(tmp_path: Path) -> None:
    given_up, tries = threading.Event(), []

    def fetch(folder: str) -> None:
        for mirror in range(1000):  # as torchvision does it: a mirror after the other
            try:
                os.makedirs(os.path.join(folder, "raw"), exist_ok=True)
                tries.append(mirror)
                given_up.wait(60)
            except Exception:
                continue

    before = threading.enumerate()
    assert run(fetch, tmp_path / "data") is not None
    given_up.set()
    for thread in started_since(before):
        thread.join(BUSY)
        assert not thread.is_alive()
    assert tries == [0]
    assert not list(tmp_path.iterdir())


def test_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def interrupted(folder: Path) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module, "_bytes_in", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(lambda _: ended.wait(60), tmp_path / "not" / "there")
    ended.set()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("timeout", [None, 77.0])
def test_time_limit_of_sockets_is_put_back(tmp_path: Path, timeout: float | None) -> None:
    system_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        within: list[float | None] = []
        run(lambda _: within.append(socket.getdefaulttimeout()), tmp_path)
        assert socket.getdefaulttimeout() == timeout
        assert within[0] is not None and within[0] < 77
    finally:
        socket.setdefaulttimeout(system_timeout)


def test_folder_that_cannot_be_written_is_met_before_the_download(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tries: list[str] = []
    with pytest.raises(StorageError, match=str(tmp_path / "file" / "data")):
        run(tries.append, tmp_path / "file" / "data")
    assert not tries


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers on the loopback as the test says, and notes the paths that were asked for."""

    daemon_threads = False  # so that closing it waits for every answer

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.refused = False
        self.released = threading.Event()
        """Ends the answers that stall."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def stall(self, handler: BaseHTTPRequestHandler, start: bytes | None) -> None:
        """Headers and `start`, or with None not even those, and then nothing more."""
        if start is not None:
            send_headers(handler, 100_000)
            handler.wfile.write(start)
        self.released.wait(60)

    def trickle(self, handler: BaseHTTPRequestHandler, size: int) -> None:
        """So many bytes now and then, without an end."""
        send_headers(handler, 2**31)
        while not self.released.wait(0.1):
            handler.wfile.write(bytes(size))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.requests.append(self.path)
        try:
            self.server.answers.get(self.path, missing)(self)
        except ConnectionError:
            pass  # whoever asked has gone

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def send_headers(handler: BaseHTTPRequestHandler, size: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(size))
    handler.end_headers()


def missing(handler: BaseHTTPRequestHandler) -> None:
    assert isinstance(handler.server, Server)
    handler.server.refused = True
    handler.send_error(404)


def send(content: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send_headers(handler, len(content))
        handler.wfile.write(content)

    return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The only place that torchvision can download from."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        test_data.use_mirror(monkeypatch, server.address)
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
            if server.refused:
                gc.collect()  # what torchvision left open, while its warning is ignored


def publish(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make a tiny data set the one that torchvision expects; returns its archives."""
    if name == "cifar10":
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            for file, data in cifar_files(monkeypatch).items():
                member = tarfile.TarInfo(f"cifar-10-batches-py/{file}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        archives = {"cifar-10-python.tar.gz": content.getvalue()}
        (md5,) = (hashlib.md5(archive).hexdigest() for archive in archives.values())
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5)
        return archives
    files = publish_tiny_mnist(monkeypatch) if name == "mnist" else idx_files()
    archives = {f"{file}.gz": gzip.compress(data) for file, data in files.items()}
    resources = [(file, hashlib.md5(archive).hexdigest()) for file, archive in archives.items()]
    monkeypatch.setattr(getattr(datasets, IDX_CLASSES[name]), "resources", resources)
    return archives


@pytest.fixture
def archives(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A tiny MNIST that the server has."""
    archives = publish("mnist", monkeypatch)
    server.answers = {f"/{file}": send(archive) for file, archive in archives.items()}
    return archives


ARCHIVE_FOLDERS = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"} | {
    "kmnist": "KMNIST/raw",
    "cifar10": ".",
}


@pytest.mark.parametrize("name", ARCHIVE_FOLDERS)
def test_data_set_is_downloaded_once(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = publish(name, monkeypatch)
    server.answers = {f"/{file}": send(archive) for file, archive in archives.items()}
    data = load(tmp_path / "data", name)
    assert set(server.requests) == set(server.answers)
    folder = tmp_path / "data" / vision.SOURCES[name].folder
    assert (data.name, data.source, data.notice) == (name, str(folder), None)
    assert is_clean(tmp_path)
    asked = len(server.requests)
    again = load(tmp_path / "data", name)
    assert len(server.requests) == asked
    assert torch.equal(again.train.images, data.train.images)
    assert torch.equal(again.test.labels, data.test.labels)


def test_downloaded_files_lie_where_torchvision_looks(
    archives: dict[str, bytes], tmp_path: Path
) -> None:
    data = load(tmp_path, "mnist")
    files = {path.name: path.read_bytes() for path in (tmp_path / "MNIST" / "raw").iterdir()}
    assert files == archives | idx_files()
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    expected = test_data.idx_tensors()["t10k-images-idx3-ubyte"]
    assert torch.equal(data.test.images[:, 0], expected)


def test_auto_downloads_mnist(archives: dict[str, bytes], tmp_path: Path) -> None:
    data = load(tmp_path, "auto")
    assert (data.name, data.requested, data.notice) == ("mnist", "auto", None)


@pytest.mark.parametrize("name", ARCHIVE_FOLDERS)
def test_archives_on_disk_are_unpacked_without_a_request(
    name: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = publish(name, monkeypatch)
    folder = test_data.write(tmp_path / ARCHIVE_FOLDERS[name], archives)
    assert load(tmp_path, name).name == name
    assert server.requests == []
    assert {file: (folder / file).read_bytes() for file in archives} == archives
    assert is_clean(tmp_path)


def test_archive_that_is_not_on_disk_is_the_only_one_downloaded(
    archives: dict[str, bytes], server: Server, tmp_path: Path
) -> None:
    lacking = "t10k-labels-idx1-ubyte.gz"
    present = {file: content for file, content in archives.items() if file != lacking}
    test_data.write(tmp_path / "MNIST" / "raw", present)
    load(tmp_path, "mnist")
    assert set(server.requests) == {f"/{lacking}"}


@pytest.mark.parametrize("start", [None, b"", b"some bytes"])
def test_stalled_download_is_given_up(
    start: bytes | None, archives: dict[str, bytes], server: Server, tmp_path: Path
) -> None:
    last = list(server.answers)[-1]  # whole files before it do not stay either
    server.answers[last] = lambda handler: server.stall(handler, start)
    started = time.monotonic()
    with pytest.raises(MissingDataError, match="aborted after 1 s without data") as caught:
        load_torchvision("mnist", tmp_path / "not" / "there", stall_timeout=STALL_TIMEOUT)
    assert STALL_TIMEOUT <= time.monotonic() - started < STALL_TIMEOUT + BUSY
    assert caught.value.folder == tmp_path / "not" / "there" / "MNIST" / "raw"
    assert last in server.requests
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "stall_timeout", "total_timeout", "reason"),
    [
        (2**16, 30, STALL_TIMEOUT, "aborted after 1 s:"),
        (1, STALL_TIMEOUT, 30, "aborted after 1 s without data:"),  # none that reached the disk
    ],
)
def test_trickling_download_is_given_up_in_the_end(
    size: int,
    stall_timeout: float,
    total_timeout: float,
    reason: str,
    archives: dict[str, bytes],
    server: Server,
    tmp_path: Path,
) -> None:
    server.answers["/train-images-idx3-ubyte.gz"] = partial(server.trickle, size=size)
    started = time.monotonic()
    with pytest.raises(MissingDataError, match=reason):
        load_torchvision("mnist", tmp_path / "data", stall_timeout, total_timeout)
    assert STALL_TIMEOUT <= time.monotonic() - started < STALL_TIMEOUT + BUSY
    assert not list(tmp_path.iterdir())


def test_download_given_up_tries_no_other_mirror(
    archives: dict[str, bytes], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_data.use_mirror(monkeypatch, f"{server.address}dead/", server.address)

    def end_without_an_answer(handler: BaseHTTPRequestHandler) -> None:
        server.stall(handler, None)
        missing(handler)

    server.answers["/dead/train-images-idx3-ubyte.gz"] = end_without_an_answer
    before = threading.enumerate()
    with pytest.raises(MissingDataError, match="without data"):
        load_torchvision("mnist", tmp_path / "data", stall_timeout=STALL_TIMEOUT)
    server.released.set()
    for thread in started_since(before):
        thread.join(BUSY)
        assert not thread.is_alive()
    assert server.requests == ["/dead/train-images-idx3-ubyte.gz"]
    assert not list(tmp_path.iterdir())


def test_second_mirror_stands_in_for_the_first(
    archives: dict[str, bytes], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_data.use_mirror(monkeypatch, f"{server.address}gone/", server.address)
    assert load(tmp_path, "mnist").name == "mnist"
    assert any(path.startswith("/gone/") for path in server.requests)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_file_that_the_server_does_not_have_is_the_reason(
    name: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(MissingDataError, match="404: Not Found"):
        DATASETS[name](DataConfig(name), tmp_path / "data")
    assert server.requests
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("change", [lambda content: content + b"\0", lambda content: content[:-1]])
def test_archive_with_a_wrong_checksum_is_refused(
    name: str,
    change: Callable[[bytes], bytes],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archives = publish(name, monkeypatch)
    server.answers = {f"/{file}": send(change(content)) for file, content in archives.items()}
    with pytest.raises(MissingDataError, match="corrupted"):
        DATASETS[name](DataConfig(name), tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_auto_takes_synthetic_digits_where_the_download_stalls(
    archives: dict[str, bytes], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aecli.data, "AUTO_STALL_TIMEOUT", STALL_TIMEOUT)
    monkeypatch.setattr(synthetic_cache, "TRAIN_SIZE", 20)
    monkeypatch.setattr(synthetic_cache, "TEST_SIZE", 10)
    server.answers["/train-labels-idx1-ubyte.gz"] = lambda handler: server.stall(handler, b"")
    data = load(tmp_path, "auto")
    assert (data.name, data.requested) == ("synthetic", "auto")
    assert data.notice is not None and "aborted after 1 s without data" in data.notice
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]
