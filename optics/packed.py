"""Between a lens of tensors and the compiled loops: packing, threads, and the tracer as one step of autograd."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from psf.errors import InputError

from .surface import Packed

if TYPE_CHECKING:
    from .lens import Lens

# Wavelengths that differ from ray to ray are told apart up to this many; beyond it every ray has its own index.
_MOST_WAVELENGTHS = 64
# Below this many blocks a second thread costs more than it saves.
_BLOCKS_WORTH_A_THREAD = 16
_TASKS_PER_THREAD = 4
BAD_RAYS = "that are not finite or whose direction has not length 1"


def pack(lens: Lens) -> list[Packed] | None:
    """What the compiled loops need of every shape, or None if one of them is of another kind."""
    packed = [surface.shape.packed() for surface in lens.surfaces]
    return None if any(shape is None for shape in packed) else packed  # type: ignore[return-value]


def trace_packed(
    lens: Lens,
    packed: Sequence[Packed],
    position: Tensor,
    direction: Tensor,
    wavelength: Tensor,
    *,
    path: bool,
    clip: bool,
    continued_to: float,
) -> tuple[Tensor, ...]:
    """Trace N rays through a lens on the CPU.

    Args:
        lens: The lens.
        packed: Its shapes, by `pack`.
        position: Shape (N, 3).
        direction: Shape (N, 3).
        wavelength: Shape () or (N,).
        path: Whether to return crossings.
        clip: Whether apertures cut.
        continued_to: How far surfaces go on without clipping, in semi-apertures.

    Returns:
        Landing points (N, 3), directions (N, 3), optical paths (N,), surface of loss (N,), why (N,), crossings
        (N, S, 3), which are (0, S, 3) unless asked for.
    """
    unique, which = _tell_apart(wavelength, len(position))
    dtype = position.dtype
    table = index_table(lens, unique).to(dtype)
    kinds, terms, coefficients, c, k, semi = _columns(lens, packed, dtype)
    how = _How(kinds, terms, semi, which, path, clip, continued_to)
    inputs = (position, direction, c, k, coefficients, lens.vertices_mm.to(dtype), table)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Trace.apply(*inputs, how)  # type: ignore[no-any-return]
    return _forward(inputs, how, keep=False)[0]


class Follower:
    """A lens packed once, to trace many small batches of rays without gradients: what `trace_packed` does, sooner."""

    def __init__(
        self, lens: Lens, packed: Sequence[Packed], *, path: bool, clip: bool, continued_to: float, dtype: torch.dtype
    ) -> None:
        """Pack a lens; the arguments are those of `trace_packed`, with the rays' dtype."""
        from .forms import prepare

        self.lens, self.path, self.clip, self.dtype = lens, path, clip, dtype
        kinds, _, coefficients, c, k, semi = _columns(lens, packed, dtype)
        self.coefficients = coefficients.detach().contiguous().numpy()
        vertices = lens.vertices_mm.detach().to(dtype)
        plain = [t.detach().contiguous().numpy() for t in (c, k, vertices)]
        self.form = prepare(kinds, plain[0], plain[1], self.coefficients, plain[2], semi, clip, continued_to)
        self.known: tuple[Tensor, Any] | None = None

    def __call__(self, position: Tensor, direction: Tensor, wavelength: Tensor) -> tuple[Tensor, ...]:
        """Trace rays of this dtype on the CPU; shapes and results as in `trace_packed`."""
        unique, which = _tell_apart(wavelength.detach(), len(position))
        known = self.known  # another thread may put its own wavelengths there meanwhile
        if known is None or not torch.equal(known[0], unique):
            table = index_table(self.lens, unique).detach().to(self.dtype).contiguous().numpy()
            self.known = known = (unique.clone(), table)
        rays = [t.detach().contiguous().numpy() for t in (position, direction)]
        surfaces = len(self.form) - 1
        return _run(
            rays[0],
            rays[1],
            which,
            known[1],
            self.form,
            self.coefficients,
            surfaces,
            self.path,
            self.clip,
            keep=False,
        )[0]


