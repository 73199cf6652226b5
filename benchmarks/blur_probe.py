"""Does a network see defocus without being told? A linear probe on its middle features for the size of the blur.

    python benchmarks/blur_probe.py EVAL --field F.h5 --network varying=A/network.pt constant=B/network.pt [...]

EVAL is a set of `python -m learn.deblur make-eval`, F.h5 the lens that took it. What comes out of a network's middle
blocks is standardised and regressed on the logarithm of the blur's diameter (1 px and less count as 1), cell by cell of
the middle's size, mean over the cell, by ridge regression: weights are fitted to some photographs, the ridge is chosen
on others, R^2 is that of the rest, which shows photographs that neither has seen. For comparison the same from what is
plain to see without a network: the energies of four bands of the cell and its surroundings, the brightness, and the
planes that the network is told; and from each network with its weights drawn anew. Errors: bootstrap over photographs.
"""

import csv
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn import functional

from learn.deblur.evaluation import EvaluationSet, open_evaluation
from learn.deblur.restoring import Restorer, open_restorer
from learn.deblur.scoring import find_blur_map_px
from learn.field_files import hash_field
from learn.networks import make_network
from learn.patch_optics import FieldExtent, measure_extent
from learn.samples import Sample, make_planes
from learn.synthesis_options import read_field
from psf import InputError
from psf.command_line import run_command
from psf.runs import whole_file
from render.bayer import check_pattern

RIDGES = tuple(10.0**n for n in range(-6, 3))
SHARES = (0.5, 0.7)  # photographs to here are fitted, to there choose the ridge, the rest are measured
BORDER_CELLS = 1  # of the middle, where zeros around the picture are seen
RESAMPLES = 500
PLAIN = "plain statistics"


@dataclass(frozen=True)
class Args:
    set: tyro.conf.Positional[Path]
    """An evaluation set."""
    field: Path
    """The lens that took it."""
    network: tuple[str, ...]
    """NAME=RUN/network.pt, all told the same planes or not."""
    count: int | None = None
    """So many samples (all)."""
    seed: int = 0
    """Of the order of photographs, of the weights drawn anew and of the bootstrap."""
    out: Path | None = None
    """A CSV file."""


def read_planes(sample: Sample, restorer: Restorer) -> Tensor:
    """What a network is given of a sample, (1, P, h, w)."""
    return make_planes(
        sample.input[:4],
        restorer.notes.settings,
        iso=sample.drawn.iso,
        shot=sample.shot,
        read=sample.read,
        window_px=sample.drawn.window_px,
        image_shape_px=sample.image_shape_px,
        field=restorer.field,
        pattern=check_pattern(restorer.notes.sensor.pattern),
    )[None]


def see_middle(restorer: Restorer, planes: Tensor) -> Tensor:
    """Features after the middle blocks, (C, h', w')."""
    network, seen = restorer.network, []
    last = list(network.middle.children())[-1]
    handle = last.register_forward_hook(lambda _, __, result: seen.append(result))
    try:
        with torch.no_grad():
            network(planes, restorer.box_cells)
    finally:
        handle.remove()
    return seen[0][0]


def see_plainly(planes: Tensor, cells: int) -> Tensor:
    """Logarithms of band energies, of brightness, and what is told, (F, h', w')."""
    light = planes[:, :4].clamp_min(0).add(1e-3).sqrt().mean(1, keepdim=True)
    bands, smooth = [], light
    for level in range(4):
        wide = functional.avg_pool2d(smooth, 2 ** (level + 1) + 1, 1, 2**level, count_include_pad=False)
        energy = functional.avg_pool2d((smooth - wide).square(), cells)
        around = functional.avg_pool2d(energy, 5, 1, 2, count_include_pad=False)
        bands += [energy.add(1e-8).log(), around.add(1e-8).log()]
        smooth = wide
    bands.append(functional.avg_pool2d(light, cells))
    bands.append(functional.avg_pool2d(planes[:, 4:], cells))
    return torch.cat(bands, 1)[0]


def find_truth(sample: Sample, extent: FieldExtent, cells: int) -> Tensor:
    """Mean logarithm of the blur's diameter over each cell of the middle, (1, h', w')."""
    if sample.depth_m is None:
        raise InputError("set", "samples without depth", "a set of learn.deblur make-eval")
    blur = find_blur_map_px(extent, sample.depth_m[0], sample.drawn.window_px, sample.image_shape_px)
    return functional.avg_pool2d(blur.clamp_min(1).log()[None], 2 * cells)


def cut(features: Tensor) -> Tensor:
    """Cells off the border, (N, F)."""
    inner = features[:, BORDER_CELLS:-BORDER_CELLS, BORDER_CELLS:-BORDER_CELLS]
    return inner.reshape(len(features), -1).T.double()


def assign_parts(chosen: EvaluationSet, count: int, seed: int) -> list[int]:
    """0, 1 or 2 per sample: fitted, chooses the ridge, measured; a photograph's samples stay together."""
    names = sorted({one.photo for one in chosen.drawn[:count]})
    if len(names) < 6:
        raise InputError("set", f"{len(names)} photographs", "6 and more, in three parts")
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    part_of = {}
    for rank, number in enumerate(order):
        share = (rank + 0.5) / len(names)
        part_of[names[number]] = sum(share > edge for edge in SHARES)
    return [part_of[one.photo] for one in chosen.drawn[:count]]


