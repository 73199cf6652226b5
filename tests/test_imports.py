"""Who may import whom. The rules stand in CONTRIBUTING.md; here they are read off the source.

Every import statement counts for direction, those inside functions too. Only those that run while a module is being
loaded count for circles and for weight.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# package -> packages of the house that it may import; `lenses` is data and tells where it lies
FLOORS: dict[str, set[str]] = {
    "psf": set(),
    "optics": {"psf", "lenses"},
    "render": {"psf"},
    "learn": {"psf", "render"},
    "lenses": set(),
}
# Where a lens and a network are optimised together: the part of `learn` that sees `optics` too.
LEARN_WITH_OPTICS = "learn.joint"

# package -> libraries that its modules may import
LIBRARIES: dict[str, set[str]] = {
    "psf": {"torch", "numpy", "scipy", "numba", "h5py", "PIL", "tifffile"},
    "optics": {"torch", "numpy", "scipy", "numba", "h5py"},
    "render": {"torch", "numpy", "scipy", "numba", "h5py", "PIL", "tifffile", "rawpy", "exifread"},
    "learn": {"torch", "numpy", "scipy", "numba", "h5py", "PIL", "tifffile"},
    "lenses": set(),
}
PLOT_LIBRARIES = {"matplotlib", "mpl_toolkits"}  # in plot modules and __main__
PLOT_NAMES = {"plots", "noise_plots", "draw", "report", "viewer"}  # a module or folder of this name is a plot module
COMMAND_LIBRARIES = {"tyro", "tqdm"}  # in __main__ and examples
DISTRIBUTIONS = {"PIL": "pillow", "mpl_toolkits": "matplotlib", "skimage": "scikit-image"}

# What `import psf` must not load: it costs every program that only wants a kernel.
HEAVY = {"h5py", "matplotlib", "numba", "scipy", "tyro", "tqdm", "PIL", "tifffile", "rawpy", "exifread"}
# What a command must not load before it knows what it is to do: `--help` answers half a second after torch is there
# (benchmarks/startup.py). Pillow costs a hundredth of a second.
HEAVY_FOR_COMMANDS = HEAVY - {"tyro", "tqdm", "PIL"}


@dataclass(frozen=True)
class Import:
    """One imported module: its dotted name, the line, and whether it is imported while the importing module loads."""

    module: str
    line: int
    at_load: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for package in FLOORS for p in sorted((ROOT / package).rglob("*.py"))}
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def walk(node: ast.AST, at_load: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `node`, with whether it runs while the module is being loaded."""
    for child in ast.iter_child_nodes(node):
        inside = at_load and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            inside = False
        yield child, at_load
        yield from walk(child, inside)


def imports_of(source: str, name: str, is_package: bool, known: set[str]) -> list[Import]:
    found = []
    for node, at_load in walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, at_load) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = name.split(".")
                up = up[: len(up) - node.level + is_package]
                base = ".".join([*up, base] if base else up)
            # `from a import b` loads a.b where that is a module, else it takes the name b out of a.
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(Import(inner if inner in known else base, node.lineno, at_load))
    return found


IMPORTS = {
    name: imports_of(path.read_text(encoding="utf-8"), name, path.name == "__init__.py", set(MODULES))
    for name, path in MODULES.items()
}


def is_main(name: str) -> bool:
    return name.rpartition(".")[2] == "__main__"


def is_plot(name: str) -> bool:
    return not PLOT_NAMES.isdisjoint(name.split("."))


def breaches_of_floors(name: str, imports: list[Import]) -> list[str]:
    own = name.partition(".")[0]
    allowed = {own} | FLOORS[own] | ({"optics"} if f"{name}.".startswith(f"{LEARN_WITH_OPTICS}.") else set())
    return [f"line {i.line}: {i.module}" for i in imports if i.package in FLOORS and i.package not in allowed]


