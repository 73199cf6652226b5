from optics.files.carried import carried_media, read_carried, write_carried
from optics.files.notices import Log

DATA = {"name": "a b", "title": "Größe  2", "media": {"g": {"model": "nd_vd_cauchy", "nd": 1.5, "vd": 60.0}}}


def notes(texts):
    return [(i, text) for i, text in enumerate(texts, start=5)]


def test_what_is_carried_comes_back_even_with_other_notes_between():
    texts = write_carried(DATA)
    assert all(text.isascii() and len(text) < 120 and text.count(" ") == 1 for text in texts)
    log = Log("f")
    found = read_carried(notes(["for people", *texts, "psfield is nice"]), log)
    assert found == DATA
    assert float(carried_media(found, log)["g"].nd) == 1.5
    assert log.notices() == ()


def test_damaged_notes_are_told_and_left_out():
    texts = write_carried(DATA)
    log = Log("f")
    assert read_carried(notes(texts[:-1] or ["psfield-1 {"]), log) == {}
    assert [one.line for one in log.notices()] == [5]


def test_keys_that_move_surfaces_are_not_carried():
    assert read_carried(notes(['psfield-1 {"surfaces":[],"nearest_m":2}']), Log("f")) == {"nearest_m": 2}
