"""The direct estimator: a PSF field from pairs of pictures by convex least squares, without a network.

    model = estimate_direct(captures)
    kernels = model.kernels_at(radius, depth_m)             # (N, C, K, K), azimuth 0
    field = model.to_field(depths_m, radii)

A blurred pixel is a sum over cells of light: `blurred(p) = sum_k K(h, z; k) sharp(p - c(h, z) - turned_k)`, linear in
the kernel K. Every pixel has its own image height h and azimuth, and only the sharp picture is ever read between its
pixels. Cells lie where the light is: their widths follow the kernel's size, which a first, rough solution tells, so
that there are as many across a spot in focus as across a disc out of focus. Kernels are hat functions of image height
and dioptre, mirror images of themselves, not negative and of unit sum. How smooth they are is decided by depths that
are held back; gains, fall-off of light and noise come from the pictures.
"""

import math
import os
import pickle
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..captures import Captures
from ..errors import InputError
from ..jobs import Progress
from ..runs import whole_file
from ..threads import limit_threads
from . import sizing
from .breathing import choose_magnification
from .direct_model import DirectModel, NodeKernels
from .estimates import check_pairs, identify_run
from .fitting import fit_kernels, make_quadratic, start_fit
from .noise import find_noise_variance
from .normal_equations import Sums, View, add_pair, count_pixels, empty_sums, lay_out
from .priors import Strengths
from .scale_search import refine_magnification