def breaches_of_libraries(name: str, imports: list[Import]) -> list[str]:
    allowed = set(LIBRARIES[name.partition(".")[0]])
    if is_main(name) or is_plot(name):
        allowed |= PLOT_LIBRARIES
    if is_main(name):
        allowed |= COMMAND_LIBRARIES
    foreign = [i for i in imports if i.package not in sys.stdlib_module_names and i.package not in FLOORS]
    return [f"line {i.line}: {i.module}" for i in foreign if i.package not in allowed]


def load_closure(name: str) -> set[str]:
    """Everything that is loaded by `import name`, as far as the source of the house tells."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        parents = [module.rpartition(".")[0]] if "." in module else []
        waiting += [m for m in [*parents, *(i.module for i in IMPORTS.get(module, []) if i.at_load)] if m]
    return seen


def find_circle(edges: dict[str, list[str]]) -> list[str] | None:
    """Names along one circle, or None."""
    done: set[str] = set()

    def descend(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for other in edges.get(name, []):
            if circle := descend(other, [*path, name]):
                return circle
        done.add(name)
        return None

    return next((circle for name in edges if (circle := descend(name, []))), None)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_the_floors_below_it(name):
    if not is_main(name):  # a command line may reach up
        assert not breaches_of_floors(name, IMPORTS[name])


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_libraries_of_its_package(name):
    assert not breaches_of_libraries(name, IMPORTS[name])


@pytest.mark.parametrize("name", MODULES)
def test_nobody_but_a_plot_or_a_command_line_imports_a_plot(name):
    if not (is_plot(name) or is_main(name)):
        assert not [f"line {i.line}: {i.module}" for i in IMPORTS[name] if i.module in MODULES and is_plot(i.module)]


@pytest.mark.parametrize("name", MODULES)
def test_no_star_is_imported(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]


def test_modules_load_without_circles():
    edges = {name: [i.module for i in found if i.at_load and i.module in MODULES] for name, found in IMPORTS.items()}
    assert find_circle(edges) is None


def test_lenses_holds_data_and_no_code_but_where_it_lies():
    assert [name for name in MODULES if name.startswith("lenses")] == ["lenses"]
    tree = ast.parse(MODULES["lenses"].read_text(encoding="utf-8"))
    assert not [n.lineno for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)]


@pytest.mark.parametrize("name", [n for n, p in MODULES.items() if p.name == "__init__.py" and n != "lenses"])
def test_init_only_hands_names_on(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    docstring, *rest = tree.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    listed: list[str] = []
    taken: set[str] = set()
    for node in rest:
        if isinstance(node, ast.Assign):
            assert ast.unparse(node.targets[0]) == "__all__", f"line {node.lineno}: only __all__ is assigned here"
            listed = ast.literal_eval(node.value)
        else:
            assert isinstance(node, ast.ImportFrom), f"line {node.lineno}: only `from ... import` stands here"
            taken |= {alias.asname or alias.name for alias in node.names}
    assert taken == set(listed), "__all__ and the imported names differ"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_import_only_what_the_base_install_brings(path):
    libraries = set().union(PLOT_LIBRARIES, COMMAND_LIBRARIES, *LIBRARIES.values())
    siblings = {one.stem for one in EXAMPLES}
    allowed = libraries | set(FLOORS) | siblings | sys.stdlib_module_names
    found = imports_of(path.read_text(encoding="utf-8"), path.stem, False, set(MODULES))
    assert not [f"line {i.line}: {i.module}" for i in found if i.package not in allowed]


def test_every_imported_library_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(requirement for extra in extras for requirement in extra)]
    declared = {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}
    used = {i.package for found in IMPORTS.values() for i in found} - set(FLOORS) - sys.stdlib_module_names
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= declared


@pytest.mark.parametrize("package", ["psf"])
def test_source_of_a_light_package_loads_nothing_heavy(package):
    assert not {module.partition(".")[0] for module in load_closure(package)} & HEAVY


@pytest.mark.parametrize("name", [name for name in MODULES if is_main(name)])
def test_command_loads_nothing_heavy_before_it_starts(name):
    assert not {module.partition(".")[0] for module in load_closure(name)} & HEAVY_FOR_COMMANDS


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if "import tyro" in path.read_text("utf-8")], ids=lambda p: p.name
)
def test_example_loads_nothing_heavy_before_it_starts(path):
    loaded, waiting = set(), [path]
    for one in waiting:
        found = imports_of(one.read_text(encoding="utf-8"), one.stem, False, set(MODULES))
        loaded |= set().union(*(load_closure(i.module) for i in found if i.at_load))
        waiting += [e for e in EXAMPLES if e not in waiting and e.stem in {i.module for i in found if i.at_load}]
    assert not {module.partition(".")[0] for module in loaded} & HEAVY_FOR_COMMANDS


MEASURE = """
import json, sys, time
import torch
before, start = set(sys.modules), time.process_time()
import psf
print(json.dumps({"seconds": time.process_time() - start, "loaded": sorted(set(sys.modules) - before)}))
"""


def test_importing_psf_costs_little_beyond_torch():
    for _attempt in range(2):  # the first one may have to compile the source
        command = [sys.executable, "-c", MEASURE]
        answer = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        assert not {module.partition(".")[0] for module in answer["loaded"]} & HEAVY
        if answer["seconds"] < 0.3:
            break
    assert answer["seconds"] < 0.3


# The rules above must be able to fail.


@pytest.mark.parametrize(
    ("name", "source", "is_breach"),
    [
        ("psf.field", "import optics", True),
        ("psf.field", "def f():\n    from optics.lens import Lens", True),
        ("psf.field", "from . import hdf5", False),
        ("psf.estimators.direct", "from ..field import PolarPSFField", False),
        ("optics.lens", "from psf import Channel", False),
        ("optics.lens", "from render import Camera", True),
        ("render.stacks", "import optics.lens", True),
        ("learn.trainer", "from optics import load", True),
        ("learn.trainer", "from render.camera import Camera", False),
        ("lenses.tables", "import psf", True),
    ],
)
def test_floors_are_told_apart(name, source, is_breach):
    assert bool(breaches_of_floors(name, imports_of(source, name, False, set(MODULES)))) is is_breach


@pytest.mark.parametrize(
    ("name", "source", "is_breach"),
    [
        ("psf.field", "def f():\n    import matplotlib.pyplot as plt", True),
        ("psf.plots", "import matplotlib.pyplot as plt", False),
        ("optics.draw.layout", "from matplotlib.figure import Figure", False),
        ("psf.plots", "import tyro", True),
        ("psf.__main__", "import tyro, tqdm", False),
        ("psf.field", "import pandas", True),
        ("optics.files.zmx", "import re, json", False),
    ],
)
def test_libraries_are_told_apart(name, source, is_breach):
    assert bool(breaches_of_libraries(name, imports_of(source, name, False, set(MODULES)))) is is_breach


def test_relative_imports_are_resolved():
    known = {"psf.field", "psf.estimators.direct", "psf.errors"}
    found = imports_of("from ..errors import InputError\nfrom .. import field", "psf.estimators.direct", False, known)
    assert [i.module for i in found] == ["psf.errors", "psf.field"]
    assert imports_of("from .field import PolarPSFField", "psf", True, known)[0].module == "psf.field"


def test_imports_inside_functions_and_for_types_do_not_run_at_load():
    source = "import a\nif TYPE_CHECKING:\n    import b\nclass C:\n    import c\n    def f(self):\n        import d\n"
    at_load = {i.module for i in imports_of(source, "m", False, set()) if i.at_load}
    assert at_load == {"a", "c"}


def test_a_circle_is_found():
    assert find_circle({"a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]
    assert find_circle({"a": ["b", "c"], "b": ["c"], "c": []}) is None
