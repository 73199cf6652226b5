import pickle
from dataclasses import replace

import pytest
import torch

from learn.deblur.methods import (
    Method,
    know_lens,
    load_ridge,
    load_trained,
    make_input,
    make_least_squares,
    make_polyblur,
    make_richardson_lucy,
    make_ridge,
    make_wiener,
)
from learn.deblur.notes import make_notes
from learn.deblur.scoring import develop_result
from learn.field_files import hash_field
from learn.metrics import find_psnr_db
from learn.networks import find_config, make_network, save_network
from learn.restorers import RidgeBank, RidgeSettings, restore_least_squares, save_bank
from learn.samples import make_planes
from learn.synthesis import draw_sample
from psf import InputError
from render import demosaic, mosaic, pack, process, unpack

RIDGE = RidgeSettings(side_cells=3, iso_edges=(400.0,), radius_bins=2, azimuth_bins=1)


@pytest.fixture(scope="module")
def sample(synthesis):
    return draw_sample(synthesis.varied(blur="pixelwise"), 3, with_depth=True)


@pytest.fixture(scope="module")
def known(synthesis):
    return know_lens(synthesis.camera.field)


@pytest.fixture
def network_file(synthesis, tmp_path):
    """Makes files of untrained networks: the identity."""

    def make(name="n.pt", seed=0, **changes):
        varied = synthesis.varied(**changes)
        planes, colours = len(varied.settings.planes), 3 if varied.settings.space == "rgb" else 4
        config = find_config("tiny", in_planes=planes, out_planes=colours)
        network = make_network(config, generator=torch.Generator().manual_seed(seed))
        save_network(network, tmp_path / name, notes=make_notes(varied, 7))
        return tmp_path / name

    return make


def make_bank(value=0.0):
    filters = torch.zeros((*RIDGE.bins, RIDGE.features, 4))
    filters[..., -1, :] = value
    return RidgeBank(RIDGE, filters, torch.ones(RIDGE.bins))


def gain_db(method, sample):
    target = develop_result(sample.target, sample)
    found, before = (develop_result(one, sample) for one in (method.restore(sample), sample.input[:4]))
    return float(find_psnr_db(found, target) - find_psnr_db(before, target))


def test_the_input_is_left_as_it_is(sample):
    assert torch.equal(make_input().restore(sample), sample.input[:4])
    assert make_input().knows == ()


@pytest.mark.parametrize("make", [make_wiener, make_richardson_lucy])
def test_who_knows_lens_and_depth_gains_on_a_clear_picture(synthesis, known, make):
    # Noise would hide what the kernels bring.
    quiet = replace(synthesis, camera=replace(synthesis.camera, noise=None))
    clear = draw_sample(quiet.varied(blur="pixelwise", spread_share=0.0), 3, with_depth=True)
    clear = replace(clear, read=clear.read.clamp_min(1e-7))
    method = make(known)
    assert method.knows == ("depth", "field", "place", "ISO")
    assert method.restore(clear).shape == clear.target.shape
    assert gain_db(method, clear) > 0.5


def test_least_squares_is_given_demosaiced_light_the_samples_noise_and_the_lens(synthesis, known, sample):
    field = known.extent.field  # all of it, where the method takes what the patch needs
    wanted = restore_least_squares(
        demosaic(unpack(sample.input[None, :4], "RGGB"), "RGGB"),
        sample.depth_m[None],
        field,
        window=sample.drawn.window_px,
        shot=float(sample.shot),
        read=float(sample.read),
        slope_scale=0.1,
        rounds=1,
        steps=2,
    )
    method = make_least_squares(known, slope_scale=0.1, rounds=1, steps=2)
    assert method.knows == ("depth", "field", "place", "ISO")
    packed = pack(mosaic(wanted.clamp(0, 1), "RGGB"), "RGGB")[0]
    torch.testing.assert_close(method.restore(sample), packed, rtol=0, atol=1e-4)


def test_a_guess_is_told_as_one_and_knows_no_depth(known, sample):
    method = make_wiener(known, depth_m=0.5)
    assert "depth" not in method.knows
    assert "depth guessed 0.5 m" in method.note
    blind = replace(sample, depth_m=None)
    assert torch.equal(method.restore(blind), method.restore(sample))
    with pytest.raises(InputError, match="sample 3: found no depth"):
        make_wiener(known).restore(blind)
    with pytest.raises(InputError, match="depth_m"):
        make_wiener(known, depth_m=0.0)


def test_losses_of_the_lens_are_undone_only_where_the_samples_have_them(synthesis):
    field = synthesis.camera.field
    for transmission, is_clear in (("off", True), ("both", True), ("input", False)):
        lens = know_lens(field, transmission=transmission)
        assert bool((lens.extent.field.transmission == 1).all()) is is_clear
        assert lens.sha256 == hash_field(field)
    with pytest.raises(InputError, match="single precision"):
        know_lens(field.to(dtype=torch.float64))


