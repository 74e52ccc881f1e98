"""No environment variable, and no seed of a library, reaches `pipeline/dp`: by reading its text,
and by running it under two environments.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from audit.findings import Check, Finding
from pipeline.catalog import project_root

# What its modules may import from elsewhere. torch and numpy have seeds: SEEDED is what they may
# not be asked for.
MODULES = frozenset(
    (
        *(
            "bisect",
            "collections",
            "contextlib",
            "dataclasses",
            "fractions",
            "functools",
            "hashlib",
        ),
        *(
            "heapq",
            "io",
            "itertools",
            "json",
            "math",
            "os",
            "pathlib",
            "tempfile",
            "threading",
            "types",
        ),
        *(
            "statistics",
            "typing",
            "__future__",
            "attr",
            "cryptography",
            "dp_accounting",
            "numpy",
            "scipy",
            "torch",
        ),
    )
)
OF_OS = frozenset(("O_RDONLY", "close", "fsync", "getpid", "link", "open", "urandom"))
SEEDED = frozenset(
    (
        *(
            "environ",
            "environb",
            "getenv",
            "putenv",
            "argv",
            "flags",
            "__import__",
            "import_module",
        ),
        *("seed", "manual_seed", "default_rng", "RandomState", "SeedSequence", "Generator"),
        *("initial_seed", "set_rng_state", "get_rng_state", "random", "rand", "randn", "randint"),
        *("normal_", "bernoulli_", "multinomial", "rvs", "globals", "eval", "exec"),
    )
)
VARIABLES = {
    **dict.fromkeys(("SEED", "NOISE_SEED", "RANDOM_SEED", "PL_GLOBAL_SEED", "TORCH_SEED"), "7"),
    **dict.fromkeys(("SYNDASERA_SEED", "SYNDASERA_NOISE_SEED", "PYTHONHASHSEED"), "7"),
    **dict.fromkeys(("DEBUG", "SYNDASERA_DEBUG", "CI", "TEST", "TESTING", "DETERMINISTIC"), "1"),
    **{"PYTEST_CURRENT_TEST": "a test", "NOISE": "0", "SYNDASERA_NOISE": "0", "SIGMA": "0"},
    **{"EPSILON": "1000", "CLIP": "1e9", "SYNDASERA_EPSILON": "1000", "LOG_LEVEL": "DEBUG"},
}
# Under each environment it imports all modules afresh and draws twice, after equal seeds, and notes
# what code of the project reads of the environment on the way.
PROGRAM = """
import importlib, json, os, pkgutil, random, sys
root, variables = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, root)
import dp_accounting, numpy, torch
reads = []

def noted(of):
    def read(self, *arguments):
        frame = sys._getframe(1)
        while frame and frame.f_globals.get("__name__") in ("os", "collections.abc"):
            frame = frame.f_back
        where = frame.f_globals.get("__name__", "") if frame else ""
        if where.split(".")[0] == "pipeline":
            reads.append(f"{where} reads {', '.join(map(str, arguments)) or 'all'}")
        return of(self, *arguments)
    return read

kind = type(os.environ)
for name in ("__getitem__", "__iter__", "__len__", "copy"):
    setattr(kind, name, noted(getattr(kind, name)))

