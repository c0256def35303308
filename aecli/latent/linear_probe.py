"""A linear probe: how well a linear classifier predicts classes from features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aecli.data import Split
from aecli.data.batches import to_pixels

# Weight of the squared weights in the loss. It makes every solution unique, and every set of
# features, large or small, with few labels or all, comes close to its best accuracy with it.
PENALTY = 1e-3
# Largest gradient at which the loss counts as minimal, and the limit on steps. On 2,000 synthetic
# digits a Fréchet distance is 12.38 or 12.43 with five times this gradient, depending on the
# rounding of the processor, 12.33 with this one, and 12.31 with half of it and less.
GRADIENT_TOLERANCE, MAX_STEPS = 2e-6, 1000
HISTORY_SIZE = 20  # last steps from which L-BFGS estimates the curvature
MIN_DEVIATION = 0.1


@dataclass(frozen=True)
class LinearClassifier:
    """One linear function of the features per class; the largest wins."""

    weights: Tensor  # (K, D)
    bias: Tensor  # (K,)

    def logits(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, K)."""
        return torch.addmm(self.bias, features, self.weights.T)

    def correct(self, features: Tensor, labels: Tensor) -> Tensor:
        """Boolean mask (N,) of the `features` (N, D) that are classified as their `labels` (N,)."""
        return self.logits(features).argmax(1) == labels

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share of `features` (N, D) that are classified as their `labels` (N,)."""
        return int(self.correct(features, labels).sum()) / len(labels)


@dataclass(frozen=True)
class Standardizer:
    """The mean and deviation by which features are standardised."""

    mean: Tensor  # (D,)
    deviation: Tensor  # (D,)

    @classmethod
    def fit(cls, features: Tensor) -> "Standardizer":
        """The mean and standard deviation of each of the `features` (N, D).

        No deviation is below a tenth of their root mean square. Otherwise a pixel that is dark in
        all training images but one would become huge in another image in which it is bright, and a
        feature that never varies would be divided by 0.
        """
        mean, deviation = features.mean(0), features.std(0, correction=0)
        floor = MIN_DEVIATION * deviation.square().mean().sqrt()
        tiny = torch.finfo(features.dtype).tiny  # if nothing varies
        return cls(mean, deviation.clamp(min=floor.clamp(min=tiny)))


def fit_classifier(
    features: Tensor, labels: Tensor, classes: int, standardizer: Standardizer
) -> LinearClassifier:
    """Multinomial logistic regression: minimise mean cross-entropy + PENALTY / 2 |weights|^2.

    By L-BFGS from zero, so that nothing is random. scikit-learn's LogisticRegression with
    C = 1 / (N PENALTY) has the same solution, but computes in double precision: on all pixels of
    MNIST it takes minutes instead of seconds, and it does not use a GPU.

    Args:
        features: (N, D).
        labels: (N,), from 0 to `classes` - 1.
        classes: the number of classes, K.
        standardizer: the standardisation of the features, to which the penalty applies.
    """
    rows = (features - standardizer.mean).div_(standardizer.deviation)
    basis = None
    if len(rows) < rows.shape[1]:
        # The best weights are combinations of the rows (the representer theorem; Kimeldorf and
        # Wahba, 1971). In an orthonormal basis of these there are fewer numbers to fit.
        basis, triangle = torch.linalg.qr(rows.T)  # (D, N), (N, N)
        rows = triangle.T
    weights = features.new_zeros(classes, rows.shape[1]).requires_grad_()
    bias = features.new_zeros(classes, 1).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weights, bias], max_iter=MAX_STEPS, history_size=HISTORY_SIZE,
        tolerance_grad=GRADIENT_TOLERANCE, tolerance_change=0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> float:
        optimizer.zero_grad()
        # (K, D) @ (D, N): several times as fast as (N, D) @ (D, K), and so is its gradient.
        scores = torch.addmm(bias, weights, rows.T).log_softmax(0)  # (K, N)
        penalty = PENALTY / 2 * weights.square().sum()
        total = penalty - scores.gather(0, labels.unsqueeze(0)).mean()
        total.backward()
        return total.item()

    optimizer.step(loss)
    found = weights.detach() if basis is None else weights.detach() @ basis.T
    scaled = found / standardizer.deviation
    return LinearClassifier(scaled, bias.detach().squeeze(1) - scaled @ standardizer.mean)


def class_count(split: Split) -> int:
    """The number of classes; labels run from 0 to one less."""
    return int(split.labels.max()) + 1


def has_classes(split: Split) -> bool:
    """Whether there is more than one class."""
    return len(split.labels.unique()) > 1


def flat_pixels(images: Tensor) -> Tensor:
    """uint8 images (N, C, H, W) -> features (N, C H W): their pixels in [0, 1]."""
    return to_pixels(images).flatten(1)


def fit_to_pixels(split: Split) -> LinearClassifier:
    """Fit a classifier to the pixels of `split`: the same for every run on the same images."""
    pixels = flat_pixels(split.images)
    return fit_classifier(pixels, split.labels, class_count(split), Standardizer.fit(pixels))