def test_polyblur_works_on_the_developed_picture(sample):
    method = make_polyblur()
    assert (method.takes, method.knows) == ("RGB", ())
    assert method.restore(sample).shape == (3, 64, 64)


def test_a_bank_adds_what_its_filters_say_and_tells_its_planes(sample, tmp_path):
    save_bank(make_bank(0.25), tmp_path / "bank.pt")
    method = load_ridge(tmp_path / "bank.pt", note="fitted to nothing")
    torch.testing.assert_close(method.restore(sample), sample.input[:4] + 0.25)
    assert method.knows == ("place", "ISO")
    assert method.note == "3 x 3 cells, fitted to nothing"
    assert method.fingerprint == make_ridge(make_bank(0.25)).fingerprint != make_ridge(make_bank(0.5)).fingerprint


@pytest.mark.parametrize(
    ("changes", "knows"),
    [
        ({"aux": "none"}, ()),
        ({"aux": "iso", "iso_plane": "sigma"}, ("ISO",)),
        ({"aux": "iso_field", "field_planes": "xy"}, ("place", "ISO")),
    ],
)
def test_a_network_gets_the_planes_of_its_training(network_file, sample, changes, knows):
    method = load_trained(network_file(**changes), name="tiny")
    assert (method.takes, method.knows, method.note) == ("RAW", knows, "7 steps")
    torch.testing.assert_close(method.restore(sample), sample.input[:4])


def test_a_network_with_planes_of_its_lens_is_told_the_lens_that_took_the_samples(network_file, synthesis, known):
    path = network_file(deconvolved_dpt=(0.0, 5.0))
    with pytest.raises(InputError, match="deconvolved ones"):
        load_trained(path, name="tiny")
    method = load_trained(path, name="tiny", lens=known)
    assert method.knows == ("field", "place", "ISO")
    assert method.fingerprint != load_trained(network_file("other.pt"), name="tiny").fingerprint
    sample, seen = draw_sample(synthesis.varied(deconvolved_dpt=(0.0, 5.0)), 3), []
    method.restore.args[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    method.restore(sample)
    torch.testing.assert_close(seen[0][0], sample.input)


def test_a_network_sees_the_samples_own_iso_and_place(network_file, synthesis, sample, monkeypatch):
    method = load_trained(network_file(aux="iso_field", iso_plane="sigma"), name="tiny")
    seen = []
    network = method.restore.args[0]
    monkeypatch.setattr(network, "forward", lambda planes, box: seen.append((planes, box)) or planes[:, :4])
    method.restore(sample)
    settings = synthesis.settings.changed(aux="iso_field", iso_plane="sigma")
    wanted = make_planes(
        sample.input[:4],
        settings,
        iso=sample.drawn.iso,
        shot=sample.shot,
        read=sample.read,
        window_px=sample.drawn.window_px,
        image_shape_px=sample.image_shape_px,
    )
    assert torch.equal(seen[0][0][0], wanted)
    assert seen[0][1] == 48  # 1.5 times the patch of 32 cells


def test_a_network_of_developed_pictures_gets_these(network_file, sample):
    method = load_trained(network_file(space="rgb", aux="none"), name="rgb")
    assert method.takes == "RGB"
    torch.testing.assert_close(method.restore(sample), process(sample.input[None, :4], sample.metadata)[0])


def test_a_network_of_another_lens_says_so(network_file, synthesis):
    own = hash_field(synthesis.camera.field)
    path = network_file()
    assert "another lens" not in load_trained(path, name="n", field_sha256=own).note
    assert "trained for another lens" in load_trained(path, name="n", field_sha256="0" * 64).note


def test_networks_of_other_weights_have_other_fingerprints(network_file):
    prints = {load_trained(network_file(f"{seed}.pt", seed), name="n").fingerprint for seed in (0, 1)}
    assert len(prints) == 2


def test_a_network_of_another_pattern_is_refused(network_file):
    with pytest.raises(InputError, match="pattern: found RGGB, expected GBRG"):
        load_trained(network_file(), name="n", pattern="GBRG")


def test_methods_go_to_other_processes(known, network_file, sample):
    for method in (
        make_wiener(known),
        make_ridge(make_bank()),
        load_trained(network_file(), name="n"),
        make_polyblur(),
    ):
        again = pickle.loads(pickle.dumps(method))
        torch.testing.assert_close(again.restore(sample), method.restore(sample))


@pytest.mark.parametrize("name", ["", " wiener", "a,b", 'a"b', "a\nb"])
def test_a_name_that_no_table_can_hold_is_refused(name):
    with pytest.raises(InputError, match=r"Method\.name"):
        Method(name=name, restore=lambda sample: sample.target, takes="RAW")


def test_samples_of_developed_pictures_are_refused(synthesis):
    with pytest.raises(InputError, match="space 'raw'"):
        make_input().restore(draw_sample(synthesis.varied(space="rgb"), 0))
