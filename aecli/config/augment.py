"""The options of augmentation."""

from dataclasses import dataclass

from aecli.config.limits import MAX_PIXELS, check_integer, check_number

MAX_DEGREES = 180.0


@dataclass
class AugmentConfig:
    """Random changes of the training images, drawn anew at each step."""

    shift: int = 0
    """Largest shift along each axis, in pixels; what moves in is black."""

    rotate: float = 0.0
    """Largest angle by which an image is rotated to either side, in degrees."""

    flip: bool = False
    """Mirror each image horizontally with a probability of one half."""

    def __post_init__(self) -> None:
        check_integer("augment.shift", self.shift, MAX_PIXELS, minimum=0)
        check_number("augment.rotate", self.rotate, MAX_DEGREES)

    @property
    def is_on(self) -> bool:
        """Whether anything is changed."""
        return self != AugmentConfig()
