"""Wasm modules become machine code here, once: compiled modules are kept on disk.

Compiling a policy takes some 120 ms, reading it back less than one (facts/opa-wasm.md, 5.4). What
is read back runs as native code, so it is only taken from a folder and a file that are the user's
own and nobody else can write, and only if its digest is right.
"""

import hashlib
import os
import platform
import stat
import tempfile
from collections import OrderedDict
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path

import wasmtime

from edgetwin.policy.errors import ModuleError

KEPT_MODULES = 16
"""Compiled modules held in memory. Chosen: more than the policies of one scenario, 0.4 MB each."""

_kept: OrderedDict[str, bytes] = OrderedDict()


class Metering(Enum):
    """What a running module is watched by; each costs, so it is compiled in only where needed."""

    NOTHING = "nothing"
    DEADLINE = "deadline"
    """It can be interrupted: some 17 % slower (measured, see tests/benchmarks)."""
    FUEL = "fuel"
    """Its steps are counted."""


def new_engine(metering: Metering) -> wasmtime.Engine:
    """Return an engine of its own, so that interrupting one policy never touches another."""
    config = wasmtime.Config()
    config.epoch_interruption = metering is Metering.DEADLINE
    config.consume_fuel = metering is Metering.FUEL
    # The direct call path keeps the address of the memory.
    config.memory_may_move = False
    config.wasm_multi_memory = True
    return wasmtime.Engine(config)


def cache_folder() -> Path | None:
    """Return where compiled modules are kept; None if EDGETWIN_CACHE is set to nothing."""
    chosen = os.environ.get("EDGETWIN_CACHE")
    if chosen is not None:
        return Path(chosen) / "wasm" if chosen else None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "edgetwin" / "wasm"


def load_module(
    name: str, wasm: bytes, engine: wasmtime.Engine, metering: Metering
) -> wasmtime.Module:
    """Return *wasm* as machine code for *engine*, from the cache if it is there.

    Raises ModuleError, naming the bundle *name*, if it is not a valid module.
    """
    key = _key(wasm, metering)
    code = _kept.get(key)
    if code is None:
        code = _read(key)
    if code is not None:
        try:
            module = wasmtime.Module.deserialize(engine, code)
        except wasmtime.WasmtimeError:
            # Written by a build of the engine that calls itself by the same version.
            code = None
    if code is None:
        try:
            module = wasmtime.Module(engine, wasm)
        except wasmtime.WasmtimeError as error:
            first = str(error).splitlines()[0]
            raise ModuleError(name, f"is not a valid Wasm module: {first}") from None
        code = bytes(module.serialize())
        _write(key, code)
    _kept[key] = code
    _kept.move_to_end(key)
    while len(_kept) > KEPT_MODULES:
        _kept.popitem(last=False)
    return module


def forget_compiled() -> None:
    """Forget the modules held in memory; those on disk stay."""
    _kept.clear()


def _key(wasm: bytes, metering: Metering) -> str:
    """Return the name of the compiled *wasm*: it changes with all that its code hangs on."""
    return hashlib.sha256(f"{_machine()}\n{metering.value}\n".encode() + wasm).hexdigest()


@cache
def _machine() -> str:
    """Return the engine's version and the kind of machine that its code runs on."""
    engine = version("wasmtime")
    return "\n".join((engine, platform.machine(), platform.system(), _cpu_features()))


def _cpu_features() -> str:
    """Return what tells this processor's instruction set from another's, where the system says."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith(("flags", "Features")):
                    return hashlib.sha256(line.encode()).hexdigest()
    except OSError:
        pass
    return platform.processor()


def _read(key: str) -> bytes | None:
    """Return the compiled module from disk; None if it is not there or not to be trusted."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        with open(folder / key, "rb") as file:
            if not (_own(os.fstat(file.fileno())) and _own(os.stat(folder))):
                return None
            content = file.read()
    except OSError:
        return None
    digest, code = content[:32], content[32:]
    return code if hashlib.sha256(code).digest() == digest else None


def _own(status: os.stat_result) -> bool:
    """Tell whether a file belongs to this user, and nobody else can write it."""
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _write(key: str, code: bytes) -> None:
    """Keep a compiled module on disk, whole or not at all; a disk that will not is no error."""
    folder = cache_folder()
    if folder is None:
        return
    temporary = None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(code).digest() + code)
        os.replace(temporary, folder / key)
    except OSError:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
