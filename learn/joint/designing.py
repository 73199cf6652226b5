"""Joint design: the free parameters of a lens are moved until pictures restored from it are good at every depth.

    found = design_jointly(lens, photos, JointSettings(free=("surface2.asphere_4", "focus_mm")), folder=Path("out"))
    found.lens, found.iterates

Patches and noise are drawn once, so that lenses are compared by the same pictures; steps are those of a trust region
(`trust_region.py`), whose curvature is learnt anew where it promises nothing more. With a folder the state is written
after every step, and a run that is gone on with takes the same steps as one that was never stopped.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import optics
from optics import Lens, choose_variables, keep_limits
from psf import InputError
from psf.runs import begin_run, make_generator, whole_file

from ..photos import PhotoFolder
from .design_grid import trace_design
from .exposures import Patches, expose, set_exposure
from .imaging import Chain, Outcome, look_through, run_chain
from .iterates import Iterate, write_iterates
from .objective import shift_depth_weights
from .patches import draw_patches
from .settings import JointSettings
from .tiny_restorer import make_trainer
from .trust_region import TOLERANCE_DB, QuadraticModel, begin_model, choose_step, resize_box

STATE_FILE, TABLE_FILE, LENSES_FOLDER = "state.pt", "iterates.csv", "lenses"
# Of a depth at the start of a descent, so that its slope does not vanish.
LEAST_WEIGHT = 3e-3
# A curvature that was learnt on the way may be that of another place: it is learnt anew where it promises nothing, as
# long as that gains this much each time.
RESTART_GAIN_DB = 0.02
# Numbers of the generators; those of a network's steps count up from 0.
_POOL, _WEIGHTS, _PICTURES = -1, -2, -3


@dataclass(frozen=True, eq=False)
class JointDesign:
    """What became of a lens.

    Attributes:
        lens: The better one.
        chain: Free parameters, limits, sensor and, for "tiny", the network.
        vector: Its free parameters in steps of the variables, shape (P,).
        depth_weights: What each depth counted last, shape (D,).
        iterates: Every lens on the way.
    """

    lens: Lens
    chain: Chain
    vector: Tensor
    depth_weights: Tensor
    iterates: tuple[Iterate, ...]


@dataclass(frozen=True, eq=False)
class _State:
    """Where a design stands: `vector` is to be tried at step `step`, `model` knows the best lens so far.

    Behind the P parameters of the lens stand the logarithms of D depth weights where these are free. `begun_db` is the
    objective where the model's curvature was begun anew, inf before it ever was.
    """

    step: int
    vector: Tensor
    model: QuadraticModel | None
    box_steps: float
    depth_weights: Tensor
    iterates: tuple[Iterate, ...]
    begun_db: float = math.inf


def open_chain(lens: Lens, settings: JointSettings, published: Lens | None = None) -> Chain:
    """All that stays the same while a lens changes.

    Args:
        lens: Where the design starts.
        settings: What is free, and the rest.
        published: Whose light and constraints count; by default the lens itself.
    """
    published = published or lens
    trainer = None
    if settings.restorer == "tiny":
        generator = make_generator(settings.seed, _WEIGHTS)
        trainer = make_trainer(settings.grid.radii, settings.iso, generator)
    with torch.no_grad():
        kernels = trace_design(published, settings.grid)
    return Chain(
        settings=settings,
        variables=choose_variables(lens, settings.free),
        limits=keep_limits(published, slack=settings.slack),
        published=kernels,
        exposure=set_exposure(settings.iso),
        trainer=trainer,
    )


def design_jointly(
    lens: Lens,
    photos: PhotoFolder | Patches,
    settings: JointSettings,
    *,
    published: Lens | None = None,
    folder: Path | None = None,
    on_progress: Callable[[Iterate], bool | None] | None = None,
) -> JointDesign:
    """Move a lens's free parameters until pictures restored from it are as good as they get at the worst depth.

    Args:
        lens: Where to start; it keeps its own constraints.
        photos: Photographs, or patches that are cut already (margin: `kernel_px` - 1 of the grid).
        settings: The design.
        published: Whose constraints and light count, if not the lens's own.
        folder: For the state, the table of iterates and their prescriptions; a run that is there is gone on with.
        on_progress: Called with every iterate; where it returns True the design ends there, to be gone on with.

    Raises:
        InputError: Unknown parameters, a lens without light, a folder of another run.
    """
    chain = open_chain(lens, settings, published)
    if folder is not None:
        told = {"kind": "joint design", "lens": lens.name, "start": chain.variables.read().tolist()}
        begin_run(folder, {**told, "settings": settings.to_run_json()})
        (folder / LENSES_FOLDER).mkdir(exist_ok=True)
    pool = draw_pool(photos, settings)
    state = _begin(chain, pool, folder)
    _train_ahead(chain, pool, state)
    while state.step < settings.steps:
        if _is_settled(chain, state):
            state, goes_on = _begin_anew(chain, state)
            if not goes_on:
                break
        state, iterate = _advance(chain, pool, state)
        if folder is not None:
            _write(chain, folder, state)
        if on_progress is not None and on_progress(iterate):
            break
    vector = state.vector if state.model is None else state.model.vector
    vector = vector[: len(chain.variables.names)]
    return JointDesign(
        lens=named(chain.variables.apply(vector), f"{lens.name}_joint", f"{lens.title}; designed with its restorer"),
        chain=chain,
        vector=vector,
        depth_weights=state.depth_weights,
        iterates=state.iterates,
    )


def draw_pool(photos: PhotoFolder | Patches, settings: JointSettings) -> Patches:
    """All patches of a design; those that are cut already stay."""
    if isinstance(photos, Patches):
        pool = photos
    else:
        margin = settings.grid.kernel_px - 1
        pool = draw_patches(photos, settings.pool, settings.side_px, margin, make_generator(settings.seed, _POOL))
    if len(pool) < settings.fit_patches + settings.loss_patches:
        found = f"{len(pool)} patches"
        raise InputError("photos", found, f"at least {settings.fit_patches + settings.loss_patches}")
    return pool


def draw_pictures(pool: Patches, settings: JointSettings) -> tuple[Patches, torch.Generator]:
    """The patches of a design, and the generator of their noise; the same at every call."""
    return _draw(pool, settings, held=False)


def draw_held(pool: Patches, settings: JointSettings) -> tuple[Patches, torch.Generator]:
    """The patches of the design's filters, then those that no descent has seen; and a generator of their noise."""
    return _draw(pool, settings, held=True)


