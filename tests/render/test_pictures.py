"""Image and depth files: what is written comes back, other people's files are read, and what is wrong is named."""

import importlib
import importlib.util
import math

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from psf import InputError
from render import pictures
from render.pictures import check_writable, decode_srgb, encode_srgb, read_depth, read_picture, write_picture
from render.png import write_png16

needs_exr = pytest.mark.skipif(importlib.util.find_spec("OpenEXR") is None, reason="OpenEXR is an extra")


def random_picture(channels=3, height=6, width=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, channels, height, width, generator=generator)


# ---- the curve


def test_srgb_curve_passes_through_the_standards_values():
    # IEC 61966-2-1: the pieces meet at 0.0031308, and 18 % grey is 118 of 255.
    assert encode_srgb(torch.tensor(0.0031308, dtype=torch.float64)) == pytest.approx(0.04045, abs=1e-6)
    assert round(255 * float(encode_srgb(torch.tensor(0.18, dtype=torch.float64)))) == 118
    assert float(decode_srgb(torch.tensor(1.0, dtype=torch.float64))) == pytest.approx(1, abs=1e-15)
    assert float(decode_srgb(torch.tensor(0.5, dtype=torch.float64))) == pytest.approx(0.21404114048223255, abs=1e-15)


def test_srgb_curves_undo_each_other():
    linear = torch.linspace(-0.2, 2, 5001, dtype=torch.float64)
    # The standard's two pieces miss each other by 3e-8 at the knee.
    assert (decode_srgb(encode_srgb(linear)) - linear).abs().max() < 1e-7


def test_gradient_of_the_srgb_curves_is_finite_everywhere():
    for curve in (decode_srgb, encode_srgb):
        values = torch.linspace(-0.5, 2, 101, dtype=torch.float64, requires_grad=True)
        curve(values).sum().backward()
        assert values.grad.isfinite().all()
        inner = torch.tensor([0.001, 0.02, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(curve, (inner,))


# ---- pictures

# Half a step of the coarsest code, through the steepest part of the curve that decodes it (slope 2.3).
TOLERANCES = {8: 0.5 / 255 * 2.3, 16: 0.5 / 65535 * 2.3 + 1e-7, 32: 1e-7, 64: 1e-7}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("a.png", 8),
        ("a.png", 16),
        ("a.tif", 16),
        ("a.tiff", 32),
        ("a.npy", 32),
        ("a.npy", 64),
        pytest.param("a.exr", 32, marks=needs_exr),
    ],
)
def test_a_written_picture_comes_back(tmp_path, name, bits, channels):
    image = random_picture(channels)
    write_picture(tmp_path / name, image, bits=bits)
    again = read_picture(tmp_path / name)
    assert again.shape == image.shape
    assert again.dtype == torch.float32
    assert (again - image).abs().max() <= TOLERANCES[bits]
    assert [path.name for path in tmp_path.iterdir()] == [name]


@needs_exr
def test_half_floats_of_exr_keep_three_digits(tmp_path):
    image = random_picture() * 100
    write_picture(tmp_path / "a.exr", image[0], bits=16)
    assert ((read_picture(tmp_path / "a.exr") - image).abs() <= 2**-11 * image + 1e-6).all()
    with pytest.raises(InputError, match="16 bits"):
        write_picture(tmp_path / "b.exr", image * 1e6, bits=16)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_code_survives_reading_and_writing(tmp_path, bits):
    codes = np.arange(2**bits, dtype=f"u{bits // 8}").reshape(16, -1)
    if bits == 8:
        Image.fromarray(codes).save(tmp_path / "a.png")
    else:
        with (tmp_path / "a.png").open("wb") as file:
            write_png16(file, codes[..., None])
    image = read_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", image, bits=bits)
    assert torch.equal(read_picture(tmp_path / "b.png"), image)


def test_floats_keep_light_above_1_and_integers_clip_it(tmp_path):
    image = torch.tensor([[[-0.5, 0.5, 7.0]]])
    write_picture(tmp_path / "a.tif", image, bits=32)
    write_picture(tmp_path / "a.png", image, bits=16)
    assert torch.equal(read_picture(tmp_path / "a.tif")[0], image)
    assert read_picture(tmp_path / "a.png").flatten().tolist() == pytest.approx([0, 0.5, 1], abs=2e-5)


