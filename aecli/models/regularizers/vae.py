"""The variational autoencoder's penalty."""

from torch import Tensor

from aecli.config import RegularizerConfig
from aecli.models.autoencoder import Autoencoder
from aecli.models.pooling import Switches


class GaussianPrior:
    """Divergence of the codes' distributions from the standard normal, in nats.

    Kingma and Welling, "Auto-encoding variational Bayes", 2014: the second term of equation 10,
    which appendix B derives, KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2, summed over
    the code. What is decoded is drawn as z = m + s e with e ~ N(0, 1), once for each image.
    """

    is_random = True
    penalty_of_mean_code = None

    def __init__(self, _: RegularizerConfig, __: Autoencoder) -> None:
        pass

    def __call__(
        self, model: Autoencoder, images: Tensor, noise: Tensor | None, switches: Switches
    ) -> tuple[Tensor, Tensor]:
        """The drawn codes (B, D), and the mean divergence of an image ()."""
        assert noise is not None, "it is random"
        mean, log_variance = (each.float() for each in model.encode_distribution(images, switches))
        codes = mean + noise * (log_variance / 2).exp()
        return codes, gaussian_divergence(mean, log_variance).mean()


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of Gaussians (B, D) from the standard normal, summed over the code: (B,), in nats."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2