def _draw(pool: Patches, settings: JointSettings, *, held: bool) -> tuple[Patches, torch.Generator]:
    generator = make_generator(settings.seed, _PICTURES)
    chosen = torch.randperm(len(pool), generator=generator)
    fit, seen = settings.fit_patches, settings.fit_patches + settings.loss_patches
    chosen = torch.cat([chosen[:fit], chosen[seen:]]) if held else chosen[:seen]
    return pool[chosen], generator


def named(lens: Lens, name: str, title: str) -> Lens:
    """A lens under a name of its own; where it came from stays in its source."""
    return replace(lens, name=name, title=title, source={**lens.source, "changed_by": "learn.joint"}, file_sha256="")


def measure_slope(
    chain: Chain, vector: Tensor, patches: Patches, depth_weights: Tensor, generator: torch.Generator
) -> tuple[Outcome, Tensor]:
    """`run_chain` and the gradient of its objective, of the vector's shape; every number of it is finite.

    Args:
        chain: All that stays.
        vector: In steps, shape (P,) or (P + D,), as `run_chain` takes it.
        patches: As `run_chain` takes them.
        depth_weights: Shape (D,).
        generator: Of the noise.

    Raises:
        InputError: A lens that cannot be, or numbers that are not finite.
    """
    with torch.enable_grad():
        theta = vector.detach().clone().requires_grad_()
        outcome = run_chain(chain, theta, patches, depth_weights, generator)
        if not bool(outcome.objective_db.detach().isfinite()):
            raise InputError("objective", float(outcome.objective_db.detach()), "a finite number")
        (slope,) = torch.autograd.grad(outcome.objective_db, theta)
    if not bool(slope.isfinite().all()):
        raise InputError("gradient", slope.tolist(), "finite numbers")
    return outcome, slope


