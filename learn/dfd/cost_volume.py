"""How badly each candidate depth explains a focal stack: residuals at every pixel, by kernels that are known.

    volume = open_cost_volume(fields, depth_m=(0.5, 1.415))
    residuals = volume.find(stack)                           # (Z, h, w), least where volume.depths_m is right

At a candidate depth the kernels K_i of all pictures at a place are known, and the pictures must be the same unknown
sharp one behind them: I_i = K_i S + noise. At every frequency the best S leaves the residual

    sum over i of |I_i - K_i S|^2 = sum over pairs of |I_i K_j - I_j K_i|^2 / sum over k of |K_k|^2,

which noise alone makes as large at one depth as at another, so that blurrier candidates do not win by smoothing.
What the lens is like, and where on the sensor a pixel lies, is in the kernels: whoever reads residuals needs neither.
"""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from psf import InputError, PolarPSFField
from psf.metrics import find_rms_radius_px
from psf.reading import LOBES, mirror_index, read_matrix
from psf.threads import limit_threads

from ..field_files import hash_field
from .alignment import find_aligned
from .focal_stacks import FocalStack, check_fields
from .stack_optics import open_optics

# Candidates are as dense as lets the blur of no picture change by more than this between two: the residual is a
# parabola over so little.
STEP_PX, FEWEST, MOST = 0.08, 12, 96
# Side of the squares that share a kernel unless another is asked for, and what they see around themselves beyond a
# kernel's half.
CORE_PX, SPREAD_PX = 32, 8
# Kernels at so many squares at a time.
SQUARES = 4
# Sides within which light from outside the pictures counts: nothing there, everything after so many pixels.
UNSURE_PX, SURE_PX = 3.0, 11.0
# Frequencies, in cycles per pixel. Below the first, where pictures have most power, what a model gets wrong (kernels
# that change within a square, gains) outweighs noise; above the second, reading between samples does.
LOW, HIGH = 0.08, 0.4
# Share of sum |K|^2 below which frequencies are noise in all pictures.
FLOOR = 1e-4