def test_encoding_can_be_said_against_the_kind_of_file(tmp_path):
    Image.fromarray(np.full((2, 2), 128, np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.full((2, 2, 3), 0.5, np.float32))
    assert float(read_picture(tmp_path / "a.png", encoding="linear").max()) == pytest.approx(128 / 255)
    assert float(read_picture(tmp_path / "a.png").max()) == pytest.approx(0.2158605, abs=1e-6)
    assert float(read_picture(tmp_path / "a.npy").max()) == 0.5
    assert float(read_picture(tmp_path / "a.npy", encoding="srgb").max()) == pytest.approx(0.2140411, abs=1e-6)
    write_picture(tmp_path / "b.png", torch.full((1, 2, 2), 0.5), encoding="linear")
    assert np.array(Image.open(tmp_path / "b.png")).max() == 128


def test_rows_count_down_and_channels_are_red_green_blue(tmp_path):
    image = torch.zeros(3, 4, 5)
    image[0, 0, 4] = 1  # red in the upper right corner
    for name in ("a.png", "a.tif", "a.npy"):
        write_picture(tmp_path / name, image)
        assert torch.equal(read_picture(tmp_path / name)[0], image), name
    assert Image.open(tmp_path / "a.png").getpixel((4, 0)) == (255, 0, 0)
    assert tifffile.imread(tmp_path / "a.tif")[0, 4].tolist() == [65535, 0, 0]


def test_pictures_held_sideways_are_turned_upright(tmp_path):
    wide = Image.new("RGB", (4, 2))
    exif = wide.getexif()
    exif[0x0112] = 6
    wide.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (1, 3, 4, 2)


def test_palettes_and_opaque_alpha_are_read_and_transparency_is_refused(tmp_path):
    red = Image.new("RGB", (3, 2), (255, 0, 0))
    red.quantize(4).save(tmp_path / "a.png")
    red.convert("RGBA").save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        assert read_picture(tmp_path / name)[0, :, 0, 0].tolist() == [1, 0, 0]
    Image.new("RGBA", (3, 2), (255, 0, 0, 7)).save(tmp_path / "c.png")
    with pytest.raises(InputError, match=r"c\.png.*transparent"):
        read_picture(tmp_path / "c.png")


def test_planar_tiff_is_read(tmp_path):
    samples = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", planarconfig="separate")
    assert torch.equal(read_picture(tmp_path / "a.tif")[0], torch.from_numpy(samples))


def test_a_foreign_colour_profile_is_warned_of(tmp_path):
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png", icc_profile=other)
    with pytest.warns(UserWarning, match=r"a\.png: the colour profile is not sRGB"):
        read_picture(tmp_path / "a.png")
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (3, 2)).save(tmp_path / "b.png", icc_profile=own)
    read_picture(tmp_path / "b.png")


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", torch.zeros(3, 2, 2))
    before = (tmp_path / "a.png").read_bytes()

    def fail(file, samples):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pictures, "write_png16", fail)
    with pytest.raises(OSError, match="disk full"):
        write_picture(tmp_path / "a.png", torch.ones(3, 2, 2), bits=16)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "image", "options", "words"),
    [
        ("a.jpg", torch.zeros(3, 2, 2), {}, ["a.jpg", "'.jpg'", ".png"]),
        ("a", torch.zeros(3, 2, 2), {}, ["suffix ''"]),
        ("a.png", torch.zeros(3, 2, 2), {"bits": 12}, ["a.png (bits)", "12", "8 or 16"]),
        ("a.png", torch.zeros(3, 2, 2), {"encoding": "gamma"}, ["encoding", "'gamma'"]),
        ("a.png", torch.zeros(2, 2, 2), {}, ["image", "(2, 2, 2)"]),
        ("a.png", torch.zeros(2, 3, 2, 2), {}, ["image", "(2, 3, 2, 2)"]),
        ("a.png", torch.zeros(3, 2, 2, dtype=torch.uint8), {}, ["image", "uint8"]),
        ("a.png", torch.zeros(3, 0, 2), {}, ["image"]),
        ("a.png", torch.full((1, 2, 2), math.nan), {}, ["image", "4 values that are not finite"]),
        ("folder.png", torch.zeros(3, 2, 2), {}, ["folder.png", "a folder"]),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, image, options, words):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError) as caught:
        write_picture(tmp_path / name, image, **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_missing_folder_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_writable(tmp_path / "no" / "a.png")
    assert check_writable(tmp_path / "a.png") == 8


def bad_files(folder):
    """name -> words of the complaint when it is read as a picture"""
    np.save(folder / "nan.npy", np.full((2, 2, 3), np.nan, np.float32))
    np.save(folder / "five.npy", np.zeros((2, 2, 5), np.float32))
    np.save(folder / "flat.npy", np.zeros(4, np.float32))
    np.save(folder / "text.npy", np.array([["a"]]))
    np.save(folder / "int64.npy", np.zeros((2, 2), np.int64))
    np.save(folder / "object.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.tif").write_bytes(b"no picture")
    (folder / "broken.npy").write_bytes(b"no picture")
    Image.new("RGB", (9, 9)).save(folder / "gif.png", format="GIF")
    Image.effect_noise((64, 64), 50).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:300])
    Image.new("CMYK", (9, 9)).save(folder / "cmyk.jpg")
    tifffile.imwrite(folder / "pages.tif", np.zeros((2, 8, 8), np.uint16), photometric="minisblack")
    (folder / "text.txt").write_text("a")
    (folder / "folder.png").mkdir()
    return {
        "nan.npy": "12 samples that are not finite",
        "five.npy": "5 channels",
        "flat.npy": "shape (4,)",
        "text.npy": "shape (1, 1, 1)",
        "int64.npy": "int64",
        "object.npy": "no readable content",
        "broken.png": "no readable content",
        "broken.tif": "no readable content",
        "broken.npy": "no readable content",
        "gif.png": "kind GIF",
        "cut.png": "no readable content",
        "cmyk.jpg": "CMYK",
        "pages.tif": "2 pages",
        "text.txt": "'.txt'",
        "folder.png": "a folder",
    }


