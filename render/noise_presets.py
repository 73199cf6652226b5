"""Published noise of real and simulated sensors, and two forms whose numbers the user brings.

Presets that were measured on whole DN contain the rounding's 1/12 DN^2, which is taken off, not below 0: a simulator
that rounds adds it again. `published=True` leaves it in, for whoever compares with the source.
"""

import math
from collections.abc import Sequence

from psf import InputError

from .metadata import READ_OFFSET, READ_SD, READ_SLOPE, SHOT_RANGE
from .moments import ROUNDING_DN2
from .noise import NoiseModel, RandomNoise
from .noise_curves import Numbers, Polynomial, Table

# Wang et al., Practical Deep Raw Image Denoising on Mobile Devices, ECCV 2020, and its release: the main camera of the
# OPPO Reno 10x (which has an IMX586; the release does not say so). DN of 10 bits, black 64. k and sigma^2 by powers of
# the ISO, from 0 up. It states no range of ISO; this is the one that psfield uses.
IMX586_K_DN = (0.00868861, 0.0005995267)
IMX586_SIGMA2_DN2 = (0.11492713, 6.514934e-4, 7.11772e-7)
IMX586_RANGE_DN, IMX586_ISO = 959.0, (100, 3200)

# Yue et al., Supervised Raw Video Denoising, CVPR 2020, and its release. DN of 12 bits, black 240.
IMX385_ISO = (1600, 3200, 6400, 12800, 25600)
IMX385_K_DN = (3.513262, 6.955588, 13.486051, 26.585953, 52.032536)
IMX385_SIGMA2_DN2 = (11.917691, 38.117816, 130.818508, 484.539790, 1819.818657)
IMX385_RANGE_DN = 3855.0

# Yang et al.: the simulator released beside it, not a measured sensor: var_DN = alpha^2 s g + sigma^2 g^2, g = ISO/100.
RELEASE_ALPHA, RELEASE_SIGMA, RELEASE_RANGE_DN, RELEASE_ISO = 0.4, 0.5, 959.0, (100, 800)

# Wei et al., A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising, CVPR 2020, and its release,
# the Gaussian part alone (row noise and the heavy tail left out). log sigma = slope log K + bias, DN of 14 bits.
ELD_K_DN, ELD_RANGE_DN = (0.1, 30.0), 15583.0
ELD = {
    "eld_sony_a7s2": (0.5407496, 1.2182371, 0.2675116),
    "eld_nikon_d850": (0.5634612, 0.7994101, 0.2140823),
    "eld_canon_5d4": (0.6771268, 1.5121877, 0.2464110),
}

ISO_PRESETS = ("imx586", "imx385", "release")
RANDOM_PRESETS = ("brooks", *ELD)


def load_noise(name: str, *, published: bool = False) -> NoiseModel:
    """A published sensor.

    | name | what | ISO |
    |---|---|---|
    | "imx586" | main camera of a phone, PMRID's release | 100 to 3200 (no range published) |
    | "imx385" | surveillance sensor, RViDeNet's release | 1600 to 25600 |
    | "release" | the formula of the simulator beside Yang et al.; no measured sensor | 100 to 800 |

    Args:
        name: As in the table.
        published: Leave the rounding in where the source has it.
    """
    kept = 0.0 if published else ROUNDING_DN2
    if name == "imx586":
        span, (k, sigma2) = IMX586_RANGE_DN, (IMX586_K_DN, IMX586_SIGMA2_DN2)
        read = [(one / span**2,) for one in (sigma2[0] - kept, *sigma2[1:])]
        curve: Polynomial | Table = Polynomial((k[0] / span,), (k[1] / span,), read[0], read[1], read[2])
        return NoiseModel(curve, IMX586_ISO, name, "PMRID (Wang et al., ECCV 2020), OPPO Reno 10x, main camera")
    if name == "imx385":
        span = IMX385_RANGE_DN
        shots = tuple((k / span,) for k in IMX385_K_DN)
        reads = tuple((max(sigma2 - kept, 0) / span**2,) for sigma2 in IMX385_SIGMA2_DN2)
        curve = Table(IMX385_ISO, shots, reads)
        return NoiseModel(curve, (IMX385_ISO[0], IMX385_ISO[-1]), name, "RViDeNet (Yue et al., CVPR 2020)")
    if name == "release":
        shot, read_2 = RELEASE_ALPHA**2 / 100 / RELEASE_RANGE_DN, (RELEASE_SIGMA / 100 / RELEASE_RANGE_DN) ** 2
        curve = Polynomial(shot_1=(shot,), read_2=(read_2,))
        return NoiseModel(curve, RELEASE_ISO, name, "simulator released beside Yang et al.; not a measured sensor")
    raise InputError("load_noise(name)", repr(name), "one of " + ", ".join(ISO_PRESETS))


