"""Least squares for kernels that are not negative and have unit sum: conjugate gradients, and taps held at zero.

The unknowns are the kernels at nodes, all that the pixels say of them is a `Quadratic`. Each node's own block,
factored, is the preconditioner, within the kernels whose sum is 1. A tap that comes out negative is held near zero by
a stiff spring in the next round and let go when it pulls the other way: after a few rounds nothing changes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from . import taps
from .mixing import Mixing
from .parallel import map_parts
from .priors import Prior

# Stiffness of the spring, in units of the mean stiffness of a node's taps.
SPRING = 20.0
# Blocks of one matrix product.
BLOCKS_AT_ONCE = 64
ROUNDS = 5
STEPS = 40
# A step that brings less than this per node, in units of chi squared, is the last one.
TOLERANCE = 0.02


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Squared error of the pictures, as a function of node kernels, in units of the noise's variance.

    Attributes:
        gram: Blocks, shape (B, T, T), float32.
        left: Slot of each, shape (B,).
        right: Slot of each, shape (B,).
        use: Weight of every slot's depth, shape (S,), float32: 0 leaves it out.
        slots: From nodes to slots.
        light: Right-hand side per slot, shape (S, T), float32.
        nodes: How many.
        threads: Of matrix products; torch itself should use one.
    """

    gram: Tensor
    left: Tensor
    right: Tensor
    use: Tensor
    slots: Mixing
    light: Tensor
    nodes: int
    threads: int = 1

    def at_slots(self, kernels: Tensor) -> Tensor:
        """The form's matrix times kernels at slots, shape (S, T)."""
        n = len(self.gram)
        both = torch.stack((kernels[self.right], kernels[self.left]), -1)
        parts = list(zip(self.gram.split(BLOCKS_AT_ONCE), both.split(BLOCKS_AT_ONCE), strict=True))
        product = torch.cat(list(map_parts(lambda part: torch.bmm(*part), parts, self.threads)))
        out = torch.zeros_like(kernels).index_add(0, self.left, product[..., 0])
        apart = (self.left != self.right).nonzero()[:, 0]
        out = out.index_add(0, self.right[apart], product[apart, :, 1])
        return out * self.use[:, None] if n else out

    def apply(self, kernels: Tensor) -> Tensor:
        """The form's matrix times node kernels, shape (n, T)."""
        return self.slots.transpose(self.at_slots(self.slots.apply(kernels)), self.nodes)

    def right_side(self) -> Tensor:
        """Shape (n, T)."""
        return self.slots.transpose(self.light * self.use[:, None], self.nodes)

    def blocks(self) -> Tensor:
        """Blocks on the diagonal, shape (n, T, T)."""
        size = self.gram.shape[-1]
        out = torch.zeros((self.nodes, size, size))
        share = self.slots.weight
        own = {
            int(a): k for k, (a, b) in enumerate(zip(self.left.tolist(), self.right.tolist(), strict=True)) if a == b
        }
        for edge, (node, slot) in enumerate(zip(self.slots.source.tolist(), self.slots.target.tolist(), strict=True)):
            weight = float(share[edge] ** 2 * self.use[slot])
            if weight > 1e-4 and slot in own:
                out[node].add_(self.gram[own[slot]], alpha=weight)
        return out


def solve(
    quadratic: Quadratic,
    prior: Prior,
    start: Tensor,
    kernel_px: int,
    *,
    rounds: int = ROUNDS,
) -> Tensor:
    """Kernels at nodes.

    Args:
        quadratic: What the pixels say.
        prior: What was known before.
        start: Of unit sum, shape (n, T), float32.
        kernel_px: Side K.
        rounds: How often taps are held and let go.

    Returns:
        Not negative, unit sum, shape (n, T).
    """
    count = taps.multiplicity(kernel_px).float()
    base = quadratic.blocks() + prior.blocks()
    light = quadratic.right_side()
    kernels = start
    held = torch.zeros_like(start, dtype=torch.bool)
    stiffness = base.diagonal(dim1=1, dim2=2).mean(1) * SPRING
    for n in range(max(rounds, 1)):
        spring = stiffness[:, None] * held * count
        inverse = invert_blocks(base, spring, quadratic.threads)
        kernels = _descend(quadratic, prior, spring, inverse, light, kernels, count)
        if rounds == 0:
            return kernels
        now = kernels < 0
        if n and bool((now == held).all()):
            break
        held = now
        kernels = to_unit_sum(kernels, count)
    return to_unit_sum(kernels, count)


def to_unit_sum(kernels: Tensor, count: Tensor) -> Tensor:
    """Kernels of shape (n, T) without what is negative, and of unit sum."""
    kernels = kernels.clamp_min(0)
    total = (kernels @ count)[:, None]
    # Where nothing is known at all, light is even.
    return torch.where(total > 1e-6, kernels / total.clamp_min(1e-6), 1 / count.sum())


def invert_blocks(base: Tensor, spring: Tensor, threads: int = 1) -> Tensor:
    """Inverses of blocks, shape (n, T, T), with springs, shape (n, T), on their diagonals: shape (n, T, T), float32."""

    def invert(n: int) -> Tensor:
        block = base[n].double()
        block.diagonal().add_(spring[n].double())
        level = float(block.diagonal().mean().abs())
        for more in (1e-6, 1e-4, 1e-2, 1.0):
            # Sums of single precision, and nodes without data, need not be positive.
            block.diagonal().add_(more * level)
            factor, bad = torch.linalg.cholesky_ex(block)
            if int(bad) == 0:
                return torch.cholesky_inverse(factor).float()
        return torch.diag(1 / block.diagonal().abs().clamp_min(1e-3 * level)).float()

    return torch.stack(list(map_parts(invert, range(len(base)), threads)))


def _descend(
    quadratic: Quadratic,
    prior: Prior,
    spring: Tensor,
    inverse: Tensor,
    light: Tensor,
    kernels: Tensor,
    count: Tensor,
) -> Tensor:
    """Conjugate gradients among kernels of the same sums."""

    def product(x: Tensor) -> Tensor:
        return quadratic.apply(x) + prior.apply(x) + spring * x

    towards = torch.bmm(inverse, count.expand(len(inverse), -1)[..., None])[..., 0]
    total = towards @ count

    def precondition(r: Tensor) -> Tensor:
        z = torch.bmm(inverse, r[..., None])[..., 0]
        return z - towards * ((z @ count) / total)[:, None]

    residual = light - product(kernels)
    step = precondition(residual)
    power = float((residual.double() * step.double()).sum())
    for _ in range(STEPS):
        image = product(step)
        curve = float((step.double() * image.double()).sum())
        # With such a preconditioner half the power is about what is still to be won.
        if not curve > 0 or 0.5 * min(power, power**2 / curve) <= TOLERANCE * len(kernels):
            break
        length = power / curve
        kernels = kernels + length * step
        residual = residual - length * image
        z = precondition(residual)
        new = float((residual.double() * z.double()).sum())
        step, power = z + (new / power) * step, new
    return kernels
