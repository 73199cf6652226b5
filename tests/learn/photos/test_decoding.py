import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import render
from learn.photos.decoding import OpenPhoto, find_reduction, store_box, turn_samples
from psf import InputError
from render.png import write_png16


def whole(path):
    opened = OpenPhoto(path)
    height, width = opened.shape_px
    return opened.cut((0, 0, width, height), (height, width))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_render_calls_upright(orientation):
    samples = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    want = render.turn_upright(torch.from_numpy(samples).permute(2, 0, 1), orientation).permute(1, 2, 0)
    assert (turn_samples(samples, orientation) == want.numpy()).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_part_of_the_upright_picture_is_found_in_the_file(orientation):
    stored = np.arange(5 * 7).reshape(5, 7)
    upright = turn_samples(stored, orientation)
    left, top, width, height = map(int, store_box((1, 2, 3, 2), orientation, upright.shape))
    part = turn_samples(stored[top : top + height, left : left + width], orientation)
    assert (part == upright[2:4, 1:4]).all()


@pytest.mark.parametrize("markers", [{}, {"restart_marker_rows": 1}], ids=["whole", "by rows"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 5])
def test_parts_of_a_jpeg_are_parts_of_the_upright_whole(save, picture, orientation, markers):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save("a.jpg", picture(100, 140), quality=95, exif=exif, **markers)
    full = whole(path)
    assert full.shape == ((140, 100, 3) if orientation >= 5 else (100, 140, 3))
    part = OpenPhoto(path).cut((11, 23, 40, 30), (30, 40))
    assert (part == full[23:53, 11:51]).all()


@pytest.mark.parametrize("markers", [{}, {"restart_marker_rows": 1}], ids=["whole", "by rows"])
@pytest.mark.parametrize("size", [(30, 24), (15, 12), (8, 6)])
def test_a_shrunken_part_is_the_shrunken_picture_there(save, markers, size):
    rows, columns = np.mgrid[:200, :160]
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 11), np.sin((rows + columns) / 13)], -1)
    path = save("a.jpg", (128 + 100 * waves).astype(np.uint8), quality=95, subsampling=0, **markers)
    full = Image.fromarray(whole(path))
    want = np.asarray(full.resize(size[::-1], Image.Resampling.BICUBIC, box=(33, 60, 93, 135)))
    found = OpenPhoto(path).cut((33, 60, 60, 75), size)
    assert found.shape == (*size, 3)
    # Decoders that shrink average blocks, a little unlike the filter. Half a pixel of shift would be 4 levels at least.
    error = np.abs(found.astype(int) - want)
    assert error.mean() < 2.5


def test_shrinking_a_part_sees_what_lies_around_it(save):
    step = np.zeros((60, 60, 3), np.uint8)
    step[:, 30:] = 255
    path = save("a.png", step)
    left = OpenPhoto(path).cut((0, 0, 30, 60), (40, 20))
    assert left[:, -1].max() > 0  # the filter reaches over the cut


@pytest.mark.parametrize(("scale", "reduction"), [(1, 1), (0.51, 1), (0.5, 2), (0.26, 2), (0.25, 4), (0.01, 8)])
def test_decoders_never_shrink_below_the_scale(scale, reduction):
    assert find_reduction(scale) == reduction


def write_16_bits(path, samples):
    with path.open("wb") as file:
        write_png16(file, samples)


def test_16_bits_stay_16_bits(pictures, picture):
    deep = (picture(70, 80).astype(np.uint16) << 8) + 37
    write_16_bits(pictures / "a.png", deep)
    tifffile.imwrite(pictures / "a.tif", deep, photometric="rgb")
    for name in ("a.png", "a.tif"):
        opened = OpenPhoto(pictures / name)
        assert opened.bits == 16
        assert (opened.cut((0, 0, 80, 70), (70, 80)) == deep).all()
        small = opened.cut((0, 0, 80, 70), (35, 40))
        assert small.dtype == np.uint16
        want = np.asarray(Image.fromarray((deep >> 8).astype(np.uint8)).resize((40, 35), Image.Resampling.BICUBIC))
        # Pillow clips 8 bits between its two passes.
        assert np.abs((small >> 8).astype(int) - want).mean() < 0.6


