"""What samples of W say of it: its principal directions, and a Gaussian where its codes lie.

Sources: Harkonen et al., "GANSpace" (NeurIPS 2020), Sec. 2.2: edits along the principal components
of w. Wulff and Torralba, "Improving Inversion and Generation Diversity in StyleGAN using a
Gaussianized Latent Space" (2020), Sec. 3: v = LeakyReLU(w, 5) undoes the mapping's last LeakyReLU
(slope 0.2), and v is nearly Gaussian.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLES = 10_000
SLOPE = 5.0  # 1 / 0.2
JITTER = 1e-4  # of the mean variance, added to every one


@dataclass(frozen=True)
class LatentSpace:
    """mean: of w. directions: principal components of w, each as long as the standard deviation
    along it, longest first. mu, precision: mean and inverse covariance of v."""

    mean: Float[Tensor, " dim"]
    directions: Float[Tensor, "n dim"]
    mu: Float[Tensor, " dim"]
    precision: Float[Tensor, "dim dim"]

    @classmethod
    @torch.no_grad()
    def explore(
        cls, mapping: nn.Module, device: torch.device, samples: int = SAMPLES, components: int = 20
    ) -> LatentSpace:
        """The space of a mapping network, from `samples` latents of seed 0."""
        z = torch.randn(samples, mapping.z_dim, generator=torch.Generator().manual_seed(0))
        w = torch.cat([mapping(part.to(device))[:, 0] for part in z.split(2000)])
        variances, vectors = torch.linalg.eigh(torch.cov(w.T.double()))
        lengths = variances.clamp(min=0).sqrt()
        directions = (vectors * lengths).T.flip(0)[:components]
        # A sign that does not depend on the machine: the largest number of each is positive.
        largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
        v = gaussianised(w).double()
        covariance = torch.cov(v.T)
        ridge = JITTER * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
        precision = torch.linalg.inv(covariance + ridge)
        found = w.mean(0), directions * largest.sign(), v.mean(0), precision
        return cls(*(t.float() for t in found))

    def prior(self, w: Float[Tensor, "b layers dim"]) -> Float[Tensor, " b"]:
        """How unlikely codes are: (v - mu)^T Sigma^-1 (v - mu) a number of w; about 1 for samples.

        Departs from paper: Eq. 3.6 prints Sigma, whose inverse a Gaussian has.
        """
        v = gaussianised(w) - self.mu.to(w)
        return ((v @ self.precision.to(w)) * v).mean((1, 2))


def gaussianised(w: Float[Tensor, "*b dim"]) -> Float[Tensor, "*b dim"]:
    """v, what the last layer of the mapping network had before its LeakyReLU."""
    return F.leaky_relu(w, SLOPE)