@dataclass(frozen=True, eq=False, kw_only=True)
class CostVolume:
    """Candidate depths and all that tells how well they explain stacks; `open_cost_volume` makes one.

    Attributes:
        fields: Of the camera at every focus distance, the nearest first, single precision.
        depths_m: Candidates, descending, evenly spaced in dioptres, shape (Z,).
        window_px: Side of the square whose area the (Gaussian) neighbourhood of a pixel has.
        core_px: Side of the squares on the sensor that share a kernel.
        interpolation: Of kernels between stored depths and radii, as in `PolarPSFField.at`.
        from_window: Squares are counted from a window's first pixel and not from the sensor's: quicker for windows of
            the size of one square, but tiles of a picture then see other squares than the whole.
    """

    fields: tuple[PolarPSFField, ...]
    depths_m: Tensor
    window_px: int
    core_px: int = CORE_PX
    interpolation: str = "linear"
    from_window: bool = False

    @property
    def fingerprint(self) -> str:
        """Hash of the fields and of how they are used."""
        used = (STEP_PX, SPREAD_PX, UNSURE_PX, SURE_PX, LOW, HIGH, FLOOR, LOBES)
        own = (self.window_px, self.core_px, self.interpolation, self.from_window)
        told = repr(([hash_field(one) for one in self.fields], self.depths_m.tolist(), own, used))
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def reach_px(self) -> int:
        """What is seen around a square, and the neighbourhood."""
        return self._halo_px + math.ceil(1.5 * self._sigma_px)

    def for_camera(self, fields: Sequence[PolarPSFField]) -> "CostVolume":
        """The same candidates for another camera.

        Args:
            fields: One for each focus distance.
        """
        return replace(self, fields=open_optics(fields).fields)

    def find(self, stack: FocalStack) -> Tensor:
        """Mean square residual around every pixel, of pictures whose mean is 1, summed over pictures and channels.

        Args:
            stack: Of the fields' sensor and focus distances, in either encoding.

        Returns:
            Above 0, shape (Z, h, w).
        """
        check_fields(stack, self.fields)
        linear = stack.encoded("linear")
        pictures, trust = self._prepare(linear)
        height, width = stack.shape_px
        core = self.core_px
        size = core + 2 * self._halo_px
        taper, band = _make_taper(size, SPREAD_PX).to(pictures), _make_band(size).to(pictures)
        # Squares lie on the sensor's grid, so that tiles of a picture see the same ones.
        tops, lefts = (
            range(0 if self.from_window else -(start % core), side, core)
            for start, side in zip(stack.window_px[::-1], (height, width), strict=True)
        )
        corners = [(top, left) for top in tops for left in lefts]
        found = pictures.new_zeros((len(self.depths_m), height, width))
        threads = torch.get_num_threads()

        @torch.no_grad()
        def fill(part: Sequence[tuple[int, int]]) -> None:
            kernels = self._read_kernels(stack, part)
            for m, (top, left) in enumerate(part):
                rows, columns = (
                    mirror_index(torch.arange(start - self._halo_px, start - self._halo_px + size), side)
                    for start, side in ((top, height), (left, width))
                )
                light = pictures[..., rows[:, None], columns[None, :]]
                light = (light - light.mean((-2, -1), keepdim=True)) * taper
                transfers = self._transform([one[m] for one in kernels], size)
                power = _project(torch.fft.rfft2(light) * band, transfers, size, self._halo_px, core)
                down = slice(max(0, -top), min(core, height - top))
                across = slice(max(0, -left), min(core, width - left))
                own = (slice(top + down.start, top + down.stop), slice(left + across.start, left + across.stop))
                found[:, own[0], own[1]] = power[:, down, across]

        # Threads take whole squares: torch's own would wait for each other after every small step.
        parts = [corners[n : n + SQUARES] for n in range(0, len(corners), SQUARES)]
        with limit_threads(1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, parts))
        # Black pictures fit everything without rest.
        return (_smooth(found * trust, self._sigma_px) / _smooth(trust, self._sigma_px)).clamp_min(1e-20)

    @property
    def _halo_px(self) -> int:
        half = max(one.kernel_px for one in self.fields) // 2
        return 8 * math.ceil((half + SPREAD_PX) / 8)

    @property
    def _sigma_px(self) -> float:
        # The area under a Gaussian's square is that of the square.
        return self.window_px / math.sqrt(4 * math.pi)

    def _prepare(self, stack: FocalStack) -> tuple[Tensor, Tensor]:
        """Pictures at the first one's image scale without vignetting and gains, (N, 3, h, w), and trust (1, h, w)."""
        height, width = stack.shape_px
        scales = [one.magnification for one in self.fields]
        middle_m = 2 / float(1 / self.depths_m[0] + 1 / self.depths_m[-1])
        rows, columns = (
            torch.arange(side, dtype=torch.float32) + start
            for side, start in zip((height, width), stack.window_px[::-1], strict=True)
        )
        aligned = []
        for picture, field in zip(stack.pictures.to(self.fields[0].kernels), self.fields, strict=True):
            share = field.transmission_at_pixel(columns[None, :], rows[:, None], middle_m).permute(2, 0, 1)
            even = picture / share.clamp_min(1e-3)
            if field.magnification != 1:
                down, across = (
                    read_matrix(middle + (torch.arange(side) - middle) * field.magnification, side).to(even)
                    for side, middle in (
                        (height, (stack.image_shape_px[0] - 1) / 2 - stack.window_px[1]),
                        (width, (stack.image_shape_px[1] - 1) / 2 - stack.window_px[0]),
                    )
                )
                even = down @ even @ across.T
            aligned.append(even)
        inside = find_aligned((height, width), scales, stack.image_shape_px, stack.window_px)[0]
        trust = _find_trust(inside).to(aligned[0])[None]
        pictures = torch.stack(aligned)
        # An exposure that is off is a factor on all of a picture, and blurring leaves the mean.
        means = (pictures * trust).sum((-2, -1), keepdim=True).mean(1, keepdim=True) / trust.sum()
        return pictures / means.clamp_min(1e-6), trust

    def _read_kernels(self, stack: FocalStack, corners: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Kernels of the squares' middles at every candidate, for each field (squares, Z, 3, K, K)."""
        height, width = stack.image_shape_px
        middle = (self.core_px - 1) / 2
        y_px = torch.tensor([top + middle for top, _ in corners]) + stack.window_px[1] - (height - 1) / 2
        x_px = torch.tensor([left + middle for _, left in corners]) + stack.window_px[0] - (width - 1) / 2
        found = []
        for field in self.fields:
            scale = field.magnification
            places = (x_px * scale + (width - 1) / 2, y_px * scale + (height - 1) / 2)
            x_own, y_own = places[0][:, None], places[1][:, None]
            found.append(field.at_pixel(x_own, y_own, self.depths_m[None, :], self.interpolation))
        return found

    def _transform(self, kernels: Sequence[Tensor], size: int) -> Tensor:
        """Transfer functions at the first picture's image scale, shape (Z, N, 3, size, size // 2 + 1)."""
        found = []
        for own, field in zip(kernels, self.fields, strict=True):
            # What shrinks a picture shrinks its kernels, and widens their transforms: these are read between samples.
            waves = _make_waves(own.shape[-1], size, field.magnification)
            found.append(waves @ own.to(waves.dtype) @ waves[: size // 2 + 1].T)
        return torch.stack(found, 1)


def open_cost_volume(
    fields: Sequence[PolarPSFField],
    *,
    depth_m: tuple[float, float] | None = None,
    candidates: int | None = None,
    window_px: int = 8,
    core_px: int = CORE_PX,
    interpolation: str = "linear",
    from_window: bool = False,
) -> CostVolume:
    """Candidate depths for a camera whose fields are known.

    Args:
        fields: One for each focus distance, the nearest first.
        depth_m: Nearest and farthest candidate; by default, and at most, what every field knows.
        candidates: How many; by default as many as the blur needs. A number is for `depth_m`, which is then kept as it
            is: what fields do not know has the kernels of the nearest depth that they do.
        window_px: Pictures must agree with a depth around a pixel: in a neighbourhood as large as a square of this
            side, 8 to 256. Larger is surer, smaller keeps edges.
        core_px: Squares of the sensor that share a kernel, 16 to 256. Larger is quicker.
        interpolation: Of kernels between stored depths: "linear" as renderers mix them, or "sized", which is nearer to
            a lens and serves photographs.
        from_window: As in `CostVolume`.
    """
    own = open_optics(fields).fields
    for name, value, least in (("window_px", window_px, 8), ("core_px", core_px, 16)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 256:
            raise InputError(name, repr(value), f"a whole number of pixels, {least} to 256")
    if interpolation not in ("linear", "sized"):
        raise InputError("interpolation", repr(interpolation), "'linear' or 'sized'")
    if depth_m is not None and not 0 < depth_m[0] < depth_m[1]:
        raise InputError("depth_m", depth_m, "two depths above 0, ascending")
    if candidates is not None:
        if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 3:
            raise InputError("candidates", repr(candidates), "a whole number from 3")
        if depth_m is None:
            raise InputError("depth_m", None, "nearest and farthest depth of so many candidates")
    near = min(float(1 / one.depths_m[0]) for one in own)
    # Infinity is no number to answer.
    far = max([1e-3 * near, *(float(1 / one.depths_m[-1]) for one in own)])
    if not far < near:
        raise InputError("fields", "depths that have no range in common", "fields over one range of depths")
    if depth_m is not None:
        if not (1 / depth_m[0] > far and 1 / depth_m[1] < near):
            raise InputError("depth_m", depth_m, f"depths that the fields know, {1 / near:g} to {1 / far:g} m")
        if candidates is None:
            near, far = min(near, 1 / depth_m[0]), max(far, 1 / depth_m[1])
        else:
            near, far = 1 / depth_m[0], 1 / depth_m[1]
    count = candidates or _count_candidates(own, near, far)
    depths_m = 1 / torch.linspace(far, near, count, dtype=torch.float64)
    return CostVolume(
        fields=own,
        depths_m=depths_m.float(),
        window_px=window_px,
        core_px=core_px,
        interpolation=interpolation,
        from_window=from_window,
    )


def _count_candidates(fields: Sequence[PolarPSFField], near: float, far: float) -> int:
    probe_m = 1 / torch.linspace(far, near, 33)
    spans = []
    for field in fields:
        radius_px = find_rms_radius_px(field.at(0.0, probe_m)[:, len(field.channels) // 2])
        spans.append(float(radius_px.amax() - radius_px.amin()))
    return min(max(math.ceil(max(spans) / STEP_PX) + 1, FEWEST), MOST)


def _project(light: Tensor, transfers: Tensor, size: int, halo_px: int, core_px: int) -> Tensor:
    """Residual power (Z, core_px, core_px) of spectra (N, 3, ...) under transfer functions (Z, N, 3, ...)."""
    # Not the square of abs(), whose root takes longer than all the rest of the line.
    energy = torch.view_as_real(transfers).square().sum((1, -1))
    sharp = (transfers.conj() * light).sum(1) / (energy + FLOOR * transfers.shape[1])
    spectrum = (transfers * sharp[:, None]).neg_().add_(light)
    left = torch.fft.irfft2(spectrum, s=(size, size))
    core = slice(halo_px, halo_px + core_px)
    power: Tensor = left[..., core, core].square().sum((1, 2))
    return power


def _make_waves(side: int, size: int, scale: float) -> Tensor:
    """exp(-2 pi i f x / scale) for the frequencies of `size` and the places of a kernel, shape (size, side)."""
    frequency = torch.fft.fftfreq(size, dtype=torch.float64) / scale
    # The last one of half a spectrum is positive there.
    frequency[size // 2] = 0.5 / scale
    place = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    angle = -2 * math.pi * frequency[:, None] * place
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def _make_taper(size: int, edge_px: int) -> Tensor:
    """1, falling to 0 at the sides, shape (size, size)."""
    place = torch.arange(size, dtype=torch.float64) + 0.5
    line = torch.sin((torch.minimum(place, size - place) / edge_px).clamp(max=1) * math.pi / 2) ** 2
    return line[:, None] * line


def _make_band(size: int) -> Tensor:
    """Weight of frequencies, shape (size, size // 2 + 1)."""
    down, across = torch.fft.fftfreq(size, dtype=torch.float64), torch.fft.rfftfreq(size, dtype=torch.float64)
    frequency = torch.hypot(down[:, None], across)
    return frequency / torch.hypot(frequency, torch.tensor(LOW)) * (1 + ((frequency / HIGH) ** 16)).rsqrt()


def _find_trust(inside: Tensor) -> Tensor:
    """How far from the sides of a rectangle of True (h, w) a pixel is, 0 to 1 but never 0."""
    found = torch.ones(inside.shape, dtype=torch.float64)
    for axis in (0, 1):
        place = inside.any(1 - axis).nonzero()[:, 0]
        side = inside.shape[axis]
        first, last = (int(place[0]), int(place[-1])) if len(place) else (0, side - 1)
        where = torch.arange(side, dtype=torch.float64)
        edge_px = torch.minimum(where - first, last - where)
        # Small pictures have no sure place: those farthest from the sides are the best there are.
        sure_px = min(SURE_PX, max((last - first) / 2, 1.0))
        unsure_px = UNSURE_PX * sure_px / SURE_PX
        line = ((edge_px - unsure_px) / (sure_px - unsure_px)).clamp(1e-3, 1)
        found *= line[:, None] if axis == 0 else line
    return found


def _smooth(values: Tensor, sigma_px: float) -> Tensor:
    """Gaussian sums (Z, h, w) of what lies inside the picture."""
    half = math.ceil(3 * sigma_px)
    line = torch.exp(-0.5 * ((torch.arange(2 * half + 1) - half) / sigma_px) ** 2).to(values)
    line = line / line.sum()
    found = functional.conv2d(values[:, None], line[None, None, :, None], padding=(half, 0))
    return functional.conv2d(found, line[None, None, None, :], padding=(0, half))[:, 0]