def _columns(lens: Lens, packed: Sequence[Packed], dtype: torch.dtype) -> tuple[Any, Any, Tensor, Tensor, Tensor, Any]:
    """Kinds, largest powers, coefficients (S, P), curvatures, conic constants, semi-apertures; all others (S,)."""
    from .forms import UNROLLED_POWER

    columns = UNROLLED_POWER
    kinds = np.empty(len(packed), np.int64)
    terms = np.empty(len(packed), np.int64)
    for i, shape in enumerate(packed):
        kinds[i], terms[i] = _kind(shape), max(shape.powers, default=0)
        columns = max(columns, int(terms[i] + terms[i] % 2))
    flat = [i * columns + power - 1 for i, shape in enumerate(packed) for power in shape.powers]
    coefficients = torch.zeros(len(packed) * columns, dtype=dtype)
    if flat:
        values = torch.cat([shape.coefficients for shape in packed if shape.powers]).to(dtype)
        coefficients = coefficients.index_copy(0, torch.tensor(flat), values)
    c = torch.stack([shape.curvature_per_mm for shape in packed]).to(dtype)
    k = torch.stack([shape.conic_k for shape in packed]).to(dtype)
    semi = np.array([float(surface.semi_aperture_mm.detach()) for surface in lens.surfaces], _numpy(dtype))
    return kinds, terms, coefficients.reshape(-1, columns), c, k, semi


def index_table(lens: Lens, wavelength: Tensor) -> Tensor:
    """Refractive index in front of the lens (air) and behind every surface.

    Args:
        lens: The lens.
        wavelength: In um, shape (W,).

    Returns:
        Shape (W, S + 1).

    Raises:
        InputError: A wavelength is not positive, or a medium has no index there.
    """
    if not bool((wavelength > 0).all()):
        raise InputError("rays.wavelength_um", float(wavelength.detach().min()), "positive numbers")
    # Most media occur more than once.
    known = {id(surface.medium): surface.medium for surface in lens.surfaces}
    indices = {key: medium.index(wavelength) for key, medium in known.items()}
    table = torch.stack([torch.ones_like(wavelength), *(indices[id(s.medium)] for s in lens.surfaces)], dim=1)
    if not bool(((table > 0) & (table < math.inf)).all()):
        for key, medium in known.items():
            bad = ~((indices[key] > 0) & (indices[key] < math.inf))
            if bool(bad.any()):
                found = f"no index at {float(wavelength[bad][0].detach()):.6g} um"
                raise InputError(f"lens {lens.name}, medium {medium.name}", found, "a wavelength inside its range")
    return table


def _kind(shape: Packed) -> int:
    from .forms import CONIC, EVEN, LONG, MIXED, PLANE, UNROLLED_POWER

    if shape.powers:
        if shape.powers[-1] > UNROLLED_POWER:
            return LONG
        return MIXED if any(power % 2 for power in shape.powers) else EVEN
    return PLANE if shape.flat else CONIC


