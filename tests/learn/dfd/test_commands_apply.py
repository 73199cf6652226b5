import json

import pytest
import torch

from learn.dfd.commands_apply import ApplyDepthOptions, run_apply_depth
from learn.dfd.depth_notes import make_depth_notes
from learn.dfd.networks import DepthConfig, make_depth_network, save_depth_network
from psf import InputError
from psf.threads import limit_threads
from render import write_picture
from render.pictures import read_depth


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield


@pytest.fixture(scope="module")
def place(fields, synthesis, tmp_path_factory):
    """Fields, a network of each kind and a folder of pictures."""
    root = tmp_path_factory.mktemp("apply")
    for field in fields:
        field.save(root / f"F_{field.focus_m:g}.h5")
    for kind, pictures in (("defocus_net", 3), ("dual_dfd", 3), ("dual_dfd", 2)):
        config = DepthConfig(kind=kind, width=2, pictures=pictures)
        network = make_depth_network(config, generator=torch.Generator().manual_seed(0))
        notes = make_depth_notes(synthesis.optics, synthesis.describe(), aligned=True, steps=1)
        save_depth_network(network, root / f"{kind}_{pictures}.pt", notes=notes)
    (root / "stack").mkdir()
    g = torch.Generator().manual_seed(0)
    for n in range(3):
        write_picture(root / "stack" / f"{n}.png", torch.rand((3, 120, 160), generator=g))
    return root


@pytest.fixture
def options(place, tmp_path):
    """Makes the options of a small picture."""

    def make(**changes):
        given = {
            "stack": place / "stack",
            "fields": tuple(sorted(place.glob("F_*.h5"))),
            "out": tmp_path / "depth.tif",
            "model": place / "defocus_net_3.pt",
            "focus_m": (0.5, 0.72, 1.415),
        }
        return ApplyDepthOptions(**{**given, **changes})

    return make


def test_a_folder_becomes_depth_pictures_points_and_what_was_used(options, tmp_path):
    said, done = [], []
    options = options(focal_mm=12.0, points_every=4)
    assert run_apply_depth(options, say=said.append, on_progress=lambda n, of: done.append((n, of))) == 0
    assert read_depth(tmp_path / "depth.tif", unit="m").shape == (1, 1, 120, 160)
    names = ["depth.json", "depth.ply", "depth.tif", "depth_colour.png", "depth_confidence.png"]
    assert sorted(one.name for one in tmp_path.iterdir()) == names
    about = json.loads((tmp_path / "depth.json").read_text())
    assert about["files"] == ["0.png", "1.png", "2.png"]
    assert about["focus_m"] == pytest.approx([0.5, 0.72, 1.415])
    assert said[0].endswith("160 x 120 px of 3 pictures focused at 0.5, 0.72, 1.415 m")
    assert done == [(1, 1)]


def test_without_a_focal_length_there_is_no_point_cloud(options, tmp_path):
    said = []
    run_apply_depth(options(out=tmp_path / "d.npy"), say=said.append)
    assert "no point cloud: no file tells the focal length (--focal-mm)" in said
    assert not (tmp_path / "d.ply").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": None}, "--model, --method: found neither"),
        ({"method": "likelihood"}, "found both"),
        ({"points_every": -1}, "--points-every"),
        ({"focus_m": None}, "focus distance: found none in its Exif data"),
        ({"focus_m": (0.5, 0.9, 1.415)}, "expected those of the pictures"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(options, changes, words, tmp_path):
    with pytest.raises(InputError) as caught:
        run_apply_depth(options(**changes))
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_network_of_another_number_of_pictures_is_refused(options, place):
    with pytest.raises(InputError, match="--fields: found 3 of them, expected 2, as"):
        run_apply_depth(options(model=place / "dual_dfd_2.pt"))
    assert run_apply_depth(options(model=place / "dual_dfd_3.pt", points_every=0)) == 0
