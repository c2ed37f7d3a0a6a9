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
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.metadata import version
from pathlib import Path

import wasmtime

from edgetwin.policy.binary import with_stack_pointer
from edgetwin.policy.errors import ModuleError
from edgetwin.policy.interruption import interruptible

KEPT_MODULES = 16
"""Compiled modules held in memory. Chosen: more than the policies of one scenario, 0.4 MB each."""

FORMAT = 2
"""Of what we do to a module before it is compiled; to be raised whenever that changes."""

_kept: OrderedDict[str, bytes] = OrderedDict()


class Metering(Enum):
    """What a running module is watched by; each costs, so it is compiled in only where needed."""

    NOTHING = "nothing"
    DEADLINE = "deadline"
    """It can be interrupted, by checks of our own: some 4 % slower."""
    EPOCH = "epoch"
    """It can be interrupted, by wasmtime's checks: some 20 to 30 % slower. Stands in for DEADLINE
    where a module cannot be given our checks."""
    FUEL = "fuel"
    """Its steps are counted."""


@dataclass(frozen=True)
class Compiled:
    """A module as machine code, with an engine of its own."""

    engine: wasmtime.Engine
    module: wasmtime.Module
    metering: Metering


def new_engine(metering: Metering) -> wasmtime.Engine:
    """Return an engine of its own, so that interrupting one policy never touches another."""
    config = wasmtime.Config()
    config.epoch_interruption = metering is Metering.EPOCH
    config.consume_fuel = metering is Metering.FUEL
    config.wasm_threads = True  # for the atomic load of our own checks
    # The direct call path keeps the address of the memory.
    config.memory_may_move = False
    return wasmtime.Engine(config)


def cache_folder() -> Path | None:
    """Return where compiled modules are kept; None if EDGETWIN_CACHE is set to nothing."""
    chosen = os.environ.get("EDGETWIN_CACHE")
    if chosen is not None:
        return Path(chosen) / "wasm" if chosen else None
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "edgetwin" / "wasm"


def load_policy(name: str, wasm: bytes, metering: Metering) -> Compiled:
    """Return the policy module *wasm* as machine code, from the cache if it is there.

    Its shadow stack pointer is exported, and for DEADLINE it has checks put in. Raises ModuleError,
    naming the bundle *name*, if it is not a valid module.
    """
    usable = (Metering.DEADLINE, Metering.EPOCH) if metering is Metering.DEADLINE else (metering,)
    for choice in usable:
        engine = new_engine(choice)
        module = _kept_module(engine, _key(wasm, choice))
        if module is not None:
            return Compiled(engine, module, choice)
    try:
        prepared = with_stack_pointer(wasm)
        checked = interruptible(prepared) if metering is Metering.DEADLINE else None
    except (ValueError, UnicodeDecodeError) as error:
        raise ModuleError(name, str(error)) from None
    choice = Metering.EPOCH if metering is Metering.DEADLINE and checked is None else metering
    engine = new_engine(choice)
    module = _compile(name, engine, checked or prepared, _key(wasm, choice))
    return Compiled(engine, module, choice)


def load_as_it_is(wasm: bytes, engine: wasmtime.Engine, metering: Metering) -> wasmtime.Module:
    """Return a module of our own as machine code for *engine*, from the cache if it is there."""
    key = _key(wasm, metering)
    module = _kept_module(engine, key)
    return _compile("our own module", engine, wasm, key) if module is None else module


def _kept_module(engine: wasmtime.Engine, key: str) -> wasmtime.Module | None:
    """Return the module *key* if it was compiled before, in this process or an earlier one."""
    code = _kept.get(key)
    if code is None:
        code = _read(key)
    if code is None:
        return None
    try:
        module = wasmtime.Module.deserialize(engine, code)
    except wasmtime.WasmtimeError:
        # Written by a build of the engine that calls itself by the same version.
        return None
    _keep(key, code)
    return module


def _compile(name: str, engine: wasmtime.Engine, wasm: bytes, key: str) -> wasmtime.Module:
    try:
        module = wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        first = str(error).splitlines()[0]
        raise ModuleError(name, f"is not a valid Wasm module: {first}") from None
    code = bytes(module.serialize())
    _write(key, code)
    _keep(key, code)
    return module


def _keep(key: str, code: bytes) -> None:
    _kept[key] = code
    _kept.move_to_end(key)
    while len(_kept) > KEPT_MODULES:
        _kept.popitem(last=False)


def forget_compiled() -> None:
    """Forget the modules held in memory; those on disk stay."""
    _kept.clear()


def _key(wasm: bytes, metering: Metering) -> str:
    """Return the name of the compiled *wasm*: it changes with all that its code hangs on."""
    head = f"{FORMAT}\n{_machine()}\n{metering.value}\n"
    return hashlib.sha256(head.encode() + wasm).hexdigest()


@cache
def _machine() -> str:
    """Return the engine's version and the kind of machine that its code runs on."""
    return "\n".join((_version(), platform.machine(), platform.system(), _cpu_features()))


def _version() -> str:
    """Return wasmtime's version: from its folder's name, because asking for it takes 5 ms."""
    beside = Path(wasmtime.__file__).parents[1].glob("wasmtime-*.dist-info")
    named = [folder.name for folder in beside]
    return named[0] if len(named) == 1 else version("wasmtime")


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
