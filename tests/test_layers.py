"""Who imports whom, held against the one list of who may; and the bounds of size."""

from __future__ import annotations

import ast
from pathlib import Path

from proxy.storage import Names, People, Pins, PrivateFiles

PACKAGE = Path(__file__).parent.parent / "proxy"

CORE = {"errors", "simple", "policy"}
FILES = {"part", "segments", "simple", "transfers"}
MAY_IMPORT = {
    "__main__": {"cli"},
    "cli": {"__init__", "administration", "build", "commands", "config", "errors", "ops", "status", "storage"},
    "commands": CORE
    | {"__init__", "archive", "config", "rights", "status", "storage", "upload", "upstream", "upstreams"},
    "commands.office": CORE | {"administration", "config", "publishing", "rights", "storage", "web.control"},
    "commands.names": {"administration"},
    "commands.releases": {"administration", "simple"},
    "commands.table": set[str](),
    "commands.tokens": {"administration", "config"},
    "config": {"errors", "rights", "simple", "upstream.presets"},
    "build": {"*"},
    "upstreams": {"*"},
    "status": {"upstream.health"},
    "errors": set[str](),
    "simple": {"errors"},
    "policy": {"errors", "simple"},
    "rights": {"errors", "simple"},
    "archive": {"errors", "simple"},
    "upload": {"archive", "errors", "simple"},
    "strict": {"archive", "errors", "upload"},
    "storage": {"policy", "rights", "simple"},
    "storage.disk_store": CORE | {"storage"},
    "storage.backup": {"errors", "storage"},
    "storage.ledger": {"errors", "simple"},
    "storage.tree": {"errors", "simple", "storage"},
    "storage.disk_cache": CORE | {"storage"},
    "storage.fact_cache": CORE | {"storage"},
    "storage.bounded_cache": {"errors"},
    "storage.cache_rows": {"errors"},
    "spans": set[str](),
    "part": {"spans"},
    "doubts": set[str](),
    "leftovers": {"part", "storage"},
    "transfers": {"simple"},
    "segments": {"spans", "transfers"},
    "inlet": {"part"},
    "fetch": FILES | {"doubts", "errors", "inlet"},
    "lately": set[str](),
    "glimpses": {"errors", "lately", "simple", "transfers"},
    "download": FILES | {"doubts", "errors", "fetch", "glimpses", "leftovers", "storage"},
    "sources": CORE | {"storage"},
    "at_hand": CORE | {"sources", "storage"},
    "merged": CORE | {"storage"},
    "repository": CORE | {"at_hand", "download", "merged", "sources", "storage"},
    "tokens": CORE | {"rights", "storage"},
    "publishing": CORE | {"sources", "storage"},
    "administration": CORE | {"config.values", "publishing", "rights", "storage", "tokens"},
    "upstream": CORE | {"download", "sources", "storage", "transfers"},
    "upstream.metadata": CORE | {"archive", "download", "lately", "storage", "transfers"},
    "web": CORE
    | {
        "__init__",
        "archive",
        "config",
        "download",
        "ops",
        "repository",
        "rights",
        "sources",
        "storage",
        "strict",
        "tokens",
        "upload",
    },
    "web.api": {"administration", "errors", "rights"},
    "web.control": {"administration", "errors", "rights"},
    "web.same_site": {"errors"},
    "web.files": CORE | {"download", "glimpses", "repository", "storage"},
    "ops": {"errors"},
    "ops.banner": {"config"},
}
"""A folder's entry holds for all in it that has no entry of its own; modules of one folder may know each other."""

STORE = (
    *("audit", "backup", "copying", "disk_store", "generation", "ledger", "recent", "restoring", "schema"),
    *("token_rows", "tree"),
)
"""Modules of storage that know a Store's folder."""

NO_IO = {"errors", "simple", "policy", "rights", "archive", "upload", "strict"}
IO = {"aiohttp", "asyncio", "diskcache", "shutil", "socket", "sqlite3", "ssl", "subprocess", "tempfile"}

MODULE_LINES, FUNCTION_LINES, REPOSITORY_LINES = 400, 50, 200


def modules() -> dict[str, Path]:
    """Dotted name below the package to file; a folder's own `__init__` goes by the folder's name."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def entry(module: str) -> str:
    """The line of MAY_IMPORT that holds for *module*."""
    while module not in MAY_IMPORT and "." in module:
        module = module.rpartition(".")[0]
    return module


def imports(module: str, path: Path) -> tuple[set[str], set[str]]:
    """What *module* imports: inside the package (dotted, as far as it is a module), and outside (top names)."""
    known, inside, outside = set(modules()), set[str](), set[str]()
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            for alias in node.names:
                full = ".".join(part for part in [*base, alias.name] if part)
                while full and full not in known:
                    full = full.rpartition(".")[0]
                inside.add(full or "__init__")
        elif isinstance(node, ast.ImportFrom) and node.module:
            outside.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            outside |= {alias.name.partition(".")[0] for alias in node.names}
    return inside, outside


def allowed(module: str, imported: str) -> bool:
    mine, theirs = entry(module), imported
    may = MAY_IMPORT[mine]
    if "*" in may or imported.partition(".")[0] == module.partition(".")[0]:
        return True
    while theirs:
        if theirs in may:
            return True
        theirs = theirs.rpartition(".")[0]
    return False


def test_every_module_is_on_the_list() -> None:
    assert {module for module in modules() if entry(module) not in MAY_IMPORT} <= {"__init__"}


def test_modules_import_only_what_they_may() -> None:
    wrong = {
        f"{module} imports {imported}"
        for module, path in modules().items()
        for imported in imports(module, path)[0]
        if module != "__init__" and not allowed(module, imported)
    }
    assert wrong == set()


def test_a_store_and_a_cache_do_not_know_each_other() -> None:
    found = modules()
    store = {f"storage.{module}" for module in STORE}
    cache = {
        f"storage.{module}"
        for module in ("bounded_cache", "cache_rows", "disk_cache", "fact_cache", "packed", "plain_disk")
    }
    assert {module for module in found if module.startswith("storage.")} == store | cache
    for mine, theirs in ((store, cache), (cache, store)):
        for module in mine:
            assert imports(module, found[module])[0] & theirs == set()


def test_the_core_does_no_io() -> None:
    wrong = {
        f"{module} imports {imported}"
        for module, path in modules().items()
        for imported in imports(module, path)[1] & IO
        if entry(module) in NO_IO
    }
    assert wrong == set()


def test_nobody_imports_in_a_circle() -> None:
    graph = {module: imports(module, path)[0] for module, path in modules().items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail, module))}"
        if module not in done:
            for imported in graph.get(module, set()):
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_only_the_policy_makes_a_public_name() -> None:
    """mypy then proves that the upstream is asked about no other name."""
    makers = {module for module, path in modules().items() if "PublicName(" in path.read_text(encoding="utf-8")}
    assert makers == {"policy"}


def test_modules_and_functions_are_short() -> None:
    long = set[str]()
    for module, path in modules().items():
        text = path.read_text(encoding="utf-8")
        limit = REPOSITORY_LINES if module == "repository" else MODULE_LINES
        if len(text.splitlines()) > limit:
            long.add(f"{module} has more than {limit} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.add(f"{module}.{node.name} has {lines} lines, more than {FUNCTION_LINES}")
    assert long == set()


def test_the_store_is_four_protocols_of_at_most_five_verbs() -> None:
    """Decision 36."""
    for room in (PrivateFiles, Names, People, Pins):
        assert len([name for name, verb in vars(room).items() if callable(verb) and not name.startswith("_")]) <= 5