def fit_probe(x: list[Tensor], y: list[Tensor], parts: list[int], names: list[str], seed: int) -> tuple[float, float]:
    """R^2 on the measured photographs, and its standard error."""
    groups = [[n for n, part in enumerate(parts) if part == which] for which in range(3)]
    fit_x, fit_y = torch.cat([x[n] for n in groups[0]]), torch.cat([y[n] for n in groups[0]])
    mean, deviation, offset = fit_x.mean(0), fit_x.std(0).clamp_min(1e-9), fit_y.mean()
    scaled = (fit_x - mean) / deviation
    gram, moment = scaled.T @ scaled / len(scaled), scaled.T @ (fit_y - offset) / len(scaled)
    eye = torch.eye(len(gram), dtype=gram.dtype)

    def errors(weights: Tensor, numbers: list[int]) -> list[tuple[str, Tensor, Tensor]]:
        return [(names[n], y[n], (x[n] - mean) / deviation @ weights + offset) for n in numbers]

    tried = [torch.linalg.solve(gram + ridge * eye, moment) for ridge in RIDGES]
    best = max(tried, key=lambda weights: find_r2(errors(weights, groups[1])))
    measured = errors(best, groups[2])
    photos = sorted({name for name, _, _ in measured})
    by_photo = {photo: [one for one in measured if one[0] == photo] for photo in photos}
    g, drawn = torch.Generator().manual_seed(seed), []
    for _ in range(RESAMPLES):
        picks = torch.randint(len(photos), (len(photos),), generator=g).tolist()
        drawn.append(find_r2([one for pick in picks for one in by_photo[photos[pick]]]))
    return find_r2(measured), float(torch.tensor(drawn).std())


def find_r2(found: list[tuple[str, Tensor, Tensor]]) -> float:
    """1 less the share of the variance that is left."""
    truth, guess = torch.cat([one[1] for one in found]), torch.cat([one[2] for one in found])
    return float(1 - (guess - truth).square().sum() / (truth - truth.mean()).square().sum())


def main(args: Args) -> None:
    torch.set_num_threads(1)
    chosen, field = open_evaluation(args.set), read_field(args.field)
    if hash_field(field) != chosen.field_sha256:
        raise InputError(str(args.field), "another lens", f"the one that took {args.set}: {chosen.lens}")
    extent = measure_extent(field)
    restorers: dict[str, Restorer] = {}
    for given in args.network:
        name, equals, path = given.partition("=")
        if not equals:
            raise InputError("--network", given, "NAME=RUN/network.pt")
        restorers[name] = open_restorer(path, field=field)
        if not restorers[name].is_of_mosaics:
            raise InputError(given, "a network of developed pictures", "one of mosaics")
    fresh = torch.Generator().manual_seed(args.seed)
    for name, one in list(restorers.items()):
        restorers[f"{name}, weights drawn anew"] = replace(one, network=redraw(one, fresh))
    count = len(chosen) if args.count is None else min(args.count, len(chosen))
    parts, names = assign_parts(chosen, count, args.seed), [one.photo for one in chosen.drawn[:count]]
    features: dict[str, list[Tensor]] = {}
    truths: dict[int, list[Tensor]] = {}
    for number in range(count):
        sample = chosen.read_sample(number)
        for name, one in restorers.items():
            planes, cells = read_planes(sample, one), one.network.config.multiple_cells
            if number == len(truths.setdefault(cells, [])):
                truths[cells].append(cut(find_truth(sample, extent, cells))[:, 0])
            features.setdefault(name, []).append(cut(see_middle(one, planes)))
            if "anew" not in name:
                features.setdefault(f"{PLAIN} of {name}", []).append(cut(see_plainly(planes, cells)))
    rows = [["features", "count", "cells", "planes_told", "r2", "error"]]
    for name, own in features.items():
        one = restorers[name.removeprefix(f"{PLAIN} of ")]
        cells = one.network.config.multiple_cells
        r2, error = fit_probe(own, truths[cells], parts, names, args.seed)
        told = " ".join(one.notes.settings.planes[4:]) or "none"
        rows.append([name, str(own[0].shape[1]), str(cells), told, f"{r2:.3f}", f"{error:.3f}"])
    held = len({name for name, part in zip(names, parts, strict=True) if part == 2})
    print(f"{count} samples of {len(set(names))} photographs, {held} of these held out; blur from 1 px on, logarithm")
    wide = max(len(row[0]) for row in rows) + 2
    for row in rows:
        print(row[0].ljust(wide) + "".join(f"{cell:>14}" for cell in row[1:]))
    if args.out is not None:
        with whole_file(args.out) as part, part.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def redraw(restorer: Restorer, generator: torch.Generator) -> torch.nn.Module:
    """A network of the same shape with random weights, residual branches at their full size."""
    network = make_network(restorer.network.config, generator=generator)
    with torch.no_grad():
        bound = 1 / math.sqrt(network.intro.weight[0].numel())
        network.intro.weight.uniform_(-bound, bound, generator=generator)  # what it is told, too
        for name, values in network.named_parameters():
            if name.endswith(("beta", "gamma")):
                values.fill_(1.0)
    return network.eval()


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(tyro.cli(Args, description=__doc__))))
