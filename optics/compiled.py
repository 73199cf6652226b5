"""The tracer's inner loops for the CPU, compiled: light through planes, conics and polynomials in r.

A block is `LANES` rays that go surface by surface through one small scratch array, a row per quantity, so that every
inner loop is straight arithmetic over lanes and becomes vector instructions. All rows lie in one flat array at constant
offsets: only then does the compiler see by itself that they do not overlap. Kernels release the interpreter's lock and
take a range of blocks; `adjoint.py` holds the way back.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
import numpy as np

from .forms import (
    CAP,
    CLOSE,
    CONIC,
    EDGE2,
    EDGE_Z,
    EVEN,
    FOUND2,
    HIGH,
    KIND,
    LANES,
    LIMIT2,
    LOW,
    MIXED,
    NEAR2,
    PLANE,
    RIM2,
    SCAN2,
    SMALL,
    START,
    VERTEX,
    C,
    K,
    Q,
    axis_guard,
    eight,
    kernel,
    sag,
)

_MAX_STEPS = 30
_SCAN_POINTS = 48
_BISECTIONS = 70

# What becomes of a ray, as in `rays.Fate`; a lane that holds no ray is lost before the first surface.
_CLIPPED, _MISSED, _TOTAL_REFLECTION, _NOT_CONVERGED = 1, 2, 3, 4
_NO_RAY = -1

# Rows of the scratch array.
X, Y, Z, L, M, N = 0 * LANES, 1 * LANES, 2 * LANES, 3 * LANES, 4 * LANES, 5 * LANES
OPL, INDEX, AT, WHY = 6 * LANES, 7 * LANES, 8 * LANES, 9 * LANES
X0, Y0, T0, R2, B, A, NZ = 10 * LANES, 11 * LANES, 12 * LANES, 13 * LANES, 14 * LANES, 15 * LANES, 16 * LANES
WAY, SLOPE, FOUND, DOUBT, AFTER = 17 * LANES, 18 * LANES, 19 * LANES, 20 * LANES, 21 * LANES
ROWS = 22


@kernel
def number_wavelengths(values, found, which):
    """Number different values in order of appearance; gives up and returns len(found) + 1 where they are too many."""
    count, last = 0, 0
    for ray in range(len(values)):
        if count == 0 or values[ray] != found[last]:
            last = 0
            while last < count and found[last] != values[ray]:
                last += 1
            if last == count:
                if count == len(found):
                    return count + 1
                found[count] = values[ray]
                count += 1
        which[ray] = last
    return count


@kernel
def to_vertex_plane(w, vertex):
    """Where each ray meets the vertex plane; from there r^2 = R2 + 2 B s + A s^2 and z = NZ s over the way s."""
    one = w.dtype.type(1)
    zero, least = one - one, w.dtype.type(1e-12) if w.itemsize == 8 else w.dtype.type(1e-6)
    for i in range(LANES):
        l, m, n = w[L + i], w[M + i], w[N + i]
        safe = n if abs(n) > least else least
        t0 = (vertex - w[Z + i]) / safe
        x0, y0 = w[X + i] + l * t0, w[Y + i] + m * t0
        alive = w[AT + i] == zero
        # Lanes without light stand still on the axis, where every surface is met at once.
        w[T0 + i] = t0 if alive else zero
        w[X0 + i] = x0
        w[Y0 + i] = y0
        w[R2 + i] = x0 * x0 + y0 * y0 if alive else zero
        w[B + i] = x0 * l + y0 * m if alive else zero
        w[A + i] = l * l + m * m if alive else zero
        w[NZ + i] = safe if alive else one
        w[WAY + i] = zero


@kernel
def _solve_conic(w, c, k):
    """The crossing from front to back in closed form, in whichever writing of the root does not cancel."""
    one = w.dtype.type(1)
    zero = one - one
    for i in range(LANES):
        n = w[NZ + i]
        a = c * (w[A + i] + (one + k) * n * n)
        b = n - c * w[B + i]
        e = c * w[R2 + i]
        under = b * b - a * e
        root = np.sqrt(under if under > zero else zero)
        root = root if n > zero else -root
        agrees = b * n >= zero
        sum_ = b + root
        sum_ = sum_ if sum_ != zero else one
        safe_a = a if a != zero else one
        way = e / sum_ if agrees else (b - root) / safe_a
        w[WAY + i] = way


@kernel
def _solve_newton(w, c, q, a, limit2, cap, small):
    """Damped Newton steps until the largest one of the block is small."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    least = w.dtype.type(1e-12)
    for _ in range(_MAX_STEPS):
        busy = 0
        for i in range(LANES):
            way, b, aa = w[WAY + i], w[B + i], w[A + i]
            rho = w[R2 + i] + way * (b + b + aa * way)
            near = rho if rho < limit2 else limit2
            z, slope, _second = sag(near, c, q, a, one, half, guard)
            z += slope * (rho - near)
            rate = w[NZ + i] - (slope + slope) * (b + aa * way)
            rate = rate if abs(rate) > least else least
            step = (w[NZ + i] * way - z) / rate
            step = step if step < cap else cap
            step = step if step > -cap else -cap
            w[WAY + i] = way - step
            busy += 1 if abs(step) > small else 0
        if busy == 0:
            break


