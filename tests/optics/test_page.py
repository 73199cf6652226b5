"""The page: words are escaped, drawings keep apart, nothing runs and nothing is fetched."""

import re

import pytest

from optics.page import Drawing, Section, Table, compose_page, embed_svg
from psf import InputError

SVG = """<?xml version="1.0"?><!DOCTYPE svg>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt"
 viewBox="0 0 72 36" version="1.1"><metadata><a href="http://far.away"/></metadata><!-- a note -->
<defs><clipPath id="c1"><rect id="r"/></clipPath></defs><g id="g" clip-path="url(#c1)"><use xlink:href="#r"/></g>
</svg>
"""


def test_drawings_get_names_of_their_own_and_no_size():
    found = embed_svg(SVG, "d7-", 'a "label"')
    assert found.startswith("<svg")
    assert found.endswith("</svg>")
    assert set(re.findall(r'id="([^"]+)"', found)) == {"d7-c1", "d7-r", "d7-g"}
    assert "url(#d7-c1)" in found
    assert ' href="#d7-r"' in found
    assert "http" not in found
    assert "72pt" not in found
    assert 'viewBox="0 0 72 36"' in found
    assert "a &quot;label&quot;" in found


def test_two_drawings_on_a_page_share_no_name():
    page = compose_page("t", "l", [Section("s", [Drawing(SVG), Drawing(SVG)])])
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names)) == 7


def test_words_are_escaped_and_nothing_runs_or_is_fetched():
    table = Table(("<b>", "n"), [("1 < 2", "&")], "a <caption>")
    page = compose_page("<script>alert(1)</script>", "lead & more", [Section("A & B", ["<p>", table])])
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "1 &lt; 2" in page
    assert "A &amp; B" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"https?://|@import|src=", page)


def test_narrow_tables_stand_side_by_side():
    narrow = Table(("", ""), [("a", "b")], narrow=True)
    page = compose_page("t", "l", [Section("s", [narrow, narrow, "text"])])
    assert page.count('class="columns"') == 1
    assert page.count("<div") == page.count("</div>")
    assert "<thead>" not in page


def test_rows_fit_their_head():
    with pytest.raises(InputError, match="1 cells"):
        Table(("a", "b"), [("1",)])


def test_text_without_a_drawing_is_refused():
    with pytest.raises(InputError, match="svg"):
        embed_svg("<p>no</p>", "d-")
