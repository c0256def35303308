"""Runs that this and earlier versions have written, which every later version reads.

`python -m tests.golden` writes those of the version at hand, once, before it is released.
"""

from pathlib import Path

GOLDEN = Path(__file__).parent
IMAGES = GOLDEN / "images"
FINISHED, INTERRUPTED = "finished", "interrupted"
EPOCHS = 4
LINE = [
    "train", "data=folder", "model=fc", "model.widths=[8]", "latent=2",
    "corruption=gaussian", "optimizer=adam_cosine", "batch_size=8", f"epochs={EPOCHS}",
    "device=cpu",
]  # fmt: skip


def versions() -> list[Path]:
    """The folder of each version of which there are runs."""
    return sorted(path for path in GOLDEN.iterdir() if (path / FINISHED).is_dir())
