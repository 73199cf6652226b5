from dataclasses import dataclass

import numpy as np
import pytest
import torch

from learn.dfd.applying import check_depth_file, estimate_depth, write_depth, write_points, write_views
from learn.dfd.estimators import DepthEstimate
from learn.dfd.focal_stacks import FocalStack
from psf import InputError
from render import read_picture
from render.pictures import read_depth


@dataclass(frozen=True)
class Pointwise:
    """Depth from the first picture's light and from image height: knows nothing of its neighbours."""

    reach_px: int = 8
    name: str = "pointwise"
    fingerprint: str = "p"

    def estimate(self, stack):
        depth_m = 0.5 + stack.pictures[0, :1] + stack.radius
        return DepthEstimate(depth_m=depth_m, confidence=stack.pictures[0, 1:2])

    def for_camera(self, fields):
        return self


@pytest.fixture
def stack():
    pictures = torch.rand((2, 3, 70, 100), generator=torch.Generator().manual_seed(0))
    return FocalStack(
        pictures=pictures, focus_m=torch.tensor([0.5, 1.0]), image_shape_px=(120, 160), window_px=(20, 30)
    )


@pytest.mark.parametrize("tile_px", [32, 48, 112])
def test_tiles_are_as_the_whole(stack, tile_px):
    done = []
    found = estimate_depth(Pointwise(), stack, tile_px=tile_px, on_progress=lambda n, of: done.append((n, of)))
    whole = Pointwise().estimate(stack)
    assert torch.allclose(found.depth_m, whole.depth_m, atol=1e-5)
    assert torch.allclose(found.confidence, whole.confidence, atol=1e-5)
    assert done[-1][0] == done[-1][1]


def test_tiles_that_cannot_be_are_refused(stack):
    with pytest.raises(InputError, match="tile_px: found 40"):
        estimate_depth(Pointwise(), stack, tile_px=40)
    with pytest.raises(InputError, match="at least 32"):
        estimate_depth(Pointwise(), stack, tile_px=16)
    with pytest.raises(InputError, match="halo_px"):
        estimate_depth(Pointwise(), stack, halo_px=-1)


@pytest.mark.parametrize(
    ("suffix", "unit", "slack_m"), [(".npy", "m", 1e-7), (".tif", "m", 1e-7), (".png", "mm", 6e-4)]
)
def test_depth_files_hold_metres(tmp_path, suffix, unit, slack_m):
    depth_m = 0.5 + torch.rand((1, 9, 7), generator=torch.Generator().manual_seed(1))
    write_depth(tmp_path / f"d{suffix}", depth_m)
    assert torch.allclose(read_depth(tmp_path / f"d{suffix}", unit=unit)[0], depth_m, atol=slack_m)


def test_depth_files_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"at most 65\.5 m"):
        write_depth(tmp_path / "d.png", torch.full((1, 2, 2), 80.0))
    with pytest.raises(InputError, match="suffix"):
        check_depth_file(tmp_path / "d.jpg")


def test_views_show_depth_and_confidence(tmp_path, stack):
    colour, sure = write_views(tmp_path / "d", Pointwise().estimate(stack))
    assert read_picture(colour).shape == (1, 3, 70, 100)
    assert read_picture(sure, encoding="linear").shape == (1, 1, 70, 100)


def test_points_lie_where_the_pinhole_puts_them(tmp_path, stack):
    depth_m = torch.full((1, 70, 100), 2.0)
    estimate = DepthEstimate(depth_m=depth_m, confidence=torch.linspace(0, 1, 7000).reshape(1, 70, 100))
    assert write_points(tmp_path / "p.ply", estimate, stack, focal_mm=12, pitch_um=13.44) == 7000
    content = (tmp_path / "p.ply").read_bytes()
    head, _, body = content.partition(b"end_header\n")
    assert b"element vertex 7000" in head
    kind = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("colour", "u1", 3), ("sure", "<f4")]
    points = np.frombuffer(body, kind)
    image_mm = 12 * 500 / 488
    # The window's first pixel lies 59.5 columns left of the sensor's middle and 29.5 rows above it.
    assert points["x"][0] == pytest.approx(-59.5 * 0.01344 / image_mm * 2, rel=1e-5)
    assert points["y"][0] == pytest.approx(-29.5 * 0.01344 / image_mm * 2, rel=1e-5)
    assert points["z"][0] == 2.0
    assert (
        write_points(tmp_path / "p.ply", estimate, stack, focal_mm=12, pitch_um=13.44, every=2, least_confidence=0.5)
        < 1800
    )


def test_points_need_a_focal_length(tmp_path, stack):
    estimate = Pointwise().estimate(stack)
    for focal_mm in (0.0, 600.0):
        with pytest.raises(InputError, match="focal_mm"):
            write_points(tmp_path / "p.ply", estimate, stack, focal_mm=focal_mm, pitch_um=13.44)
    with pytest.raises(InputError, match="every"):
        write_points(tmp_path / "p.ply", estimate, stack, focal_mm=12, pitch_um=13.44, every=0)
