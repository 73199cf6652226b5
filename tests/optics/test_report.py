"""The report: complete, self-contained, and silent in a real browser."""

import math
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

import optics
from optics.report import make_report
from optics.report_tables import ReportSettings
from psf import InputError

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
SECTIONS = (
    "First order",
    "Layout",
    "Prescription",
    "Spot diagrams",
    "Ray and path fans",
    "Field curvature, distortion, colour, illumination",
    "Contrast against frequency",
    "Contrast against image height",
    "Contrast through focus",
    "Contrast against depth",
    "Encircled energy",
    "Depth of field",
    "Where it comes from",
)


@pytest.fixture(scope="module")
def page():
    line = optics.LINE_CHANNELS[1:2]
    settings = ReportSettings(radii=(0.0, 0.8), depths_m=(math.inf,), channels=line, circles_um=(50.0,))
    return make_report(optics.load("singlet_biconvex_nbk7"), settings)


class Tags(HTMLParser):
    """Opened and closed tags of a page."""

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.seen = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_every_part_is_there_with_drawings_and_tables(page):
    assert tuple(re.findall(r"<h2>(.*?)</h2>", page)) == SECTIONS
    assert page.count("<svg") == 12
    assert page.count("<table") >= 9
    assert optics.load("singlet_biconvex_nbk7").file_sha256 in page


def test_page_is_well_formed_and_no_name_is_given_twice(page):
    tags = Tags()
    tags.feed(page)
    assert not tags.faults
    assert not tags.open
    names = [attributes["id"] for _, attributes in tags.seen if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes["href"] for tag, attributes in tags.seen if tag in ("a", "use")]
    assert {link.removeprefix("#") for link in links} <= set(names)


def test_page_holds_everything_itself(page):
    assert "<script" not in page
    assert "<img" not in page
    assert not re.findall(r"https?://", page)
    assert not re.findall(r"\bNaN\b|\bnan\b", page)


def run_browser(*words):
    common = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"]
    return subprocess.run([*common, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_browser_opens_it_without_network_and_without_an_error(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    # Whatever the page asked for would have to come from a proxy that does not exist, and would be an error.
    words = ["--enable-logging=stderr", "--proxy-server=127.0.0.1:9", f"--user-data-dir={tmp_path / 'profile'}"]
    done = run_browser(*words, "--dump-dom", file.as_uri())
    assert done.returncode == 0
    assert done.stdout.count("<svg") == 12
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line or file.name in line]
    assert not said


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
def test_browser_prints_it(page, tmp_path):
    file, printed = tmp_path / "report.html", tmp_path / "report.pdf"
    file.write_text(page, encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    run_browser(profile, "--no-pdf-header-footer", f"--print-to-pdf={printed}", file.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
    assert 5 <= pages <= 14


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ReportSettings(radii=(2.0,)), "radii"),
        (ReportSettings(depths_m=(-1.0,)), "depth_m"),
        (ReportSettings(depths_m=()), "depths_m"),
        (ReportSettings(frequencies_per_mm=(-1.0,)), "frequencies_per_mm"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(InputError, match=words):
        make_report(optics.load("singlet_biconvex_nbk7"), settings)