@kernel
def _any_beyond(w, near2):
    beyond = 0
    for i in range(LANES):
        way = w[WAY + i]
        beyond += 1 if w[R2 + i] + way * (w[B + i] + w[B + i] + w[A + i] * way) > near2 else 0
    return beyond > 0


@kernel
def _check(w, c, q, a, limit2, found2, close, edge2, edge_z, clip):
    """Verify by the residual; returns how many rays need a second look."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    zero, least = one - one, w.dtype.type(1e-20)
    doubts = 0
    for i in range(LANES):
        way, b, n = w[WAY + i], w[B + i], w[NZ + i]
        rho = w[R2 + i] + way * (b + b + w[A + i] * way)
        near = rho if rho < limit2 else limit2
        z, slope, _second = sag(near, c, q, a, one, half, guard)
        z += slope * (rho - near)
        found = (abs(n * way - z) < close) & (rho <= found2)
        # Of several crossings the first counts. It leads from front to back, and the ray is in front where it enters
        # the aperture's cylinder. (Of three inside it Newton may take the last; no real surface is that wavy.)
        forward = (n - (slope + slope) * (b + w[A + i] * way)) * n > zero
        aa = w[A + i] if w[A + i] > least else least
        under = b * b - aa * (w[R2 + i] - edge2)
        reach = np.sqrt(under if under > zero else zero)
        enters, leaves = n * (-b - reach) / aa - edge_z, n * (reach - b) / aa - edge_z
        inside = rho <= edge2
        # Strong aspheres are crossed again far outside, and Newton may have gone there.
        outside = (not clip) & (not inside) & ((under <= zero) | (enters * leaves > zero))
        good = found & ((inside & forward & (enters * n < zero)) | outside)
        w[SLOPE + i] = slope
        w[FOUND + i] = one if found else zero
        w[DOUBT + i] = zero if good else one
        doubts += 0 if good else 1
    return doubts


@kernel
def _search(w, i, c, q, a, row, within2):
    """First sign change of lane i inside the cylinder r^2 <= within2: whether there is one, and the ways around it."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    zero = one - one
    r2, b, aa, n = w[R2 + i], w[B + i], w[A + i], w[NZ + i]
    # The part of the ray inside the cylinder and between the surface's lowest and highest point.
    ends = row[LOW] / n, row[HIGH] / n
    low, high = min(ends), max(ends)
    if aa > w.dtype.type(1e-14):
        under = b * b - aa * (r2 - within2)
        if not under >= zero:
            return False, zero, zero
        reach = np.sqrt(under)
        low, high = max(low, (-b - reach) / aa), min(high, (-b + reach) / aa)
    elif not r2 <= within2:
        return False, zero, zero
    if not low < high:
        return False, zero, zero
    width = (high - low) / w.dtype.type(_SCAN_POINTS - 1)
    before, f_before = low, zero
    for j in range(_SCAN_POINTS):
        way = low + width * w.dtype.type(j)
        rho = max(r2 + way * (b + b + aa * way), zero)
        near = min(rho, row[LIMIT2])
        z, slope, _second = sag(near, c, q, a, one, half, guard)
        f = n * way - z - slope * (rho - near)
        if j > 0 and f * f_before <= zero:
            return True, before, way
        before, f_before = way, f
    return False, zero, zero


