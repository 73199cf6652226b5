"""Kernels from here and there on the picture to a field: one node for each depth, image height and channel."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..channels import Channel
from ..errors import InputError
from ..field import PolarPSFField
from ..provenance import Provenance
from ..resampling import check_odd, crop
from .notices import Notice, unique
from .placing import ScatteredKernel, find_reach_um, place_kernel

# Image heights closer than this belong together: a pixel of a sensor of 4000 in the diagonal.
SAME_RADIUS = 5e-4
SAME_WAVELENGTH_UM = 1e-4
# An automatic window leaves out at most this share of a kernel's light.
LEFT_OUT = 1e-3
# An automatic window is no wider than this; whoever wants more says so.
WIDEST_PX = 257
# From here on a change of a kernel (half the summed difference) is told ...
TOLD = 0.01
# ... and an axis, a corner that is not covered.
COVERED = 0.01


@dataclass(frozen=True, eq=False)
class Gridded:
    """A field and what its making had to tell.

    Attributes:
        field: The field.
        notices: What was chosen, changed or could not be told.
        largest_asymmetry: Of all kernels: how far from its own mirror image, 0 to 1.
    """

    field: PolarPSFField
    notices: tuple[Notice, ...]
    largest_asymmetry: float


def grid_kernels(
    kernels: Sequence[ScatteredKernel],
    *,
    channels: Sequence[Channel],
    image_shape_px: tuple[int, int],
    pitch_um: float,
    focus_m: float,
    kernel_px: int | None = None,
    oversample: int = 1,
    radii: Sequence[float] | None = None,
    provenance: Provenance | None = None,
    most_asymmetry: float = 0.2,
    dtype: torch.dtype = torch.float32,
    on_progress: Callable[[int, int], None] | None = None,
) -> Gridded:
    """Make a field of kernels that lie anywhere.

    Each is turned to azimuth 0, moved so that the field's middle is its middle, integrated over the sensor's pixels
    and averaged with its mirror image about the radial direction. Several at one place, depth and channel are mixed
    by weight if their wavelengths differ, averaged if their azimuths do.

    Args:
        kernels: At least one for each depth, image height and channel, or, with `radii`, for enough heights.
        channels: Of the field, in order; those without wavelengths get the kernels'.
        image_shape_px: The sensor's (H, W).
        pitch_um: Its pixel pitch.
        focus_m: Depth in focus.
        kernel_px: Side of the window, odd; by default the smallest with all but a thousandth of each kernel's light
            that the data cover.
        oversample: Stored values per pixel and axis.
        radii: Image heights to interpolate to; by default those of the kernels.
        provenance: Where the field came from.
        most_asymmetry: A kernel farther than this from its mirror image (half the summed difference) is refused: its
            azimuth or centre is probably not what the caller says.
        dtype: Of the field.
        on_progress: Called with (kernels placed, kernels in all).

    Raises:
        InputError: A place without a kernel, a kernel given twice, wavelengths that differ within a channel, a kernel
            that is not its own mirror image, a radius outside the data.
    """
    if not kernels:
        raise InputError("kernels", "none", "at least one")
    if not (math.isfinite(pitch_um) and pitch_um > 0):
        raise InputError("pitch_um", pitch_um, "a positive pitch")
    if kernel_px is not None:
        check_odd("kernel_px", kernel_px)
    if isinstance(oversample, bool) or not isinstance(oversample, int) or oversample < 1:
        raise InputError("oversample", repr(oversample), "a positive whole number")
    if radii is not None and oversample % 2 == 0:
        raise InputError("oversample", oversample, "an odd number where radii are interpolated")
    for one in kernels:
        if not 0 <= one.channel < len(channels):
            raise InputError(f"{one.where}: channel", one.channel, f"one of {len(channels)} channels")
    notices: list[Notice] = []
    depths_m = sorted({one.depth_m for one in kernels})
    nodes = _collect(kernels, depths_m, len(channels), apart=radii is not None)
    if radii is None:
        _refuse_missing(nodes, depths_m, channels)
    channels = _mixed_channels(nodes, channels)
    window_px, covered_px = _find_window(kernels, pitch_um, kernel_px)
    made = {}
    worst = 0.0
    for done, (key, group) in enumerate(nodes.items()):
        made[key] = _make_node(group, pitch_um, window_px, oversample, most_asymmetry, notices)
        worst = max(worst, made[key].asymmetry)
        if on_progress:
            on_progress(done + 1, len(nodes))
    size_px = kernel_px or _choose_window([one.values for one in made.values()], oversample, covered_px)
    if size_px > covered_px:
        text = f"data reach {covered_px} px, the window {size_px} px: beyond there is no light"
        notices.append(Notice("kernels", 0, "lost", text))
    parts = [
        _assemble(made, d, c, depths_m[d], channels[c], size_px, oversample, image_shape_px, pitch_um, focus_m)
        for d in range(len(depths_m))
        for c in range(len(channels))
    ]
    if radii is not None:
        parts = [_interpolated(one, radii) for one in parts]
    field = _joined(parts, depths_m, channels, provenance or Provenance())
    _tell(field, kernels, worst, notices)
    return Gridded(field.to(dtype=dtype), unique(notices), worst)


Key = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class _Node:
    """A finished node: values (S, S) of unit sum or less, what was kept, image height, illumination."""

    values: Tensor
    radius: float
    transmission: float | None
    asymmetry: float


def _collect(
    kernels: Sequence[ScatteredKernel], depths_m: Sequence[float], channels: int, apart: bool
) -> dict[Key, list[ScatteredKernel]]:
    """Kernels by depth, image height (a number in the order of heights) and channel."""
    groups: dict[tuple[int, int], list[ScatteredKernel]] = {}
    for one in kernels:
        place = (depths_m.index(one.depth_m), one.channel) if apart else (0, 0)
        groups.setdefault(place, []).append(one)
    nodes: dict[Key, list[ScatteredKernel]] = {}
    for group in groups.values():
        number, last = -1, -math.inf
        for one in sorted(group, key=lambda k: k.radius):
            number += one.radius - last > SAME_RADIUS
            last = one.radius
            nodes.setdefault((depths_m.index(one.depth_m), number, one.channel), []).append(one)
    return dict(sorted(nodes.items()))


def _refuse_missing(
    nodes: dict[Key, list[ScatteredKernel]], depths_m: Sequence[float], channels: Sequence[Channel]
) -> None:
    radii = {key[1]: group[0].radius for key, group in nodes.items()}
    wanted = itertools.product(range(len(depths_m)), sorted(radii), range(len(channels)))
    missing = [key for key in wanted if key not in nodes]
    if missing:
        d, r, c = missing[0]
        place = f"depth {depths_m[d]:g} m, radius {radii[r]:.4f}, channel {channels[c].name!r}"
        more = f" (and at {len(missing) - 1} more places)" if len(missing) > 1 else ""
        expected = "one for each depth, image height and channel, or radii to interpolate to"
        raise InputError("kernels", f"none at {place}{more}", expected)


def _mixed_channels(nodes: dict[Key, list[ScatteredKernel]], channels: Sequence[Channel]) -> list[Channel]:
    """The channels with the wavelengths of their kernels, which are the same at every place."""
    found: dict[int, tuple[tuple[float, float], ...]] = {}
    for (_, _, c), group in nodes.items():
        waves: dict[float, float] = {}
        for one in group:
            if one.wavelength_um is not None:
                waves[round(one.wavelength_um, 4)] = one.weight
        if waves and any(one.wavelength_um is None for one in group):
            raise InputError(group[0].where, "files with and without a wavelength", "all of a place alike")
        mix = tuple(sorted(waves.items()))
        first = found.setdefault(c, mix)
        if not _alike(first, mix):
            expected = f"{_waves(first)} as elsewhere in channel {channels[c].name!r}"
            raise InputError(group[0].where, _waves(mix), expected)
    made = []
    for c, channel in enumerate(channels):
        mix = found.get(c, ())
        if mix and channel.wavelengths_um:
            own = sorted(channel.wavelengths_um)
            if len(own) != len(mix) or any(
                abs(a - b[0]) > SAME_WAVELENGTH_UM * 1.5 for a, b in zip(own, mix, strict=True)
            ):
                raise InputError(f"channel {channel.name!r}", _waves(mix), " and ".join(f"{one:g} um" for one in own))
        elif mix:
            channel = Channel(channel.name, tuple(one for one, _ in mix), tuple(weight for _, weight in mix))
        made.append(channel)
    return made


def _alike(a: Sequence[tuple[float, float]], b: Sequence[tuple[float, float]]) -> bool:
    return len(a) == len(b) and all(
        abs(x[0] - y[0]) <= SAME_WAVELENGTH_UM and math.isclose(x[1], y[1], rel_tol=1e-6)
        for x, y in zip(a, b, strict=True)
    )


def _waves(mix: Sequence[tuple[float, float]]) -> str:
    return " and ".join(f"{wave:g} um (weight {weight:g})" for wave, weight in mix) or "no wavelength"


def _find_window(kernels: Sequence[ScatteredKernel], pitch_um: float, kernel_px: int | None) -> tuple[int, int]:
    """The window to place kernels in, and the one that all of them cover."""
    covered_px = max(1, min(_odd_px(find_reach_um(one) / pitch_um) for one in kernels))
    return kernel_px or min(covered_px, WIDEST_PX), covered_px


def _odd_px(reach_px: float) -> int:
    """Side of the largest odd window within `reach_px` of its middle."""
    return 2 * math.floor(reach_px - 0.5 + 1e-6) + 1


def _choose_window(values: Sequence[Tensor], oversample: int, covered_px: int) -> int:
    """The smallest odd window that leaves out little of any kernel."""
    kept = torch.stack(list(values))
    whole = kept.sum((-2, -1))
    widest_px = kept.shape[-1] // oversample
    for size_px in range(1, widest_px, 2):
        if bool((whole - crop(kept, size_px * oversample).sum((-2, -1)) <= LEFT_OUT).all()):
            return size_px
    return widest_px


def _make_node(
    group: Sequence[ScatteredKernel],
    pitch_um: float,
    window_px: int,
    oversample: int,
    most_asymmetry: float,
    notices: list[Notice],
) -> _Node:
    by_wave: dict[float, list[ScatteredKernel]] = {}
    for one in group:
        by_wave.setdefault(round(one.wavelength_um or 0.0, 4), []).append(one)
    total = torch.zeros((window_px * oversample,) * 2, dtype=torch.float64)
    worst = 0.0
    for same in by_wave.values():
        _refuse_twice(same)
        placed = [place_kernel(one, pitch_um / oversample, window_px * oversample) for one in same]
        for one, light in zip(same, placed, strict=True):
            if not float(light.sum()) > 0:
                raise InputError(one.where, "no light inside the window", "a kernel near its centre")
            off = 0.5 * float((light - light.flip(0)).abs().sum() / light.sum())
            if off > most_asymmetry:
                found = f"{100 * off:.0f} % of the light on the other side in the mirror image about the radius"
                raise InputError(one.where, found, "the right azimuth and centre, and a lens of revolution")
            worst = max(worst, off)
        mean = torch.stack(placed).mean(0)
        apart = max(0.5 * float((light - mean).abs().sum()) for light in placed)
        if apart > most_asymmetry:
            found = f"kernels at other azimuths that differ in {100 * apart:.0f} % of their light"
            raise InputError(same[0].where, found, "a lens of revolution")
        if len(same) > 1:
            text = f"{len(same)} azimuths averaged"
            notices.append(Notice(same[0].where, 0, "changed", text))
        total += same[0].weight * mean
    total /= sum(same[0].weight for same in by_wave.values())
    given = [one.transmission for one in group]
    known = [one for one in given if one is not None]
    if len(known) not in (0, len(given)):
        raise InputError(group[0].where, "a transmission for some files of a place", "one for all or for none")
    return _Node(
        values=0.5 * (total + total.flip(0)),
        radius=sum(one.radius for one in group) / len(group),
        transmission=sum(known) / len(known) if known else None,
        asymmetry=worst,
    )


def _refuse_twice(group: Sequence[ScatteredKernel]) -> None:
    for a, b in itertools.combinations(group, 2):
        turn = abs(math.remainder(a.azimuth_rad - b.azimuth_rad, 2 * math.pi))
        if turn < 1e-3 or a.radius < SAME_RADIUS:
            raise InputError(b.where, f"the same depth, place, channel and wavelength as {a.where}", "each once")


def _assemble(
    made: dict[Key, _Node],
    d: int,
    c: int,
    depth_m: float,
    channel: Channel,
    size_px: int,
    oversample: int,
    image_shape_px: tuple[int, int],
    pitch_um: float,
    focus_m: float,
) -> PolarPSFField:
    """The nodes of one depth and channel as a field of their own."""
    nodes = [node for key, node in made.items() if key[0] == d and key[2] == c]
    if not nodes:
        raise InputError("kernels", f"none at depth {depth_m:g} m in channel {channel.name!r}", "one at least")
    light = crop(torch.stack([node.values for node in nodes]), size_px * oversample)
    kept = light.sum((-2, -1))
    given = [node.transmission for node in nodes]
    shares = torch.tensor([1.0 if one is None else one for one in given], dtype=torch.float64)
    if nodes[0].radius < SAME_RADIUS and float(shares[0]) > 0:
        shares = shares / shares[0]
    return PolarPSFField(
        kernels=(light / kept[:, None, None])[None, :, None],
        transmission=shares[None, :, None],
        lost=(1 - kept).clamp(0, 1 - 1e-9)[None, :, None],
        depths_m=torch.tensor([depth_m], dtype=torch.float64),
        radii=torch.tensor([node.radius for node in nodes], dtype=torch.float64),
        image_shape_px=image_shape_px,
        pitch_um=float(pitch_um),
        channels=(channel,),
        focus_m=focus_m,
        oversample=oversample,
    )


def _interpolated(part: PolarPSFField, radii: Sequence[float]) -> PolarPSFField:
    """A field of one depth and channel at other image heights, each between two of its own."""
    wanted = torch.tensor(list(radii), dtype=torch.float64)
    lowest, highest = float(part.radii[0]), float(part.radii[-1])
    outside = [float(one) for one in wanted if not lowest - SAME_RADIUS <= one <= highest + SAME_RADIUS]
    if outside:
        place = f"depth {float(part.depths_m[0]):g} m, channel {part.channels[0].name!r}"
        raise InputError("radii", f"{outside[0]:g}", f"within {lowest:.4f} to {highest:.4f}, the kernels' at {place}")
    # Stored values as pixels of their own: what is read between them keeps the fine grid.
    fine = replace(part, oversample=1)
    depth_m = part.depths_m.expand(len(wanted))
    return replace(
        part,
        kernels=fine.at(wanted, depth_m)[None],
        transmission=fine.transmission_at(wanted, depth_m)[None],
        lost=fine.lost_at(wanted, depth_m)[None],
        radii=wanted,
    )


def _joined(
    parts: Sequence[PolarPSFField], depths_m: Sequence[float], channels: Sequence[Channel], provenance: Provenance
) -> PolarPSFField:
    def join(name: str) -> Tensor:
        values = torch.stack([getattr(one, name)[0, :, 0] for one in parts])
        values = values.reshape(len(depths_m), len(channels), *values.shape[1:])
        return values.transpose(1, 2).contiguous()

    radii = torch.stack([one.radii for one in parts]).mean(0)
    return replace(
        parts[0],
        kernels=join("kernels"),
        transmission=join("transmission"),
        lost=join("lost"),
        depths_m=torch.tensor(list(depths_m), dtype=torch.float64),
        radii=radii,
        channels=tuple(channels),
        provenance=provenance,
    )


def _tell(field: PolarPSFField, kernels: Sequence[ScatteredKernel], worst: float, notices: list[Notice]) -> None:
    about = "the field"
    if all(one.transmission is None for one in kernels):
        notices.append(Notice(about, 0, "lost", "no transmission in the files: 1 everywhere"))
    elif any(one.transmission is None for one in kernels):
        notices.append(Notice(about, 0, "guessed", "no transmission at some places: 1 there"))
    if worst > TOLD:
        text = f"kernels averaged with their mirror images, which were up to {100 * worst:.1f} % apart"
        notices.append(Notice(about, 0, "changed", text))
    low, high = float(field.radii[0]), float(field.radii[-1])
    if low > COVERED or high < 1 - COVERED:
        text = f"radii {low:.3f} to {high:.3f} of 0 to 1: pixels beyond take the nearest kernels"
        notices.append(Notice(about, 0, "guessed", text))
    if float(field.lost.max()) > TOLD:
        text = f"up to {100 * float(field.lost.max()):.1f} % of a kernel's light outside {field.kernel_px} px"
        notices.append(Notice(about, 0, "lost", text))