def test_grey_is_repeated(save, picture):
    path = save("a.png", picture()[..., 1])
    opened = OpenPhoto(path)
    found = opened.cut((0, 0, 130, 90), (90, 130))
    assert opened.is_grey
    assert (found == picture()[..., 1:2]).all()
    tiff = path.with_suffix(".tif")
    tifffile.imwrite(tiff, picture()[..., 1], photometric="minisblack")
    assert OpenPhoto(tiff).is_grey
    assert (whole(tiff) == found).all()


def test_palettes_opaque_alpha_and_bits_are_read(save, picture):
    image = Image.fromarray(picture())
    palette = image.quantize(32)
    assert (whole(save("p.png", palette)) == np.asarray(palette.convert("RGB"))).all()
    assert (whole(save("a.png", image.convert("RGBA"))) == picture()).all()
    assert set(np.unique(whole(save("b.png", image.convert("1"))))) == {0, 255}


def test_inks_are_turned_to_colours(save, picture):
    plain = picture(90, 130, smooth=6)
    for name in ("c.jpg", "c.tif"):
        path = save(name, Image.fromarray(plain).convert("CMYK"))
        assert np.abs(whole(path).astype(int) - plain).mean() < 3


def test_floats_are_linear_light(pictures):
    light = np.linspace(0, 1, 70 * 66 * 3, dtype=np.float32).reshape(70, 66, 3)
    tifffile.imwrite(pictures / "f.tif", light, photometric="rgb")
    want = render.encode_srgb(torch.from_numpy(light)).numpy()
    assert np.abs(whole(pictures / "f.tif") / 65535 - want).max() < 1e-5


def test_a_tiff_is_turned_upright_and_names_its_artist(pictures, picture):
    tifffile.imwrite(
        pictures / "t.tif", picture(), photometric="rgb", extratags=[(274, 3, 1, 6, True), (315, 2, 0, "Ada", True)]
    )
    opened = OpenPhoto(pictures / "t.tif")
    assert (opened.shape_px, opened.artist) == ((130, 90), "Ada")
    assert (whole(pictures / "t.tif") == turn_samples(picture(), 6)).all()


def make_raw():
    g = torch.Generator().manual_seed(1)
    mosaic = (64 + 900 * torch.rand((80, 100), generator=g)).round().to(torch.uint16)
    return render.RawFile(
        mosaic=mosaic,
        pattern="RGGB",
        black_dn=torch.full((4,), 64.0),
        white_dn=1023.0,
        white_balance=torch.tensor([2.0, 1.0, 1.5]),
        color_matrices=((21, torch.eye(3)),),
        iso=100,
        orientation=6,
    )


def test_a_dng_is_developed(pictures):
    render.write_dng(pictures / "r.dng", make_raw())
    opened = OpenPhoto(pictures / "r.dng")
    want = render.develop(render.read_photo(pictures / "r.dng"))[0].permute(1, 2, 0)
    assert opened.shape_px == tuple(want.shape[:2]) == (100, 80)
    assert np.abs(whole(pictures / "r.dng") / 65535 - want.numpy()).max() < 1e-5


def test_transparency_is_refused(save, picture):
    half = Image.fromarray(picture()).convert("RGBA")
    half.putalpha(100)
    for name in ("a.png", "a.tif"):
        with pytest.raises(InputError, match="partly transparent"):
            whole(save(name, half))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jpg", b"no picture", "no readable content"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "no readable content"),
        ("a.tif", b"II*\0", "no readable content"),
        ("a.dng", b"II*\0", "a.dng"),
        ("a.gif", b"GIF89a", "the suffix '.gif'"),
        ("a.jpg", b"BM" + bytes(60), "no readable content"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(pictures, name, content, words):
    (pictures / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        whole(pictures / name)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_is_named(save, picture):
    path = save("a.jpg", picture())
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"a\.jpg: found no readable content"):
        OpenPhoto(path).thumbnail(64)
    with pytest.raises(InputError, match=r"a\.jpg: found no readable content"):
        whole(path)


def test_another_kind_than_the_suffix_says_is_named(save, picture):
    path = save("a.gif", picture())
    renamed = path.rename(path.with_suffix(".png"))
    with pytest.raises(InputError, match="a file of kind GIF"):
        OpenPhoto(renamed)
    with pytest.raises(FileNotFoundError, match="no such file"):
        OpenPhoto(path.with_suffix(".jpg"))


def test_pages_of_a_tiff_are_refused(pictures, picture):
    tifffile.imwrite(pictures / "a.tif", np.stack([picture()] * 2), photometric="rgb")
    with pytest.raises(InputError, match="2 pages"):
        OpenPhoto(pictures / "a.tif")