# Nodes of image height: kernels change faster with it than hat functions over a few nodes follow.
MOST_RADII = 16
# Pixels from this image height inwards tell of the axis as well, which gets a node.
NEAR_AXIS = 0.1
# Cells along a side of a kernel, and how many of them lie in its core.
CELLS, INNER_SHARE = 25, 0.58
# The first solution only says how large kernels are: a few pixels and nodes do.
FIRST_CELLS, FIRST_RADII, FIRST_DEPTHS, FIRST_PIXELS = 25, 9, 12, 150_000
# Where no pair lies, the first solution is made of its neighbours: it counts this much of the mean.
UNSEEN_SHARE = 0.01
# It draws pixels by image height, so that corners tell of their kernels' size as well, and beyond the image height that
# only so few of all pixels reach sizes stay as they are there.
HEIGHT_COUNTS, OUTER_SHARE = 200, 0.01
# Progress is counted in pairs read; solving takes about as long as reading this share of them.
SOLVING_SHARE = 0.5
# And so does looking for the image scale, where there is one to look for.
SEARCHING_SHARE = 0.5
# Depths are taken together until the sums fit into so many bytes; all the rest of a run takes about as much again.
MOST_BYTES = 1_500_000_000
# Seconds between two checkpoints, and how much longer it is than writing one.
CHECKPOINT_S, CHECKPOINT_TIMES = 60.0, 10.0


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectOptions:
    """How the direct estimator works; the defaults need no tuning.

    Attributes:
        radius_nodes: Nodes of image height; None: 16 from the centre to the corner, fewer for a part of it.
        depth_nodes: Nodes of depth at most; they lie as densely as kernels change.
        cells: Along a side of a kernel, odd; None: 25.
        most_pixels: Pixels per channel at most, drawn at random beyond; they bound the time.
        most_depths: Different depths at most, near ones are taken together beyond; they bound the memory.
        magnification: Scale of the blurred pictures against the sharp ones (focus breathing); "kernels" leaves it in
            the kernels, "fit" measures it, "auto" measures it and leaves it in the kernels as long as they hold it.
        strengths: Of what is known of kernels beforehand; one factor on all is found on depths held back.
    """

    radius_nodes: int | None = None
    depth_nodes: int = 40
    cells: int | None = None
    most_pixels: int = 4_000_000
    most_depths: int = 200
    magnification: float | str = "auto"
    strengths: Strengths = field(default_factory=Strengths)

    def __post_init__(self) -> None:
        for name, least in (("radius_nodes", 2), ("depth_nodes", 2), ("most_pixels", 1000), ("most_depths", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InputError(f"DirectOptions.{name}", repr(value), f"a whole number of at least {least}")
        if self.cells is not None and (self.cells < 5 or self.cells % 2 == 0):
            raise InputError("DirectOptions.cells", self.cells, "an odd number of at least 5")
        given = self.magnification
        if not (given in ("auto", "fit", "kernels") or (isinstance(given, float | int) and 0.5 < given < 2)):
            raise InputError("DirectOptions.magnification", repr(given), '"auto", "fit", "kernels" or a scale near 1')


def estimate_direct(
    captures: Captures,
    options: DirectOptions | None = None,
    *,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> DirectModel:
    """A model of the camera's kernels.

    Args:
        captures: Pairs of one focus distance.
        options: See `DirectOptions`.
        generator: Draws pixels where there are more than `most_pixels`; the same state gives the same model.
        on_progress: Called with (steps done, steps in all).
        checkpoint: A file to which sums are written now and then, and from which a run that was stopped goes on to
            the same result; removed at the end.

    Raises:
        InputError: Several focus distances, pairs too small for their kernels, a checkpoint of something else.
    """
    options = options or DirectOptions()
    if not isinstance(options, DirectOptions):
        raise InputError("options", type(options).__name__, "DirectOptions")
    check_pairs(captures)
    # Threads are ours: see `parallel`.
    threads = torch.get_num_threads()
    with limit_threads(1):
        model = run_direct(captures, options, generator, on_progress, checkpoint, threads)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    return model


def run_direct(
    captures: Captures,
    options: DirectOptions,
    generator: torch.Generator | None,
    on_progress: Progress | None,
    checkpoint: str | os.PathLike[str] | None,
    threads: int,
) -> DirectModel:
    """`estimate_direct` as a first part of something longer: the checkpoint stays, and knows the result."""
    seed = int(torch.randint(0, 2**62, (1,), generator=generator or torch.Generator().manual_seed(0)))
    count, channels = len(captures), captures.channel_count
    found = choose_magnification(captures, options.magnification)
    searched = 0
    if found != 1 and isinstance(options.magnification, str):
        searched = count + math.ceil(SEARCHING_SHARE * count)
    state = _Run(captures, options, seed, on_progress, searched, checkpoint, threads)
    nodes = state.nodes
    radii = _choose_radii(captures, options)
    magnification = _refine(state, radii, found) if searched else found
    for channel in range(len(nodes), channels):
        noise = _find_noise(captures, channel)
        view, moments = _view_sizes(state, channel, radii, magnification, noise)
        sums = state.sum_pairs(f"{channel}", channel, view, radii, options.most_pixels)
        depths = sizing.place_nodes(moments, sums.layout.dioptres, options.depth_nodes)
        fit = fit_kernels(sums, view, start_fit(sums, depths, noise), options.strengths, rounds=2, threads=threads)
        fit = fit_kernels(sums, view, fit, options.strengths, rounds=1, choose=True, threads=threads)
        del sums
        nodes.append(NodeKernels.of_fit(fit, view))
        state.keep_nodes()
        state.step(math.ceil(SOLVING_SHARE * count))
    return DirectModel(
        nodes=tuple(nodes),
        image_shape_px=captures.image_shape_px,
        kernel_px=captures.kernel_px,
        focus_m=float(captures.focus_m[0]),
        magnification=magnification,
        depth_range_m=(float(captures.depths_m[0]), float(captures.depths_m[-1])),
        pitch_um=captures.pitch_um,
    )


def _refine(state: "_Run", radii: Tensor, found: float) -> float:
    """The scale at which kernels explain the pictures best, from one that is nearly it."""
    captures = state.captures
    if state.magnification is None:
        channel = captures.channel_count // 2
        noise = _find_noise(captures, channel)
        view, moments = _view_sizes(state, channel, radii, found, noise)
        state.magnification = refine_magnification(
            captures, channel, view, moments, radii, noise, seed=state.seed, threads=state.threads
        )
        state.keep_nodes()
        state.step(math.ceil(SEARCHING_SHARE * len(captures)))
    return state.magnification


def _view_sizes(
    state: "_Run", channel: int, radii: Tensor, magnification: float, noise: float
) -> tuple[View, sizing.Moments]:
    """A view whose cells are as large as a first, rough solution says that kernels are, and how large that is."""
    kernel_px, cells = state.captures.kernel_px, state.options.cells or CELLS
    side = min(kernel_px, FIRST_CELLS)
    rough = View(kernel_px, side, side // 2, None, magnification)
    moments = _find_moments(state, channel, rough, radii, noise)
    return View(kernel_px, cells, round(INNER_SHARE * (cells // 2)), moments, magnification), moments


def _choose_radii(captures: Captures, options: DirectOptions) -> Tensor:
    """Even nodes of image height over the pixels that there are."""
    lowest, highest = 1.0, 0.0
    for index in range(len(captures)):
        radius = captures.radius(index)
        lowest, highest = min(lowest, float(radius.min())), max(highest, float(radius.max()))
    if lowest < NEAR_AXIS:
        lowest = 0.0
    covered = highest - lowest
    count = options.radius_nodes or max(2, min(MOST_RADII, math.ceil(MOST_RADII * covered) + 1, 2 + len(captures)))
    return torch.linspace(lowest, max(highest, lowest + 1e-3), count, dtype=torch.float64)


def _find_noise(captures: Captures, channel: int) -> float:
    """Variance of the blurred pictures' noise, about: the fit begins with it."""
    step = max(1, len(captures) // 60)
    pictures = [captures[n].blurred[channel] for n in range(0, len(captures), step)]
    return max(find_noise_variance(torch.stack(pictures)), 1e-9)


def _find_moments(state: "_Run", channel: int, view: View, radii: Tensor, noise: float) -> sizing.Moments:
    """Sizes of kernels from a first solution in cells of one size."""
    few = torch.linspace(float(radii[0]), float(radii[-1]), min(FIRST_RADII, len(radii)), dtype=torch.float64)
    counts = count_pixels(state.captures, HEIGHT_COUNTS)
    sums = state.sum_pairs(f"{channel} first", channel, view, few, FIRST_PIXELS, counts)
    dioptres = sums.layout.dioptres
    count = min(FIRST_DEPTHS, len(dioptres))
    depths = torch.linspace(float(dioptres[0]), float(dioptres[-1]), count, dtype=torch.float64)
    fit = fit_kernels(
        sums, view, start_fit(sums, depths, noise), Strengths(0.3, 0.2, 0.2), rounds=2, threads=state.threads
    )
    quadratic = make_quadratic(sums, fit, torch.ones(len(dioptres)))
    layout, slots = sums.layout, quadratic.slots
    seen = sums.block_weight[: len(layout.slot_node)][slots.target] * slots.weight
    weight = torch.zeros(len(fit.kernels), dtype=torch.float64).index_add(0, slots.source, seen)
    weight = weight + UNSEEN_SHARE * weight.mean()
    places = (few.repeat(count), depths.repeat_interleave(len(few)))
    inner = int((counts.cumsum(0) < (1 - OUTER_SHARE) * counts.sum()).sum())
    reach = (inner + 1) / HEIGHT_COUNTS
    return sizing.fit_moments(fit.kernels.double(), *places, weight, view.side, view.kernel_px / view.side, reach)


class _Run:
    """How far a run has come: progress, and sums in a checkpoint."""

    def __init__(
        self,
        captures: Captures,
        options: DirectOptions,
        seed: int,
        on_progress: Progress | None,
        searched: int,
        checkpoint: str | os.PathLike[str] | None,
        threads: int,
    ) -> None:
        self.captures, self.options, self.seed = captures, options, seed
        per_channel = 2 * len(captures) + math.ceil(SOLVING_SHARE * len(captures))
        self.on_progress, self.done = on_progress, 0
        self.total = searched + captures.channel_count * per_channel
        self.checkpoint, self.threads = None if checkpoint is None else Path(checkpoint), threads
        self.identity = ""
        self.kept: dict[str, Any] = {}
        # Of the channels that are done.
        self.nodes: list[NodeKernels] = []
        # None as long as it is looked for.
        self.magnification: float | None = None
        if self.checkpoint is not None:
            self.identity = identify_run(captures, [seed, asdict(options)])
            if self.checkpoint.is_file():
                self.kept = _load(self.checkpoint)
                # Those of versions that did not look for the scale do not tell it.
                if self.kept.get("identity") != self.identity or "magnification" not in self.kept:
                    expected = "one of these captures with these options, or no file"
                    raise InputError(str(self.checkpoint), "the checkpoint of another estimate", expected)
                self.nodes, self.magnification = list(self.kept["nodes"]), self.kept["magnification"]
                self.step(len(self.nodes) * per_channel + (0 if self.magnification is None else searched))

    def step(self, steps: int) -> None:
        self.done += steps
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)

    def keep_nodes(self) -> None:
        """Write down what is done of the channels, and nothing else."""
        self._save({})

    def sum_pairs(
        self,
        name: str,
        channel: int,
        view: View,
        radii: Tensor,
        most_pixels: int,
        pixel_counts: Tensor | None = None,
    ) -> Sums:
        """The sums of all pairs, in their order."""
        captures = self.captures
        layout = lay_out(captures, radii, self.options.most_depths, view)
        most = MOST_BYTES // (4 * layout.taps**2)
        while len(layout.block_left) > most and len(layout.dioptres) > 1:
            fewer = min(len(layout.dioptres) - 1, int(len(layout.dioptres) * most / len(layout.block_left)))
            layout = lay_out(captures, radii, max(fewer, 1), view)
        first, sums = 0, None
        if self.kept.get("name") == name:
            first, sums = self.kept["next"], self.kept["sums"]
            self.step(first)
        sums = sums or empty_sums(layout, len(captures))
        per_pair = max(1, most_pixels // len(captures))
        saved, pause = time.monotonic(), CHECKPOINT_S
        for index in range(first, len(captures)):
            # Numbers of their own for every pair: where a run was stopped does not matter.
            generator = torch.Generator().manual_seed((self.seed + 7919 * index + 104729 * channel) % 2**62)
            add_pair(
                sums,
                captures,
                index,
                channel,
                view,
                most_pixels=per_pair,
                pixel_counts=pixel_counts,
                generator=generator,
                threads=self.threads,
            )
            if self.checkpoint is not None and time.monotonic() - saved > pause:
                begun = time.monotonic()
                self._save({"name": name, "next": index + 1, "sums": sums})
                saved = time.monotonic()
                pause = max(CHECKPOINT_S, CHECKPOINT_TIMES * (saved - begun))
            self.step(1)
        return sums

    def _save(self, kept: dict[str, Any]) -> None:
        if self.checkpoint is None:
            return
        with whole_file(self.checkpoint) as part:
            done = {"nodes": self.nodes, "magnification": self.magnification}
            torch.save({"identity": self.identity, **done, **kept}, part)


def _load(checkpoint: Path) -> dict[str, Any]:
    try:
        kept = torch.load(checkpoint, weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError, AttributeError, ModuleNotFoundError) as error:
        raise InputError(str(checkpoint), "a file that cannot be read", "a checkpoint of an estimate") from error
    if not isinstance(kept, dict):
        raise InputError(str(checkpoint), type(kept).__name__, "a checkpoint of an estimate")
    return kept
