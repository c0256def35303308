"""The penalty of regularised autoencoders."""

from torch import Tensor

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches


class CodeNorm:
    """Half the square of the code.

    Ghosh et al., "From variational to deterministic autoencoders", 2020: the term |z|^2 / 2 in the
    loss of RAE. RAE also has a penalty on the decoder, without which a small code could be decoded
    as well as a large one. In RAE-L2 it is the squares of the decoder's weights; `weight_decay`
    penalises those of the encoder too.
    """

    is_random = False
    penalty_of_mean_code = None

    def __init__(self, _: RegularizerConfig, __: Autoencoder) -> None:
        pass

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The codes (B, D), and the mean penalty of an image ()."""
        codes = model.run_encoder(images, switches)
        return codes, codes.float().square().sum(1).mean() / 2
