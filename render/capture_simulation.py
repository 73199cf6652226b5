"""Photographs of a display through a known lens: the test stand of everything that estimates kernels.

Nothing here is used by an estimator, and no field is read: kernels come from a function that traces them for the very
places and depths, and sums are taken pixel by pixel, with the kernel of the pixel that receives (`psf.captures`). So
what is wrong with an estimate is the estimate's.

A pixel between traced places takes the four kernels around it, bilinearly; how far that is from kernels traced in
the middle between them is measured on the way and stands in the captures' `provenance`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from psf import InputError
from psf.captures import Captures, HeldPairs
from psf.resampling import check_odd

# x_px (N,), y_px (N,), depth_m (N,) -> kernels (N, C, K, K) of unit sum, at the pixels' own azimuths
KernelsAtPixel = Callable[[Tensor, Tensor, Tensor], Tensor]
TransmissionAtPixel = Callable[[Tensor, Tensor, Tensor], Tensor]
Noise = float | tuple[float, float]
PLACINGS = ("area", "radius")
ROUNDING_PX = 1e-6  # of a place on the display


@dataclass(frozen=True)
class SimulatedFocus:
    """A camera focused to one distance.

    Attributes:
        kernels_at_pixel: From x_px (N,), y_px (N,), depth_m (N,) to kernels (N, C, K, K) of unit sum;
            `PSFModel.kernels_at_pixel` and what wraps `optics.psf_at` are such.
        focus_m: Its focus distance.
        magnification: Image scale against the sharp pictures' focus; the kernels hold the rest.
        transmission_at_pixel: Light against the axis's, (N, C), from the same three; None for 1 everywhere.
    """

    kernels_at_pixel: KernelsAtPixel
    focus_m: float
    magnification: float = 1.0
    transmission_at_pixel: TransmissionAtPixel | None = None


def simulate_captures(
    displays: Sequence[Tensor],
    focuses: Sequence[SimulatedFocus],
    depths_m: Tensor | Sequence[float],
    *,
    image_shape_px: tuple[int, int],
    kernel_px: int,
    generator: torch.Generator,
    crop_px: tuple[int, int] = (128, 128),
    places_px: tuple[Tensor, Tensor] | None = None,
    placing: str = "area",
    noise: Noise = 0.005,
    sharp_noise: Noise | None = None,
    bits: int | None = None,
    gain: float = 1.0,
    display_pixel_px: Tensor | float = 1.0,
    sharp_kernels_at_pixel: KernelsAtPixel | None = None,
    node_px: int = 32,
    check_share: float = 0.1,
    pitch_um: float | None = None,
    f_number: float | None = None,
    sharp_f_number: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Captures:
    """Photograph displays through a lens, once sharp and once per focus distance.

    Args:
        displays: Linear light of what the display shows, each (C, Hd, Wd) or (1, Hd, Wd); pair n takes display n mod
            their number, at a random place.
        focuses: F cameras; the sharp picture, taken once per depth, has the scale of the first.
        depths_m: Of the display, N of them, shape (N,).
        image_shape_px: The whole sensor's (H, W).
        kernel_px: Side K of the kernels that `focuses` give, odd.
        generator: The same state of it gives the same pictures.
        crop_px: (h, w) of the blurred pictures.
        places_px: Sensor columns and rows of their first pixels, shape (N,) each, instead of random ones.
        placing: Where random ones lie: "area": evenly over the sensor. "radius": evenly over image heights, so that
            centre and corner are seen as often as the rest.
        noise: Standard deviation in units of white, or (shot, read): its square is shot x light + read
            (`NoiseModel.levels`).
        sharp_noise: Of the sharp pictures, by default the same.
        bits: Round to so many and clip to 0..1; by default neither.
        gain: Exposure of the blurred pictures against the sharp ones.
        display_pixel_px: Side of a display's pixel on the sensor at the first focus, one or (N,). Sensor pixels take
            the mean over their square, so that every scale is exact.
        sharp_kernels_at_pixel: Blur of the sharp pictures; None for a pinhole.
        node_px: Kernels are traced at every so many pixels; 1 traces every pixel.
        check_share: Share of the pairs whose kernels are traced between the nodes, too, to state the error.
        pitch_um: Told to the captures, and so are the two below.
        f_number: Of the blurred pictures.
        sharp_f_number: Of the sharp pictures.
        on_progress: Called with photographs done and in all.

    Returns:
        N x F pairs, focus by focus, float32.
    """
    depths = torch.as_tensor(depths_m, dtype=torch.float64).reshape(-1)
    _check(displays, focuses, depths, image_shape_px, kernel_px, crop_px, placing, node_px, gain)
    sharp_level = noise if sharp_noise is None else sharp_noise
    _check_noise("noise", noise)
    _check_noise("sharp_noise", sharp_level)
    if bits is not None and not 1 <= bits <= 16:
        raise InputError("bits", bits, "1 to 16, or None")
    count = len(depths)
    sides = torch.as_tensor(display_pixel_px, dtype=torch.float64)
    if tuple(sides.shape) not in {(), (1,), (count,)} or not bool(((sides > 0) & sides.isfinite()).all()):
        raise InputError("display_pixel_px", sides.tolist(), f"one side above 0 px, or {count} of them")
    scale = sides.expand(count)
    if not 0 <= check_share <= 1:
        raise InputError("check_share", check_share, "a share from 0 to 1")
    x0, y0 = _place(image_shape_px, crop_px, count, places_px, placing, generator)
    # Another scale reads a little further than the crop and half a kernel; a blurred sharp picture half a kernel more.
    reach = 0.5 * math.hypot(*image_shape_px) * max(abs(1 / one.magnification - 1) for one in focuses)
    margin_px = math.ceil(reach) + (kernel_px // 2) * (1 if sharp_kernels_at_pixel is None else 2)
    views = []
    for n in range(count):
        display, corner = displays[n % len(displays)], (float(x0[n]), float(y0[n]))
        hung = _hang(display, float(scale[n]), corner, crop_px, margin_px, generator)
        views.append(_View(display, hung, float(scale[n]), corner, crop_px, image_shape_px, kernel_px))
    checked = set(torch.randperm(count, generator=generator)[: math.ceil(check_share * count)].tolist())
    total, done, errors = count * len(focuses), 0, list[float]()
    sharps = []
    for n, view in enumerate(views):
        if sharp_kernels_at_pixel is None:
            sharps.append(view.project(1.0, kernel_px // 2))
        else:
            first = SimulatedFocus(sharp_kernels_at_pixel, focuses[0].focus_m)
            sharps.append(_photograph(view.widened(kernel_px // 2), first, float(depths[n]), node_px, None))
    rows = []
    for focus in focuses:
        for n, view in enumerate(views):
            rows.append(_photograph(view, focus, float(depths[n]), node_px, errors if n in checked else None))
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    channels = max(one.shape[0] for one in rows)
    wide = (one.expand(channels, -1, -1) for one in sharps)
    sharp = torch.stack([_record(one, sharp_level, bits, generator) for one in wide])
    blurred = torch.stack([_record(gain * one, noise, bits, generator) for one in rows])
    provenance = {
        "simulated": "rendered with kernels traced at nodes of every crop, blended bilinearly per pixel",
        "node_px": node_px,
        "noise": list(noise) if isinstance(noise, tuple) else noise,
        "sharp_noise": list(sharp_level) if isinstance(sharp_level, tuple) else sharp_level,
        "gain": gain,
        "magnifications": [one.magnification for one in focuses],
        "blend_l1_mean": sum(errors) / len(errors) if errors else None,
        "blend_l1_max": max(errors, default=None),
    }
    repeats = len(focuses)
    held = HeldPairs(sharp, blurred)
    return Captures(
        source=held if repeats == 1 else _OneSharp(held, count),
        rows=tuple(range(count * repeats)),
        names=tuple(f"pair {n}" for n in range(count * repeats)),
        x0_px=x0.repeat(repeats),
        y0_px=y0.repeat(repeats),
        depth_m=depths.repeat(repeats),
        focus_m=torch.tensor([one.focus_m for one in focuses], dtype=torch.float64).repeat_interleave(count),
        shape_px=crop_px,
        channel_count=channels,
        image_shape_px=(image_shape_px[0], image_shape_px[1]),
        kernel_px=kernel_px,
        pitch_um=pitch_um,
        f_number=f_number,
        sharp_f_number=sharp_f_number if sharp_f_number is not None else math.inf,
        provenance=provenance,
    )


@dataclass(frozen=True, eq=False)
class _OneSharp:
    """One sharp picture for the blurred ones of every focus."""

    held: HeldPairs
    count: int

    def read_pair(self, row: int) -> tuple[Tensor, Tensor]:
        return self.held.sharp[row % self.count], self.held.blurred[row]


@dataclass(frozen=True, eq=False)
class _View:
    """A display (C, Hd, Wd), whose first pixel's outer corner lies at `hung_px` (x, y) of the sensor, and a crop."""

    display: Tensor
    hung_px: tuple[float, float]
    pixel_px: float
    corner_px: tuple[float, float]
    crop_px: tuple[int, int]
    image_shape_px: tuple[int, int]
    kernel_px: int

    def widened(self, margin_px: int) -> "_View":
        """The same display behind a crop with a margin."""
        corner = (self.corner_px[0] - margin_px, self.corner_px[1] - margin_px)
        return replace(
            self, corner_px=corner, crop_px=(self.crop_px[0] + 2 * margin_px, self.crop_px[1] + 2 * margin_px)
        )

    def project(self, magnification: float, margin_px: int) -> Tensor:
        """What a pinhole camera sees of it in the crop and a margin, shape (C, h + 2 margin, w + 2 margin)."""
        picture = self.display
        edges = []
        for axis in (0, 1):
            size = self.crop_px[axis] + 2 * margin_px
            first, hung = self.corner_px[1 - axis] - margin_px, self.hung_px[1 - axis]
            centre = (self.image_shape_px[axis] - 1) / 2
            # Edges of sensor pixels, taken back to the first focus's scale, then counted in display pixels.
            place = first - 0.5 + torch.arange(size + 1, dtype=torch.float64)
            place = (centre + (place - centre) / magnification - hung) / self.pixel_px
            # Rounding must not ask for a pixel beyond the display's last one.
            start, end = math.floor(float(place[0]) + ROUNDING_PX), math.ceil(float(place[-1]) - ROUNDING_PX)
            if start < 0 or end > picture.shape[axis + 1]:
                found = f"pixels {start} to {end} of {picture.shape[axis + 1]} seen"
                raise InputError("displays", found, "a display that reaches beyond crop, kernel and breathing")
            picture = picture.narrow(axis + 1, start, end - start)
            edges.append(place - start)
        return _average(_average(picture.double(), edges[0], 1), edges[1], 2)


