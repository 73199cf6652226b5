import dataclasses

import pytest

from learn.depth import estimate_folder
from learn.depth_source import DepthSources, find_map
from learn.network_files import find_network_file, read_network_facts, read_network_file
from psf import InputError

NAMES = ("sub/0.png", "sub/1.png", "sub/2.png")


def test_a_folder_gets_its_results_once(photos, network):
    told = []
    first = estimate_folder(photos, network, on_progress=lambda done, of: told.append((done, of)))
    assert (first.written, first.kept, first.failed) == (NAMES, (), ())
    assert told == [(1, 3), (2, 3), (3, 3)]
    second = estimate_folder(photos, network)
    assert (second.written, second.kept) == ((), NAMES)
    assert estimate_folder(photos, network, redo=True).written == NAMES


def test_facts_tell_where_a_result_is_from(photos, network):
    estimate_folder(photos, network)
    facts = read_network_facts(find_network_file(photos.path(1)))
    assert facts.weights_sha256 == network.weights_sha256
    assert not facts.is_trained
    assert facts.photo_bytes == photos.photos[1].bytes
    depth = read_network_file(find_network_file(photos.path(2)))
    assert depth.source == "untrained network"
    height, width = depth.inverse_depth.shape[1:]
    assert height > width  # as its photograph


def test_results_are_found_as_depth_where_the_untrained_is_allowed(photos, network, tmp_path):
    estimate_folder(photos, network, out=tmp_path / "maps")
    assert find_network_file(photos.path(0)) is None
    photo, maps = photos.photos[0], tmp_path / "maps"
    with pytest.raises(InputError, match="untrained network"):
        find_map(photos.path(0), photo.shape_px, DepthSources(folder=maps), photo.name)
    allowed = DepthSources(folder=maps, allow_untrained=True)
    assert find_map(photos.path(0), photo.shape_px, allowed, photo.name).source == "untrained network"


@pytest.mark.parametrize("broken", ["facts", "other weights", "other photograph"])
def test_what_is_out_of_date_is_done_again(photos, network, broken):
    estimate_folder(photos, network)
    if broken == "facts":
        find_network_file(photos.path(0)).write_text("{")
    elif broken == "other weights":
        network = dataclasses.replace(network, weights_sha256="0" * 64)
    else:
        changed = (dataclasses.replace(photos.photos[0], modified_ns=5), *photos.photos[1:])
        photos = dataclasses.replace(photos, photos=changed)
    found = estimate_folder(photos, network)
    assert found.written == (NAMES if broken == "other weights" else NAMES[:1])


def test_a_photograph_that_broke_stops_nothing_and_is_named(photos, network):
    photos.path(1).write_bytes(b"broken")
    found = estimate_folder(photos, network)
    assert found.written == (NAMES[0], NAMES[2])
    assert found.failed[0][0] == NAMES[1]
    assert "no readable content" in found.failed[0][1]


def test_a_run_that_was_killed_goes_on(photos, network):
    def stop(done, of):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_folder(photos, network, on_progress=stop)
    found = estimate_folder(photos, network)
    assert (found.written, found.kept) == (NAMES[2:], NAMES[:2])
