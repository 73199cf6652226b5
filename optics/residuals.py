"""How good a lens is, as numbers whose squares are summed, and their derivatives ray by ray.

`find_residuals` is a function of a lens like any other, with gradients. `linearise` gives all derivatives by a vector
of `Variables` at the price of one backward pass per result of a ray (two coordinates, or one path), however many rays
and variables there are.

A ray that comes close to failing (see `retracing.py`) fades out of the sums, and its price fades in: nothing jumps and
nothing is infinite. So does a price for rays outside the clear apertures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from psf.errors import InputError

from .constraints import find_violations
from .merit import Merit, RayPlan, group_sums, plan_rays
from .paraxial import first_order
from .pupil import chief_rays, dioptre_per_mm
from .rays import Rays
from .retracing import Followed, Numbers, follow, read_numbers
from .tracing import trace
from .variables import Variables
from .wave_maps import start_path_mm

if TYPE_CHECKING:
    from .lens import Lens

# A group of rays that are all lost has no centre; its sums are kept from 0.
_NO_LIGHT = 1e-12


@dataclass(frozen=True, eq=False)
class Quality:
    """How good a lens is.

    Attributes:
        value: Root of the sum of all squares: image, failing and clipped rays, limits.
        image: The image's part alone: RMS over everything that counts, with its weights (and saturation), in um, waves
            or percent.
        rms: RMS at every depth and image height without saturation, shape (D, R), in um (of spots, for contrast too) or
            waves.
        violations: How far limits are broken, in units of their softness, shape (n,).
        failing: Rays that are lost, fade, or run outside a clear aperture.
    """

    value: float
    image: float
    rms: Tensor
    violations: Tensor
    failing: int


def find_residuals(lens: Lens, plan: RayPlan) -> Tensor:
    """The numbers whose squares are summed: of every ray, of the price of failing ones, of limits.

    Returns:
        Shape (M,), with gradients in the lens's parameters where it has any.

    Raises:
        InputError: A lens that a chief ray of the plan does not pass.
    """
    numbers = read_numbers(lens, _all_waves(lens, plan))
    slope, height = _solve_chief(lens, plan)
    if numbers.row.requires_grad or numbers.index.requires_grad:
        index = numbers.index[-1:].expand(len(slope), -1).T
        bend, landing, matrix = _chief_errors(lens, plan, numbers, index, slope, height)
        # One Newton step: its derivative is that of the chief ray.
        way = torch.linalg.solve(matrix, torch.stack([bend, landing - plan.radius_mm], dim=-1))
        slope, height = slope - way[:, 0], height - way[:, 1]
    launch = (slope[plan.field], height[plan.field], _growth(lens, plan).expand(plan.rays))
    outputs = _outputs(lens, plan, numbers, numbers.index[plan.wave].T, launch)
    return torch.cat([_assemble(torch.stack(outputs), plan), find_violations(lens, plan.merit.limits)])


def linearise(variables: Variables, vector: Tensor, plan: RayPlan) -> tuple[Tensor, Tensor]:
    """Residuals and their derivatives.

    Args:
        variables: P free parameters.
        vector: Where, shape (P,).
        plan: N rays.

    Returns:
        Residuals (M,) and the Jacobian (M, P).

    Raises:
        InputError: A lens that cannot be, or that a chief ray of the plan does not pass.
    """
    lens = variables.apply(vector.detach())
    with torch.enable_grad():
        theta = vector.detach().clone().requires_grad_()
        attached = variables.apply(theta)
        numbers = read_numbers(attached, _all_waves(lens, plan))
        by_row, by_index = _jacobian(numbers.row[:, 0], theta), _jacobian(numbers.index, theta)
        growth = _growth(attached, plan)
        by_growth = _jacobian(growth, theta)
        violations = find_violations(attached, plan.merit.limits)
        by_limit = _active_jacobian(violations, theta)
        own = replace(numbers, row=numbers.row.detach(), index=numbers.index.detach())
        dense = bool(by_index.any())

        def chain(output: Tensor, row: Tensor, index: Tensor, wave: Tensor, launch: Sequence[Tensor]) -> list[Tensor]:
            # Every entry of `row`, `index` and `launch` belongs to one ray: one pass for all of them.
            inputs = [row, *([index] if dense else []), *launch]
            found = torch.autograd.grad(output.sum(), inputs, retain_graph=True, allow_unused=True)
            parts = [torch.zeros_like(t) if g is None else g for g, t in zip(found, inputs, strict=True)]
            total = parts.pop(0).T @ by_row
            if dense:
                total = total + torch.einsum("sn,nsp->np", parts.pop(0), by_index[wave])
            return [total, *parts]

        def columns(count: int, wave: Tensor) -> tuple[Numbers, Tensor]:
            row = own.row.expand(-1, count).clone().requires_grad_()
            return replace(own, row=row), own.index[wave].T.clone().requires_grad_(dense)

        # How chief rays move: two conditions each, and two unknowns.
        slope, height = _solve_chief(lens, plan)
        heights = len(plan.radii)
        last = plan.field.new_full((heights,), len(plan.wavelengths_um))
        mine, index = columns(heights, last)
        bend, landing, matrix = _chief_errors(lens, plan, mine, index, slope, height)
        rows = torch.stack([chain(t, mine.row, index, last, ())[0] for t in (bend, landing)], dim=1)
        by_chief = -torch.linalg.solve(matrix, rows)[plan.field]  # (N, 2, P)

        mine, index = columns(plan.rays, plan.wave)
        starts = (slope[plan.field], height[plan.field], growth.detach().expand(plan.rays))
        launch = [t.clone().requires_grad_() for t in starts]
        outputs = _outputs(lens, plan, mine, index, launch)
        slopes = []
        for output in outputs:
            if not output.requires_grad:  # no ray fades
                slopes.append(torch.zeros_like(by_chief[:, 0]))
                continue
            total, by_slope, by_height, by_scale = chain(output, mine.row, index, plan.wave, launch)
            total = total + by_slope[:, None] * by_chief[:, 0] + by_height[:, None] * by_chief[:, 1]
            slopes.append(total + by_scale[:, None] * by_growth)
    values, tangents = torch.stack([t.detach() for t in outputs]), torch.stack(slopes).permute(2, 0, 1)
    residuals, pushed = _push(values, tangents, plan)
    return torch.cat([residuals, violations.detach()]), torch.cat([pushed, by_limit])


def judge(lens: Lens, merit: Merit, plan: RayPlan | None = None) -> Quality:
    """How good a lens is.

    Args:
        lens: The lens.
        merit: What counts.
        plan: Its rays; by default laid anew into the lens's own pupils.

    Raises:
        InputError: An image height that no light reaches.
    """
    plan = plan_rays(lens, merit) if plan is None else replace(plan, merit=merit)
    with torch.no_grad():
        numbers = read_numbers(lens, _all_waves(lens, plan))
        slope, height = _solve_chief(lens, plan)
        launch = (slope[plan.field], height[plan.field], _growth(lens, plan).expand(plan.rays))
        outputs = torch.stack(_outputs(lens, plan, numbers, numbers.index[plan.wave].T, launch))
        own = _assemble(outputs, plan)
        bare = replace(merit, saturation=None)
        if merit.quantity == "contrast":
            bare = replace(bare, quantity="spot", frequency_per_mm=None)
        plain = _assemble(outputs, replace(plan, merit=bare))
        squares = plain[: -plan.rays].square().reshape(-1, plan.rays).sum(0)
        shape = (len(plan.depths_m), len(plan.radii), -1)
        rms = (squares.reshape(shape).sum(2) / plan.weight.reshape(shape).sum(2).clamp_min(1e-300)).sqrt()
        violations = find_violations(lens, merit.limits)
        return Quality(
            value=math.sqrt(float(own.square().sum() + violations.square().sum())),
            image=math.sqrt(float(own[: -plan.rays].square().sum())),
            rms=rms,
            violations=violations,
            failing=int((own[-plan.rays :] > 0).sum()),
        )


def _all_waves(lens: Lens, plan: RayPlan) -> Tensor:
    """The plan's wavelengths and, last, that of the chief rays."""
    return torch.cat([plan.wavelengths_um, plan.wavelengths_um.new_tensor([lens.reference_wavelength_um])])