@kernel
def _rescue(w, c, q, a, row, clip):
    """For rays in doubt: the first sign change along the ray inside the aperture, then bisection."""
    one, half, guard = w.dtype.type(1), w.dtype.type(0.5), axis_guard(w)
    zero = one - one
    for i in range(LANES):
        if w[DOUBT + i] == zero or w[AT + i] != zero:
            continue
        hit, before, after = _search(w, i, c, q, a, row, row[EDGE2])
        if not (hit or clip) and w[FOUND + i] == zero:
            hit, before, after = _search(w, i, c, q, a, row, row[SCAN2])
        if not hit:
            continue
        r2, b, aa, n = w[R2 + i], w[B + i], w[A + i], w[NZ + i]
        f_before, f, rho, way, slope = zero, zero, zero, before, zero
        for j in range(_BISECTIONS):
            rho = max(r2 + way * (b + b + aa * way), zero)
            near = min(rho, row[LIMIT2])
            z, slope, _second = sag(near, c, q, a, one, half, guard)
            f = n * way - z - slope * (rho - near)
            if j == 0:
                f_before = f
            elif f * f_before > zero:
                before = way
            else:
                after = way
            if j < _BISECTIONS - 1:
                way = half * (before + after)
        if abs(f) < row[CLOSE] and rho <= row[FOUND2]:
            w[WAY + i], w[SLOPE + i], w[FOUND + i] = way, slope, one
        elif w[FOUND + i] == zero:
            # There is a jump, not a crossing.
            w[FOUND + i] = -one


@kernel
def _meet(w, a, row, clip):
    one = w.dtype.type(1)
    if row[KIND] == CONIC:
        _solve_conic(w, row[C], row[K])
    else:
        # The paraboloid through vertex and rim is a start that exists everywhere. The base conic may have ended there.
        _solve_conic(w, row[START], -one)
        _solve_newton(w, row[C], row[Q], a, row[NEAR2], row[CAP], row[SMALL])
        if not clip and _any_beyond(w, row[NEAR2]):
            _solve_newton(w, row[C], row[Q], a, row[LIMIT2], row[CAP], row[SMALL])
    if _check(w, row[C], row[Q], a, row[LIMIT2], row[FOUND2], row[CLOSE], row[EDGE2], row[EDGE_Z], clip) > 0:
        _rescue(w, row[C], row[Q], a, row, clip)


@kernel
def _meet_plane(w, found2):
    one = w.dtype.type(1)
    for i in range(LANES):
        w[SLOPE + i] = one - one
        w[FOUND + i] = one if w[R2 + i] <= found2 else one - one


@kernel
def bend(w, number, rim2, clip):
    """Move alive rays to their crossing, judge them, refract them."""
    one = w.dtype.type(1)
    zero = one - one
    clipped, missed = w.dtype.type(_CLIPPED), w.dtype.type(_MISSED)
    total, unsure = w.dtype.type(_TOTAL_REFLECTION), w.dtype.type(_NOT_CONVERGED)
    for i in range(LANES):
        way, slope, l, m, n = w[WAY + i], w[SLOPE + i], w[L + i], w[M + i], w[N + i]
        x, y = w[X0 + i] + l * way, w[Y0 + i] + m * way
        u, v = -(slope + slope) * x, -(slope + slope) * y
        inverse = one / np.sqrt(one + u * u + v * v)
        u, v = u * inverse, v * inverse
        cosine = l * u + m * v + n * inverse
        ratio = w[INDEX + i] / w[AFTER + i]
        under = one - ratio * ratio * (one - cosine * cosine)
        root = np.sqrt(under if under > zero else zero)
        # The refracted ray leaves to the side from which it did not come: the root takes the sign of the cosine.
        gain = (root if cosine > zero else -root) - ratio * cosine
        alive, found = w[AT + i] == zero, w[FOUND + i] > zero
        why = zero if under > zero else total
        why = clipped if clip & (x * x + y * y > rim2) else why
        why = why if found else (missed if w[FOUND + i] == zero else unsure)
        moves, bends = alive & found, alive & (why == zero)
        w[X + i] = x if moves else w[X + i]
        w[Y + i] = y if moves else w[Y + i]
        w[Z + i] = w[Z + i] + n * (w[T0 + i] + way) if moves else w[Z + i]
        w[OPL + i] = w[OPL + i] + w[INDEX + i] * (w[T0 + i] + way) if moves else w[OPL + i]
        w[L + i] = ratio * l + gain * u if bends else l
        w[M + i] = ratio * m + gain * v if bends else m
        w[N + i] = ratio * n + gain * inverse if bends else n
        w[INDEX + i] = w[AFTER + i]
        lost = alive & (why != zero)
        w[AT + i] = number if lost else w[AT + i]
        w[WHY + i] = why if lost else w[WHY + i]


