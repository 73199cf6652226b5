"""The page in a real browser: its numbers are Python's, and clicks, drags, keys and fingers do what they should.

Chromium is driven through the DevTools protocol over a pair of pipes, so that nothing but the browser is needed.
"""

import contextlib
import fcntl
import json
import math
import os
import re
import select
import shutil
import subprocess
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from psf import Channel, PolarPSFField, Provenance
from psf.contrast import find_mtf
from psf.metrics import find_centroid_px, find_rms_radius_px, measure_l1
from psf.viewer import make_page, pack_field

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")]
F64 = torch.float64
PATIENCE_S = 120
# x_px, y_px and dioptres: all quadrants, the centre, a corner, stored depths, between them and beyond.
PLACES = ((260.0, 30.5, 2.5), (31.0, 12.0, 0.0), (77.5, 150.0, 1.0), (199.0, 149.5, 3.3), (149.5, 99.5, 0.7),
          (0.0, 199.0, 5.0), (299.0, 0.0, 9.0), (149.5, 20.0, 0.31), (40.0, 99.5, 1.7))  # fmt: skip


def make_lens(kernel_px, oversample=1, channels=3, seed=0, **changes):
    """A field of lopsided blots that grow from their focus, with an edge on one side and colours that part."""
    side = kernel_px * oversample
    offset = (torch.arange(side, dtype=F64) - (side - 1) / 2) / oversample
    depths_m = torch.tensor([0.2, 0.4, 1.0, 2.5, math.inf], dtype=F64)
    radii = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0], dtype=F64)
    dioptres, height, channel = (1 / depths_m)[:, None, None], radii[:, None], torch.arange(channels)
    size = (0.7 + 0.45 * (dioptres - 1.2 - 0.4 * height - 0.15 * channel).abs())[..., None, None]
    outwards = (0.8 * height + 0.3 * height * (channel - 1) + 0.1 * dioptres)[..., None, None]
    x, y = offset - outwards, offset[:, None]
    shape = torch.exp(-0.5 * (x / size) ** 2 - 0.5 * (y / (size * (1 + 0.4 * height[..., None, None]))) ** 2)
    kernels = shape * torch.sigmoid(3 * (x + 1.5 * size) + 0.3 * seed) * (shape > 1e-4)
    kernels = kernels / kernels.sum((-2, -1), keepdim=True)
    transmission = (1 - 0.5 * height**2 - 0.01 * dioptres).expand(5, 5, channels).clone()
    values = {
        "kernels": kernels,
        "transmission": transmission / transmission[:, :1],
        "lost": 0.02 * (dioptres * height).expand(5, 5, channels) / 5,
        "depths_m": depths_m,
        "radii": radii,
        "image_shape_px": (200, 300),
        "pitch_um": 4.0,
        "channels": tuple(Channel(name, (0.5,)) for name in "RGB"[:channels]),
        "focus_m": 0.8,
        "oversample": oversample,
        "provenance": Provenance(lens=f"blots {seed}"),
    }
    return PolarPSFField(**{**values, **changes})


FIRST = make_lens(21)
SECOND = make_lens(11, oversample=3, channels=1, seed=1, image_shape_px=(300, 400), pitch_um=6.0)


