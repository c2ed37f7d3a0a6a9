"""One instantiated module and the ways into it: calls, memory, host functions.

``PublicGuest`` goes through wasmtime's public API. ``direct.DirectGuest`` does the same some
twenty times faster; either gives the same answers, and tests hold them against each other.
"""

import ctypes
from collections.abc import Callable, Mapping
from typing import Any

import wasmtime

from edgetwin.policy.errors import AbiError, ModuleError
from edgetwin.policy.interruption import FLAG_ADDRESS

PAGE_BYTES = 65_536

HostFunction = Callable[..., int | None]
"""A function that the module imports, over i32 arguments."""

Runner = Callable[[int, bytes], bytes | None]
"""Decides: entrypoint and input to result set as Rego text, None if the input does not fit."""

I32 = wasmtime.ValType.i32()

REQUIRED = {
    "eval": (1, 1), "builtins": (0, 1), "entrypoints": (0, 1), "opa_eval_ctx_new": (0, 1),
    "opa_eval_ctx_set_input": (2, 0), "opa_eval_ctx_set_data": (2, 0),
    "opa_eval_ctx_get_result": (1, 1), "opa_malloc": (1, 1), "opa_json_parse": (2, 1),
    "opa_json_dump": (1, 1), "opa_heap_ptr_get": (0, 1), "opa_heap_ptr_set": (1, 0),
}  # fmt: skip
"""Exports of every ABI, with the number of their i32 arguments and results."""

OPTIONAL = {
    "opa_eval_ctx_set_entrypoint": (2, 0), "opa_free": (1, 0), "opa_value_parse": (2, 1),
    "opa_value_dump": (1, 1), "opa_value_add_path": (3, 1), "opa_value_remove_path": (2, 1),
    "opa_value_free": (1, 0), "opa_heap_blocks_stash": (0, 0), "opa_heap_blocks_restore": (0, 0),
    "opa_heap_stash_clear": (0, 0), "opa_eval": (7, 1),
}  # fmt: skip
"""Exports that came with a version or are checked for where they are used."""

IMPORTS = {
    "opa_abort": (1, 0), "opa_println": (1, 0), "opa_builtin0": (2, 1), "opa_builtin1": (3, 1),
    "opa_builtin2": (4, 1), "opa_builtin3": (5, 1), "opa_builtin4": (6, 1),
}  # fmt: skip


