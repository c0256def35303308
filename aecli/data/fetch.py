"""Download a torchvision data set into the working folder, as a process that can be killed.

`aecli.data.download` starts it. It writes one line to stdout once torchvision has been imported,
and a second with the reason if the download fails; it ends when its stdin is closed.
"""

import os
import sys
import threading
from contextlib import redirect_stdout


def main() -> None:
    """Download the data set whose class in `torchvision.datasets` is the first argument."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from torchvision import datasets

    print("importing is done", flush=True)
    try:
        with redirect_stdout(sys.stderr):
            getattr(datasets, sys.argv[1])(".", train=True, download=True)
    except Exception as error:  # of the network, of the archive, of the disk
        lines = str(error).strip().splitlines()
        print(lines[-1].strip() if lines else type(error).__name__, flush=True)
        sys.exit(1)


def _end_with_parent() -> None:
    """End this process when the one that holds the other end of stdin ends, however it ends."""
    os.read(0, 1)  # not through sys.stdin, whose lock this thread would hold at the end
    os._exit(1)


if __name__ == "__main__":
    main()