@kernel
def to_image_plane(w, plane):
    """Move alive rays on to the image plane."""
    zero = w.dtype.type(0)
    for i in range(LANES):
        alive = w[AT + i] == zero
        way = (plane - w[Z + i]) / w[N + i] if alive else zero
        w[X + i] = w[X + i] + way * w[L + i]
        w[Y + i] = w[Y + i] + way * w[M + i]
        w[Z + i] = plane if alive else w[Z + i]
        w[OPL + i] = w[OPL + i] + w[INDEX + i] * way


@kernel
def load(w, first, position, direction, which, table, vertex):
    """Fill a block with the rays from `first`; returns how many are no rays at all: not finite or not of length 1."""
    zero, one = w.dtype.type(0), w.dtype.type(1)
    bad = 0
    for i in range(LANES):
        ray = first + i
        w[OPL + i], w[AT + i], w[WHY + i] = zero, zero, zero
        if ray >= len(position):
            w[X + i], w[Y + i], w[Z + i], w[L + i], w[M + i], w[N + i] = zero, zero, vertex, zero, zero, one
            w[INDEX + i], w[AT + i] = one, w.dtype.type(_NO_RAY)
            continue
        x, y, z = position[ray, 0], position[ray, 1], position[ray, 2]
        l, m, n = direction[ray, 0], direction[ray, 1], direction[ray, 2]
        w[X + i], w[Y + i], w[Z + i], w[L + i], w[M + i], w[N + i] = x, y, z, l, m, n
        w[INDEX + i] = table[which[ray], 0]
        if not (abs(l * l + m * m + n * n - 1) < 1e-3 and abs(x) + abs(y) + abs(z) < 1e12):
            bad += 1
    return bad


@kernel
def index_behind(w, first, which, table, surface):
    """Index behind a surface (counted from 0) for every lane."""
    if len(table) == 1:
        value = table[0, surface + 1]
        for i in range(LANES):
            w[AFTER + i] = value
    else:
        for i in range(LANES):
            ray = first + i
            w[AFTER + i] = table[which[ray if ray < len(which) else 0], surface + 1]


@kernel
def trace_blocks(
    begin, end, position, direction, which, table, form, coefficients, clip, landed, heading, opl, at, why, path, ways
):
    """Trace blocks `begin` to `end` - 1. `path` (N, S, 3) and `ways` (blocks, S, LANES) are filled unless empty.

    Returns how many of the rays are no rays.
    """
    w = np.empty(ROWS * LANES, position.dtype)
    surfaces = len(form) - 1
    bad = 0
    for block in range(begin, end):
        first = block * LANES
        bad += load(w, first, position, direction, which, table, form[0, VERTEX])
        rays = min(LANES, len(position) - first)
        for s in range(surfaces):
            row = form[s]
            kind = row[KIND]
            index_behind(w, first, which, table, s)
            to_vertex_plane(w, row[VERTEX])
            if kind == PLANE:
                _meet_plane(w, row[FOUND2])
            elif kind == CONIC:
                _meet(w, None, row, clip)
            elif kind == EVEN:
                _meet(w, eight(coefficients[s], 1), row, clip)
            elif kind == MIXED:
                _meet(w, (eight(coefficients[s], 1), eight(coefficients[s], 0)), row, clip)
            else:
                _meet(w, coefficients[s], row, clip)
            bend(w, w.dtype.type(s + 1), row[RIM2], clip)
            if len(path):
                for i in range(rays):
                    path[first + i, s, 0], path[first + i, s, 1] = w[X + i], w[Y + i]
                    path[first + i, s, 2] = w[Z + i]
            if len(ways):
                for i in range(LANES):
                    ways[block, s, i] = w[WAY + i]
        to_image_plane(w, form[surfaces, VERTEX])
        for i in range(rays):
            ray = first + i
            landed[ray, 0], landed[ray, 1], landed[ray, 2] = w[X + i], w[Y + i], w[Z + i]
            heading[ray, 0], heading[ray, 1], heading[ray, 2] = w[L + i], w[M + i], w[N + i]
            opl[ray] = w[OPL + i]
            at[ray], why[ray] = int(w[AT + i]), int(w[WHY + i])
    return bad
