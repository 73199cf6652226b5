import pytest
import torch

from learn.dfd.depth_evaluation import ShownScene
from learn.dfd.depth_scores import DepthScore
from learn.dfd.report import draw_depth_report, plot_errors, plot_maps
from psf import InputError


@pytest.fixture
def scene():
    picture, depth_m = torch.full((3, 8, 9), 0.5), torch.full((1, 8, 9), 0.8)
    return ShownScene(key="one_plane-000", first=picture, last=picture, true_m=depth_m, found_m={"a": depth_m * 1.1})


@pytest.fixture
def scores():
    numbers = {"centre_mae_m": 0.01, "middle_mae_m": 0.02}
    return [
        DepthScore(
            method="net",
            fingerprint="a",
            scene="one_plane",
            key=str(n),
            texture="",
            true_m=m,
            radius=0.5,
            mae_m=0.1,
            **numbers,
        )
        for n, m in enumerate((0.5, 1.0))
    ]


def test_pages_are_written(scene, scores, tmp_path):
    draw_depth_report(scores, [scene], {"a": "net", "b": "refuses"}, tmp_path, encoding="linear")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["errors.png", "page.png"]


def test_nothing_to_draw_is_refused(scores):
    with pytest.raises(InputError):
        plot_maps([], {})
    with pytest.raises(InputError):
        plot_errors([])
