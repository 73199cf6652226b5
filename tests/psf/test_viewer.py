"""The page of a field: what is inside, how exact it is, how large; nothing fetched and nothing run but its script."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from psf import Channel, InputError, PolarPSFField, Provenance
from psf.metrics import measure_l1
from psf.viewer import make_page, pack_field


class Tags(HTMLParser):
    """Opened and closed tags of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def unpack(page, place=0):
    """What a page holds, read as its script reads it: the description and the kernels, (D, R, C, S, S)."""
    meta = json.loads(re.search(rf'id="meta-{place}">(.*?)</script>', page).group(1))
    data = zlib.decompress(base64.b64decode(re.search(rf'id="data-{place}">(.*?)</script>', page).group(1)))
    count, side = int(np.prod(meta["shape"])), meta["kernel_px"] * meta["oversample"]
    light = np.frombuffer(data, "<f8", 2 * count).reshape(2, *meta["shape"])
    boxes = np.frombuffer(data, "<u2", 4 * count, 16 * count).reshape(count, 4)
    values = np.frombuffer(data, "<u2", -1, 24 * count).astype(float) ** 2
    kernels = np.zeros((count, side, side))
    for kernel, (row, col, rows, cols) in zip(kernels, boxes, strict=True):
        kernel[row : row + rows, col : col + cols] = values[: rows * cols].reshape(rows, cols)
        values = values[rows * cols :]
        kernel /= kernel.sum()
    assert not len(values)
    return meta, torch.from_numpy(kernels.reshape(*meta["shape"], side, side)), light


@pytest.mark.parametrize("oversample", [1, 2])
def test_page_holds_the_field_within_the_error_it_states(make_field, oversample):
    field = make_field(kernel_px=9, oversample=oversample, dtype=torch.float32)
    page = make_page([field])
    meta, kernels, light = unpack(page.html)
    wide = torch.nn.functional.pad(kernels - field.kernels.double(), (0, 1 - kernels.shape[-1] % 2) * 2)
    apart = float(measure_l1(wide, torch.zeros_like(wide)).max())
    assert apart == pytest.approx(meta["rounding_l1"], rel=1e-9)
    assert apart < 5e-5  # half a step of 1 / 65535 of the root, summed over the kernel
    assert np.array_equal(light[0], field.transmission.double())
    assert np.array_equal(light[1], field.lost.double())
    assert meta["depths_m"][:-1] == field.depths_m[:-1].tolist()
    assert meta["depths_m"][-1] is None
    assert "kernels within" in page.notes[0]


def test_faint_tails_are_kept():
    # Half of the light lies in a tail a millionth as bright as the peak: 16 bits of the light itself would lose it.
    kernels = torch.full((1, 1, 1, 1001, 1001), 0.5 / (1001**2 - 1), dtype=torch.float64)
    kernels[..., 500, 500] = 0.5
    one = torch.ones((1, 1, 1), dtype=torch.float64)
    field = PolarPSFField(
        kernels=kernels,
        transmission=one,
        lost=0 * one,
        depths_m=one[0, 0],
        radii=0 * one[0, 0],
        image_shape_px=(30, 40),
        pitch_um=2.0,
        channels=(Channel("G"),),
        focus_m=1.0,
    )
    packed = pack_field(field, "tail")
    assert packed.meta["rounding_l1"] < 5e-3
    assert len(packed.data) < 20_000


def test_page_is_well_formed_and_no_name_is_given_twice(make_field):
    tags = Tags()
    tags.feed(make_page([make_field(), make_field(seed=1)], ["one", "two"]).html)
    assert not tags.faults
    assert not tags.open
    names = [attributes["id"] for _, attributes in tags.seen if "id" in attributes]
    assert len(names) == len(set(names))


def test_nothing_is_fetched_and_only_its_own_script_runs(make_field):
    page = make_page([make_field()]).html
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:"
    addresses = set(re.findall(r"\w+://[^\"'\s]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not a place
    assert not re.findall(r"@@\w+@@|\bsrc=|@import|\bfetch\(|\bNaN\b|\bInfinity\b", page.replace(script, ""))


def test_names_from_files_stay_words(make_field):
    evil = "</script><script>alert(1)</script>&@@script@@"
    field = replace(make_field(), provenance=Provenance(lens=evil))
    page = make_page([field]).html
    assert page.count("<script") == 3
    assert "alert(1)</script>" not in page
    assert unpack(page)[0]["name"] == evil


def test_fewer_nodes_and_a_smaller_window_are_kept_on_demand(make_field):
    field = make_field(kernel_px=9)
    meta, kernels, _ = unpack(make_page([field], depths=2, radii=3, kernel_px=5).html)
    assert meta["stored"] == [3, 4, 9]
    assert kernels.shape == (2, 3, 2, 5, 5)
    assert meta["radii"] == [field.radii[i].item() for i in (0, 2, 3)]
    small = field.cropped(5)
    assert measure_l1(kernels[0, 1], small.kernels[0, 2]).max() < 1e-4
    left_out = [(d, r) for d in range(3) for r in range(4) if d == 1 or r == 1]
    kept = pack_field(field, "", depths=2, radii=3, kernel_px=5).kept
    apart = [
        float(measure_l1(kept.at(small.radii[r], small.depths_m[d]), small.kernels[d, r]).max()) for d, r in left_out
    ]
    assert meta["thinning_l1"] == pytest.approx([np.mean(apart), max(apart)])


def test_a_page_keeps_to_its_bound_and_tells_what_that_costs(make_field):
    generator = torch.Generator().manual_seed(2)
    kernels = torch.rand((9, 9, 2, 15, 15), generator=generator, dtype=torch.float64)
    field = make_field(
        kernels=kernels / kernels.sum((-2, -1), keepdim=True),
        transmission=torch.ones((9, 9, 2), dtype=torch.float64),
        lost=torch.zeros((9, 9, 2), dtype=torch.float64),
        depths_m=torch.arange(1, 10, dtype=torch.float64),
        radii=torch.linspace(0, 1, 9, dtype=torch.float64),
    )
    whole = make_page([field])
    page = make_page([field], most_mb=0.6 * whole.size_mb)
    assert page.size_mb < 0.6 * whole.size_mb
    assert len(page.html.encode()) == round(1e6 * page.size_mb)
    assert "5 of 9 image heights" in page.notes[0]
    assert "left-out kernels within" in page.notes[0]
    both = make_page([field, field], most_mb=1.2 * whole.size_mb)
    assert both.size_mb < 1.2 * whole.size_mb
    with pytest.raises(InputError, match="most_mb"):
        make_page([field], most_mb=0.03)


@pytest.mark.parametrize(
    ("count", "options", "words"),
    [
        (0, {}, "one or two"),
        (3, {}, "one or two"),
        (1, {"names": ["a", "b"]}, "names"),
        (1, {"depths": 1}, "depths"),
        (1, {"radii": 0}, "radii"),
        (1, {"kernel_px": 4}, "odd"),
        (1, {"most_mb": 0.0}, "most_mb"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(make_field, count, options, words):
    with pytest.raises(InputError, match=words):
        make_page([make_field()] * count, **options)
