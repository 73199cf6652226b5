"""What a NAFNet looks like, in a few numbers, and what it costs."""

from dataclasses import dataclass

from psf import InputError

KERNEL_TAPS = 9  # of every convolution that sees its neighbours


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(name, repr(value), f"an integer of at least {least}")


@dataclass(frozen=True)
class NAFNetConfig:
    """Shape of a NAFNet (Chen et al., Simple Baselines for Image Restoration, ECCV 2022).

    Attributes:
        width: Channels at full size; each level doubles them.
        encoder_blocks: Blocks per level on the way down.
        middle_blocks: Blocks at the smallest size.
        decoder_blocks: Blocks per level on the way up, smallest size first; as many levels as the encoder's.
        in_planes: Planes of the input: R, Gr, Gb, B, then what the network is told besides.
        out_planes: Planes of the result; to them as many first planes of the input are added.
        candidates: Changes to choose from, each of `out_planes` planes, the last of the input: the network also finds
            how much of each is added, cell by cell.
    """

    width: int = 32
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 28)
    middle_blocks: int = 1
    decoder_blocks: tuple[int, ...] = (1, 1, 1, 1)
    in_planes: int = 6
    out_planes: int = 4
    candidates: int = 0

    def __post_init__(self) -> None:
        for name in ("encoder_blocks", "decoder_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("width", "in_planes", "out_planes"):
            _check_count(name, getattr(self, name), 1)
        for name in ("middle_blocks", "candidates"):
            _check_count(name, getattr(self, name), 0)
        for name in ("encoder_blocks", "decoder_blocks"):
            for count in getattr(self, name):
                _check_count(name, count, 0)
        if len(self.encoder_blocks) != len(self.decoder_blocks):
            found = f"{len(self.decoder_blocks)} levels"
            raise InputError("NAFNetConfig.decoder_blocks", found, f"{len(self.encoder_blocks)}, as the encoder has")
        if self.out_planes > self.in_planes:
            expected = f"at most in_planes, {self.in_planes}: the input's first planes are added to the result"
            raise InputError("NAFNetConfig.out_planes", self.out_planes, expected)
        if (1 + self.candidates) * self.out_planes > self.in_planes:
            most = self.in_planes // self.out_planes - 1
            expected = f"at most {most}: each has {self.out_planes} of the {self.in_planes} planes"
            raise InputError("NAFNetConfig.candidates", self.candidates, expected)

    @property
    def levels(self) -> int:
        """How often the picture is halved."""
        return len(self.encoder_blocks)

    @property
    def multiple_cells(self) -> int:
        """Sides of the input are padded to multiples of this."""
        return 1 << self.levels

    @property
    def reach_cells(self) -> int:
        """How far an input cell can act on the result, the means over the frame left aside (an upper bound)."""
        reach = 2 + self.middle_blocks * self.multiple_cells  # 2: the first and the last convolution
        for level, (down, up) in enumerate(zip(self.encoder_blocks, self.decoder_blocks[::-1], strict=True)):
            reach += (down + up + 2) << level  # 2: halving and doubling
        return reach


NAMED = {
    "nafnet64": NAFNetConfig(width=64),
    "nafnet32": NAFNetConfig(width=32),
    "nafnet32_sidd": NAFNetConfig(width=32, encoder_blocks=(2, 2, 4, 8), middle_blocks=12, decoder_blocks=(2, 2, 2, 2)),
    "tiny": NAFNetConfig(width=16, encoder_blocks=(1, 1, 1), middle_blocks=2, decoder_blocks=(1, 1, 1)),
}


def find_config(name: str, *, in_planes: int = 6, out_planes: int = 4) -> NAFNetConfig:
    """One of the named shapes, with planes of one's own.

    Args:
        name: "nafnet64" and "nafnet32" (the published networks for GoPro and REDS), "nafnet32_sidd" (the one for SIDD),
            or "tiny" (for a CPU).
        in_planes: As in `NAFNetConfig`.
        out_planes: As in `NAFNetConfig`.
    """
    if name not in NAMED:
        raise InputError("name", repr(name), " or ".join(map(repr, NAMED)))
    like = NAMED[name]
    return NAFNetConfig(like.width, like.encoder_blocks, like.middle_blocks, like.decoder_blocks, in_planes, out_planes)


def count_parameters(config: NAFNetConfig) -> int:
    """Numbers that training changes."""
    w = config.width
    found = config.out_planes + config.candidates
    total = KERNEL_TAPS * w * (config.in_planes + found) + w + found
    for channels, blocks in _stages(config):
        # Convolutions 1x1: c to 2c, c to c twice, c to 2c, c to c; 3x3 by channel: 2c; biases; two norms; beta, gamma.
        total += blocks * (7 * channels**2 + 2 * channels * KERNEL_TAPS + 9 * channels + 6 * channels)
    for level in range(config.levels):
        c = w << level
        total += (4 * c * 2 * c + 2 * c) + 2 * c * 4 * c  # halving with a bias; doubling without
    return total


def count_macs(config: NAFNetConfig, height_cells: int, width_cells: int) -> int:
    """Multiplications of all convolutions for one picture.

    Args:
        config: The network.
        height_cells: Rows of the input; padded as the network does.
        width_cells: Columns of the input.
    """
    for name, side in (("height_cells", height_cells), ("width_cells", width_cells)):
        _check_count(name, side, 1)
    many = config.multiple_cells
    cells = (-(-height_cells // many) * many) * (-(-width_cells // many) * many)
    w = config.width
    total = KERNEL_TAPS * w * (config.in_planes + config.out_planes + config.candidates) * cells
    for channels, blocks in _stages(config):
        shrunk = cells // (channels // w) ** 2
        total += blocks * (6 * channels**2 + 2 * channels * KERNEL_TAPS) * shrunk + blocks * channels**2
    for level in range(config.levels):
        c, shrunk = w << level, cells >> (2 * level + 2)
        total += 4 * c * 2 * c * shrunk + 2 * c * 4 * c * shrunk
    return total


def _stages(config: NAFNetConfig) -> list[tuple[int, int]]:
    """Channels and blocks of every stage that has blocks."""
    w, levels = config.width, config.levels
    down = [(w << level, count) for level, count in enumerate(config.encoder_blocks)]
    up = [(w << (levels - 1 - n), count) for n, count in enumerate(config.decoder_blocks)]
    return [*down, (w << levels, config.middle_blocks), *up]