def _average(picture: Tensor, edges: Tensor, axis: int) -> Tensor:
    """Means between edges (N + 1,), in pixels, of light that is even over every pixel, along an axis."""
    total = torch.nn.functional.pad(picture.movedim(axis, -1).cumsum(-1), (1, 0))
    first = edges.floor().clamp(0, total.shape[-1] - 2)
    part = (edges - first).clamp(0, 1)
    index = first.long()
    reached = total[..., index] * (1 - part) + total[..., index + 1] * part
    return (reached.diff(dim=-1) / edges.diff()).movedim(-1, axis)


def _hang(
    display: Tensor,
    pixel_px: float,
    corner_px: tuple[float, float],
    crop_px: tuple[int, int],
    margin_px: int,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Where the display's first pixel begins on the sensor, so that a random part of it lies behind the crop."""
    found = []
    for axis in (1, 0):
        needed = math.ceil((crop_px[axis] + 2 * margin_px) / pixel_px - 1e-9)
        free = int(display.shape[axis + 1]) - needed
        if free < 0:
            size = f"{display.shape[2]} x {display.shape[1]} px"
            expected = f"{needed} px a side or more for crops of {crop_px[1]} x {crop_px[0]} px at {pixel_px:g} px each"
            raise InputError("displays", size, expected)
        skipped = int(torch.randint(free + 1, (1,), generator=generator))
        found.append(corner_px[1 - axis] - 0.5 - margin_px - skipped * pixel_px)
    return found[0], found[1]


def _photograph(view: _View, focus: SimulatedFocus, depth_m: float, node_px: int, errors: list[float] | None) -> Tensor:
    """The blurred crop (C, h, w) without noise; appends the error of blending kernels."""
    height, width = view.crop_px
    xs, ys = _nodes(width, node_px), _nodes(height, node_px)
    y, x = (one.reshape(-1) for one in torch.meshgrid(ys, xs, indexing="ij"))
    places = (x + view.corner_px[0], y + view.corner_px[1], torch.full_like(x, depth_m))
    kernels = focus.kernels_at_pixel(*places).double()
    size = view.kernel_px
    if kernels.ndim != 4 or kernels.shape[0] != len(x) or tuple(kernels.shape[-2:]) != (size, size):
        found = f"kernels of shape {tuple(kernels.shape)}"
        raise InputError("kernels_at_pixel", found, f"shape ({len(x)}, C, {size}, {size})")
    picture = view.project(focus.magnification, size // 2)
    channels = max(kernels.shape[1], picture.shape[0])
    picture, kernels = picture.expand(channels, -1, -1), kernels.expand(-1, channels, -1, -1)
    across, down = _hats(xs, width), _hats(ys, height)
    seen = picture.new_zeros((channels, height, width))
    for i in range(len(ys)):
        for j in range(len(xs)):
            # Only where this node has a say.
            rows, columns = down[i].nonzero()[:, 0], across[j].nonzero()[:, 0]
            top, bottom, left, right = (int(one) for one in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
            patch = picture[:, top : bottom + size - 1, left : right + size - 1]
            weight = down[i, top:bottom, None] * across[j, None, left:right]
            seen[:, top:bottom, left:right] += weight * _convolve(patch, kernels[i * len(xs) + j])
    if focus.transmission_at_pixel is not None:
        light = focus.transmission_at_pixel(*places).double().reshape(len(ys), len(xs), -1)
        seen = seen * torch.einsum("ih,ijc,jw->chw", down, light, across)
    if errors is not None and len(xs) > 1 and len(ys) > 1:
        i, j = len(ys) // 2 - 1, len(xs) // 2 - 1
        middle = [(one[k] + one[k + 1]) / 2 for one, k in ((xs, j), (ys, i))]
        place = (middle[0] + view.corner_px[0], middle[1] + view.corner_px[1], torch.tensor(depth_m))
        traced = focus.kernels_at_pixel(*(torch.as_tensor(one).double().reshape(1) for one in place)).double()[0]
        four = kernels[[i * len(xs) + j, i * len(xs) + j + 1, (i + 1) * len(xs) + j, (i + 1) * len(xs) + j + 1]]
        errors.append(float(0.5 * (four.mean(0) - traced).abs().sum((-2, -1)).mean()))
    return seen


def _convolve(patch: Tensor, kernels: Tensor) -> Tensor:
    """True convolution, valid region, of light (C, h + K - 1, w + K - 1) with kernels (C, K, K), by one transform."""
    size, shape = kernels.shape[-1], patch.shape[-2:]
    spectrum = torch.fft.rfft2(patch) * torch.fft.rfft2(kernels, s=shape)
    seen: Tensor = torch.fft.irfft2(spectrum, s=shape)[:, size - 1 :, size - 1 :]
    return seen


def _nodes(size: int, node_px: int) -> Tensor:
    """Places along an axis, from its first pixel to its last, at most `node_px` apart, shape (n,)."""
    count = math.ceil((size - 1) / node_px) + 1 if size > 1 else 1
    return torch.linspace(0, size - 1, count, dtype=torch.float64)


def _hats(nodes: Tensor, size: int) -> Tensor:
    """Bilinear shares of the nodes (n,) at every pixel, shape (n, size)."""
    if len(nodes) == 1:
        return nodes.new_ones(1, size)
    step = nodes[1] - nodes[0]
    shares = (1 - (torch.arange(size, dtype=nodes.dtype) - nodes[:, None]).abs() / step).clamp_min(0)
    return torch.where(shares < 1e-12, 0.0, shares)


def _record(light: Tensor, noise: Noise, bits: int | None, generator: torch.Generator) -> Tensor:
    """Light (C, h, w) as a sensor counts it, float32."""
    normal = torch.randn(light.shape, generator=generator, dtype=torch.float64)
    shot, read = noise if isinstance(noise, tuple) else (0.0, noise * noise)
    seen = light + normal * (shot * light.clamp_min(0) + read).sqrt()
    if bits is not None:
        top = 2**bits - 1
        seen = (seen * top).round().clamp(0, top) / top
    return seen.float()


def _place(
    image_shape_px: tuple[int, int],
    crop_px: tuple[int, int],
    count: int,
    places_px: tuple[Tensor, Tensor] | None,
    placing: str,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """First columns and rows of the crops, whole numbers, (N,) each."""
    free = [image_shape_px[axis] - crop_px[axis] for axis in (1, 0)]
    if places_px is not None:
        found = [torch.as_tensor(one, dtype=torch.float64).reshape(-1) for one in places_px]
        for one, room in zip(found, free, strict=True):
            if len(one) != count or not bool(((one >= 0) & (one <= room)).all()):
                raise InputError("places_px", one.tolist(), f"{count} numbers from 0 to {room}")
        return found[0], found[1]
    drawn = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    if placing == "area":
        return (drawn[:, 0] * (free[0] + 1)).floor(), (drawn[:, 1] * (free[1] + 1)).floor()
    # As many middles in every ring about the centre, at azimuths where the whole crop lies on the sensor: the last ring
    # is in the corners. Rings come in another order than depths.
    half = [room / 2 for room in free]
    ring = torch.randperm(count, generator=generator, dtype=torch.float64)
    distance = (math.hypot(*half) * (ring + drawn[:, 0]) / count).clamp_min(1e-9)
    least, most = (half[0] / distance).clamp(max=1).acos(), (half[1] / distance).clamp(max=1).asin()
    azimuth_rad = least + (most - least) * drawn[:, 1]
    side = 2.0 * (torch.rand(count, 2, generator=generator) < 0.5) - 1
    x = half[0] + side[:, 0] * distance * azimuth_rad.cos()
    y = half[1] + side[:, 1] * distance * azimuth_rad.sin()
    return x.round().clamp(0, free[0]), y.round().clamp(0, free[1])


def _check(
    displays: Sequence[Tensor],
    focuses: Sequence[SimulatedFocus],
    depths_m: Tensor,
    image_shape_px: tuple[int, int],
    kernel_px: int,
    crop_px: tuple[int, int],
    placing: str,
    node_px: int,
    gain: float,
) -> None:
    check_odd("kernel_px", kernel_px)
    if not displays:
        raise InputError("displays", "none", "at least one picture")
    for n, one in enumerate(displays):
        if one.ndim != 3 or not one.is_floating_point() or not one.numel() or not bool(one.isfinite().all()):
            raise InputError(f"displays[{n}]", f"{one.dtype} of shape {tuple(one.shape)}", "finite light, (C, H, W)")
    if not focuses:
        raise InputError("focuses", "none", "at least one")
    for n, focus in enumerate(focuses):
        if not (focus.focus_m > 0 and 0.9 < focus.magnification < 1.1):
            found = f"focus_m {focus.focus_m}, magnification {focus.magnification}"
            raise InputError(f"focuses[{n}]", found, "a distance above 0 m and a scale within 10 % of 1")
    if not len(depths_m) or not bool((depths_m > 0).all()):
        raise InputError("depths_m", depths_m.tolist()[:5], "depths above 0 m, one at least")
    if min(crop_px) < 1 or any(a > b for a, b in zip(crop_px, image_shape_px, strict=True)):
        raise InputError("crop_px", crop_px, f"at most the sensor's {image_shape_px}")
    if placing not in PLACINGS:
        raise InputError("placing", repr(placing), "one of " + ", ".join(map(repr, PLACINGS)))
    if node_px < 1:
        raise InputError("node_px", node_px, "1 or more")
    if not gain > 0:
        raise InputError("gain", gain, "above 0")


def _check_noise(name: str, noise: Noise) -> None:
    numbers = noise if isinstance(noise, tuple) else (noise,)
    if not all(math.isfinite(one) and one >= 0 for one in numbers) or len(numbers) > 2:
        raise InputError(name, noise, "a standard deviation, or (shot, read), not below 0")