def look():
    for name in [name for name in sys.modules if name.split(".")[0] == "pipeline"]:
        del sys.modules[name]
    import pipeline.dp
    names = [f"pipeline.dp.{one.name}" for one in pkgutil.iter_modules(pipeline.dp.__path__)]
    modules = {name: importlib.import_module(name) for name in names}
    constants = {
        f"{name}.{key}": repr(value)
        for name, module in modules.items()
        for key, value in vars(module).items()
        if isinstance(value, (bool, int, float, str, tuple, frozenset)) and key[:2] != "__"
    }
    draws = []
    for _ in range(2):
        random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
        noise = modules["pipeline.dp.noise"].NoiseStream()
        descent = modules["pipeline.dp.sgd"].DpSgd(
            steps=1, sampling_probability=0.5, l2_clip_norm=1.0, noise_multiplier=1.0,
            expected_batch_size=1.0)
        counts = modules["pipeline.dp.marginals"].NoisyCounts(name="a", sigma=900.0, cells=8)
        like = {"weight": torch.zeros(8)}
        draws += [
            noise.bits(4).tobytes().hex(),
            descent.sample(256, noise).tobytes().hex(),
            descent.noisy_gradient([], like, noise)["weight"].numpy().tobytes().hex(),
            counts.measure(numpy.zeros(8, int), noise).tobytes().hex(),
        ]
    return constants, draws

plain, first = look()
os.environ.update(variables)
changed, then = look()
print(json.dumps([plain, changed, first + then, reads]))
"""


def _uses(text: str) -> Iterator[str]:
    """What a module's text takes from where its noise must not come from."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                whole = f"{module}.{alias.name}" if module else alias.name
                top = whole.split(".")[0]
                if top not in MODULES and not whole.startswith("pipeline.dp."):
                    yield whole
                if SEEDED & set(whole.split(".")) or (module == "os" and alias.name not in OF_OS):
                    yield whole
        elif isinstance(node, ast.Attribute):
            whole = ast.unparse(node)
            if node.attr in SEEDED or (whole.startswith("os.") and node.attr not in OF_OS):
                yield whole
        elif isinstance(node, ast.Name) and node.id in SEEDED:
            yield node.id
        elif isinstance(node, ast.Call) and _hides_a_name(node):
            yield ast.unparse(node)


def _hides_a_name(call: ast.Call) -> bool:
    """Whether an attribute of a module is looked up by a name that need not stand in the text."""
    name = ast.unparse(call.func)
    return name in ("getattr", "vars") and ast.unparse(call.args[0]) != "self"


def by_text(_folder: Path) -> Finding:
    """Every module of `pipeline/dp`, read as text."""
    paths = sorted((project_root() / "pipeline" / "dp").glob("**/*.py"))
    uses = [f"{path.name}: {use}" for path in paths for use in _uses(path.read_text("utf-8"))]
    return Finding(
        holds=bool(paths) and not uses,
        figures={"modules": len(paths), "uses": len(uses)},
        message=(
            f"{len(paths)} modules of pipeline/dp take nothing from the environment and no"
            " library's random numbers"
            if not uses
            else f"pipeline/dp takes {'; '.join(uses[:4])}"
        ),
    )


def by_running(_folder: Path) -> Finding:
    """Two environments in one process of its own, all libraries seeded alike."""
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(project_root()), json.dumps(VARIABLES)],
        capture_output=True,
        check=True,
        text=True,
    )
    plain, changed, draws, reads = json.loads(answer.stdout.splitlines()[-1])
    moved = sorted(
        name for name in plain.keys() | changed.keys() if plain.get(name) != changed.get(name)
    )
    repeated = len(draws) - len(set(draws))
    return Finding(
        holds=not moved and not repeated and not reads and len(plain) > 0,
        figures={"constants": len(plain), "moved": len(moved), "repeated": repeated},
        message=(
            f"with {len(VARIABLES)} variables set, {len(moved)} of {len(plain)} constants of"
            f" pipeline/dp change, {repeated} of {len(draws)} draws come again, and it reads"
            f" {'; '.join(dict.fromkeys(reads)) or 'no variable'}"
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="nothing around it reaches the noise, by text",
        family="sampler",
        run=by_text,
        asks="pipeline/dp reads no environment variable and no random numbers of a library",
    ),
    Check(
        name="nothing around it reaches the noise, by running",
        family="sampler",
        run=by_running,
        long=True,
        asks=(
            "under another environment, pipeline/dp has the same constants, fresh noise, and reads"
            " no variable"
        ),
    ),
)
