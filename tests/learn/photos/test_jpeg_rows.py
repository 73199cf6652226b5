import io

import numpy as np
import pytest
from PIL import Image

from learn.photos.jpeg_rows import find_rows


def encode(picture, **options):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def decode(content):
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened)


@pytest.mark.parametrize("shape", [(90, 130), (97, 121), (16, 40)])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize(
    "markers", [{"restart_marker_rows": 1}, {"restart_marker_rows": 2}, {"restart_marker_blocks": 1}]
)
def test_rows_are_those_of_the_whole_picture(picture, shape, subsampling, markers):
    content = encode(picture(*shape), subsampling=subsampling, **markers)
    whole, rows = decode(content), find_rows(content)
    assert rows.height_px == shape[0]
    for top, bottom in [(0, 5), (3, shape[0]), (shape[0] // 2, shape[0] // 2 + 9), (shape[0] - 1, shape[0])]:
        part, first = rows.cut(top, bottom)
        found = decode(part)
        assert first <= top
        assert (found[top - first : bottom - first] == whole[top:bottom]).all()


def test_grey_pictures_are_cut_too(picture):
    content = encode(picture()[..., 0], restart_marker_rows=1)
    part, first = find_rows(content).cut(40, 50)
    assert (decode(part)[40 - first : 50 - first] == decode(content)[40:50]).all()
    assert len(part) < len(content) / 2


def test_eight_markers_and_more_are_numbered_anew(picture):
    content = encode(picture(400, 60), subsampling=0, restart_marker_rows=1)
    part, first = find_rows(content).cut(100, 300)
    assert (decode(part)[100 - first : 300 - first] == decode(content)[100:300]).all()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: encode(p),
        lambda p: encode(p, progressive=True, restart_marker_rows=1),
        lambda p: encode(p, restart_marker_blocks=3),  # not whole rows, and not a whole number in a row
        lambda p: encode(p, restart_marker_rows=1)[:-900],
        lambda p: encode(p, restart_marker_rows=1)[:300],
        lambda p: b"\xff\xd8\xff",
        lambda p: b"",
    ],
    ids=["no markers", "progressive", "odd interval", "cut off", "header only", "stub", "nothing"],
)
def test_what_cannot_be_cut_is_none(picture, spoil):
    assert find_rows(spoil(picture(90, 128))) is None
