"""Rules of the house that a machine can check, read off the source. CONTRIBUTING.md says why they are there."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("psf", "optics", "render", "learn")
LIBRARY_FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
# A __main__ talks to a person: it prints, draws bars and exits. The rest of the library does none of that.
SILENT_FILES = [path for path in LIBRARY_FILES if path.name != "__main__.py"]

FORBIDDEN_CALLS = {
    "print": "the caller decides what is said; use logging or warnings",
    "input": "nobody may be there",
    "exit": "raise an error",
    "quit": "raise an error",
    "sys.exit": "raise an error",
    "breakpoint": "left over",
    "torch.manual_seed": "randomness comes through a generator argument",
    "torch.seed": "randomness comes through a generator argument",
    "np.random.seed": "randomness comes through a generator argument",
    "random.seed": "randomness comes through a generator argument",
    "torch.set_default_dtype": "changes the caller's world",
    "torch.set_default_device": "changes the caller's world",
    "torch.set_default_tensor_type": "changes the caller's world",
    "torch.set_num_threads": "changes the caller's world",
    "torch.set_grad_enabled": "changes the caller's world; use it as a context",
    "torch.autograd.set_detect_anomaly": "changes the caller's world",
    "np.seterr": "changes the caller's world; use np.errstate",
    "numba.set_num_threads": "changes the caller's world",
    "warnings.simplefilter": "changes the caller's world",
    "warnings.filterwarnings": "changes the caller's world",
    "logging.basicConfig": "changes the caller's world",
    "plt.show": "figures are returned",
    "matplotlib.use": "changes the caller's world",
    "os.getenv": "arguments, not environment variables",
    "os.chdir": "changes the caller's world",
}
# Calls that stand in one place only, each with the reason.
ALLOWED_CALLS = {
    ("psf/threads.py", "torch.set_num_threads"): "for one block, and given back",
    ("psf/threads.py", "numba.set_num_threads"): "for one block, and given back",
    ("psf/command_line.py", "warnings.simplefilter"): "while a command runs, and given back",
    ("psf/workers.py", "torch.set_num_threads"): "in processes that exist for jobs alone",
    ("psf/workers.py", "numba.set_num_threads"): "in processes that exist for jobs alone",
}
FORBIDDEN_NAMES = {"os.environ": "arguments, not environment variables"}
# Functions that draw random numbers, of torch and of its tensors: each call names its generator.
RANDOM_FUNCTIONS = {
    f"torch.{n}" for n in ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "poisson", "multinomial")
}
RANDOM_METHODS = {
    "uniform_",
    "normal_",
    "bernoulli_",
    "exponential_",
    "random_",
    "cauchy_",
    "log_normal_",
    "geometric_",
    "multinomial",
}

LONGEST_MODULE_LINES = 450

# Library modules without a test file of their own, each with the reason.
TESTED_ELSEWHERE: dict[str, str] = {
    "psf/estimators/physical_fitting.py": "test_physical.py: its steps end where the truth is",
    "psf/estimators/physical_model.py": "test_physical.py: what an estimate returns",
}

# Data that is neither code nor text, and where it comes from. Nothing under GPL or CC-BY-SA, no photographs of others.
ALLOWED_DATA = {
    "docs/images/*.png": "drawn by the examples and commands",
    "lenses/*.json.gz": "the glass catalogue: published coefficients, see NOTICE",
    "tests/data/lens_files/*": "lens files of our own making",
    "tests/data/*.npz": "numbers of our own and excerpts of reference tables, see NOTICE",
}
TEXT_SUFFIXES = {
    "",
    ".py",
    ".md",
    ".toml",
    ".json",
    ".txt",
    ".csv",
    ".typed",
    ".yml",
    ".yaml",
    ".cfg",
    ".gitignore",
    ".cff",
    ".js",
    ".html",
    ".css",
}
LARGEST_FILE_KB = 1024


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=relative(path))


def repository_files() -> list[Path]:
    """Files that are or would be committed; without git, what a source archive holds."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [path for name in sorted(set(listed.split("\0"))) if name and (path := ROOT / name).is_file()]
    folders = (*PACKAGES, "lenses", "examples", "benchmarks", "docs", "tests")
    inside = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.is_file()]
    return [path for path in [*ROOT.glob("*.*"), *inside] if path.is_file() and "__pycache__" not in path.parts]


