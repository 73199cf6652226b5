import math
from dataclasses import replace

import pytest
import torch

from learn.joint.designing import draw_held, draw_pictures, open_chain
from learn.joint.settings import ScanAxis
from learn.joint.starts import Scanned, choose_starts, scan_lenses, search_jointly
from optics import FOCUS
from psf import InputError


def scanned(values):
    objective = torch.tensor(values, dtype=torch.float64)
    places = torch.cartesian_prod(*(torch.arange(float(n)) for n in objective.shape)).reshape(*objective.shape, -1)
    return Scanned((), (), places, objective, -objective)


def test_descents_begin_in_every_valley_before_the_next_best_place_of_one():
    found = choose_starts(scanned([[5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 5.0, 3.0], [5.0, 5.0, 5.0, 5.0]]), 3)
    assert [one.tolist() for one in found] == [[1.0, 0.0], [1.0, 3.0], [1.0, 1.0]]


def test_lenses_that_cannot_be_are_no_start():
    assert len(choose_starts(scanned([math.inf, 2.0, math.inf]), 3)) == 1
    with pytest.raises(InputError, match="scan"):
        choose_starts(scanned([math.inf, math.inf]), 1)


def test_a_scan_is_laid_about_the_lens_and_goes_on_where_it_stopped(lens, patches, settings, tmp_path):
    chain = open_chain(lens, settings(restorer="none"))
    axes, pool = (ScanAxis(FOCUS, -0.02, 0.04, 4),), patches(4)
    begun_mm = float(lens.surfaces[-1].thickness_mm)
    told = []

    def stop(done, whole):
        told.append((done, whole))
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_lenses(chain, pool, axes, folder=tmp_path / "scan", on_progress=stop)
    again = scan_lenses(chain, pool, axes, folder=tmp_path / "scan", on_progress=lambda *one: told.append(one))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    torch.testing.assert_close(again.values[0], begun_mm + torch.linspace(-0.02, 0.04, 4, dtype=torch.float64))
    whole = scan_lenses(chain, pool, axes)
    assert torch.equal(whole.objective_db, again.objective_db)
    # Stopped down and focused to infinity: half a millimetre of a step further it is not sharp at either depth.
    assert int(whole.objective_db.argmin()) in (1, 2)


def test_a_scan_of_what_is_not_free_is_refused(lens, patches, settings):
    with pytest.raises(InputError, match="asphere_4"):
        scan_lenses(open_chain(lens, settings()), patches(4), (ScanAxis("surface2.asphere_4", -1.0, 1.0, 2),))


def test_the_best_of_the_descents_is_chosen_by_patches_that_none_has_seen(lens, patches, settings):
    options = settings(scan=(ScanAxis(FOCUS, -0.01, 0.05, 3),), starts=2, pool=6, steps=2, restorer="none")
    found = search_jointly(lens, patches(6), options)
    assert len(found.descents) == len(found.held_db) == 2
    best = min(range(2), key=found.held_db.__getitem__)
    assert torch.equal(found.best.vector, found.descents[best].vector)
    assert found.lenses_tried == 3 + sum(len(one.iterates) for one in found.descents)
    held, seen = (draw(patches(6), options)[0].light for draw in (draw_held, draw_pictures))
    assert torch.equal(held[:2], seen[:2])  # the filters' own
    assert not any(torch.equal(one, other) for one in held[2:] for other in seen[2:])


def test_without_a_scan_it_is_one_descent_from_the_lens(lens, patches, settings):
    found = search_jointly(lens, patches(4), settings(steps=1, restorer="none"))
    assert found.scanned is None
    assert len(found.descents) == 1
    assert found.published == (pytest.approx(float(lens.surfaces[-1].thickness_mm)),)


def test_several_starts_ask_for_a_scan_and_for_patches_left_over(settings):
    with pytest.raises(InputError, match="starts"):
        settings(starts=2)
    with pytest.raises(InputError, match="pool"):
        replace(settings(scan=(ScanAxis(FOCUS, 0.0, 1.0, 2),)), starts=2)
