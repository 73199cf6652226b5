import os
import subprocess
import sys

import pytest
import torch

from learn.dfd.commands_depth_train import TrainDepthOptions, make_depth_recipe, run_train_depth
from learn.dfd.depth_recipe import read_depth_recipe
from learn.dfd.estimators import load_estimator
from learn.dfd.networks import load_depth_network
from learn.dfd.stack_files import write_stacks
from psf import InputError

pytest.importorskip("lightning_fabric")


@pytest.fixture(scope="module")
def files(fields, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    paths = [folder / f"F_{one.focus_m:g}.h5" for one in fields]
    for path, field in zip(paths, fields, strict=True):
        field.save(path)
    return tuple(paths)


@pytest.fixture
def options(files, tmp_path):
    """Makes the options of a training of four steps."""

    def make(**changes):
        given = {
            "fields": files,
            "out": tmp_path / "run",
            "width": 2,
            "steps": 4,
            "batch": 2,
            "warmup": 1,
            "save_every": 2,
            "log_every": 2,
            "shape_px": (16, 16),
            "scenes": "one_plane",
            "blur": "blend",
            "textures": ("noise",),
            "evaluation_count": 1,
            "device": "cpu",
            "threads": 1,
        }
        return TrainDepthOptions(**{**given, **changes})

    return make


def weights(path):
    return torch.cat([one.flatten() for one in load_depth_network(path).network.state_dict().values()])


def test_a_training_leaves_a_network_that_knows_its_camera(options, tmp_path):
    said = []
    assert run_train_depth(options(network="dual_dfd"), say=said.append) == 0
    estimator = load_estimator(tmp_path / "run" / "network.pt")
    assert estimator.notes.focus_m == pytest.approx((0.5, 0.72, 1.415))
    assert (estimator.notes.steps, estimator.network.config.pictures) == (4, 3)
    assert said[0].startswith("dual_dfd: ")
    assert said[1] == "fresh stacks: one_plane, [16, 16] px"
    assert said[-2].startswith("MAE ")
    recipe = read_depth_recipe(tmp_path / "run" / "recipe.json")
    assert (recipe.network, recipe.settings.blur) == ("dual_dfd", "blend")


def test_a_run_that_goes_on_ends_with_the_same_weights(options, tmp_path):
    """Stopped after the first step, by whatever stops it."""

    class Stop(Exception):
        pass

    def stop(done, of, loss):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        run_train_depth(options(), on_progress=stop)
    said = []
    assert run_train_depth(options(), say=said.append) == 0
    assert "going on from step 2 of 4" in said
    assert run_train_depth(options(out=tmp_path / "whole")) == 0
    assert torch.equal(*(weights(tmp_path / name / "network.pt") for name in ("run", "whole")))


def test_shards_are_trained_on_with_their_own_settings(options, synthesis, tmp_path):
    quick = synthesis.varied(blur="blend", scenes="one_plane", shape_px=(16, 16), encoding="srgb")
    write_stacks(quick, tmp_path / "s", 3, per_shard=2, workers=0)
    said = []
    plain = {"shape_px": None, "scenes": None, "blur": None, "textures": None}
    assert run_train_depth(options(shards=tmp_path / "s", **plain), say=said.append) == 0
    assert said[1].startswith("3 stacks of ")
    assert load_estimator(tmp_path / "run" / "network.pt").notes.encoding == "srgb"
    with pytest.raises(InputError, match="--invariant"):
        run_train_depth(options(shards=tmp_path / "s", invariant=True, out=tmp_path / "other", **plain))


def test_an_invariant_lens_is_another_run(options, tmp_path):
    assert run_train_depth(options(invariant=True, radius=False, steps=2)) == 0
    assert not load_depth_network(tmp_path / "run" / "network.pt").network.config.with_radius
    with pytest.raises(InputError, match="to go on with this run, or another folder"):
        run_train_depth(options(radius=False, steps=2))


def test_what_is_typed_stands_above_the_recipe(options, root):
    recipe = make_depth_recipe(options(recipe=root / "examples" / "recipes" / "dfd_cpu.json", head="metres", rate=2e-3))
    assert (recipe.width, recipe.head, recipe.trainer.rate, recipe.trainer.steps) == (2, "metres", 2e-3, 4)
    assert recipe.settings.noise == "even"


def test_fields_that_do_not_fit_are_refused_before_the_first_step(options, files, tmp_path):
    for fields, words in ((files[:1], "at least 2"), ((files[0], files[2], files[1]), "ascending order")):
        with pytest.raises(InputError, match=words):
            run_train_depth(options(fields=fields))
    with pytest.raises(FileNotFoundError, match="no such folder to make run in"):
        run_train_depth(options(out=tmp_path / "gone" / "run"))
    assert not (tmp_path / "run").exists()


TWO = """
import sys
from pathlib import Path
from learn.dfd.commands_depth_train import TrainDepthOptions, run_train_depth

fields = tuple(Path(one) for one in sys.argv[2:])
options = {OPTIONS}
sys.exit(run_train_depth(TrainDepthOptions(fields=fields, out=Path(sys.argv[1]), **options)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dual_dfd", "defocus_net"])
def test_two_processes_train_as_one_with_the_same_batch(options, files, root, tmp_path, kind):
    """Batch normalisation among it, which counts the batches of both."""
    given = vars(options(network=kind, batch=4, evaluation_count=0, rate=1e-3))
    told = {name: value for name, value in given.items() if name not in ("fields", "out")}
    assert run_train_depth(TrainDepthOptions(fields=files, out=tmp_path / "one", **told)) == 0
    (tmp_path / "two.py").write_text(TWO.replace("{OPTIONS}", repr(told)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(tmp_path / "two.py")]
    done = subprocess.run(
        [sys.executable, *launcher, str(tmp_path / "two"), *map(str, files)],
        cwd=root, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    one, two = (weights(tmp_path / name / "network.pt") for name in ("one", "two"))
    # Adam divides a gradient by its own size: a weight that has next to none follows the last bits of a sum.
    assert float((one - two).square().mean().sqrt()) < 1e-5
    assert float(((one - two).abs() > 1e-4).float().mean()) < 1e-3