def _numpy(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float64 if dtype == torch.float64 else np.float32


def _tell_apart(wavelength: Tensor, rays: int) -> tuple[Tensor, np.ndarray[Any, np.dtype[np.int32]]]:
    """Different wavelengths (W,), and for each ray which of them it has (N,)."""
    from .compiled import number_wavelengths

    if wavelength.ndim == 0:
        return wavelength.reshape(1), np.zeros(rays, np.int32)
    which = np.empty(rays, np.int32)
    found = np.empty(_MOST_WAVELENGTHS, _numpy(wavelength.dtype))
    values = wavelength.detach().contiguous().numpy()
    number = _MOST_WAVELENGTHS + 1 if wavelength.requires_grad else number_wavelengths(values, found, which)
    if number > _MOST_WAVELENGTHS:
        return wavelength, np.arange(rays, dtype=np.int32)
    return torch.from_numpy(found[:number]), which


class _How:
    """What a trace needs besides tensors that may carry gradients."""

    def __init__(self, kinds: Any, terms: Any, semi: Any, which: Any, path: bool, clip: bool, continued_to: float):
        self.kinds, self.terms, self.semi, self.which = kinds, terms, semi, which
        self.path, self.clip, self.continued_to = path, clip, continued_to


def _forward(inputs: Sequence[Tensor], how: _How, *, keep: bool) -> tuple[tuple[Tensor, ...], Any, Any]:
    from .forms import prepare

    position, direction, c, k, coefficients, vertices, table = (t.detach().contiguous().numpy() for t in inputs)
    form = prepare(how.kinds, c, k, coefficients, vertices, how.semi, how.clip, how.continued_to)
    outputs, ways = _run(
        position, direction, how.which, table, form, coefficients, len(c), how.path, how.clip, keep=keep
    )
    return outputs, form, ways


def _run(
    position: Any,
    direction: Any,
    which: Any,
    table: Any,
    form: Any,
    coefficients: Any,
    surfaces: int,
    path: bool,
    clip: bool,
    *,
    keep: bool,
) -> tuple[tuple[Tensor, ...], Any]:
    """Trace with everything prepared: what `trace_packed` returns, and the way of every ray to every surface."""
    from .compiled import trace_blocks
    from .forms import LANES

    rays, blocks, dtype = len(position), -(-len(position) // LANES), position.dtype
    landed, heading = np.empty_like(position), np.empty_like(position)
    opl, at, why = np.empty(rays, dtype), np.empty(rays, np.int64), np.empty(rays, np.int64)
    crossings = np.empty((rays if path else 0, surfaces, 3), dtype)
    ways = np.empty((blocks if keep else 0, surfaces, LANES), dtype)
    bad: list[int] = []

    def run(begin: int, end: int) -> None:
        given = (position, direction, which, table, form, coefficients, clip)
        bad.append(trace_blocks(begin, end, *given, landed, heading, opl, at, why, crossings, ways))

    _share(run, blocks)
    if sum(bad):
        raise InputError("rays", f"{sum(bad)} {BAD_RAYS}", "finite rays with unit directions")
    return tuple(torch.from_numpy(array) for array in (landed, heading, opl, at, why, crossings)), ways


def _share(run: Callable[[int, int], None], pieces: int, worth: int = _BLOCKS_WORTH_A_THREAD) -> None:
    """Call `run(begin, end)` over all pieces on as many threads as torch uses.

    Threads of our own, not the compiler's pool: that one does not survive a fork, and small batches need none.
    """
    threads = min(torch.get_num_threads(), pieces // worth)
    if threads <= 1:
        if pieces:
            run(0, pieces)
        return
    tasks = threads * _TASKS_PER_THREAD
    edges = [pieces * i // tasks for i in range(tasks + 1)]
    numbers, failures = count(), list[BaseException]()

    def work() -> None:
        try:
            while (i := next(numbers)) < tasks:
                run(edges[i], edges[i + 1])
        except BaseException as failure:
            failures.append(failure)

    others = [threading.Thread(target=work) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    work()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]


class _Trace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        *inputs, how = arguments
        outputs, form, ways = _forward(inputs, how, keep=True)
        at, why = outputs[3], outputs[4]
        ctx.save_for_backward(inputs[0], inputs[1], inputs[4], inputs[6], at)
        ctx.how, ctx.form, ctx.ways = how, form, ways
        ctx.mark_non_differentiable(at, why)
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        from .adjoint import BLOCKS_PER_GROUP, sweep_groups

        position, direction, coefficients, table, at = (t.contiguous().numpy() for t in ctx.saved_tensors)
        how, form, ways = ctx.how, ctx.form, ctx.ways
        rays, surfaces, dtype = len(position), len(coefficients), position.dtype

        def given(i: int, shape: tuple[int, ...]) -> Any:
            gradient = gradients[i]
            return np.zeros(shape, dtype) if gradient is None else gradient.contiguous().numpy()

        g_landed, g_heading, g_opl = given(0, (rays, 3)), given(1, (rays, 3)), given(2, (rays,))
        g_path = given(5, (0, surfaces, 3))
        groups = -(-len(ways) // BLOCKS_PER_GROUP)
        by_position, by_direction = np.empty((rays, 3), dtype), np.empty((rays, 3), dtype)
        own_index = len(table) > _MOST_WAVELENGTHS
        by_table = np.zeros((1 if own_index else groups, *table.shape), dtype)
        by_form = np.zeros((groups, surfaces + 1, 3), dtype)
        by_coefficients = np.zeros((groups, *coefficients.shape), dtype)

        def run(begin: int, end: int) -> None:
            known = (position, direction, how.which, table, form, coefficients, how.terms, at, ways)
            wanted = (by_position, by_direction, by_table, by_form, by_coefficients)
            sweep_groups(begin, end, *known, g_landed, g_heading, g_opl, g_path, *wanted)

        _share(run, groups, worth=1)
        form_sum = torch.from_numpy(by_form.sum(0))
        return (
            torch.from_numpy(by_position),
            torch.from_numpy(by_direction),
            form_sum[:-1, 0],
            form_sum[:-1, 1],
            torch.from_numpy(by_coefficients.sum(0)),
            form_sum[:, 2],
            torch.from_numpy(by_table.sum(0)),
            None,
        )
