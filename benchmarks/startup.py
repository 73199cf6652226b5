"""How long commands take before they do anything: `--help` of each, beyond torch's own import.

    python benchmarks/startup.py [--repeats 5] [--only psf learn.deblur examples/bokeh.py] [--plain]

Each run is a process of its own that imports torch first and then runs the command, so that both are timed under the
same load; figures are medians. Processor seconds are the steadier ones on a busy machine. --plain leaves the commands
of commands out (`python -m psf plan --help` beside `python -m psf --help`). Exit code 1 if any command takes more than
half a processor second.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("psf", "optics", "render", "learn")
MOST_S = 0.5

CHILD = """
import contextlib, io, json, runpy, sys, time
clocks = time.perf_counter, time.process_time
start = [clock() for clock in clocks]
import torch
loaded = [clock() for clock in clocks]
said = io.StringIO()
name, sys.argv = sys.argv[1], sys.argv[1:]
try:
    with contextlib.redirect_stdout(said):
        if name.endswith(".py"):
            sys.path.insert(0, name.rpartition("/")[0])
            runpy.run_path(name, run_name="__main__")
        else:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
except SystemExit as leaving:
    assert not leaving.code, leaving.code
done = [clock() for clock in clocks]
print(json.dumps({"torch": [b - a for a, b in zip(start, loaded)], "command": [b - a for a, b in zip(loaded, done)],
                  "said": said.getvalue()}))
"""


def find_commands() -> list[str]:
    """Modules that `python -m` runs, and examples with a command line."""
    mains = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("__main__.py"))]
    modules = [".".join(path.relative_to(ROOT).parts[:-1]) for path in mains]
    examples = sorted((ROOT / "examples").glob("*.py"))
    lines = [path for path in examples if "import tyro" in (text := path.read_text("utf-8")) and "__main__" in text]
    return [*modules, *(path.relative_to(ROOT).as_posix() for path in lines)]


def run_once(command: str, words: tuple[str, ...]) -> tuple[list[float], list[float], str]:
    """Wall and processor seconds of torch's import and of the rest, and what was printed."""
    name = str(ROOT / command) if command.endswith(".py") else command
    call = [sys.executable, "-c", CHILD, name, *words, "--help"]
    answer = json.loads(subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    return answer["torch"], answer["command"], answer["said"]


def find_subcommands(said: str) -> list[str]:
    """Those that a help text lists in braces as its first choice: {plan,check,view}."""
    listed = re.search(r"usage:[^{]*\{([a-z0-9,\s-]+)\}", said)
    return re.split(r"[,\s]+", listed.group(1).strip()) if listed else []


def main() -> int:
    """Measure, and print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--repeats", type=int, default=5)
    words.add_argument("--only", nargs="+", default=None)
    words.add_argument("--plain", action="store_true")
    args = words.parse_args()
    cases: list[tuple[str, tuple[str, ...]]] = []
    for command in args.only or find_commands():
        said = run_once(command, ())[2]  # also compiles the sources, which no figure should count
        cases += [(command, ()), *((command, (one,)) for one in ([] if args.plain else find_subcommands(said)))]
    print("| command | beyond torch, processor s | wall s | torch's import, processor s | wall s |")
    print("| --- | --- | --- | --- | --- |")
    slow, all_s = [], []
    for command, inner in cases:
        runs = [run_once(command, inner) for _ in range(args.repeats)]
        # wall, processor
        torch_s, own_s = ([statistics.median(run[part][clock] for run in runs) for clock in (0, 1)] for part in (0, 1))
        name = " ".join((command, *inner))
        print(f"| {name} | {own_s[1]:.2f} | {own_s[0]:.2f} | {torch_s[1]:.2f} | {torch_s[0]:.2f} |", flush=True)
        all_s.append(own_s[1])
        if own_s[1] > MOST_S:
            slow.append(name)
    print(f"slowest: {max(all_s):.2f} s")
    print(f"above {MOST_S} s: {', '.join(slow) or 'none'} of {len(cases)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
