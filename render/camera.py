"""A camera as one value, and what it records: system A's chain from a picture and its depth to a noisy Bayer mosaic.

    camera = Camera(field, RawSensor(), load_noise("imx586"))
    photo = camera.simulate(image_srgb, depth_m, iso=400, window=(1200, 800), generator=generator)
    photo.network_input(), photo.target          # (B, 6, H/2, W/2) and (B, 4, H/2, W/2)

Unprocess to linear light in the sensor's colours, blur by the lens, keep one colour per pixel, add noise, round to
whole DN, pack. Yang et al., Efficient Depth- and Spatially-Varying Image Simulation for Defocus Deblur; where it is
silent, `docs/camera.md` says what is done here. Photographs of a batch are made one after the other, each from its own
place on the sensor and its own random numbers, so that a sample does not depend on the batch that it is in.
"""

import json
import math
import os
import secrets
import shutil
from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Literal, cast, get_args

import torch
from torch import Tensor

from psf import InputError, PolarPSFField
from psf.hdf5 import load as load_field
from psf.runs import read_json

from .bayer import Pattern, check_pattern, mosaic, pack
from .camera_steps import (
    RENDERERS,
    Generators,
    Space,
    Windows,
    blur_mosaic,
    cut_margin,
    find_generators,
    find_transmission,
    make_light,
    place_windows,
    transmit_all,
)
from .framing import fit_field
from .metadata import ColourMetadata, random_metadata
from .noise import NoiseModel, write_whole
from .raw_photo import RawPhoto, join_photos
from .sensor import Level, RawSensor, add_noise
from .stacks import Renderer

FORMAT, FORMAT_VERSION = "psfield.Camera", 1
CAMERA_FILE, FIELD_FILE, NOISE_FILE = "camera.json", "field.h5", "noise.json"
Falloff = Literal["off", "input", "both"]


