"""The penalty of regularised autoencoders."""

from torch import Tensor

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches


class CodeNorm:
    """Half the square of the code.

    Ghosh et al., "From variational to deterministic autoencoders", 2020: L_RAE = |z|^2 / 2 of
    equation 11. The penalty on the decoder beside it, without which a small code could be decoded
    as well as a large one, is that of RAE-L2: `weight_decay`.
    """

    is_random = False

    def __init__(self, _: RegularizerConfig, __: Autoencoder) -> None:
        pass

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The codes (B, D), and the mean penalty of an image ()."""
        codes = model.run_encoder(images, switches)
        return codes, codes.float().square().sum(1).mean() / 2
