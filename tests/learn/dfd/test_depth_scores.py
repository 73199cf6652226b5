import math
from dataclasses import dataclass, replace

import pytest
import torch

from learn.dfd.depth_scores import DepthScore, judge_scene, read_scores, write_scores
from learn.dfd.estimators import DepthEstimate
from learn.dfd.focal_stacks import FocalStack
from learn.dfd.judged_scenes import JudgedScene, SceneSpec
from psf import InputError


@dataclass(frozen=True)
class Constant:
    """Answers one depth, or refuses."""

    depth_m: float = 1.0
    refuses: bool = False
    name: str = "constant"
    fingerprint: str = "c1"
    reach_px: int = 0

    def estimate(self, stack):
        if self.refuses:
            raise InputError("stack", "this", "another")
        depth_m = torch.full((1, *stack.shape_px), self.depth_m)
        return DepthEstimate(depth_m=depth_m, confidence=torch.ones_like(depth_m))

    def for_camera(self, fields):
        return replace(self, depth_m=2.0)


@pytest.fixture
def scene():
    stack = FocalStack(
        pictures=torch.full((2, 3, 20, 20), 0.5), focus_m=torch.tensor([0.5, 1.0]), image_shape_px=(120, 160)
    )
    depth_m = torch.full((1, 20, 20), 1.0)
    depth_m[..., 10:] = 0.5
    near_edge = torch.zeros((1, 20, 20), dtype=torch.bool)
    near_edge[..., 8:12] = True
    judged = torch.ones_like(near_edge)
    spec = SceneSpec(kind="two_plane", number=3)
    return JudgedScene(spec=spec, stack=stack, depth_m=depth_m, judged=judged, near_edge=near_edge, texture="noise")


def test_a_score_holds_what_was_measured(scene):
    score, found = judge_scene(Constant(), scene)
    assert found is not None
    assert (score.key, score.pixels, score.mae_m, score.edge_pixels) == ("two_plane-003", 400, 0.25, 80)
    assert (score.edge_mae_m, score.away_mae_m, score.edge_mae_dpt) == (0.25, 0.25, 0.5)
    assert score.centre_pixels + score.middle_pixels + score.corner_pixels == 400
    assert score.half_mae_m == pytest.approx(0.25)


def test_a_refusal_is_a_result_only_where_another_camera_took_the_pictures(scene):
    with pytest.raises(InputError, match="constant on two_plane-003: stack"):
        judge_scene(Constant(refuses=True), scene)
    traced = replace(scene, fields=())
    score, found = judge_scene(Constant(refuses=True), traced)
    assert found is None
    assert "expected another" in score.refused
    assert math.isnan(score.mae_m)
    # And such a scene's own fields are told.
    assert judge_scene(Constant(), traced)[0].mae_m == pytest.approx(1.25)


def test_estimates_that_are_none_are_refused(scene):
    with pytest.raises(InputError, match="finite depths above 0"):
        judge_scene(Constant(depth_m=math.inf), scene)


def test_lines_come_back_as_they_were(scene, tmp_path):
    score, _ = judge_scene(Constant(), scene)
    other = DepthScore(
        method="m, shuffled", fingerprint="f", scene="traced", key="k", texture="", true_m=1.0, radius=0.5, refused="no"
    )
    write_scores([score, other], tmp_path / "s.csv")
    one, two = read_scores(tmp_path / "s.csv")
    assert one == replace(score, **{n: getattr(one, n) for n in vars(score) if getattr(score, n) != getattr(score, n)})
    assert (two.method, two.refused) == ("m, shuffled", "no")
    assert math.isnan(two.mae_m)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="other columns"):
        read_scores(tmp_path / "t.csv")
