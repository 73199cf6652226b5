"""Text exports of OpticStudio, in the layout of its help and of public readers."""

import codecs

import pytest
import torch

from psf.errors import InputError
from psf.files.opticstudio import parse_opticstudio, read_opticstudio

ENCODINGS = {
    "utf-16 with a mark": lambda text: codecs.BOM_UTF16_LE + text.encode("utf-16-le"),
    "utf-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
    "utf-8": lambda text: text.encode(),
    "utf-8 with a mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "windows": lambda text: text.encode("cp1252"),
}


@pytest.fixture
def text(export_text, lopsided):
    """A Huygens PSF of a field 14 degrees up."""
    return export_text(lopsided(1.57, 33), waves_um=(0.4861, 0.6563), field=(0.0, 14.0), place_mm=(0.0, 1.25))


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_gives_the_same_export(text, name, end):
    found = parse_opticstudio(ENCODINGS[name](text.replace("\n", end)), "a.txt")
    assert found.values.shape == (33, 33)
    assert found.wavelengths_um == (0.4861, 0.6563)
    assert found.spacing_um == (0.5, 0.5)
    assert found.notices == ()


def test_header_is_read_whole(text, lopsided):
    found = parse_opticstudio(text.encode(), "a.txt")
    assert (found.analysis, found.field_point, found.field_unit) == ("huygens", (0.0, 14.0), "deg")
    assert found.centre_px == (16, 16)
    assert found.centre_mm == (0.0, 1.25)
    assert found.strehl == 0.5
    assert torch.allclose(found.values, lopsided(1.57, 33), atol=1e-6)
    assert found.values[:16].sum() > 1.5 * found.values[17:].sum()  # the first row is the top one, and the tail goes up


@pytest.mark.parametrize("end", ["", "\n"])
def test_decimal_commas_are_numbers(export_text, lopsided, end):
    values = lopsided(0.0, 9)
    text = export_text(values, comma=True, field=(1.5, -2.25), waves_um=(0.5876,), place_mm=(0.1, -0.2)) + end
    found = parse_opticstudio(text.encode(), "a.txt")
    assert found.field_point == (1.5, -2.25)
    assert found.wavelengths_um == (0.5876, 0.5876)
    assert found.centre_mm == (0.1, -0.2)
    assert torch.allclose(found.values, values, atol=1e-6)


def test_fft_psf_of_an_even_grid_has_its_own_centre(export_text, lopsided):
    text = export_text(lopsided(0.0, 32), analysis="FFT", centre=(17, 16), strehl=None, spacing_um=0.4)
    found = parse_opticstudio(text.encode(), "a.txt")
    assert (found.analysis, found.centre_px, found.strehl) == ("fft", (16, 15), None)


def test_fft_psf_off_the_axis_is_told_of(export_text, lopsided):
    text = export_text(lopsided(0.0, 64), analysis="FFT", field=(0.0, 10.0))
    assert "across the chief ray" in str(parse_opticstudio(text.encode(), "a.txt").notices[0])


def test_spacing_is_as_exact_as_the_data_area(text):
    # 0.5 stands for 0.4995 to 0.5005; 33 points over 16.510 um are 0.50030 um apart.
    found = parse_opticstudio(text.replace("16.500 by 16.500", "16.510 by 16.510").encode(), "a.txt")
    assert found.spacing_um[0] == pytest.approx(16.51 / 33, rel=1e-12)


def test_unknown_line_is_told_with_its_number(text):
    notices = parse_opticstudio(text.replace("Surface: Image", "Wobble: 3").encode(), "a.txt").notices
    assert [str(one) for one in notices] == ["a.txt:11: skipped: 'Wobble: 3'"]


def test_light_at_the_border_is_told_of(export_text):
    notices = parse_opticstudio(export_text(torch.ones(20, 20).double()).encode(), "a.txt").notices
    assert "larger area" in notices[0].text


def test_units_of_length(text):
    metres = text.replace("Data spacing is 0.500 µm", "Data spacing is 0.000500 mm").replace("16.500 µm", "0.016500 mm")
    metres = metres.replace("16.500 by", "0.016500 by")
    assert parse_opticstudio(metres.encode(), "a.txt").spacing_um[0] == pytest.approx(0.5)


REFUSED = [
    ("Listing of Huygens PSF Data", "Liste der Huygens-PSF-Daten", r"^a\.txt:1: .*English"),
    ("Listing of Huygens PSF Data", "Listing of Huygens MTF Data", r"^a\.txt:1: "),
    ("Data area is 16.500 by 16.500 µm", "Data area is 26.500 by 26.500 µm", r"^a\.txt:10: .*33 times"),
    ("Data spacing is 0.500 µm", "Data spacing is 0.600 µm", r"^a\.txt:10: "),
    ("Data spacing is 0.500 µm", "Data spacing is 0.500 furlongs", r"^a\.txt:9: .*furlongs"),
    ("Data spacing is 0.500 µm", "Datenabstand: 0.500 µm", r"no such line"),
    ("Image grid size: 33 by 33", "Image grid size: 33 by 32", r"^a\.txt:51: .*nothing after 32 rows"),
    ("Image grid size: 33 by 33", "Image grid size: 32 by 33", r"^a\.txt:19: .*33 values"),
    ("Center point is: row 17, column 17", "Center point is: 17, 16", r"^a\.txt:15: .*which is the row"),
    ("Center point is: row 17, column 17", "Center point is: row 34, column 17", r"^a\.txt:15: "),
    ("Surface: Image", "Surface: 7", r"^a\.txt:11: .*image surface"),
    ("Surface: Image", "Strehl ratio: 0.5", r"^a\.txt:12: .*second line"),
    ("0.4861 to 0.6563", "0.6563 to 0.4861", r"^a\.txt:8: "),
    ("14.0000 (deg)", "14.0000 (parsec)", r"^a\.txt:8: .*parsec"),
]