def state_and_noise(tree: ast.Module) -> list[str]:
    """What a module does to the caller's terminal, globals and random numbers."""
    found = []
    as_context = {id(item.context_expr) for n in ast.walk(tree) if isinstance(n, ast.With) for item in n.items}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS and id(node) not in as_context:
                found.append(f"line {node.lineno}: {name}: {FORBIDDEN_CALLS[name]}")
            own = name in RANDOM_FUNCTIONS or name.rpartition(".")[2] in RANDOM_METHODS
            if own and "generator" not in {keyword.arg for keyword in node.keywords}:
                found.append(f"line {node.lineno}: {name}: without generator=")
            if re.match(r"(np|numpy)\.random\.(?!default_rng|Generator)|random\.\w+$", name):
                found.append(f"line {node.lineno}: {name}: a hidden generator")
        elif isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in FORBIDDEN_NAMES:
            found.append(f"line {node.lineno}: {name}: {FORBIDDEN_NAMES[name]}")
        elif isinstance(node, ast.Global):
            found.append(f"line {node.lineno}: global {', '.join(node.names)}: state between calls")
    return found


def swallowed_errors(tree: ast.Module) -> list[str]:
    """Handlers that catch everything and hand nothing on, and `assert`, which python -O removes."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = [] if node.type is None else ast.unparse(node.type).strip("()").split(", ")
            if not caught:
                found.append(f"line {node.lineno}: a bare except")
            inner = [n for statement in node.body for n in ast.walk(statement)]
            hands_on = any(isinstance(n, ast.Raise) or (isinstance(n, ast.Name) and n.id == node.name) for n in inner)
            if {"Exception", "BaseException"} & set(caught) and not hands_on:
                found.append(f"line {node.lineno}: except {', '.join(caught)} drops the error")
        elif isinstance(node, ast.Assert) and not re.fullmatch(r"[\w.]+ is not None", ast.unparse(node.test)):
            # `assert x is not None` tells the type checker what the code above it has made sure of.
            found.append(f"line {node.lineno}: assert; input is checked by raising InputError")
    return found


def loose_dataclasses(tree: ast.Module) -> list[str]:
    """Dataclasses that can be changed, or whose == would compare tensors."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            text = ast.unparse(decorator)
            if not re.match(r"(dataclasses\.)?dataclass\b", text):
                continue
            if "frozen=True" not in text:
                found.append(f"line {node.lineno}: {node.name} is not frozen")
            held = {ast.unparse(n.annotation) for n in node.body if isinstance(n, ast.AnnAssign)}
            if any(re.search(r"\b(Tensor|ndarray)\b", kind) for kind in held) and "eq=False" not in text:
                found.append(f"line {node.lineno}: {node.name} holds arrays and has an ==; set eq=False")
    return found


def public_functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]