def test_what_cannot_be_read_is_named_in_one_line(tmp_path):
    for name, words in bad_files(tmp_path).items():
        with pytest.raises(InputError) as caught:
            read_picture(tmp_path / name)
        message = str(caught.value)
        assert name in message, message
        assert words in message, message
        assert "\n" not in message
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="encoding"):
        read_picture(tmp_path / "gif.png", encoding="linar")


def test_a_missing_extra_says_how_to_get_it(tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'psfield\[exr\]'"):
        write_picture(tmp_path / "a.exr", torch.zeros(3, 2, 2))
    (tmp_path / "b.exr").write_bytes(b"")
    with pytest.raises(ImportError, match=r"pip install 'psfield\[exr\]'"):
        read_picture(tmp_path / "b.exr")


# ---- depth

METRES = np.array([[0.5, 1.0, 2.5], [4.0, 10.0, 40.0]])
STEPS = np.rint((1 / METRES - 0.02) / 2 * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("stored", "options"),
    [
        (METRES.astype(np.float32), {"unit": "m"}),
        ((METRES * 1000).astype(np.uint16), {"unit": "mm"}),
        ((METRES * 100).astype(np.uint16), {"unit": "cm"}),
        ((METRES * 256).astype(np.uint16), {"unit": "m", "scale": 1 / 256}),
        ((1 / METRES).astype(np.float32), {"unit": "dpt"}),
        (
            np.rint((1 / METRES - 0.02) / 2 * 65535).astype(np.uint16),
            {"unit": "dpt", "scale": 2 / 65535, "offset": 0.02},
        ),
    ],
    ids=["m", "mm", "cm", "m in steps", "dpt", "dpt in steps"],
)
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_depth_encodings_mean_the_same_metres(tmp_path, stored, options, suffix):
    path = tmp_path / f"depth{suffix}"
    if suffix == ".png":
        if stored.dtype != np.uint16:
            pytest.skip("PNG holds integers")
        with path.open("wb") as file:
            write_png16(file, stored[..., None])
    elif suffix == ".tif":
        tifffile.imwrite(path, stored)
    else:
        np.save(path, stored)
    depth_m = read_depth(path, **options)
    assert depth_m.shape == (1, 1, 2, 3)
    assert depth_m.dtype == torch.float32
    # Steps of 2 / 65535 dpt make 1.5e-5 dpt, 6e-4 of 40 m.
    assert np.allclose(depth_m[0, 0].numpy(), METRES, rtol=7e-4 if "offset" in options else 1e-6)


def test_infinity_is_kept_and_no_dioptres_are_infinity(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, np.inf]]))
    np.save(tmp_path / "b.npy", np.array([[1.0, 0.0]]))
    np.save(tmp_path / "c.npy", np.array([[1.0, -0.0]]))
    assert read_depth(tmp_path / "a.npy", unit="mm").flatten().tolist() == pytest.approx([0.001, math.inf])
    for name in ("b.npy", "c.npy"):
        assert read_depth(tmp_path / name, unit="dpt").flatten().tolist() == [1, math.inf]