def load_random_noise(name: str, *, published: bool = False) -> RandomNoise:
    """Published distributions of noise levels: "brooks", "eld_sony_a7s2", "eld_nikon_d850" or "eld_canon_5d4".

    Args:
        name: Which.
        published: Leave the rounding in where the source has it.
    """
    if name == "brooks":
        source = "Brooks et al., CVPR 2019"
        return RandomNoise(SHOT_RANGE, READ_SLOPE, READ_OFFSET, READ_SD, 0.0, name, source)
    if name in ELD:
        slope, bias, sd = ELD[name]
        # Of variances, normalised: log read = 2 log sigma - 2 log V, and log K = log shot + log V.
        log_range = math.log(ELD_RANGE_DN)
        return RandomNoise(
            (ELD_K_DN[0] / ELD_RANGE_DN, ELD_K_DN[1] / ELD_RANGE_DN),
            2 * slope,
            2 * (bias + (slope - 1) * log_range),
            2 * sd,
            0.0 if published else ROUNDING_DN2 / ELD_RANGE_DN**2,
            name,
            "ELD (Wei et al., CVPR 2020), Profile-1, Gaussian part",
        )
    raise InputError("load_random_noise(name)", repr(name), "one of " + ", ".join(RANDOM_PRESETS))


def make_camera_its(
    a: float | Numbers,
    b: float | Numbers,
    c: float | Numbers,
    d: float | Numbers,
    *,
    analog_iso_max: float,
    iso_range: tuple[float, float],
    name: str = "camera_its",
    source: str = "Android CameraITS noise model",
) -> NoiseModel:
    """Android's CameraITS form: shot = A ISO + B; read = C ISO^2 + D max(ISO / analog_iso_max, 1)^2; none below 0.

    Args:
        a: Normalised units, one number or four for R, Gr, Gb, B.
        b: Likewise.
        c: Likewise.
        d: Likewise.
        analog_iso_max: The highest ISO without digital gain.
        iso_range: The lowest and the highest ISO.
        name: What the sensor is called.
        source: Where the numbers come from.
    """
    held = [one if isinstance(one, tuple) else (one,) for one in (a, b, c, d)]
    curve = Polynomial(held[1], held[0], read_2=held[2], read_after=held[3], analog_iso_max=analog_iso_max)
    return NoiseModel(curve, iso_range, name, source)


def read_noise_profile(values: Sequence[float], iso: float, *, range_dn: float | None = None) -> NoiseModel:
    """What DNG's tag NoiseProfile (51041) says: the noise at the ISO of that exposure and at no other.

    Args:
        values: Pairs (shot, read): one for all planes, three for R, G, B, or four for R, Gr, Gb, B.
        iso: Of the exposure.
        range_dn: White less black in DN: takes the rounding's 1/12 DN^2 off. The standard does not say whether the
            tag contains it; makers measure on whole DN. Default: nothing is taken off.
    """
    pairs = len(values) // 2
    if len(values) % 2 or pairs not in (1, 3, 4):
        raise InputError("NoiseProfile", f"{len(values)} numbers", "2, 6 or 8: one, three or four pairs")
    if not all(math.isfinite(one) and one >= 0 for one in values):
        raise InputError("NoiseProfile", list(values), "finite variances, 0 or more")
    if range_dn is not None and not 0 < range_dn < math.inf:
        raise InputError("read_noise_profile(range_dn)", range_dn, "white less black in DN, above 0")
    order = {1: (0,), 3: (0, 1, 1, 2), 4: (0, 1, 2, 3)}[pairs]
    rounding = 0.0 if range_dn is None else ROUNDING_DN2 / range_dn**2
    shot = tuple(float(values[2 * pair]) for pair in order)
    read = tuple(max(float(values[2 * pair + 1]) - rounding, 0.0) for pair in order)
    return NoiseModel(Table((iso,), (shot,), (read,)), (iso, iso), "dng", "NoiseProfile of a DNG file")
