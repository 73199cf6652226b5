"""Rays through other packages, for `accuracy.py`: runs under a python that has them and needs nothing of this project.

    python benchmarks/accuracy_peers.py optiland < lenses.jsonl

Every line is a lens with rays: {"name", "surfaces": [{"curvature", "conic", "terms": {power: coefficient}, "thickness",
"semi", "index", "medium", "stop"}], "wavelength_um", "position_mm", "direction"}. Every line of the answer has "x_mm"
and "y_mm" in the image plane, null for a ray that was lost, or "cannot": why the package has no form for the lens.
Surfaces have the index of the table; only deeplens makes its own of the medium's name. Apertures cut in deeplens alone,
which has none that do not; the rays pass them all.
"""

import json
import math
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

Lens = dict[str, Any]


def trace_optiland(lens: Lens) -> Any:
    stub_vtk()
    from optiland.materials import IdealMaterial
    from optiland.optic import Optic
    from optiland.rays import RealRays

    optic = Optic()
    optic.surfaces.add(index=0, radius=np.inf, thickness=np.inf)
    for i, s in enumerate(lens["surfaces"], start=1):
        powers = {int(p): a for p, a in s["terms"].items()}
        kind: dict[str, Any] = {}
        if powers and all(p % 2 == 0 for p in powers):
            kind = {"surface_type": "even_asphere"}
            kind["coefficients"] = [powers.get(2 * j, 0.0) for j in range(1, max(powers) // 2 + 1)]
        elif powers:
            kind = {"surface_type": "odd_asphere"}
            kind["coefficients"] = [powers.get(j, 0.0) for j in range(1, max(powers) + 1)]
        optic.surfaces.add(
            index=i,
            radius=1 / s["curvature"] if s["curvature"] else np.inf,
            thickness=s["thickness"],
            conic=s["conic"],
            material=IdealMaterial(n=s["index"]) if s["index"] != 1 else "air",
            is_stop=s["stop"],
            **kind,
        )
    optic.surfaces.add(index=len(lens["surfaces"]) + 1)
    optic.wavelengths.add(value=lens["wavelength_um"], is_primary=True)
    (x, y, z), (l, m, n) = (np.array(lens[key]).T for key in ("position_mm", "direction"))
    rays = RealRays(x, y, z, l, m, n, np.ones_like(x), np.full_like(x, lens["wavelength_um"]))
    optic.surfaces.trace(rays, skip=1)
    lost = ~(np.isfinite(rays.x) & np.isfinite(rays.y)) | (rays.i <= 0)
    return np.where(lost, np.nan, rays.x), np.where(lost, np.nan, rays.y)


def trace_deeplens(lens: Lens) -> Any:
    import torch
    from deeplens.geolens import GeoLens
    from deeplens.light import Ray

    rows = []
    for s in lens["surfaces"]:
        powers = {int(p): a for p, a in s["terms"].items()}
        if any(p % 2 for p in powers):
            return "odd powers"
        row: dict[str, Any] = {"r": s["semi"], "mat2": s["medium"], "d_next": s["thickness"]}
        if s["stop"]:
            if s["curvature"]:
                return "a stop that is a refracting surface"
            row["type"] = "Aperture"
        elif powers or s["conic"]:
            row |= {"type": "Aspheric", "roc": 1 / s["curvature"] if s["curvature"] else 1e10, "k": s["conic"]}
            row |= {"use_ai2": True, "ai": [powers.get(2 * j, 0.0) for j in range(1, 9)]}
        elif s["curvature"]:
            row |= {"type": "Spheric", "roc": 1 / s["curvature"]}
        else:
            row["type"] = "Plane"
        rows.append(row)
    content = {"info": lens["name"], "surfaces": rows, "r_sensor": 3.0, "sensor_res": [1000, 1000]}
    descriptor, path = tempfile.mkstemp(suffix=".json")
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file)
    try:
        built = GeoLens(path, device="cpu", dtype=torch.float64)
    finally:
        Path(path).unlink()
    position, direction = (torch.tensor(lens[key], dtype=torch.float64) for key in ("position_mm", "direction"))
    with torch.no_grad():
        ray, _ = built.trace(Ray(position, direction, lens["wavelength_um"]))
        ray = ray.prop_to(sum(s["thickness"] for s in lens["surfaces"]))
    alive = ray.is_valid > 0
    nan = torch.tensor(math.nan, dtype=torch.float64)
    return torch.where(alive, ray.o[:, 0], nan).numpy(), torch.where(alive, ray.o[:, 1], nan).numpy()


def trace_rayoptics(lens: Lens) -> Any:
    from rayoptics.elem import profiles
    from rayoptics.elem.surface import Surface
    from rayoptics.raytr import raytrace

    same = np.identity(3)
    path: list[Any] = [[None, None, (same, np.zeros(3)), 1.0, 1.0]]
    for s in lens["surfaces"]:
        powers = {int(p): a for p, a in s["terms"].items()}
        if powers and all(p % 2 == 0 for p in powers):
            coefficients = [powers.get(2 * j, 0.0) for j in range(1, 11)]
            profile = profiles.EvenPolynomial(c=s["curvature"], cc=s["conic"], coefs=coefficients)
        elif powers:
            coefficients = [powers.get(j, 0.0) for j in range(1, 11)]
            profile = profiles.RadialPolynomial(c=s["curvature"], cc=s["conic"], coefs=coefficients)
        elif s["conic"]:
            profile = profiles.Conic(c=s["curvature"], cc=s["conic"])
        else:
            profile = profiles.Spherical(c=s["curvature"])
        way = np.array([0.0, 0.0, s["thickness"]])
        path.append([Surface(profile=profile, interact_mode="transmit"), None, (same, way), s["index"], 1.0])
    path.append([Surface(profile=profiles.Spherical(c=0.0), interact_mode="dummy"), None, None, 1.0, 1.0])
    found = []
    for position, direction in zip(lens["position_mm"], lens["direction"], strict=True):
        try:
            ray = raytrace.trace_raw(
                iter(path), np.array(position), np.array(direction), 1e3 * lens["wavelength_um"], intersect_obj=False
            )[0]
            found.append(ray[-1][0][:2])
        except Exception:  # whatever it says, this ray is lost to it
            found.append(np.full(2, np.nan))
    x, y = np.array(found).T
    return x, y


def stub_vtk() -> None:
    """Nothing is drawn here, so a missing VTK is no hindrance."""
    try:
        import vtk  # noqa: F401
    except ImportError:
        from unittest.mock import MagicMock

        for name in ("vtk", "vtk.util", "vtk.util.numpy_support", "vtkmodules", "vtkmodules.all"):
            sys.modules.setdefault(name, MagicMock())


def main() -> int:
    trace = {"optiland": trace_optiland, "deeplens": trace_deeplens, "rayoptics": trace_rayoptics}
    run = trace[sys.argv[1]]
    answer, sys.stdout = sys.stdout, sys.stderr  # packages print
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        try:
            found = run(json.loads(line))
        except ImportError as error:
            print(json.dumps({"missing": str(error)}), file=answer, flush=True)
            return 0
        except Exception as error:  # a peer's failure is a row of the table, not the end of it
            found = f"{type(error).__name__}: {error}"[:120]
        if isinstance(found, str):
            text = json.dumps({"cannot": found})
        else:
            x, y = ([None if not math.isfinite(v) else float(v) for v in values] for values in found)
            text = json.dumps({"x_mm": x, "y_mm": y})
        print(text, file=answer, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
