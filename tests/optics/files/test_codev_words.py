from optics.files.codev_words import split_statements
from optics.files.notices import Log


def words(text):
    return [(one.line, one.head, one.values) for one in split_statements(text, Log("f"))]


def test_comments_semicolons_continuations_and_quotes():
    text = "RDM;LEN \"a ; b ! c\" ! said\n\nA -1e-4; B&\n  2\nTITLE 'it''s'\n"
    assert words(text) == [
        (1, "RDM", ()),
        (1, "LEN", ("a ; b ! c",)),
        (3, "A", ("-1e-4",)),
        (3, "B", ("2",)),
        (5, "TITLE", ("it", "s")),
    ]


def test_words_are_three_letters_but_surfaces_are_whole():
    found = split_statements("TITLE x\nS12 1 2\nSI 0 0\n", Log("f"))
    assert [one.word for one in found] == ["TIT", "S12", "SI"]
