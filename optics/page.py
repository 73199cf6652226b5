"""One HTML page with everything in it: tables and vector drawings, no script, nothing fetched, fit for printing."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from psf.errors import InputError

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1.4rem 3rem; max-width: 1080px; background: #fff; color: #1c1c1c;
  font: 15px/1.45 "DejaVu Sans", Verdana, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.55rem; line-height: 1.25; margin: 0 0 .2rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; padding-top: .5rem; border-top: 1px solid #c9d3dc; color: #0b3c8c; }
p { margin: .4rem 0 .7rem; max-width: 46rem; }
p.lead { color: #444; margin-top: 0; }
nav { font-size: .85rem; margin: .9rem 0 0; line-height: 1.9; }
nav a { color: #0b3c8c; text-decoration: none; margin-right: .9rem; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; margin: .5rem 0 1rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .2rem 0 .3rem; }
th, td { padding: .18rem 0 .18rem 1.1rem; text-align: right; border-bottom: 1px solid #e6ebef; vertical-align: top; }
th { font-weight: 600; border-bottom: 1.5px solid #8fa3b3; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
th:first-child, td:first-child { padding-left: 0; }
td { white-space: nowrap; }
.wrap td { white-space: normal; }
.wrap td.text { overflow-wrap: anywhere; }
.columns { columns: 2; column-gap: 2.4rem; }
.columns table { width: 100%; break-inside: avoid; margin-top: 0; }
figure { margin: .6rem 0 1.2rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 960px; margin: 0 auto; }
figcaption { font-size: .84rem; color: #444; max-width: 46rem; margin-top: .15rem; }
@media (max-width: 640px) { body { padding: .8rem .7rem 2rem; font-size: 14px; } .columns { columns: 1; }
  figure { overflow-x: auto; } figure svg { min-width: 560px; } }
@page { size: A4; margin: 14mm 15mm 16mm;
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt Verdana, sans-serif; color: #666; } }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } nav { display: none; } h1 { font-size: 15pt; }
  h2 { font-size: 11.5pt; margin: 5mm 0 1.5mm; break-after: avoid; } p, figcaption { max-width: none; }
  table { font-size: 7.6pt; } th, td { padding-left: .75rem; } thead { display: table-header-group; }
  tr, table, figure { break-inside: avoid; } figure { margin: 1.5mm 0 3mm; } p.before { break-after: avoid; }
  .wide { overflow: visible; } figcaption { font-size: 7.6pt; } figure svg { max-width: none; } }
"""

_ID = re.compile(r'\bid="([^"]+)"')


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers.

    Attributes:
        head: One heading per column, or none.
        rows: Each as long as the head; numbers come as text.
        caption: What it is.
        text_columns: Columns after the first that hold words, aligned left.
        narrow: Set in two columns beside other narrow ones where there is room.
        wraps: Whether cells may be broken into lines.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: Sequence[int] = ()
    narrow: bool = False
    wraps: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if self.head and len(row) != len(self.head):
                raise InputError("Table.rows", f"{len(row)} cells", f"{len(self.head)}, as in the head")


@dataclass(frozen=True)
class Drawing:
    """A vector drawing.

    Attributes:
        svg: An SVG document.
        caption: What to see.
        label: What it is, for those who cannot see it.
    """

    svg: str
    caption: str = ""
    label: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with what belongs under it.

    Attributes:
        title: The heading.
        parts: Paragraphs (text), tables and drawings, in order.
    """

    title: str
    parts: Sequence[str | Table | Drawing]


def compose_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """An HTML document that opens anywhere: styles and drawings inside, no scripts, no addresses.

    Args:
        title: Heading and name of the page.
        lead: One line under it.
        sections: In order; each gets a link at the top.
    """
    number = 0
    links, body = [], []
    for place, section in enumerate(sections, start=1):
        name = f"section-{place}"
        links.append(f'<a href="#{name}">{html.escape(section.title)}</a>')
        body.append(f'<section id="{name}"><h2>{html.escape(section.title)}</h2>')
        open_columns = False
        for part in section.parts:
            narrow = isinstance(part, Table) and part.narrow
            if narrow != open_columns:
                body.append('<div class="columns">' if narrow else "</div>")
                open_columns = narrow
            if isinstance(part, Table):
                body.append(_table(part))
            elif isinstance(part, Drawing):
                number += 1
                body.append(_figure(part, number))
            else:
                body.append(f'<p class="before">{html.escape(part)}</p>')
        if open_columns:
            body.append("</div>")
        body.append("</section>")
    # The policy makes a promise of what is true anyway: nothing is fetched and nothing runs.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{html.escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>',
            f'<body>\n<header><h1>{html.escape(title)}</h1>\n<p class="lead">{html.escape(lead)}</p>',
            f"<nav>{' '.join(links)}</nav></header>\n<main>",
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def embed_svg(svg: str, prefix: str, label: str = "") -> str:
    """An SVG document as an element of an HTML page: no preamble, no metadata, names that no other drawing uses.

    Args:
        svg: The document.
        prefix: Put before every name in it.
        label: What it shows, for those who cannot see it.

    Raises:
        InputError: No SVG element in it.
    """
    start, end = svg.find("<svg"), svg.rfind("</svg>")
    if start < 0 or end < 0:
        raise InputError("svg", "text without an <svg> element", "an SVG document")
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[start : end + 6], flags=re.DOTALL)
    drawing = _ID.sub(rf'id="{prefix}\1"', drawing)
    drawing = re.sub(r'(\bhref="#|url\(#)', rf"\g<1>{prefix}", drawing)
    # Measures in points would fix the size; the view box alone lets the page decide.
    opening = drawing[: drawing.index(">")]
    shorter = re.sub(r'\s(width|height|version|xmlns(:\w+)?)="[^"]*"', "", opening)
    drawing = shorter + f' role="img" aria-label="{html.escape(label, quote=True)}"' + drawing[len(opening) :]
    return drawing.replace("xlink:href", "href").replace("\n", "")


def _table(table: Table) -> str:
    words = set(table.text_columns)
    lines = ['<div class="wide"><table class="wrap">' if table.wraps else '<div class="wide"><table>']
    if table.caption:
        lines.append(f"<caption>{html.escape(table.caption)}</caption>")
    if any(table.head):
        cells = "".join(
            f'<th class="text">{html.escape(cell)}</th>' if k in words else f"<th>{html.escape(cell)}</th>"
            for k, cell in enumerate(table.head)
        )
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    for row in table.rows:
        cells = "".join(
            f'<td class="text">{html.escape(cell)}</td>' if k in words else f"<td>{html.escape(cell)}</td>"
            for k, cell in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table></div>")
    return "".join(lines)


def _figure(drawing: Drawing, number: int) -> str:
    inside = embed_svg(drawing.svg, f"d{number}-", drawing.label or drawing.caption)
    caption = f"<figcaption>{html.escape(drawing.caption)}</figcaption>" if drawing.caption else ""
    return f"<figure>{inside}{caption}</figure>"