def _begin(chain: Chain, pool: Patches, folder: Path | None) -> _State:
    file = None if folder is None else folder / STATE_FILE
    if file is not None and file.is_file():
        kept: dict[str, Any] = torch.load(file, weights_only=True)
        if chain.trainer is not None:
            chain.trainer.network.load_state_dict(kept["network"])
            chain.trainer.optimiser.load_state_dict(kept["optimiser"])
        iterates = []
        for one in kept["iterates"]:
            told: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in one.items()}
            iterates.append(Iterate(**told))
        return _State(
            step=kept["step"],
            vector=kept["vector"],
            model=None if kept["model"] is None else QuadraticModel(**kept["model"]),
            box_steps=kept["box_steps"],
            depth_weights=kept["depth_weights"],
            iterates=tuple(iterates),
            begun_db=kept.get("begun_db", math.inf),  # not in states of 0.1
        )
    count = len(chain.settings.grid.depths_m)
    vector, weights = chain.variables.read(), torch.full((count,), 1 / count)
    if chain.settles:
        patches, generator = draw_pictures(pool, chain.settings)
        with torch.no_grad():
            weights = run_chain(chain, vector, patches, weights, generator, settle=True).depth_weights
        vector = torch.cat([vector, weights.to(vector).clamp_min(LEAST_WEIGHT).log()])
    return _State(0, vector, None, chain.settings.box_steps, weights, ())


def _write(chain: Chain, folder: Path, state: _State) -> None:
    last, settings = state.iterates[-1], chain.settings
    steps = torch.tensor(last.values, dtype=chain.variables.steps.dtype) / chain.variables.steps
    tried = named(chain.variables.apply(steps), f"{chain.variables.lens.name}_{last.step}", f"iterate {last.step}")
    optics.save(tried, folder / LENSES_FOLDER / f"{last.step:04d}.json")
    write_iterates(folder / TABLE_FILE, state.iterates, chain.variables.names, settings.grid.depths_m)
    kept: dict[str, Any] = {
        "step": state.step,
        "vector": state.vector,
        "model": None if state.model is None else dict(vars(state.model)),
        "box_steps": state.box_steps,
        "begun_db": state.begun_db,
        "depth_weights": state.depth_weights,
        "iterates": [{n: list(v) if isinstance(v, tuple) else v for n, v in asdict(i).items()} for i in state.iterates],
    }
    if chain.trainer is not None:
        kept["network"] = chain.trainer.network.state_dict()
        kept["optimiser"] = chain.trainer.optimiser.state_dict()
    with whole_file(folder / STATE_FILE) as part:
        torch.save(kept, part)


