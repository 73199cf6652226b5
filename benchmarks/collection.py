"""What `python -m benchmarks` runs: every script, what it needs, how long it takes, and which numbers it is run for."""

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared"


@dataclass(frozen=True)
class Figure:
    """A number in a script's output, and what it says.

    Attributes:
        text: The row's words.
        pattern: Finds the number, its first group; more groups are joined by " / ".
        peer: Finds the peer's number in the same output, where there is one.
        unit: Behind the number.
    """

    text: str
    pattern: str
    peer: str = ""
    unit: str = ""

    def find(self, output: str) -> tuple[str, str]:
        """Ours and the peer's, empty where they are not in the output."""
        return _find(self.pattern, output, self.unit), _find(self.peer, output, self.unit) if self.peer else ""


@dataclass(frozen=True)
class Benchmark:
    """A script with its arguments.

    Attributes:
        name: For `--only`; its results lie in files of this name.
        title: What it measures.
        words: The script and its arguments.
        minutes: About how long it takes on two quiet cores, with its peer.
        figures: The numbers that the report's table takes.
        shared: Folder of reference tables that it cannot do without.
        photos: It needs a folder of photographs, which is put behind the script's name.
        peer: Distribution that it measures beside us, where it is installed.
        peer_option: How it is told of another Python that has it; without, it is started by that Python.
    """

    name: str
    title: str
    words: tuple[str, ...]
    minutes: float
    figures: tuple[Figure, ...] = ()
    shared: str = ""
    photos: bool = False
    peer: str = ""
    peer_option: str = ""

    @property
    def script(self) -> Path:
        """The file."""
        return HERE / self.words[0]


def _find(pattern: str, output: str, unit: str) -> str:
    found = re.search(pattern, output, re.MULTILINE)
    if not found:
        return ""
    numbers = " / ".join(one.strip() for one in found.groups() if one)
    return f"{numbers} {unit}".strip()


def _cells(*starts: str, column: int) -> str:
    """Pattern of a cell of the Markdown row that starts with these cells; column 0 is the first one behind them."""
    head = r"\s*\|\s*".join(re.escape(one) for one in starts)
    return rf"^\|\s*{head}\s*\|" + r"[^|\n]*\|" * column + r"\s*([^|\n]+?)\s*\|"


PHONE = r"^psfield phone_us9651759 float64\s+"
COLLECTION = (
    Benchmark(
        "tracing",
        "Rays, forward and with gradients",
        ("tracing.py",),
        2.0,
        (
            Figure(
                "ray-surfaces per second, float64, 131,072 rays, phone lens",
                PHONE + r"([\d.e+]+)",
                r"^deeplens phone_us9651759 float64\s+([\d.e+]+)",
            ),
            Figure(
                "the same with gradients",
                PHONE + r"[\d.e+]+\s+([\d.e+]+)",
                r"^deeplens phone_us9651759 float64\s+[\d.e+]+\s+([\d.e+]+)",
            ),
        ),
        peer="deeplens-core",
    ),
    Benchmark(
        "psf_grid",
        "A whole grid of kernels: time, memory, truth",
        ("psf_grid.py",),
        4.0,
        (
            Figure(
                "grid of 20 depths x 20 heights x RGB, one line per channel, seconds",
                r"^\| ours, lines, \d+ px \| ([\d.]+)",
                r"^\| deeplens-core, lines[^|]*\| ([\d.]+)",
            ),
            Figure("the same, default channels, seconds", r"^\| ours, default channels, \d+ px \| ([\d.]+)"),
            Figure("L1 of the grid's kernels, mean / worst", r"^\| all \| grid \|[^|]*\| ([\d.]+) \| ([\d.]+) \|"),
            Figure("L1 of `psf_at`, mean / worst", r"^\| all \| plain \|[^|]*\| ([\d.]+) \| ([\d.]+) \|"),
        ),
        peer="deeplens-core",
    ),
    Benchmark(
        "field_interpolation",
        "Kernels between the stored ones",
        ("field_interpolation.py", "--lens", "f2.2_fixedfocus", "--grids", "20"),
        2.0,
        (
            Figure(
                "`field.at_pixel` against `psf_at`, L1 in %, mean",
                r"^\| 20 x 20 \| 1 \| sized \| cubic \| ([\d.]+)",
            ),
            Figure("the same with `oversample=3`", r"^\| 20 x 20 \| 3 \| sized \| cubic \| ([\d.]+)"),
        ),
    ),
    Benchmark(
        "diffraction",
        "Diffraction kernels: truth and time",
        ("diffraction.py",),
        2.0,
        (
            Figure(
                "one diffraction kernel, 51 px, ms",
                r"^one kernel, 51 px: ([\d.]+) ms wall",
                r"optiland HuygensPSF: ([\d.]+) ms wall",
            ),
        ),
        peer="optiland",
        peer_option="--peer-python",
    ),
    Benchmark(
        "render",
        "Rendering: depth-blend and every pixel its own kernel",
        ("render.py", "--tables", "blend", "pixelwise", "accuracy", "memory", "frame", "--fields", "window"),
        5.0,
        (
            Figure(
                "`depth_blend`, 3 x 512 x 512, 65 px, ms",
                _cells("65", "depth_blend", column=0),
                _cells("65", "DeepLens", column=0),
            ),
            Figure(
                "its largest error",
                _cells("65", "depth_blend", column=5),
                r"^\| 65 \| DeepLens \|(?:[^|]*\|){5} ([^|]+?) \|",
            ),
        ),
        peer="deeplens-core",
        peer_option="--peer-python",
    ),
    Benchmark(
        "occlusion",
        "What hides what, against path-traced photographs",
        ("render_occlusion.py", "--tables", "given", "cost"),
        4.0,
        (
            Figure(
                "`layered` against path-traced photographs, dB, whole / occlusion band",
                r"^mean [^|]*\|[^|]*\|\s*([\d.]+)\s+([\d.]+)",
            ),
            Figure("gathering instead", r"^mean\s+([\d.]+)\s+([\d.]+)"),
        ),
        shared="data/blender",
    ),
    Benchmark(
        "camera",
        "A simulated photograph, stage by stage",
        ("camera.py",),
        2.5,
        (
            Figure(
                "`Camera.simulate`, blend, patches of 512 x 512 per second, alone",
                r"^\| blend \| alone[^|]*\| ([\d.]+)",
            ),
            Figure("the same, two loader workers", r"^\| blend \| 2 workers \| ([\d.]+)"),
        ),
    ),
    Benchmark("photos", "Crops of photographs with their depth", ("photos.py",), 1.0),
    Benchmark(
        "startup",
        "Commands before they do anything",
        ("startup.py", "--repeats", "1", "--plain", "--only", "psf", "optics", "render", "learn.deblur", "learn.dfd"),
        0.5,
        (Figure("slowest `--help` beyond torch's own import, processor seconds", r"^slowest: ([\d.]+) s"),),
    ),
    Benchmark(
        "estimate",
        "Kernels estimated from photographs of a display, beside traced ones",
        ("psf_direct.py", "--lens", "stack"),
        4.0,
        (
            Figure(
                "`psf.estimate`, mean absolute error of taps x 1e-4, azimuth 0 / at pixels",
                r"^\| stack \|[^|]*\| ([\d.]+) \| ([\d.]+) \|",
            ),
        ),
    ),
    Benchmark(
        "synthesis",
        "Training samples per second",
        ("synthesis.py", "--layered", "0"),
        3.0,
        (Figure("training samples per second, blend, two workers", r"^blend, 2 workers: ([\d.]+) patches/s"),),
        photos=True,
    ),
)