@dataclass(frozen=True, eq=False)
class Camera:
    """A lens, a sensor and its noise.

    Attributes:
        field: Kernels of the lens for R, G and B, magnification 1; None: a perfect lens.
        sensor: How light is counted; its pattern is that of the sensor's first pixel.
        noise: Variances as functions of the ISO; None: no noise but the rounding.
        image_shape_px: The sensor's (H, W). The field's if there is one; else it must be given.
    """

    field: PolarPSFField | None
    sensor: RawSensor = dataclass_field(default_factory=RawSensor)
    noise: NoiseModel | None = None
    image_shape_px: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.field is not None and not isinstance(self.field, PolarPSFField):
            raise InputError("Camera.field", type(self.field).__name__, "a PolarPSFField, or None")
        if not isinstance(self.sensor, RawSensor):
            raise InputError("Camera.sensor", type(self.sensor).__name__, "a RawSensor")
        if self.noise is not None and not isinstance(self.noise, NoiseModel):
            raise InputError("Camera.noise", type(self.noise).__name__, "a NoiseModel, or None")
        shape = tuple(self.image_shape_px)
        if self.field is not None:
            if len(self.field.channels) != 3:
                raise InputError("Camera.field", f"{len(self.field.channels)} channels", "3: R, G, B")
            if self.field.magnification != 1:
                expected = "1: scale the picture and its depth (render.magnify), and replace it in the field"
                raise InputError("Camera.field.magnification", self.field.magnification, expected)
            if shape not in ((0, 0), self.field.image_shape_px):
                raise InputError("Camera.image_shape_px", shape, f"{self.field.image_shape_px}, as the field has")
            shape = self.field.image_shape_px
            if not self.field.kernels.is_contiguous():
                # Whoever looks for a place's neighbours among them would copy them all for every photograph.
                object.__setattr__(self, "field", replace(self.field, kernels=self.field.kernels.contiguous()))
        if len(shape) != 2 or not all(isinstance(side, int) and side >= 2 for side in shape):
            raise InputError("Camera.image_shape_px", shape, "the sensor's (H, W), 2 px and more")
        object.__setattr__(self, "image_shape_px", shape)

    def simulate(
        self,
        image: Tensor,
        depth_m: Tensor | float,
        *,
        generator: Generators,
        iso: Level = 400.0,
        window: Windows | None = None,
        margin_px: int = 0,
        metadata: ColourMetadata | None = None,
        levels: tuple[Level, Level] | None = None,
        renderer: str | Renderer = "blend",
        padding: str = "reflect",
        spread_px: Level = 0.0,
        transmission: Falloff = "off",
        space: Space = "srgb",
        clip: bool = True,
    ) -> RawPhoto:
        """Take photographs of pictures that are sharp all over.

        Random numbers: each photograph in turn draws its colours (unless `metadata` is given), then its noise. A batch
        with one generator is what its pictures one by one would be with that generator; with a generator or a seed for
        each, what else is in the batch does not matter.

        Gradients reach a float image, the depth as far as the renderer has them, the field's tensors, metadata and
        levels. Rounding hands them on unchanged where the sensor is not saturated.

        Args:
            image: The scene, in the colours that `space` names, shape (B, 3, H + 2 margin_px, W + 2 margin_px), H and
                W even. uint8 (0 to 255) is the fastest; else the field's float type.
            depth_m: Along the axis, above 0, `inf` allowed: one number, or of the image's size, shape (B, 1, ...).
            generator: One for all, or for each of the B a generator or a seed.
            iso: One number or shape (B,).
            window: Sensor column and row (x0_px, y0_px), both even, of the photograph's first pixel, which lies behind
                the margin: one for all, or one for each, shape (B, 2). By default the middle of the sensor: all of it
                for a picture of its size.
            margin_px: Surroundings that the picture brings, so that light from beyond the frame need not be made up.
                Half the side of the kernels is enough; what is missing is filled by `padding`.
            metadata: Colours of B pictures, or of one for all; by default drawn as Brooks et al. do.
            levels: Variances (shot, read) in place of the noise model's, normalised units, rounding not in them: each
                one number, shape (B,), or per plane (B or 1, 4).
            renderer: "blend": the kernels of the window's middle for all of it, by depth; for patches. "pixelwise":
                every pixel its own kernel. "layered": that, and near surfaces hide far ones. "none": a perfect lens.
                Or a function of (image, depth_m, field, window, padding), called with one picture (1, 3, ...) and its
                margin, and a field that transmits all light (None if there is none).
            padding: Beyond what is given: "reflect", "replicate", "zeros", or "circular" where the renderer has it.
            spread_px: Standard deviation of a Gaussian that is added to the kernels, one number or shape (B,): lenses
                of one make differ. With "blend" only; others take a field that is `augmented`.
            transmission: What the lens loses towards the corners: "off", nothing; "input", the photographs are darker
                there, and a network learns to even that out; "both", the targets are as dark.
            space: "srgb", to be unprocessed; "linear", light with sRGB's primaries (colour matrix and gains are
                applied, highlights are not protected); "camera", light in the sensor's own colours.
            clip: Saturate the scene before the blur, as Brooks et al. do. False: light above 1 goes through the lens,
                and only the sensor saturates.

        Returns:
            B photographs of H x W px.
        """
        known = {"transmission": get_args(Falloff), "space": get_args(Space), "renderer": RENDERERS}
        given = {"transmission": transmission, "space": space, "renderer": "none" if callable(renderer) else renderer}
        for name, value in given.items():
            if value not in known[name]:
                raise InputError(name, repr(value), "one of " + ", ".join(map(repr, known[name])))
        depths_m, dtype = self._check_scene(image, depth_m, margin_px, metadata)
        if transmission != "off" and self.field is None:
            raise InputError("transmission", repr(transmission), "'off' for a camera without a field")
        spreads = _read_spread(spread_px, len(image), renderer)
        batch, shape = len(image), (image.shape[2] - 2 * margin_px, image.shape[3] - 2 * margin_px)
        windows = place_windows(window, batch, shape, self.image_shape_px)
        generators = find_generators(generator, batch, image.device)
        isos, shots, reads = self._find_levels(iso, levels, batch, image.new_empty(0, dtype=dtype))
        has_noise = self.noise is not None or levels is not None
        clear = self.field if renderer in ("blend", "none") else transmit_all(self.field)
        pattern = self._pattern
        taken = []
        for n in range(batch):
            if metadata is None:
                colours = random_metadata(1, generator=generators[n], dtype=dtype).to(image.device)
            else:
                colours = metadata[n if len(metadata) > 1 else 0]
            light, depth = make_light(image[n : n + 1], colours, space, clip), depths_m[n : n + 1]
            inner = cut_margin(light, margin_px)
            place = (int(windows[n, 0]), int(windows[n, 1]))
            target = pack(mosaic(inner, pattern), pattern)
            if renderer == "none" or (clear is None and not callable(renderer)):
                packed = target
            else:
                lit = blur_mosaic(light, depth, clear, place, margin_px, renderer, padding, pattern, spreads[n])
                packed = pack(lit, pattern)
            if transmission != "off":
                assert self.field is not None
                falloff = find_transmission(self.field, cut_margin(depth, margin_px), place)
                packed = packed * falloff
                target = target * falloff if transmission == "both" else target
            if has_noise:
                packed = add_noise(packed, shots[n : n + 1], reads[n : n + 1], generators[n])
            photo = RawPhoto(
                packed=self.sensor.quantise_through(packed),
                target=target.clamp_max(1),
                metadata=colours,
                iso=isos[n : n + 1],
                shot=shots[n : n + 1],
                read=reads[n : n + 1],
                window_px=windows[n : n + 1],
                image_shape_px=self.image_shape_px,
                sensor=self.sensor,
                lens="" if self.field is None else self.field.provenance.lens,
            )
            taken.append(photo)
        return join_photos(taken)

    def fitted(self, picture_shape_px: tuple[int, int]) -> "Camera":
        """The same lens and noise with pixels of such a size that a picture covers the sensor.

        For pictures smaller than the sensor that shall show all of the lens; see `render.fit_field`.

        Args:
            picture_shape_px: The picture's (H, W).
        """
        if self.field is None:
            return replace(self, image_shape_px=(int(picture_shape_px[0]), int(picture_shape_px[1])))
        field = fit_field(self.field, picture_shape_px)
        return replace(self, field=field, image_shape_px=field.image_shape_px)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Camera":
        """The same camera with its field on another device or in another float type."""
        return self if self.field is None else replace(self, field=self.field.to(device=device, dtype=dtype))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder with the field (HDF5), the noise and the sensor (JSON); it appears once it is whole.

        Args:
            folder: Where to; it must not exist, and the folder it is in must.
        """
        target = Path(folder)
        if target.exists():
            raise InputError(str(target), "something of that name", "a folder that is not there yet")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"{target.parent}: no such folder to write {target.name} to")
        whole = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "image_shape_px": list(self.image_shape_px),
            "sensor": asdict(self.sensor),
            "field": None if self.field is None else FIELD_FILE,
            "noise": None if self.noise is None else NOISE_FILE,
        }
        part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
        part.mkdir()
        try:
            if self.field is not None:
                self.field.save(part / FIELD_FILE)
            if self.noise is not None:
                self.noise.save(part / NOISE_FILE)
            write_whole(part / CAMERA_FILE, (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode())
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "Camera":
        """Read what `save` wrote; InputError names the file and the key that is wrong."""
        file = Path(folder) / CAMERA_FILE
        found = read_json(file, f"a {FORMAT} file")
        for key, value in {"format": FORMAT, "format_version": FORMAT_VERSION}.items():
            if not isinstance(found, dict) or found.get(key) != value:
                present = found.get(key) if isinstance(found, dict) else found
                raise InputError(f"{file} ({key})", repr(present), str(value))
        try:
            sensor, shape = RawSensor(**found["sensor"]), tuple(found["image_shape_px"])
            field, noise = (None if found[key] is None else file.parent / found[key] for key in ("field", "noise"))
            return cls(
                None if field is None else load_field(field),
                sensor,
                None if noise is None else NoiseModel.load(noise),
                cast(tuple[int, int], shape),
            )
        except InputError as error:
            if error.where.startswith(str(file.parent)):
                raise
            raise InputError(f"{file} ({error.where})", error.found, error.expected) from error
        except KeyError as error:
            raise InputError(f"{file} ({error.args[0]})", "nothing", "a value that Camera.save writes") from error
        except TypeError as error:
            raise InputError(str(file), f"something else ({error})", "what Camera.save writes") from error

    @property
    def _pattern(self) -> Pattern:
        return check_pattern(self.sensor.pattern)

    def _check_scene(
        self, image: Tensor, depth_m: Tensor | float, margin_px: int, metadata: ColourMetadata | None
    ) -> tuple[Tensor, torch.dtype]:
        """Depths (B, 1, H', W'), and the float type that all is computed in; what does not fit is refused."""
        if isinstance(margin_px, bool) or not isinstance(margin_px, int) or margin_px < 0:
            raise InputError("margin_px", repr(margin_px), "a whole number of px, 0 or more")
        if not isinstance(image, Tensor) or image.dtype not in (torch.uint8, torch.float32, torch.float64):
            found = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise InputError("image", found, "a tensor of uint8, float32 or float64")
        sizes = tuple(image.shape)
        if len(sizes) != 4 or sizes[1] != 3 or not sizes[0] or min(sizes[2:]) - 2 * margin_px < 2:
            raise InputError("image", f"shape {sizes} with a margin of {margin_px} px", "shape (B, 3, H, W), B above 0")
        if sizes[2] % 2 or sizes[3] % 2:
            raise InputError("image", f"{sizes[2]} rows and {sizes[3]} columns", "even numbers of both")
        of_field = torch.float32 if self.field is None else self.field.kernels.dtype
        dtype = of_field if image.dtype == torch.uint8 else image.dtype
        if self.field is not None and (dtype != of_field or image.device != self.field.kernels.device):
            expected = f"{of_field} (or uint8) on {self.field.kernels.device}, as the field (Camera.to changes it)"
            raise InputError("image", f"{image.dtype} on {image.device}", expected)
        if metadata is not None and len(metadata) not in (1, sizes[0]):
            raise InputError("metadata", f"{len(metadata)} pictures", f"1 or {sizes[0]}, as the image has")
        if metadata is not None and metadata.red_gain.dtype != dtype:
            raise InputError("metadata", metadata.red_gain.dtype, f"{dtype} (ColourMetadata.to changes it)")
        if not isinstance(depth_m, Tensor):
            if isinstance(depth_m, bool) or not isinstance(depth_m, int | float) or not depth_m > 0:
                raise InputError("depth_m", repr(depth_m), "a depth above 0 m (inf is allowed), or a tensor of them")
            return image.new_full((1, 1, 1, 1), depth_m, dtype=dtype).expand(sizes[0], 1, *sizes[2:]), dtype
        if tuple(depth_m.shape) != (sizes[0], 1, *sizes[2:]) or depth_m.dtype != dtype:
            present = f"{depth_m.dtype} of shape {tuple(depth_m.shape)}"
            raise InputError("depth_m", present, f"{dtype} of shape {(sizes[0], 1, *sizes[2:])}, or one number")
        depths = depth_m.detach()
        if not bool((depths.numpy() > 0).all() if depths.device.type == "cpu" else (depths > 0).all()):
            raise InputError("depth_m", float(depths[~(depths > 0)][0]), "depths above 0 m (inf is allowed)")
        return depth_m, dtype

    def _find_levels(
        self, iso: Level, levels: tuple[Level, Level] | None, batch: int, like: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """ISO (B,), shot and read, (B,) or (B, 4) each."""
        isos = torch.as_tensor(iso, dtype=like.dtype, device=like.device)
        if isos.ndim > 1 or len(isos.reshape(-1)) not in (1, batch):
            raise InputError("iso", f"shape {tuple(isos.shape)}", f"one number or shape ({batch},)")
        if not bool((isos > 0).all() & isos.isfinite().all()):
            raise InputError("iso", isos.tolist(), "finite numbers above 0")
        isos = isos.reshape(-1).expand(batch)
        if levels is None:
            if self.noise is None:
                return isos, torch.zeros_like(isos), torch.zeros_like(isos)
            levels = self.noise.levels(isos)
        found = []
        for name, level in zip(("shot", "read"), levels, strict=True):
            value = torch.as_tensor(level, dtype=like.dtype, device=like.device)
            value = value.expand(batch) if value.ndim == 0 else value
            if value.shape not in {(1,), (batch,), (1, 4), (batch, 4)}:
                expected = f"one number, ({batch},), or per plane (1, 4) or ({batch}, 4)"
                raise InputError(f"levels ({name})", f"shape {tuple(value.shape)}", expected)
            if not bool(((value.detach() >= 0) & value.detach().isfinite()).all()):
                raise InputError(f"levels ({name})", value.tolist(), "finite variances, 0 or more")
            found.append(value.expand(batch, *value.shape[1:]))
        return isos, found[0], found[1]


def _read_spread(spread_px: Level, batch: int, renderer: str | Renderer) -> list[float]:
    """One number per picture."""
    found = [float(one) for one in torch.as_tensor(spread_px).detach().reshape(-1).tolist()]
    if len(found) not in (1, batch) or not all(math.isfinite(one) and one >= 0 for one in found):
        raise InputError("spread_px", found, f"finite numbers of px, 0 or more, one or {batch}")
    if renderer != "blend" and any(found):
        raise InputError("spread_px", found, "0, or renderer 'blend' (PolarPSFField.augmented changes whole fields)")
    return found if len(found) == batch else found * batch
