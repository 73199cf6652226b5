"""A lens as a table of numbers, and the sag of its surfaces, compiled: what `compiled.py` and `adjoint.py` stand on."""

# mypy: allow-untyped-defs, allow-untyped-calls
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload

# Rays that go through the loops side by side.
LANES = 64
# How a surface is evaluated: unrolled polynomials reach r^16, LONG loops.
PLANE, CONIC, EVEN, MIXED, LONG = range(5)
UNROLLED_POWER = 16
# How far around its clear aperture, in semi-apertures, a surface is itself to every ray; see `prepare`.
NEAR_RIM = 1.05
_BOUND_POINTS = 65

# Columns of `form`, a row per surface and a last one for the image plane. Shape and vertex, then squared radii: to
# where the sag is the shape's own, the same for the first solution, to where a crossing counts, the rim.
KIND, C, K, Q, VERTEX, LIMIT2, NEAR2, FOUND2, RIM2 = range(9)
# How far the search goes; the cylinder inside which a crossing comes first, with the height there; Newton's starting
# curvature, largest step, and step at which it is done; the residual that passes; lowest and highest point.
SCAN2, EDGE2, EDGE_Z, START, CAP, SMALL, CLOSE, LOW, HIGH = range(9, 18)
FORM_COLUMNS = 18

# Rounding may be reordered; NaN and infinity keep their meaning, since comparisons rely on it.
_ARITHMETIC: Any = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


def _fingerprint() -> str:
    here = Path(__file__)
    sources = (here.with_name(name) for name in ("forms.py", "compiled.py", "adjoint.py"))
    return f"{zlib.crc32(b''.join(source.read_bytes() for source in sources if source.is_file())):08x}"


_FINGERPRINT = _fingerprint()


def kernel(function: Callable[..., Any]) -> Any:
    """Compile, release the interpreter's lock, keep the result on disk.

    What is kept is known by the function's name and its own file's age. Kernels call each other across files, so the
    name takes a fingerprint of all of them: else an old one would go on calling what is no more.
    """
    function.__qualname__ += f"_{_FINGERPRINT}"
    return njit(nogil=True, cache=True, **_ARITHMETIC)(function)


@kernel
def _conic(rho, c, q, one, half):
    """Height of a conic, its first and second derivative by rho = r^2; q = (1 + k) c^2."""
    # One division for all: by the root, and by the root plus one.
    root = np.sqrt(one - q * rho)
    inverse = one / (root * (one + root))
    by_root = (one + root) * inverse
    slope = half * c * by_root
    return c * rho * root * inverse, slope, slope * half * q * by_root * by_root


@kernel
def _horner(rho, a):
    """Polynomial of eight terms in rho, its derivative, and half of the second."""
    v, d, e = a[7] * rho + a[6], a[7], a[7]
    d, v = d * rho + v, v * rho + a[5]
    e, d, v = e * rho + d, d * rho + v, v * rho + a[4]
    e, d, v = e * rho + d, d * rho + v, v * rho + a[3]
    e, d, v = e * rho + d, d * rho + v, v * rho + a[2]
    e, d, v = e * rho + d, d * rho + v, v * rho + a[1]
    e, d, v = e * rho + d, d * rho + v, v * rho + a[0]
    return v, d, e


@kernel
def _odd(safe, v, d, e, half):
    """The odd part r V(rho) and its derivatives by rho, from V, V' and V'' / 2; `safe` is rho, but never 0."""
    r = np.sqrt(safe)
    inverse = half / r
    return r * v, v * inverse + r * d, (d + d) * inverse - half * v * inverse / safe + r * (e + e)


def sag(rho: Any, c: Any, q: Any, a: Any, one: Any, half: Any, guard: Any) -> Any:
    """Height and its first and second derivative by rho; only compiled code can call it.

    The type of `a` chooses the polynomial: None for a conic alone, eight numbers for r^2, r^4 .. r^16, two times eight
    for these and r, r^3 .. r^15, an array of even length for r, r^2, r^3 ... A function passed as an argument would do
    the same, but then the compiled code could not be kept on disk.
    """
    raise NotImplementedError