def _solve_chief(lens: Lens, plan: RayPlan) -> tuple[Tensor, Tensor]:
    """Slope and height at the first vertex of the chief rays, shapes (R,)."""
    with torch.no_grad():
        chief = chief_rays(lens, plan.radii)
    return chief.slope, chief.height_mm


def _growth(lens: Lens, plan: RayPlan) -> Tensor:
    """How much larger the paraxial entrance pupil is than in the plan; shape ()."""
    semi = first_order(lens).entrance_pupil_semi_diameter_mm.to(plan.pupil_mm)
    if not bool(semi.detach().isfinite()):
        raise InputError(f"lens {lens.name}", "no finite entrance pupil", "a stop that has an image in object space")
    return semi / plan.pupil_mm


def _chief_errors(
    lens: Lens, plan: RayPlan, numbers: Numbers, index: Tensor, slope: Tensor, height: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Chief rays: x in the stop and on the sensor (R,), and how both change with slope and height (R, 2, 2)."""
    with torch.enable_grad():
        t, h = (v.detach().clone().requires_grad_() for v in (slope, height))
        zero, length = torch.zeros_like(t), (1 + t * t).rsqrt()
        start, cosines = (h, zero, zero), (t * length, zero, length)
        wave = zero.detach() + lens.reference_wavelength_um
        found = _follow(lens, numbers, index, start, cosines, wave)
        rates = [
            torch.stack(torch.autograd.grad(out.sum(), (t, h), retain_graph=True), dim=-1)
            for out in (found.stop_x_mm, found.x_mm)
        ]
    return found.stop_x_mm, found.x_mm, torch.stack(rates, dim=1).detach()


def _follow(
    lens: Lens,
    numbers: Numbers,
    index: Tensor,
    start: tuple[Tensor, ...],
    cosines: tuple[Tensor, ...],
    wave_um: Tensor,
) -> Followed:
    with torch.no_grad():
        position, direction = torch.stack(start, dim=-1), torch.stack(cosines, dim=-1)
        traced = trace(lens, Rays(position, direction, wave_um), path=True, clip=False)
    return follow(numbers, lens.stop_surface - 1, index, start, cosines, traced)


def _outputs(lens: Lens, plan: RayPlan, numbers: Numbers, index: Tensor, launch: Sequence[Tensor]) -> list[Tensor]:
    """What comes of every ray, (N,) each: place in um (two) or path in waves, soundness, excess over apertures."""
    slope, height, growth = launch
    crossing = -height / slope
    q = dioptre_per_mm(crossing, plan.depth_mm)
    u, v = growth * plan.u_mm, growth * plan.v_mm
    along, across = slope + u * q, v * q
    length = (along * along + across * across + 1).rsqrt()
    wave = plan.wavelengths_um[plan.wave]
    found = _follow(lens, numbers, index, (u, v, crossing), (along * length, across * length, length), wave)
    x = found.x_mm - plan.radius_mm[plan.field]
    if plan.merit.quantity != "wavefront":
        return [1e3 * x, 1e3 * found.y_mm, found.soundness, found.excess]
    # To the plane wave through the chief ray's landing point: the phase behind a diffraction PSF. Pistons of a bundle
    # never count, so the chief ray's own path is not asked.
    path = start_path_mm(slope, u, v, q) + found.opl_mm
    path = path - found.direction[0] * x - found.direction[1] * found.y_mm
    return [1e3 * path / wave, found.soundness, found.excess]


def _assemble(outputs: Tensor, plan: RayPlan) -> Tensor:
    """From outputs (K, N) to residuals: those of the image, then N of the price."""
    *image, sound, excess = outputs.unbind()
    merit, lit = plan.merit, plan.share * sound
    price = plan.price * plan.weight.sqrt() * (1 - sound + sound * excess / (1 + excess))
    if merit.quantity == "wavefront" or merit.about != "chief":
        total = group_sums(lit, plan.group).clamp_min(_NO_LIGHT)
        first = image[0] - (group_sums(lit * image[0], plan.group) / total)[plan.group]
        if merit.quantity == "wavefront" and merit.about != "chief":
            first = first - group_sums(lit * first * plan.tilt, plan.group)[plan.group] * plan.tilt
        image = [first, *image[1:]]
    if merit.quantity == "contrast":
        turns = 2e-3 * math.pi * (merit.frequency_per_mm or 0.0)  # radians per um
        weight = (0.5 * group_sums(plan.weight, plan.group)).sqrt()
        # Light that is lost is none of the lines' contrast.
        seen = [group_sums(plan.share * sound * (turns * part).cos(), plan.group) for part in image]
        image = [100 * weight * (1 - part) for part in seen]
    else:
        image = _weighted(image, sound, plan)
    return torch.cat([*image, price])


def _weighted(image: Sequence[Tensor], sound: Tensor, plan: RayPlan) -> list[Tensor]:
    weight, merit = plan.weight.sqrt(), plan.merit
    if merit.saturation is not None:
        square = torch.stack([part * part for part in image]).sum(0)
        weight = weight * (1 + square / merit.saturation**2).rsqrt()
    return [weight * sound * part for part in image]


def _push(values: Tensor, tangents: Tensor, plan: RayPlan) -> tuple[Tensor, Tensor]:
    """`_assemble` of outputs (K, N), and what tangents (P, K, N) become: (M,) and (M, P).

    A gradient is linear in what it is weighted with, so the gradient of that gradient is the derivative forwards.
    """
    with torch.enable_grad():
        outputs = values.clone().requires_grad_()
        residuals = _assemble(outputs, plan)
        weights = torch.zeros_like(residuals, requires_grad=True)
        (back,) = torch.autograd.grad(residuals, outputs, weights, create_graph=True)
        (pushed,) = torch.autograd.grad(back, weights, tangents.contiguous(), is_grads_batched=True)
    return residuals.detach(), pushed.T


def _jacobian(values: Tensor, theta: Tensor) -> Tensor:
    """Derivatives (..., P) of values (...), which are plain functions of theta (P,)."""
    if not values.requires_grad:
        return theta.new_zeros(*values.shape, len(theta)).detach()
    unit = torch.eye(values.numel()).to(values.detach()).reshape(values.numel(), *values.shape)
    (found,) = torch.autograd.grad(
        values, theta, unit, retain_graph=True, is_grads_batched=True, allow_unused=True, materialize_grads=True
    )
    return found.reshape(*values.shape, len(theta))


def _active_jacobian(values: Tensor, theta: Tensor) -> Tensor:
    """The same, row by row, for values (n,) that are 0 with no slope almost everywhere."""
    rows = theta.detach().new_zeros(len(values), len(theta))
    for i in values.detach().nonzero()[:, 0].tolist():
        (found,) = torch.autograd.grad(values[i], theta, retain_graph=True, allow_unused=True)
        if found is not None:
            rows[i] = found
    return rows
