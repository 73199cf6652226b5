import math

import pytest
import torch

from psf.errors import InputError
from psf.patterns import (
    BRIGHTEST,
    DARKEST,
    Display,
    fill_display,
    find_textures,
    make_dead_leaves,
    make_patterns,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_leaves_fill_the_picture_with_grey_between_the_ends():
    leaves = make_dead_leaves((200, 300), generator=generator())
    assert leaves.shape == (1, 200, 300)
    assert DARKEST <= float(leaves.min()) < 0.1
    assert 0.8 < float(leaves.max()) <= BRIGHTEST
    # Even between the ends: a variance of a twelfth of their distance squared; few large leaves make it uncertain.
    assert float(leaves.std()) == pytest.approx((BRIGHTEST - DARKEST) / math.sqrt(12), rel=0.15)


def test_same_seed_gives_the_same_leaves():
    pictures = [make_dead_leaves((64, 64), generator=generator(seed)) for seed in (1, 1, 2)]
    assert pictures[0].equal(pictures[1])
    assert not pictures[0].equal(pictures[2])


def test_coloured_leaves_have_three_lights():
    leaves = make_dead_leaves((64, 64), generator=generator(), is_coloured=True, dtype=torch.float64)
    assert leaves.shape == (3, 64, 64)
    assert leaves.dtype == torch.float64
    assert float((leaves[0] - leaves[1]).abs().max()) > 0.3


def test_spectrum_of_leaves_falls_like_that_of_edges():
    leaves = make_dead_leaves((512, 512), generator=generator(3))[0].double()
    power = torch.fft.fft2(leaves - leaves.mean()).abs().square()
    frequency = torch.hypot(torch.fft.fftfreq(512)[:, None], torch.fft.fftfreq(512)[None, :])
    rings = [power[(frequency > f / 1.2) & (frequency < f * 1.2)].mean() for f in (0.02, 0.16)]
    # Between the largest and the smallest disc power falls as f^-2, the same at every scale; beyond as f^-3, of edges.
    slope = math.log(float(rings[1] / rings[0])) / math.log(8)
    assert -2.8 < slope < -1.8


@pytest.mark.parametrize(("smallest_px", "largest_px"), [(0.1, 5), (5, 5), (2, math.inf)])
def test_leaves_of_impossible_sizes_are_refused(smallest_px, largest_px):
    with pytest.raises(InputError, match="radii of"):
        make_dead_leaves((9, 9), generator=generator(), smallest_px=smallest_px, largest_px=largest_px)


def test_small_texture_is_mirrored_and_large_one_is_cut_in_its_middle():
    texture = torch.rand(1, 20, 30, generator=generator())
    filled = fill_display(texture, (50, 16))
    assert filled.shape == (1, 50, 16)
    assert filled[:, :20].equal(filled[:, 20:40].flip(1))
    assert filled[:, :10].equal(filled[:, 40:])
    inner = texture[:, :, 7:23]
    low, high = inner[0].reshape(-1).quantile(torch.tensor([0.005, 0.995]))
    middle = (inner > low + 0.01) & (inner < high - 0.01)
    wanted = DARKEST + (inner - low) / (high - low) * (BRIGHTEST - DARKEST)
    torch.testing.assert_close(filled[:, :20][middle], wanted[middle], rtol=0, atol=5e-3)


def test_flat_texture_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="a picture with contrast"):
        fill_display(torch.full((1, 20, 20), 0.3), (40, 40))
    file = tmp_path / "grey.png"
    made = make_patterns(
        Display((40, 40)), leaves=0, textures=[file], read=lambda _: torch.ones(1, 9, 9), generator=generator()
    )
    with pytest.raises(InputError, match=r"grey\.png: texture"):
        made[0][1]()


def test_leaves_come_first_and_each_pattern_has_its_own_seed(tmp_path):
    made = make_patterns(
        Display((40, 60)),
        leaves=2,
        textures=[tmp_path / "bark.png"],
        read=lambda _: torch.rand(3, 30, 30, generator=generator()),
        generator=generator(),
        largest_px=10,
    )
    assert [name for name, _ in made] == ["leaves_00", "leaves_01", "texture_00_bark"]
    pictures = [make() for _, make in made]
    assert [one.shape for one in pictures] == [(1, 40, 60), (1, 40, 60), (3, 40, 60)]
    assert not pictures[0].equal(pictures[1])
    assert pictures[0].equal(made[0][1]())
    with pytest.raises(InputError, match="one pattern at least"):
        make_patterns(Display(), leaves=0, generator=generator())


def test_textures_of_a_folder_and_of_folders_in_it(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("b.PNG", "in/a.jpg", "notes.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert [one.name for one in find_textures(tmp_path)] == ["b.PNG", "a.jpg"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_textures(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no picture"):
        find_textures(tmp_path / "empty")


def test_display_of_27_inch_and_4k_has_pixels_of_0_156_mm():
    assert Display((2160, 3840), 27.0).pitch_mm == pytest.approx(0.1557, abs=1e-4)
    # The 65-inch monitor of Wu et al.: 0.375 mm.
    assert Display((2160, 3840), 65.0).pitch_mm == pytest.approx(0.3747, abs=1e-4)
    with pytest.raises(InputError, match="diagonal_inch"):
        Display(diagonal_inch=0)
    with pytest.raises(InputError, match="shape_px"):
        Display((2, 3))
