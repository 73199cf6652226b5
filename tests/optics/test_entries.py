import pytest

from optics.entries import Entry, parse_json
from psf.errors import InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": [1, {"b": NaN}]}', "file: a[1].b: found nan"),
        ('{"a": -Infinity}', "file: a: found -inf"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        ('{"a": 1', "file:1: found"),
    ],
)
def test_what_is_wrong_in_a_document_is_named_with_its_place(text, words):
    with pytest.raises(InputError) as caught:
        parse_json(text.encode(), "file")
    assert words in str(caught.value)


def test_entries_name_the_path_that_leads_to_them():
    rows = Entry({"rows": [{"x": 1}, {"x": "one"}]}, "file").entries("rows")
    assert rows[0].number("x") == 1.0
    with pytest.raises(InputError, match=r"file: rows\[1\]\.x: found 'one'"):
        rows[1].number("x")
    with pytest.raises(InputError, match=r"file: rows\[0\]\.y: found nothing"):
        rows[0].get("y")