class HostFault(Exception):  # noqa: N818
    """Raised in place of a trap that a host function asked for; *cause* is what it raised."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause
        super().__init__(str(cause))


def function_type(parameters: int, results: int) -> wasmtime.FuncType:
    """Return the type of a function over so many i32."""
    return wasmtime.FuncType([I32] * parameters, [I32] * results)


def check_interface(name: str, module: wasmtime.Module) -> None:
    """Raise ModuleError unless the module *name* imports and exports what an OPA module may.

    The direct call path passes raw arguments, so every signature is looked at here.
    """
    exported = {export.name: export.type for export in module.exports}
    for wanted, required in ((REQUIRED, True), (OPTIONAL, False)):
        for export, shape in wanted.items():
            found = exported.get(export)
            if found is None and not required:
                continue
            if not isinstance(found, wasmtime.FuncType) or _shape(found) != shape:
                fault = f"does not export {export} as an OPA module does"
                raise ModuleError(name, fault, "build it with `opa build -t wasm`")
    for entry in module.imports:
        known = entry.module == "env" and (
            isinstance(entry.type, wasmtime.MemoryType)
            if entry.name == "memory"
            else isinstance(entry.type, wasmtime.FuncType)
            and IMPORTS.get(entry.name or "") == _shape(entry.type)
        )
        if not known:
            raise ModuleError(name, f"imports {entry.module}.{entry.name}, which OPA does not have")


def _shape(kind: wasmtime.FuncType) -> tuple[int, int] | None:
    """Return the number of arguments and results; None if any of them is not an i32."""
    if any(str(value) != "i32" for value in (*kind.params, *kind.results)):
        return None
    return len(kind.params), len(kind.results)


def abi_version(name: str, store: wasmtime.Store, exported: Any) -> int:
    """Return the minor version of ABI 1 that the module speaks.

    Raises AbiError for a module without a version (built before OPA 0.27) or of another ABI.
    """
    version = [exported.get(f"opa_wasm_abi_{part}version") for part in ("", "minor_")]
    if not all(isinstance(part, wasmtime.Global) for part in version):
        raise AbiError(
            name, "has no ABI version", "it was built before OPA 0.27: build it with a newer one"
        )
    major, minor = (part.value(store) for part in version)
    if major != 1 or minor < 0:
        raise AbiError(name, f"speaks the ABI {major}.{minor}", "this host speaks 1.0 to 1.3")
    return int(minor)


class PublicGuest:
    """A module instance behind wasmtime's public API."""

    def __init__(
        self,
        name: str,
        module: wasmtime.Module,
        store: wasmtime.Store,
        functions: Mapping[str, HostFunction],
        announce: Callable[["PublicGuest"], None] | None = None,
    ) -> None:
        self.name = name
        self.store = store
        self.fault: BaseException | None = None
        self._flag: ctypes.c_uint32 | None = None
        if announce is not None:
            # Already now, because instantiating runs the module's start function.
            announce(self)
        linker = wasmtime.Linker(store.engine)
        own_memory = None
        try:
            for entry in module.imports:
                if entry.name == "memory":
                    assert isinstance(entry.type, wasmtime.MemoryType)
                    own_memory = wasmtime.Memory(store, entry.type)
                    self._flag = ctypes.c_uint32.from_address(
                        ctypes.addressof(own_memory.data_ptr(store).contents) + FLAG_ADDRESS
                    )
                    linker.define(store, "env", "memory", own_memory)
                else:
                    assert entry.name is not None
                    function = self.host_function(entry.name, functions[entry.name])
                    linker.define(store, "env", entry.name, function)
            instance = linker.instantiate(store, module)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            first = str(error).splitlines()[0]
            raise ModuleError(name, f"cannot be instantiated: {first}") from None
        self.exports = dict(instance.exports(store).items())
        self.abi_minor = abi_version(name, store, self.exports)
        memory = own_memory or self.exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise ModuleError(name, "has no memory")
        self.memory = memory
        self.bind()

    def bind(self) -> None:
        """Look up what every call needs; subclasses add their own."""
        self._functions = {
            name: item for name, item in self.exports.items() if isinstance(item, wasmtime.Func)
        }

    def host_function(self, name: str, function: HostFunction) -> wasmtime.Func:
        """Return *function* as something that the module can import under *name*."""

        def guarded(*arguments: int) -> int | None:
            try:
                return function(*arguments)
            except BaseException as error:
                self.fault = error
                raise

        return wasmtime.Func(self.store, function_type(*IMPORTS[name]), guarded)

    def interrupt(self) -> None:
        """Make the module break off at its next check; called by another thread."""
        if self._flag is not None:
            self._flag.value = 1

    def interrupted(self) -> bool:
        """Tell whether the module was made to break off, and has not been made anew since."""
        return self._flag is not None and self._flag.value != 0

    def has(self, export: str) -> bool:
        """Tell whether the module exports the function *export*."""
        return export in self._functions

    def call(self, export: str, *arguments: int) -> int:
        """Call *export*; return its result, or 0 if it has none.

        Raises HostFault for what a host function raised, else wasmtime.Trap.
        """
        try:
            result = self._functions[export](self.store, *map(_signed, arguments))
        except BaseException:
            fault, self.fault = self.fault, None
            if fault is not None:
                raise HostFault(fault) from None
            raise
        return 0 if result is None else int(result) & 0xFFFFFFFF

    def size_bytes(self) -> int:
        """Return the present size of the memory."""
        return self.memory.data_len(self.store)

    def grow_to(self, size_bytes: int) -> bool:
        """Make the memory at least *size_bytes* long; False if its limit does not allow it."""
        missing = size_bytes - self.size_bytes()
        if missing <= 0:
            return True
        try:
            self.memory.grow(self.store, -(-missing // PAGE_BYTES))
        except wasmtime.WasmtimeError:
            return False
        return True

    def write(self, address: int, raw: bytes) -> bool:
        """Write *raw* at *address*, growing the memory if need be; False if that is refused."""
        if not self.grow_to(address + len(raw)):
            return False
        self.memory.write(self.store, raw, address)
        return True

    def read(self, address: int, size: int) -> bytes:
        """Return *size* bytes from *address* on, or as many as there are."""
        return bytes(self.memory.read(self.store, address, address + size))

    def text(self, address: int) -> bytes:
        """Return the bytes from *address* up to the next NUL; what there is if there is none."""
        block = 256
        while True:
            raw = self.read(address, block)
            end = raw.find(b"\x00")
            if end >= 0 or len(raw) < block:
                return raw[:end] if end >= 0 else raw
            block *= 16

    def evaluate(self, entrypoint: int, data: int, raw: bytes | None, heap: int) -> bytes | None:
        """Run ``opa_eval`` and return the result as Rego text; None if the input does not fit."""
        if raw is not None:
            return self.runner(data, heap)(entrypoint, raw)
        return self.text(self.call("opa_eval", 0, entrypoint, data, 0, 0, heap, 1))

    def runner(self, data: int, heap: int) -> Runner:
        """Return ``evaluate`` for the data at *data* and a heap from *heap* on."""

        def run(entrypoint: int, json: bytes) -> bytes | None:
            if not self.write(heap, json):
                return None
            size = len(json)
            return self.text(self.call("opa_eval", 0, entrypoint, data, heap, size, heap + size, 1))

        return run


def _signed(value: int) -> int:
    """Return the i32 with the bits of *value*: addresses above 2 GiB are negative to wasmtime."""
    return value - 0x1_0000_0000 if value > 0x7FFFFFFF else value