@pytest.mark.parametrize("hole", [0.0, np.nan, 65535.0])
def test_missing_depth_is_refused_or_filled(tmp_path, hole):
    stored = np.full((5, 6), 1000.0)
    stored[:, 3:] = 2000.0
    stored[1, 1] = stored[2, 5] = hole
    np.save(tmp_path / "a.npy", stored)
    options = {"unit": "mm", "missing": (0, 65535)}
    with pytest.raises(InputError, match=r"a\.npy: found 2 of 30 pixels without depth"):
        read_depth(tmp_path / "a.npy", **options)
    nearest = read_depth(tmp_path / "a.npy", **options, fill="nearest")[0, 0]
    assert nearest[1, 1] == 1
    assert nearest[2, 5] == 2
    assert torch.equal(nearest[0], torch.tensor([1.0, 1, 1, 2, 2, 2]))
    far = read_depth(tmp_path / "a.npy", **options, fill="inf")[0, 0]
    assert far.isinf().sum() == 2
    assert far[0, 0] == 1


def test_an_all_empty_map_cannot_be_filled_from_its_neighbours(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2)))
    with pytest.raises(InputError, match="no pixel with a depth"):
        read_depth(tmp_path / "a.npy", unit="m", missing=(0,), fill="nearest")


def test_three_equal_channels_are_one_depth(tmp_path):
    grey = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "a.png")
    assert torch.equal(read_depth(tmp_path / "a.png", unit="m")[0, 0], torch.from_numpy(grey).float())
    Image.fromarray(np.stack([grey, grey, grey + 1], -1)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png: found 3 channels that differ"):
        read_depth(tmp_path / "b.png", unit="m")


@pytest.mark.parametrize(
    ("stored", "options", "words"),
    [
        ([[1.0, 0.0]], {"unit": "m"}, ["0 m at row 0, column 1", "above 0 m", "missing"]),
        ([[1.0, -3.0]], {"unit": "mm"}, ["-3 mm", "above 0 mm"]),
        ([[1.0, -3.0]], {"unit": "dpt"}, ["-3 dpt", "no dioptres below 0"]),
        ([[1.0, -np.inf]], {"unit": "m"}, ["-inf m"]),
        ([[1.0, 1e-60]], {"unit": "m"}, ["down to 1e-60 m"]),
        ([[1.0, 2.0]], {"unit": "feet"}, ["unit", "'feet'", "'dpt'"]),
        ([[1.0, 2.0]], {"unit": "m", "scale": 0.0}, ["scale", "0.0"]),
        ([[1.0, 2.0]], {"unit": "m", "scale": math.nan}, ["scale", "nan"]),
        ([[1.0, 2.0]], {"unit": "m", "offset": math.inf}, ["offset", "inf"]),
        ([[1.0, 2.0]], {"unit": "m", "fill": "zero"}, ["fill", "'zero'"]),
    ],
)
def test_depth_that_means_nothing_is_named(tmp_path, stored, options, words):
    np.save(tmp_path / "a.npy", np.array(stored))
    with pytest.raises(InputError) as caught:
        read_depth(tmp_path / "a.npy", **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_depth_is_not_read_from_jpeg(tmp_path):
    Image.new("L", (3, 2), 7).save(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: found the suffix '\.jpg'"):
        read_depth(tmp_path / "a.jpg", unit="m")


@needs_exr
def test_exr_channels_are_found_by_name(tmp_path):
    exr = importlib.import_module("OpenEXR")
    colours = {name: np.full((2, 3), value, np.float32) for name, value in (("R", 1), ("G", 2), ("B", 3))}
    depth = np.arange(1, 7, dtype=np.float32).reshape(2, 3)

    def write(name, channels):
        header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
        exr.File(header, channels).write(str(tmp_path / name))

    write("z.exr", {**colours, "Z": depth})
    write("layers.exr", {f"View.Combined.{k}": v for k, v in colours.items()} | {"View.Depth.Z": depth})
    write("one.exr", {"whatever": depth})
    write("none.exr", {"U": depth, "W": depth})
    write("grey.exr", dict.fromkeys("RGB", depth))
    for name in ("z.exr", "layers.exr", "one.exr", "grey.exr"):
        assert torch.equal(read_depth(tmp_path / name, unit="m")[0, 0], torch.from_numpy(depth)), name
    for name in ("z.exr", "layers.exr"):
        assert read_picture(tmp_path / name)[0, :, 0, 0].tolist() == [1, 2, 3]
    for read in (lambda path: read_depth(path, unit="m"), read_picture):
        with pytest.raises(InputError, match="channels U, W"):
            read(tmp_path / "none.exr")
    (tmp_path / "broken.exr").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.exr: found no readable content"):
        read_picture(tmp_path / "broken.exr")
