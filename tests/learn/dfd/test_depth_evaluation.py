from dataclasses import dataclass

import pytest
import torch

from learn.dfd.depth_evaluation import SCORES_FILE, choose_shown, read_shown, run_estimators
from learn.dfd.depth_scores import read_scores
from learn.dfd.estimators import DepthEstimate, MiddleEstimator
from learn.dfd.judged_scenes import plan_scenes
from psf import InputError
from psf.threads import limit_threads

RANGE_M = (0.5, 1.415)
MIDDLE = MiddleEstimator(depth_m=RANGE_M)


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks are slower with more."""
    with limit_threads(1):
        yield


@dataclass(frozen=True)
class Counting(MiddleEstimator):
    """Keeps count of what it was asked, in a list."""

    asked: tuple[list, ...] = ([],)
    stop_at: int = 99

    def estimate(self, stack):
        self.asked[0].append(1)
        if len(self.asked[0]) > self.stop_at:
            raise KeyboardInterrupt
        depth_m = torch.full((1, *stack.shape_px), 0.7)
        return DepthEstimate(depth_m=depth_m, confidence=torch.ones_like(depth_m))


@pytest.fixture(scope="module")
def quick(synthesis):
    return synthesis.varied(blur="blend")


@pytest.fixture(scope="module")
def specs():
    return plan_scenes(["one_plane", "two_plane"], RANGE_M, depths=2, textures=1, others=1)


def test_a_run_that_was_stopped_goes_on_and_asks_nothing_twice(quick, specs, tmp_path):
    first = Counting(depth_m=RANGE_M, name="own", asked=([],), stop_at=1)
    with pytest.raises(KeyboardInterrupt):
        run_estimators([first], quick, specs, tmp_path / "out", workers=0)
    assert len(read_scores(tmp_path / "out" / SCORES_FILE)) == 1
    again, steps = Counting(depth_m=RANGE_M, name="own", asked=([],)), []
    options = {"workers": 0, "on_progress": lambda done, of: steps.append((done, of))}
    scores = run_estimators([again], quick, specs, tmp_path / "out", **options)
    assert len(again.asked[0]) == 2
    assert [one.key for one in scores] == [one.key for one in specs]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    both = run_estimators([MIDDLE, again], quick, specs, tmp_path / "out", workers=0)
    assert len(again.asked[0]) == 2
    assert [one.method for one in both] == ["middle"] * 3 + ["own"] * 3


def test_maps_of_some_scenes_are_kept(quick, specs, tmp_path):
    shown = choose_shown(specs, 2)
    assert shown == (specs[1].key, specs[2].key)
    run_estimators([MIDDLE], quick, specs, tmp_path / "out", shown=shown, workers=0)
    found = read_shown(tmp_path / "out", shown[0], [MIDDLE.fingerprint])
    assert found.first.shape == (3, 32, 32)
    assert bool((found.true_m == 1.415).all())
    assert float(found.found_m[MIDDLE.fingerprint].mean()) == pytest.approx(0.9575)


def test_other_scenes_need_another_folder(quick, specs, tmp_path):
    run_estimators([MIDDLE], quick, specs[:1], tmp_path / "out", workers=0)
    with pytest.raises(InputError, match="scenes"):
        run_estimators([MIDDLE], quick, specs, tmp_path / "out", workers=0)


def test_what_cannot_be_judged_is_refused(quick, specs, tmp_path):
    for estimators, shown, words in (
        ([], (), "estimators"),
        ([MIDDLE, MIDDLE], (), "twice"),
        ([MIDDLE], ("x",), "shown"),
    ):
        with pytest.raises(InputError, match=words):
            run_estimators(estimators, quick, specs, tmp_path / "out", shown=shown, workers=0)
    with pytest.raises(InputError, match="specs"):
        run_estimators([MIDDLE], quick, [], tmp_path / "out", workers=0)