class Browser:
    """A headless Chromium with one page, spoken to over pipes."""

    def __init__(self, profile):
        to_browser, from_browser = os.pipe(), os.pipe()
        # Away from 3 and 4, where Chromium looks for its ends.
        theirs = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (to_browser[0], from_browser[1])]
        for one in (to_browser[0], from_browser[1]):
            os.close(one)
        self.write, self.read, self.left = to_browser[1], from_browser[0], b""
        words = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
            "--hide-scrollbars",
        ]
        # Whatever is asked for would have to come from a proxy that does not exist.
        words += ["--remote-debugging-pipe", "--proxy-server=127.0.0.1:9", f"--user-data-dir={profile}"]

        def put_ends():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        self.process = subprocess.Popen([BROWSER, *words], close_fds=False, preexec_fn=put_ends, **quiet)
        for one in theirs:
            os.close(one)
        self.number, self.session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """The answer to one command; events on the way are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            answer = self.receive(until)
            if answer.get("id") == self.number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)
        raise TimeoutError(method)

    def receive(self, until):
        while b"\0" not in self.left:
            if not select.select([self.read], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("no answer from the browser")
            part = os.read(self.read, 1 << 20)
            if not part:
                raise EOFError("the browser is gone")
            self.left += part
        message, _, self.left = self.left.partition(b"\0")
        return json.loads(message)

    def ask(self, expression):
        """What an expression on the page is worth."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def settle(self):
        """Let the page draw."""
        self.ask("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def open(self, address, width=1280, height=900, mobile=False):
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=address)
        until = time.monotonic() + PATIENCE_S
        while not self.ask("Boolean(window.psfview) && document.readyState === 'complete'"):
            assert time.monotonic() < until, self.ask("document.body.innerText")
        self.settle()

    def place(self, selector):
        """Left, top, width and height of an element in the window."""
        self.ask(f"document.querySelector({selector!r}).scrollIntoView({{ block: 'center' }})")
        return self.box(selector)

    def box(self, selector):
        """The same, without scrolling it into view."""
        sides = "(({ x, y, width, height }) => [x, y, width, height])"
        return self.ask(f"{sides}(document.querySelector({selector!r}).getBoundingClientRect())")

    def mouse(self, kind, x, y, buttons=1):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=buttons, clickCount=1)

    def click(self, selector):
        left, top, width, height = self.place(selector)
        self.mouse("mousePressed", left + width / 2, top + height / 2)
        self.mouse("mouseReleased", left + width / 2, top + height / 2, 0)
        self.settle()

    def drag(self, *points):
        self.mouse("mousePressed", *points[0])
        for point in points[1:]:
            self.mouse("mouseMoved", *point)
        self.mouse("mouseReleased", *points[-1], 0)
        self.settle()

    def key(self, key, shift=False):
        code = {
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
            "Home": 36,
            "End": 35,
            "Tab": 9,
            " ": 32,
        }
        extra = {"text": " "} if key == " " else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code[key],
                modifiers=8 * shift,
                **extra,
            )
        self.settle()

    def close(self):
        with contextlib.suppress(Exception):
            self.session = None
            self.call("Browser.close")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write)
        os.close(self.read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    pages = {"one": [FIRST], "two": [FIRST, SECOND]}
    for name, fields in pages.items():
        (folder / f"{name}.html").write_text(make_page(fields).html, encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in pages}


@pytest.fixture(scope="module")
def measured(browser, addresses):
    """What the page makes of PLACES, for both fields."""
    browser.open(addresses["two"])
    told = """((places) => psfview.fields.map((field) => places.map(([x, y, d]) => {
      const found = psfview.measurePlace(field, x, y, d);
      return { kernels: found.kernels.map((one) => Array.from(one)), figures: found.channels.map((one) => ({ ...one,
        mtf: [Array.from(one.mtf.tangential), Array.from(one.mtf.sagittal)] })) };
    })))"""
    return browser.ask(f"{told}({json.dumps(PLACES)})")


def python_place(x_px, y_px, dioptres):
    return x_px, y_px, math.inf if dioptres == 0 else 1 / dioptres


@pytest.mark.parametrize("number", [0, 1])
def test_kernels_are_those_of_at_pixel(measured, number):
    field = (FIRST, SECOND)[number]
    packed = pack_field(field, "")
    for place, found in zip(PLACES, measured[number], strict=True):
        side = field.kernel_px
        kernels = torch.tensor(found["kernels"], dtype=F64).reshape(-1, side, side)
        # The same numbers in, the same sums: what is left is rounding of doubles.
        assert measure_l1(kernels, packed.kept.at_pixel(*python_place(*place))).max() < 1e-12
        # Against the file's own numbers: the rounding that the page states, and what stretching makes of it.
        assert measure_l1(kernels, field.at_pixel(*python_place(*place))).max() < 3 * packed.meta["rounding_l1"]


@pytest.mark.parametrize("number", [0, 1])
def test_figures_are_those_of_python(measured, number):
    field = (FIRST, SECOND)[number]
    for place, found in zip(PLACES, measured[number], strict=True):
        x_px, y_px, depth_m = python_place(*place)
        kernels = field.at_pixel(x_px, y_px, depth_m)
        height, width = field.image_shape_px
        azimuth_rad = math.atan2((height - 1) / 2 - y_px, x_px - (width - 1) / 2)
        radius = math.hypot((height - 1) / 2 - y_px, x_px - (width - 1) / 2) / (0.5 * math.hypot(height, width))
        figures = found["figures"]

        def told(name, figures=figures):
            return torch.tensor([one[name] for one in figures], dtype=F64)

        # Between the places of a file with 16-bit roots: below what the page's digits show.
        assert (torch.stack((told("right_px"), told("down_px")), -1) - find_centroid_px(kernels)).abs().max() < 2e-4
        assert (told("blur_px") - 8**0.5 * find_rms_radius_px(kernels)).abs().max() < 1e-3
        assert (told("transmission") - field.transmission_at_pixel(x_px, y_px, depth_m)).abs().max() < 1e-12
        assert (told("lost") - field.lost_at(radius, depth_m)).abs().max() < 1e-12
        frequencies = torch.linspace(0, 0.5, 65, dtype=F64)
        contrast = find_mtf(kernels, frequencies, azimuth_rad)
        assert (told("mtf") - contrast.movedim(-1, 1)).abs().max() < 1e-4
        for one, curves in zip(figures, contrast, strict=True):
            for half, curve in zip(one["mtf50_per_mm"], (curves[:, 1].numpy(), curves[:, 0].numpy()), strict=True):
                below = np.flatnonzero(curve <= 0.5)
                if not len(below):
                    assert half is None
                    continue
                f = below[0]
                crossing = (f - 1 + (curve[f - 1] - 0.5) / (curve[f - 1] - curve[f])) / 128
                assert half == pytest.approx(1000 * crossing / field.pitch_um, rel=1e-3)


def test_page_opens_without_an_error_and_asks_for_nothing(browser, addresses):
    browser.open(addresses["two"])
    asked = [
        one["params"]["request"]["url"] for one in browser.events if one.get("method") == "Network.requestWillBeSent"
    ]
    assert {url.partition(":")[0] for url in asked} <= {"file", "data", "about"}
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert not [one for one in browser.events if one.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert browser.ask("document.getElementById('trouble').hidden")


def test_a_drag_over_the_sensor_moves_the_point_and_the_table_follows(browser, addresses):
    browser.open(addresses["one"])
    left, top, width, height = browser.place("#sensor canvas")
    browser.drag((left + 20, top + 20), (left + width / 2, top + height / 2), (left + 0.8 * width, top + 0.3 * height))
    x_px, y_px = browser.ask("[psfview.state.x_px, psfview.state.y_px]")
    assert abs(x_px - (0.8 * 300 - 0.5)) < 1
    assert abs(y_px - (0.3 * 200 - 0.5)) < 1
    right_mm, up_mm = (x_px - 149.5) * 0.004, (99.5 - y_px) * 0.004
    said = browser.ask("document.getElementById('place-readout').textContent")
    assert said.startswith(f"right {right_mm:.2f} mm, up {up_mm:.2f} mm")
    assert said in browser.ask("document.getElementById('sensor').getAttribute('aria-valuetext')").replace(
        ", image", " · image"
    )
    depth_m = 1 / browser.ask("psfview.state.dioptres")
    kernels = FIRST.at_pixel(x_px, y_px, depth_m)
    rows = browser.ask(
        "[...document.querySelectorAll('tbody tr')].map((row) => [...row.cells].slice(2).map((one) => one.textContent))"
    )
    figures = [[float(cell.replace("\u2212", "-")) for cell in row] for row in rows]
    blur_px, centroid = 8**0.5 * find_rms_radius_px(kernels), find_centroid_px(kernels)
    transmission = FIRST.transmission_at_pixel(x_px, y_px, depth_m)
    expected = (blur_px, 4 * blur_px, centroid[:, 0], -centroid[:, 1], 100 * transmission, transmission.log2())
    for shown, wanted, step in zip(figures, expected, (0.01, 0.1, 0.01, 0.01, 0.1, 0.01), strict=False):
        assert np.abs(np.array(shown) - wanted.numpy()).max() < 0.6 * step
    assert not [one for one in browser.events if one.get("method") == "Runtime.exceptionThrown"]


def test_what_is_painted_is_the_kernel_upright(browser, addresses):
    browser.open(f"{addresses['one']}#x=60&y=40&dpt=4&ch=1&zoom=1")
    pixels = """[...document.querySelectorAll('.kernel canvas')].map((one) =>
      Array.from(one.getContext('2d').getImageData(0, 0, one.width, one.height).data))"""
    kernel = FIRST.at_pixel(60.0, 40.0, 0.25)[1]
    for picture, name in zip(browser.ask(pixels), ("linear", "log"), strict=True):
        brightness = np.array(picture, float).reshape(21, 21, 4)[..., :3].sum(-1)
        share = (kernel / kernel.max()).numpy()
        shown = share if name == "linear" else 1 + np.log10(np.maximum(share, 1e-4)) / 4
        # The map's brightness grows with what it shows, all the way up.
        order = np.argsort(shown.ravel())
        assert (np.diff(brightness.ravel()[order]) > -12).all()
        assert brightness.ravel()[share.argmax()] == brightness.max()


def test_depth_follows_slider_curve_and_keys(browser, addresses):
    browser.open(addresses["one"])
    left, top, width, height = browser.place("#depth")
    browser.drag((left + width / 2, top + height / 2), (left + 0.75 * width, top + height / 2))
    assert browser.ask("psfview.state.dioptres") == pytest.approx(3.75, abs=0.15)
    before = browser.ask("psfview.state.dioptres")
    browser.key("ArrowRight")
    assert browser.ask("psfview.state.dioptres") == pytest.approx(before + 5 / 240, abs=0.02)
    assert browser.ask("document.getElementById('depth').getAttribute('aria-valuetext')").endswith("dpt")
    browser.key("Home")
    assert browser.ask("document.getElementById('depth-readout').textContent") == "infinity"
    left, top, width, height = browser.place("#depth-chart")
    browser.drag((left + 0.9 * width, top + 40), (left + 36 + 0.4 * (width - 44), top + 50))
    assert browser.ask("psfview.state.dioptres") == pytest.approx(2.0, abs=0.05)


def test_everything_is_reached_and_moved_by_keys(browser, addresses):
    browser.open(addresses["two"])
    browser.ask("document.body.focus()")
    seen = []
    for _ in range(12):
        browser.key("Tab")
        name, ring = browser.ask(
            "((one) => [one.id || one.name || one.tagName,"
            " getComputedStyle(one.type === 'radio' ? one.parentElement : one).outlineStyle])(document.activeElement)"
        )
        assert name == "BODY" or ring != "none"
        seen.append(name)
        if name == "sensor":
            browser.key("Home")
            assert browser.ask("[psfview.state.x_px, psfview.state.y_px]") == [149.5, 99.5]
            browser.key("ArrowUp", shift=True)
            browser.key("ArrowRight")
            x_px, y_px = browser.ask("[psfview.state.x_px, psfview.state.y_px]")
            assert y_px == 98.5
            assert x_px > 150
            browser.key("End")
            assert browser.ask("[psfview.state.x_px, psfview.state.y_px]") == [299, 0]
        if name == "channel":
            browser.key("ArrowRight")
            assert browser.ask("psfview.state.channel") == 0
    assert {"theme", "mapped", "sensor", "sweep", "depth", "channel", "zoom", "marks", "SUMMARY"} <= set(seen)
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    handled = [
        one for one in tree if one.get("role", {}).get("value") in ("slider", "radio", "button", "checkbox", "image")
    ]
    assert len(handled) > 10
    assert not [one for one in handled if not one.get("name", {}).get("value") and not one.get("ignored")]


def test_choices_change_what_is_shown(browser, addresses):
    browser.open(addresses["two"])
    notes = "[...document.querySelectorAll('.kernel')].map((one) => one.getAttribute('aria-label').split(';')[0])"
    assert browser.ask(notes)[:2] == ["Kernel, linear scale, R G B", "Kernel, log scale, R G B"]
    browser.click("#channel label:nth-child(4)")
    assert browser.ask(notes)[0] == "Kernel, linear scale, B"
    assert browser.ask(notes)[2] == "Kernel, linear scale, R"  # the second field has no other
    sides = "[...document.querySelectorAll('.kernel canvas')].map((one) => one.width)"
    assert browser.ask(sides) == [21, 21, 15, 15]  # 84 um: the second field's window with a border around it
    browser.click("#zoom label:nth-child(2)")
    assert browser.ask(sides)[0] in (9, 11)
    rings = "document.querySelectorAll('.kernel circle').length"
    assert browser.ask(rings) > 0
    browser.click("#marks")
    assert browser.ask(rings) == 0
    browser.click("#mapped label:nth-child(2)")
    assert browser.ask("psfview.state.mapped") == 1
    left, top, width, height = browser.place("#sensor canvas")
    browser.drag((left + 9, top + 9), (left + 0.5 * width, top + 0.25 * height))
    there = browser.ask("psfview.placeOn(psfview.fields[1])")
    assert there["y_px"] == pytest.approx(0.25 * 300 - 0.5, abs=1.5)


def test_address_remembers_what_is_shown(browser, addresses):
    browser.open(f"{addresses['one']}#x=31&y=12.5&dpt=1.25&ch=2&zoom=4")
    assert browser.ask("[psfview.state.x_px, psfview.state.y_px, psfview.state.dioptres, psfview.state.channel]") == [
        31,
        12.5,
        1.25,
        2,
    ]
    assert browser.ask("document.querySelector('#zoom input:checked').value") == "4"
    browser.open(f"{addresses['one']}#x=nine&y=1e9&dpt=-5&ch=77&zoom=3")
    assert browser.ask("[psfview.state.y_px, psfview.state.dioptres, psfview.state.channel, psfview.state.zoom]") == [
        199,
        0,
        2,
        1,
    ]
    assert not [one for one in browser.events if one.get("method") == "Runtime.exceptionThrown"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_shows_sensor_and_kernel_together_and_a_finger_drags(browser, addresses, name):
    browser.open(addresses[name], 360, 780, mobile=True)
    assert browser.ask("document.documentElement.scrollWidth") <= 360
    wide = """[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > 361
      && !one.closest('.numbers, svg')).map((one) => one.tagName + one.className)"""
    assert not browser.ask(wide)
    boxes = "['#sensor', '.kernel'].map((one) => document.querySelector(one).getBoundingClientRect().bottom)"
    assert max(browser.ask(boxes)) < 780
    left, top, width, height = browser.box("#sensor canvas")
    path = [
        (left + 0.5 * width, top + 0.5 * height),
        (left + 0.3 * width, top + 0.6 * height),
        (left + 0.25 * width, top + 0.75 * height),
    ]
    for kind, point in zip(("touchStart", "touchMove", "touchMove"), path, strict=True):
        browser.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": point[0], "y": point[1]}])
    browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.settle()
    x_px, y_px = browser.ask("[psfview.state.x_px, psfview.state.y_px]")
    assert abs(x_px - 74.5) < 2
    assert abs(y_px - 149.5) < 2
    assert browser.ask("window.scrollY") == 0


def test_dark_follows_the_system_and_the_button(browser, addresses):
    browser.open(addresses["one"])
    paper = "getComputedStyle(document.body).backgroundColor"
    lightness = {}
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        lightness[scheme] = sum(map(int, re.findall(r"\d+", browser.ask(paper))))
    browser.click("#theme")
    lightness["button"] = sum(map(int, re.findall(r"\d+", browser.ask(paper))))
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert lightness["dark"] < 150 < 600 < lightness["light"] == lightness["button"]


def test_it_prints_on_a_page_or_two(browser, addresses):
    import base64

    browser.open(addresses["two"])
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3


def test_sweep_runs_until_it_is_stopped(browser, addresses):
    browser.open(f"{addresses['one']}#dpt=1")
    browser.click("#sweep")
    until = time.monotonic() + PATIENCE_S
    while browser.ask("psfview.state.dioptres") < 1.2:
        assert time.monotonic() < until
    browser.click("#sweep")
    at = browser.ask("psfview.state.dioptres")
    browser.settle()
    assert browser.ask("psfview.state.dioptres") == at
    assert browser.ask("document.getElementById('sweep').getAttribute('aria-pressed')") == "false"


def test_a_field_of_one_kernel_is_shown_too(browser, tmp_path):
    point = torch.zeros((1, 1, 1, 1, 1), dtype=F64) + 1
    one = torch.ones((1, 1, 1), dtype=F64)
    field = replace(
        FIRST, kernels=point, transmission=one, lost=0 * one, depths_m=one[0, 0], radii=0 * one[0, 0],
        channels=(Channel("white"),), focus_m=math.inf,
    )  # fmt: skip
    (tmp_path / "point.html").write_text(make_page([field]).html, encoding="utf-8")
    browser.open((tmp_path / "point.html").as_uri())
    assert browser.ask("document.querySelector('tbody tr td:last-child').textContent") == "0.00"
    assert not [one for one in browser.events if one.get("method") == "Runtime.exceptionThrown"]
    bad = browser.ask("document.body.innerHTML.match(/.{30}(NaN|Infinity|undefined).{30}/)")
    assert bad is None or "script" in str(bad)