@overload(sag, jit_options=_ARITHMETIC)
def _choose_sag(rho, c, q, a, one, half, guard):
    def conic(rho, c, q, a, one, half, guard):
        return _conic(rho, c, q, one, half)

    def even(rho, c, q, a, one, half, guard):
        z, slope, second = _conic(rho, c, q, one, half)
        v, d, e = _horner(rho, a)
        return z + rho * v, slope + v + rho * d, second + (d + d) + rho * (e + e)

    def mixed(rho, c, q, a, one, half, guard):
        z, slope, second = _conic(rho, c, q, one, half)
        v, d, e = _horner(rho, a[0])
        o, p, u = _horner(rho, a[1])
        odd, odd_slope, odd_second = _odd(rho + guard, o, p, u, half)
        return z + rho * v + odd, slope + v + rho * d + odd_slope, second + (d + d) + rho * (e + e) + odd_second

    def long(rho, c, q, a, one, half, guard):
        z, slope, second = _conic(rho, c, q, one, half)
        v, d, e = one - one, one - one, one - one
        o, p, u = v, v, v
        for j in range(len(a) - 1, 0, -2):
            e, d, v = e * rho + d, d * rho + v, v * rho + a[j]
            u, p, o = u * rho + p, p * rho + o, o * rho + a[j - 1]
        odd, odd_slope, odd_second = _odd(rho + guard, o, p, u, half)
        return z + rho * v + odd, slope + v + rho * d + odd_slope, second + (d + d) + rho * (e + e) + odd_second

    if isinstance(a, types.NoneType):
        return conic
    if isinstance(a, types.Array):
        return long
    return even if len(a) == 8 else mixed


@kernel
def eight(a, first):
    """Every second coefficient from `first`, as scalars that stay in registers."""
    f = first
    return a[f], a[f + 2], a[f + 4], a[f + 6], a[f + 8], a[f + 10], a[f + 12], a[f + 14]


@kernel
def axis_guard(w):
    """Added to r^2 before a root; r^-3 of it must not overflow."""
    return w.dtype.type(1e-30) if w.itemsize == 8 else w.dtype.type(1e-24)


@kernel
def prepare(kind, c, k, coefficients, vertices, semi, clip, continued_to):
    """The table `form` of a lens; see the columns above.

    The true sag holds up to LIMIT2 = r^2 (just inside the surface's end, or a little outside the clear aperture) and is
    continued from there by the paraboloid that touches it: Newton then always has a smooth function to work with. Rays
    that apertures do not cut are first solved as if they did (NEAR2), since polynomials run wild outside.
    """
    count = len(kind)
    form = np.zeros((count + 1, FORM_COLUMNS), dtype=c.dtype)
    double = c.itemsize == 8
    one, half, guard = c.dtype.type(1), c.dtype.type(0.5), axis_guard(c)
    inside = 1 - 1e-9 if double else 1 - 1e-5
    grace = 1e-12 if double else 1e-6
    for s in range(count):
        q = (1 + k[s]) * c[s] * c[s]
        end2 = inside * inside / q if q > 0 else np.inf
        far2 = (continued_to * semi[s]) ** 2
        rim2 = (semi[s] * (1 + grace)) ** 2
        form[s, KIND], form[s, C], form[s, K], form[s, Q], form[s, VERTEX] = kind[s], c[s], k[s], q, vertices[s]
        form[s, RIM2] = rim2
        if kind[s] == PLANE or kind[s] == CONIC:
            form[s, LIMIT2] = end2
        else:
            form[s, NEAR2] = min(end2, (NEAR_RIM * semi[s]) ** 2)
            form[s, LIMIT2] = form[s, NEAR2] if clip else min(end2, far2)
        # Without clipping a crossing with the continued surface counts, unless the true one has ended before.
        form[s, FOUND2] = min(end2, far2) if clip or end2 < far2 else end2 if kind[s] <= CONIC else np.inf
        form[s, CAP] = semi[s]
        # The step after a small one is its square: it is below rounding.
        form[s, SMALL] = semi[s] * (3e-8 if double else 1e-4)
        form[s, CLOSE] = semi[s] * (1e-10 if double else 1e-4)
        form[s, SCAN2] = min(end2, rim2 if clip else far2)
        if kind[s] != PLANE:
            low, high = 0.0, 0.0
            for i in range(_BOUND_POINTS):
                rho = c.dtype.type(form[s, SCAN2] * (i / (_BOUND_POINTS - 1)) ** 2)
                z = sag(min(rho, form[s, LIMIT2]), c[s], q, coefficients[s], one, half, guard)[0]
                low, high = min(low, z), max(high, z)
            margin = 0.02 * (high - low) + 1e-6 * semi[s]
            form[s, LOW], form[s, HIGH] = low - margin, high + margin
            edge2 = c.dtype.type(min(form[s, SCAN2], rim2 if clip else NEAR_RIM**2 * rim2))
            form[s, EDGE2] = edge2
            form[s, EDGE_Z] = sag(min(edge2, form[s, LIMIT2]), c[s], q, coefficients[s], one, half, guard)[0]
            form[s, START] = 2 * form[s, EDGE_Z] / edge2
    form[count, VERTEX] = vertices[count]
    return form