@pytest.mark.parametrize(("old", "new", "words"), REFUSED, ids=[new for _, new, _ in REFUSED])
def test_header_that_contradicts_itself_is_refused_with_its_line(text, old, new, words):
    assert old in text
    with pytest.raises(InputError, match=words) as caught:
        parse_opticstudio(text.replace(old, new, 1).encode(), "a.txt")
    assert "\n" not in str(caught.value)


def _broken(text, change):
    lines = text.split("\n")
    first = next(n for n, line in enumerate(lines) if line.count("\t") > 5)
    return "\n".join(change(lines, first)), first + 1


@pytest.mark.parametrize("word", ["NaN", "-nan(ind)", "1.#QNAN", "inf", "x", "1e400"])
@pytest.mark.parametrize("row", [0, 5])
def test_value_that_is_no_number_is_refused_with_its_line(text, word, row):
    def change(lines, first):
        words = lines[first + row].split("\t")
        return [*lines[: first + row], "\t".join([words[0], word, *words[2:]]), *lines[first + row + 1 :]]

    broken, first = _broken(text, change)
    with pytest.raises(InputError, match=rf"^a\.txt:{first + row}: .*finite number"):
        parse_opticstudio(broken.encode(), "a.txt")


def test_truncated_file_is_refused(text):
    broken, _ = _broken(text, lambda lines, first: lines[: first + 20])
    with pytest.raises(InputError, match="20 rows of numbers, then the end, expected 33"):
        parse_opticstudio(broken.encode(), "a.txt")
    half, first = _broken(text, lambda lines, first: [*lines[: first + 20], lines[first + 20][:40]])
    with pytest.raises(InputError, match=rf"^a\.txt:{first + 20}: "):
        parse_opticstudio(half.encode(), "a.txt")
    header, _ = _broken(text, lambda lines, first: lines[:first])
    with pytest.raises(InputError, match="0 rows of numbers"):
        parse_opticstudio(header.encode(), "a.txt")


def test_second_grid_in_a_file_is_refused(text):
    with pytest.raises(InputError, match="nothing after 33 rows"):
        parse_opticstudio((text + text).encode(), "a.txt")


def test_what_is_no_intensity_is_refused(export_text, lopsided):
    with pytest.raises(InputError, match="Linear"):
        parse_opticstudio(export_text(lopsided(0.0, 9).log10()).encode(), "a.txt")
    with pytest.raises(InputError, match="without light"):
        parse_opticstudio(export_text(torch.zeros(9, 9)).encode(), "a.txt")


def test_points_and_commas_in_one_file_are_refused(text):
    lines = text.split("\n")
    mixed = "\n".join([*lines[:18], *(line.replace(".", ",") for line in lines[18:])])
    with pytest.raises(InputError, match="both decimal points and decimal commas"):
        parse_opticstudio(mixed.encode(), "a.txt")


def test_bytes_of_any_kind_give_an_error_and_no_crash(text):
    generator = torch.Generator().manual_seed(3)
    content = bytearray(text.encode())
    for _ in range(150):
        changed = bytearray(content)
        for place in torch.randint(len(content), (3,), generator=generator).tolist():
            changed[place] = int(torch.randint(256, (1,), generator=generator))
        said = "a.txt"
        try:
            parse_opticstudio(bytes(changed), "a.txt")
        except InputError as error:
            said = str(error)
        assert said.startswith("a.txt")
        assert "\n" not in said


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_opticstudio(tmp_path / "none.txt")
    with pytest.raises(InputError, match="a folder"):
        read_opticstudio(tmp_path)


def test_shipped_examples_are_read(root):
    folder = root / "tests" / "data" / "psf_exports"
    huygens, fft = (read_opticstudio(folder / name) for name in ("huygens_14deg.txt", "fft_axis_commas.txt"))
    assert (huygens.values.shape, huygens.field_point, huygens.centre_mm) == ((17, 17), (0.0, 14.0), (0.0, 1.247))
    assert (fft.values.shape, fft.centre_px, fft.wavelengths_um) == ((16, 16), (8, 7), (0.4861, 0.6563))
    for one in (huygens, fft):
        row, column = divmod(int(one.values.argmax()), one.values.shape[1])
        assert row <= one.centre_px[0]  # the light leans upwards, to the first row
        assert column == one.centre_px[1]
    assert [one.text for one in fft.notices] == ["centre coordinates without a unit are taken as mm"]
