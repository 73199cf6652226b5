"""A folder of RAW frames to a noise model. `render.calibration_files` says how files are named."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from psf import InputError

from .calibration import PhotonTransfer, fit_iso_model, fit_pairs, name_plane
from .calibration_files import Frame, Reading, find_frames, find_pairs, look_into, read_mosaic
from .frame_pairs import measure_pair
from .noise import NoiseModel
from .tile_noise import fit_tiles, measure_tiles


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a folder has shown.

    Attributes:
        model: The sensor's noise.
        transfers: One per ISO, ascending.
        notes: What somebody who trusts the numbers should know.
    """

    model: NoiseModel
    transfers: tuple[PhotonTransfer, ...]
    notes: tuple[str, ...]

    def details(self) -> dict[str, Any]:
        """The measurements as JSON's types, for `NoiseModel.save`."""
        return {
            "notes": list(self.notes),
            "measured": [
                {
                    "iso": transfer.iso,
                    "method": transfer.method,
                    "white_dn": transfer.white_dn,
                    "planes": [
                        {
                            "k_dn": line.k_dn,
                            "k_error_dn": line.k_error_dn,
                            "sigma2_dn2": line.sigma2_dn2,
                            "sigma2_error_dn2": line.sigma2_error_dn2,
                            "chi2": line.chi2,
                            "black_dn": line.black_dn,
                            "row_sd_dn": line.row_sd_dn,
                            "mean_dn": line.mean_dn.tolist(),
                            "variance_dn2": line.variance_dn2.tolist(),
                            "used": line.used.tolist(),
                        }
                        for line in transfer.lines
                    ],
                    "levels": list(transfer.level_names),
                }
                for transfer in self.transfers
            ],
        }


def calibrate_folder(
    folder: str | os.PathLike[str],
    reading: Reading | None = None,
    *,
    method: str = "auto",
    lenient: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Measure a sensor's noise from the frames of a folder.

    Args:
        folder: With its subfolders; `render.calibration_files` says how files are named.
        reading: How files are read; default: as they say themselves.
        method: "pairs" (two frames of each light, and dark ones), "tiles" (single frames of a scene), or "auto": pairs
            if there are flat ones.
        lenient: Leave an ISO out that cannot be fitted, with a note, as long as one is left. Without it that is an
            error.
        on_progress: Called with (files done, files to do); each file is read twice.

    Returns:
        The model and how it came about. InputError where the frames cannot support a fit.
    """
    reading = reading or Reading()
    if method not in ("auto", "pairs", "tiles"):
        raise InputError("method", repr(method), "'auto', 'pairs' or 'tiles'")
    frames = find_frames(folder)
    notes: list[str] = []
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, 2 * len(frames))

    looked = []
    for frame in frames:
        looked.append(look_into(frame, reading))
        advance()
    if len({one.white_dn for one in looked}) > 1:
        raise InputError(str(folder), f"white of {sorted({one.white_dn for one in looked})} DN", "frames of one camera")
    by_iso: dict[float, list[Frame]] = {}
    for frame in looked:
        by_iso.setdefault(frame.iso or 0.0, []).append(frame)
    transfers: list[PhotonTransfer] = []
    failed: InputError | None = None
    for iso in sorted(by_iso):
        try:
            transfers.append(_fit_iso(iso, by_iso[iso], reading, method, notes, advance))
        except InputError as error:
            if not lenient:
                raise
            failed = error
            notes.append(f"left out: {error}")
    if not transfers:
        raise failed or InputError(str(folder), "no frames", "flat pairs and dark frames")
    model, more = fit_iso_model(
        transfers, name=Path(folder).resolve().name, source=f"calibrated from {len(looked)} frames"
    )
    notes += [note for transfer in transfers for note in transfer.notes] + list(more)
    return Calibration(model, tuple(transfers), tuple(dict.fromkeys(notes)))


def tabulate(calibration: Calibration) -> str:
    """The measurements as lines of text: a row per ISO and plane."""
    head = "ISO     plane  levels   k (DN/e-)          sigma^2 (DN^2)      read noise (e-)  chi^2   shot       read"
    rows = [head]
    for transfer in calibration.transfers:
        shot, read, _, _ = transfer.normalised()
        for p, line in enumerate(transfer.lines):
            used = f"{int(line.used.sum())}/{len(line.used)}"
            k = f"{line.k_dn:.5g} ± {line.k_error_dn:.2g}"
            sigma2 = f"{line.sigma2_dn2:.4g} ± {line.sigma2_error_dn2:.2g}"
            electrons = f"{line.sigma2_dn2**0.5 / line.k_dn:.3g}"
            plane = name_plane(p, len(transfer.lines))
            levels = f"{float(shot[p]):.3e}  {float(read[p]):.3e}"
            rows.append(
                f"{transfer.iso:<8g}{plane:<7}{used:<9}{k:<20}{sigma2:<20}{electrons:<17}{line.chi2:<8.2f}{levels}"
            )
    return "\n".join(rows)


def _fit_iso(
    iso: float, frames: Sequence[Frame], reading: Reading, method: str, notes: list[str], advance: Callable[[], None]
) -> PhotonTransfer:
    flats, darks = ([one for one in frames if one.kind == kind] for kind in ("flat", "dark"))
    (pairs, single), (dark_pairs, single_dark) = find_pairs(flats), find_pairs(darks)
    white_dn, black_dn = frames[0].white_dn, frames[0].black_dn
    if method == "pairs" or (method == "auto" and pairs):
        if not pairs:
            raise InputError(
                f"ISO {iso:g}", f"{len(flats)} flat frames and no pair among them", "two frames of each light"
            )
        notes += [f"{one.path.name} left out: there is no second frame of its light" for one in (*single, *single_dark)]
        for _ in (*single, *single_dark, *(one for one in frames if one.kind == "scene")):
            advance()
        measured = []
        for first, second in (*pairs, *dark_pairs):
            both = [read_mosaic(one.path, reading)[0] for one in (first, second)]
            name = f"{first.path.name} and {second.path.name}"
            if both[0].shape != both[1].shape:
                raise InputError(name, f"planes of {tuple(both[0].shape)} and {tuple(both[1].shape)}", "one size")
            measured.append(measure_pair(*both, white_dn=white_dn, name=name))
            advance()
            advance()
        return fit_pairs(measured[: len(pairs)], measured[len(pairs) :], white_dn=white_dn, black_dn=black_dn, iso=iso)
    tiles, dark_means = [], []
    for frame in frames:
        planes = read_mosaic(frame.path, reading)[0]
        tiles.append(measure_tiles(planes, white_dn=white_dn, name=frame.path.name))
        if frame.kind == "dark":
            dark_means.append(planes.double().mean((1, 2)))
        advance()
    if dark_means:
        black_dn = tuple(torch.stack(dark_means).mean(0).tolist())
    if black_dn is None:
        raise InputError(f"ISO {iso:g}", "no black level and no dark frame", "--black, or dark frames")
    return fit_tiles(tiles, white_dn=white_dn, black_dn=black_dn, iso=iso)