# A shape in a docstring: the word, a tuple such as (), (...), (N, 3), (D, R, C), or the name where it stands.
SHAPE = re.compile(r"[Ss]hape|\(\)|\(\.\.\.|\(([A-Z]\w{0,3}|\d+)(,| \+|\))|^(See|As) `")


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring, and tensor arguments whose shape nobody tells."""
    found = [] if ast.get_docstring(tree) else ["the module has no docstring"]
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    methods = [n for c in classes for n in c.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    for node in [*public_functions(tree), *classes, *methods]:
        text = ast.get_docstring(node) or ""
        if not text:
            found.append(f"line {node.lineno}: {node.name} has no docstring")
        elif isinstance(node, ast.FunctionDef) and not SHAPE.search(text):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            kinds = {ast.unparse(a.annotation) for a in arguments if a.annotation}
            if kinds & {"Tensor", "Tensor | None", "torch.Tensor"}:
                found.append(f"line {node.lineno}: {node.name} takes a tensor and does not tell its shape")
    return found


by_file = pytest.mark.parametrize("path", LIBRARY_FILES, ids=relative)


@pytest.mark.parametrize("path", SILENT_FILES, ids=relative)
def test_library_code_is_silent_and_stateless(path):
    allowed = [call for file, call in ALLOWED_CALLS if file == relative(path)]
    found = [line for line in state_and_noise(tree_of(path)) if line.split(": ")[1] not in allowed]
    assert not found


@by_file
def test_library_code_swallows_no_error(path):
    assert not swallowed_errors(tree_of(path))


@by_file
def test_values_cannot_be_changed(path):
    assert not loose_dataclasses(tree_of(path))


@by_file
def test_what_is_public_is_documented(path):
    assert not undocumented(tree_of(path))


@by_file
def test_module_is_short_enough_to_be_one_concept(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE_LINES


@by_file
def test_library_module_has_its_test_file(path):
    if path.name == "__init__.py":  # it only hands names on; tests/test_imports.py reads it
        return
    inner = path.relative_to(ROOT)
    name = "main" if path.stem == "__main__" else path.stem
    own = ROOT / "tests" / inner.parent / f"test_{name}.py"
    assert (inner.as_posix() in TESTED_ELSEWHERE) != own.is_file(), f"{relative(own)}, or a reason in TESTED_ELSEWHERE"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_bears_the_name_of_a_public_function(package):
    # `from .trace import trace` would make `import optics.trace` mean two things.
    files = [path for path in LIBRARY_FILES if path.is_relative_to(ROOT / package)]
    modules = {part for path in files for part in path.relative_to(ROOT / package).with_suffix("").parts}
    functions = {node.name for path in files for node in public_functions(tree_of(path))}
    shared_names = modules & functions
    assert not shared_names


def test_map_of_the_house_names_every_module_and_no_other():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"\b\w+\.py\b", re.search(r"```\n(optics/.*?)```", page, re.DOTALL).group(1)))
    assert drawn == {path.name for path in LIBRARY_FILES if path.name not in ("__init__.py", "__main__.py")}


def test_nothing_is_left_to_do_in_the_source():
    words = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
    files = [path for path in repository_files() if path.suffix in {".py", ".toml", ".md"}]
    assert not [relative(path) for path in files if words.search(path.read_text(encoding="utf-8"))]


def test_no_file_knows_a_machine():
    # Written in pieces, so that this file does not hold what it looks for.
    folders = ("ho" + "me", "Us" + "ers", "ro" + "ot", "wo" + "rk", "t" + "mp", "op" + "t", "m" + "nt")
    machine = re.compile(rf"(?<![\w.*}}>])/({'|'.join(folders)})/" + r"|\b[A-Z]:\\{1,2}(Users|Program)")
    here = [f"{folder}/" for folder in (str(ROOT.parent), str(Path.home())) if len(folder) > 1]
    found = []
    for path in repository_files():
        if path.suffix in TEXT_SUFFIXES:
            text = path.read_text(encoding="utf-8")
            hits = [match.group() for match in machine.finditer(text)] + [folder for folder in here if folder in text]
            found += [f"{relative(path)}: {hit}" for hit in hits]
    assert not found


def test_data_files_are_the_ones_we_may_ship():
    data = [path for path in repository_files() if path.suffix.lower() not in TEXT_SUFFIXES]
    assert not [relative(p) for p in data if not any(p.relative_to(ROOT).match(pattern) for pattern in ALLOWED_DATA)]


def test_no_file_is_large():
    files = [(path, path.stat().st_size / 1024) for path in repository_files()]
    assert not [f"{relative(path)}: {size_kb:.0f} kB" for path, size_kb in files if size_kb > LARGEST_FILE_KB]


# The rules above must be able to fail.


@pytest.mark.parametrize(
    "source",
    [
        "print(1)",
        "import torch\ntorch.manual_seed(0)",
        "import os\nx = os.environ['HOME']",
        "def f():\n    global state\n    state = 1",
        "x = torch.rand(3)",
        "x = torch.empty(3).normal_()",
        "x = np.random.rand(3)",
        "x = random.choice([1, 2])",
        "torch.set_grad_enabled(False)",
        "plt.show()",
    ],
)
def test_noise_and_state_are_found(source):
    assert state_and_noise(ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "x = torch.rand(3, generator=g)",
        "x = np.random.default_rng(0)",
        "with torch.set_grad_enabled(True):\n    pass",
        "logging.getLogger(__name__).info('x')",
        "fingerprint(1)",
    ],
)
def test_what_is_allowed_is_not_found(source):
    assert not state_and_noise(ast.parse(source))


@pytest.mark.parametrize(
    ("source", "is_breach"),
    [
        ("try:\n    f()\nexcept:\n    pass", True),
        ("try:\n    f()\nexcept Exception:\n    pass", True),
        ("try:\n    f()\nexcept (KeyError, Exception) as error:\n    x = 0", True),
        ("try:\n    f()\nexcept BaseException:\n    undo()\n    raise", False),
        ("try:\n    f()\nexcept Exception as error:\n    failures.append(error)", False),
        ("try:\n    f()\nexcept KeyError:\n    x = 0", False),
        ("assert depth_m > 0", True),
        ("assert traced.path_mm is not None", False),
    ],
)
def test_swallowed_errors_are_found(source, is_breach):
    assert bool(swallowed_errors(ast.parse(source))) is is_breach


@pytest.mark.parametrize(
    ("source", "is_loose"),
    [
        ("@dataclass\nclass A:\n    x: int", True),
        ("@dataclass(frozen=True)\nclass A:\n    x: Tensor", True),
        ("@dataclass(frozen=True, eq=False)\nclass A:\n    x: Tensor | None", False),
        ("@dataclass(frozen=True)\nclass A:\n    x: int", False),
        ("class A:\n    x: Tensor", False),
    ],
)
def test_loose_dataclasses_are_found(source, is_loose):
    assert bool(loose_dataclasses(ast.parse(source))) is is_loose


@pytest.mark.parametrize(
    ("docstring", "is_told"),
    [
        ("Height.", False),
        ("Height over r_mm, shape (...).", True),
        ("Height of (N, 3) points.", True),
        ("See `Shape.sag`.", True),
    ],
)
def test_tensors_of_untold_shape_are_found(docstring, is_told):
    source = f'"""Module."""\ndef sag(r_mm: Tensor) -> Tensor:\n    """{docstring}"""\n'
    assert (not undocumented(ast.parse(source))) is is_told