def _advance(chain: Chain, pool: Patches, state: _State) -> tuple[_State, Iterate]:
    """Try one lens, the restorer's steps before it; then choose the next."""
    begun, settings, known = time.perf_counter(), chain.settings, state.model
    if chain.trainer is not None:
        _train(chain, state.vector, pool, state, settings.network_steps, _numbers(settings, state.step))
    patches, generator = draw_pictures(pool, settings)
    outcome, slope, refused = None, None, ""
    try:
        outcome, slope = measure_slope(chain, state.vector, patches, state.depth_weights, generator)
    except InputError as error:
        if known is None:  # the lens that was given
            raise
        refused = str(error)
    objective_db = math.inf if outcome is None else float(outcome.objective_db.detach())
    box_steps, weights = state.box_steps, state.depth_weights
    if known is not None:
        gained_db = known.objective_db - objective_db
        box_steps = resize_box(box_steps, known.objective_db - known.predict_db(state.vector), gained_db)
    if slope is None:
        best = known
    elif known is None:
        best = begin_model(state.vector, objective_db, slope, box_steps)
    elif objective_db <= known.objective_db + TOLERANCE_DB:
        best = known.moved(state.vector, objective_db, slope)
    else:
        best, refused = known.learn(state.vector, slope), f"worse by {objective_db - known.objective_db:.3f} dB"
    assert best is not None
    if outcome is not None and not refused:
        weights = shift_depth_weights(weights, outcome.depth_errors_db.detach().to(weights), settings.weight_rate)
    count, free = len(settings.grid.depths_m), len(chain.variables.names)
    if chain.settles:
        weights = best.vector[free:].softmax(0).float()
    following = choose_step(best, *_bounds(chain), box_steps)
    iterate = Iterate(
        step=state.step,
        objective_db=objective_db,
        depth_psnr_db=(math.nan,) * count if outcome is None else tuple((-outcome.depth_errors_db.detach()).tolist()),
        violation=math.nan if outcome is None else float(outcome.violations.detach().norm()),
        depth_weights=(math.nan,) * count if outcome is None else tuple(outcome.depth_weights.detach().tolist()),
        values=tuple((state.vector[:free] * chain.variables.steps).tolist()),
        seconds=time.perf_counter() - begun,
        refused=refused,
    )
    iterates = (*state.iterates, iterate)
    return _State(state.step + 1, following, best, box_steps, weights, iterates, state.begun_db), iterate


def _bounds(chain: Chain) -> tuple[Tensor, Tensor]:
    """Of the lens's parameters, and none of depth weights where these are free, shape (P,) or (P + D,) each."""
    low, high = chain.variables.low, chain.variables.high
    if chain.settles:
        unbound = low.new_full((len(chain.settings.grid.depths_m),), math.inf)
        low, high = torch.cat([low, -unbound]), torch.cat([high, unbound])
    return low, high


def _is_settled(chain: Chain, state: _State) -> bool:
    """Whether the next step promises nothing; of a network that goes on learning nobody knows."""
    if state.model is None or chain.trainer is not None:
        return False
    promised_db = state.model.objective_db - state.model.predict_db(state.vector)
    return promised_db < chain.settings.least_gain_db


def _begin_anew(chain: Chain, state: _State) -> tuple[_State, bool]:
    """The same lens with a curvature still to be learnt; False where this has been done and has gained nothing."""
    known, box_steps = state.model, chain.settings.box_steps
    if known is None or state.begun_db - known.objective_db < RESTART_GAIN_DB:
        return state, False
    model = begin_model(known.vector, known.objective_db, known.slope_db, box_steps)
    following = choose_step(model, *_bounds(chain), box_steps)
    return replace(state, vector=following, model=model, box_steps=box_steps, begun_db=known.objective_db), True


def _numbers(settings: JointSettings, step: int) -> range:
    """Numbers of the generators of a network's steps before step `step` of the lens."""
    first = settings.steps + settings.network_head_start + step * max(settings.network_steps, 1)
    return range(first, first + max(settings.network_steps, 1))


def _train_ahead(chain: Chain, pool: Patches, state: _State) -> None:
    if chain.trainer is not None and state.step == 0:
        settings = chain.settings
        first = settings.steps
        count = settings.network_head_start
        _train(chain, state.vector, pool, state, count, range(first, first + count))


def _train(chain: Chain, vector: Tensor, pool: Patches, state: _State, count: int, numbers: Sequence[int]) -> None:
    """Steps of the network on a lens that stands still."""
    trainer, settings = chain.trainer, chain.settings
    if trainer is None or count < 1:
        return
    with torch.no_grad():
        kernels, light = look_through(chain, chain.variables.apply(vector))
    for number in numbers[:count]:
        generator = make_generator(settings.seed, number)
        chosen = torch.randperm(len(pool), generator=generator)[: settings.fit_patches]
        patches = pool[chosen]
        exposed = expose(patches, kernels, light, chain.exposure, generator)
        pattern = chain.exposure.sensor.pattern
        trainer.learn(exposed, patches.metadata, state.depth_weights, pattern, settings.filters.border_cells)
