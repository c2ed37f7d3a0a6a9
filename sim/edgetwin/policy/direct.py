"""The fast way into a module: wasmtime's C functions, without what its Python API does on the way.

``wasmtime.Func`` rebuilds the type of the function on each call (75 us for ``opa_eval``); the same
call with reused buffers takes 5 (facts/opa-wasm.md, 5.2). The C functions used are exported and
stable, but Python's access to them is not promised: so this module tests itself when it is first
asked for, and ``guest_class`` gives the public path instead if anything differs.
"""

import ctypes
import struct
from collections.abc import Mapping
from functools import cache
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from edgetwin.policy.guest import (
    IMPORTS,
    HostFault,
    HostFunction,
    PublicGuest,
    Runner,
    function_type,
)

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_size_t,
)  # fmt: skip

WORDS = 4
"""32-bit words in one raw argument: the C struct is as wide as a vector register."""

ARGUMENTS_MAX = 8


def _bound() -> tuple[Any, Any, Any]:
    """Return the C functions for calling, reading the size of a memory, and making a trap."""
    library = ctypes.CDLL(ffi.dll._name)
    # No argument types: what is passed is made of ctypes' own numbers once and for all, and
    # then needs no converting, which saves a third of the call.
    call = library.wasmtime_func_call_unchecked
    call.restype = ctypes.c_size_t
    size = library.wasmtime_memory_data_size
    size.restype = ctypes.c_size_t
    size.argtypes = [ctypes.c_void_p] * 2
    trap = library.wasmtime_trap_new
    trap.restype = ctypes.c_size_t
    trap.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return call, size, trap


_call, _memory_size, _new_trap = _bound()
_SEVEN, _ALL = ctypes.c_size_t(7), ctypes.c_size_t(ARGUMENTS_MAX)
_ARGUMENTS = struct.Struct("<" + "I12x" * 7)
"""The seven arguments of ``opa_eval`` in the form of the raw buffer."""


def _pointer_to(thing: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(ctypes.addressof(thing))


class DirectGuest(PublicGuest):
    """A module instance behind wasmtime's C functions."""

    def bind(self) -> None:
        super().bind()
        self._context = ctypes.cast(self.store._context(), ctypes.c_void_p)
        self._raw = (ctypes.c_uint32 * (WORDS * ARGUMENTS_MAX))()
        self._raw_address = _pointer_to(self._raw)
        self._trap = (ctypes.c_size_t * 1)()
        self._trap_address = _pointer_to(self._trap)
        self._addresses: dict[str, tuple[ctypes.c_void_p, int]] = {}
        for name, function in self._functions.items():
            self.add_function(name, function)
        self._memory_address = ctypes.addressof(self.memory._memory)
        # A place for an address, and the same place taken for a C text: reading the text is one
        # attribute then, five times faster than string_at.
        self._text_address = (ctypes.c_size_t * 1)()
        self._text = ctypes.c_char_p.from_buffer(self._text_address)
        self._base = ctypes.cast(self.memory.data_ptr(self.store), ctypes.c_void_p).value or 0
        self._look_again()
        # Apart from the buffer of other calls, which a built-in makes while a decision runs.
        self._own_raw = (ctypes.c_uint32 * (WORDS * 7))()
        self._own_raw_address = _pointer_to(self._own_raw)

    def add_function(self, name: str, function: wasmtime.Func) -> None:
        """Make *function*, of another module in the same store, callable as *name*."""
        self._functions[name] = function
        parameters = len(function.type(self.store).params)
        self._addresses[name] = (_pointer_to(function._func), parameters)

    def _look_again(self) -> int:
        """Take note of how large the memory has become; its address never changes."""
        size: int = _memory_size(self._context, self._memory_address)
        self._view = memoryview((ctypes.c_ubyte * size).from_address(self._base)).cast("B")
        return size

    def host_function(self, name: str, function: HostFunction) -> wasmtime.Func:
        parameters, results = IMPORTS[name]
        places = range(0, WORDS * parameters, WORDS)

        def guarded(_env: int, _caller: int, raw: Any, _count: int) -> int:
            try:
                result = function(*[raw[place] for place in places])
                if results:
                    raw[0] = result or 0
            except BaseException as error:
                self.fault = error
                made: int = _new_trap(b"host", 4)
                return made
            return 0

        callback = _Callback(guarded)
        # Python must keep what only C points at.
        self.__dict__.setdefault("_callbacks", []).append(callback)
        func = ffi.wasmtime_func_t()
        kind = function_type(parameters, results)
        ffi.wasmtime_func_new_unchecked(
            self.store._context(),
            kind.ptr(),
            ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
            None,
            ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
            ctypes.byref(func),
        )
        return wasmtime.Func._from_raw(func)

    def call(self, export: str, *arguments: int) -> int:
        address, parameters = self._addresses[export]
        assert len(arguments) == parameters, export
        # A host function may call back while an outer call still owns the shared buffer, but
        # the outer one has taken its arguments out by then and its result is not yet in.
        raw = self._raw
        for place, argument in enumerate(arguments):
            raw[WORDS * place] = argument
        error = _call(self._context, address, self._raw_address, _ALL, self._trap_address)
        if error or self._trap[0]:
            self._raise(error)
        return raw[0]

    def size_bytes(self) -> int:
        return self._look_again()

    def write(self, address: int, raw: bytes) -> bool:
        end = address + len(raw)
        if end > len(self._view) and not self.grow_to(end):
            return False
        self._view[address:end] = raw
        return True

    def grow_to(self, size_bytes: int) -> bool:
        grown = super().grow_to(size_bytes)
        self._look_again()
        return grown

    def read(self, address: int, size: int) -> bytes:
        if address + size > len(self._view):
            self._look_again()
        return bytes(self._view[address : address + size])

    def text(self, address: int) -> bytes:
        # The last byte of the memory ends any text at the latest, so the scan stays inside.
        view = self._view
        if address >= len(view) or view[-1]:
            self._look_again()
            view = self._view
            if address >= len(view) or view[-1]:
                return super().text(address)
        self._text_address[0] = self._base + address
        return self._text.value or b""

    def runner(self, data: int, heap: int) -> Runner:
        # This is the path of a decision: everything it needs is at hand, in names of its own.
        call, context, trap, trap_address = _call, self._context, self._trap, self._trap_address
        raw, raw_address, base = self._own_raw, self._own_raw_address, self._base
        text_address, found, place = self._text_address, self._text, _ARGUMENTS.pack_into
        function = self._addresses["opa_eval"][0]
        text = self.text

        def run(entrypoint: int, json: bytes) -> bytes | None:
            size = len(json)
            end = heap + size
            try:
                self._view[heap:end] = json
            except ValueError:
                if not self.write(heap, json):
                    return None
            place(raw, 0, 0, entrypoint, data, heap, size, end, 1)
            error = call(context, function, raw_address, _SEVEN, trap_address)
            if error or trap[0]:
                self._raise(error)
            address, view = raw[0], self._view
            if view[-1] or address >= len(view):
                return text(address)
            text_address[0] = base + address
            return found.value or b""

        return run

    def _raise(self, error: int) -> None:
        """Raise what a call ended with, and leave nothing of it behind."""
        trap, self._trap[0] = self._trap[0], 0
        raised: BaseException
        if error:
            pointer = ctypes.cast(error, ctypes.POINTER(ffi.wasmtime_error_t))
            raised = wasmtime.WasmtimeError._from_ptr(pointer)
        else:
            raised = wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(ffi.wasm_trap_t)))
        fault, self.fault = self.fault, None
        if fault is not None:
            raise HostFault(fault) from None
        raise raised


@cache
def guest_class() -> type[PublicGuest]:
    """Return DirectGuest if it answers as the public path does on a module of our own.

    Where it does not, or a part of wasmtime that it stands on is missing, PublicGuest.
    """
    try:
        if ctypes.sizeof(ffi.wasmtime_val_raw_t) != 4 * WORDS:
            return PublicGuest
        direct, public = (_examine(kind) for kind in (DirectGuest, PublicGuest))
    except (AttributeError, TypeError, KeyError, ValueError, wasmtime.WasmtimeError):
        return PublicGuest
    return DirectGuest if direct == public else PublicGuest


SELF_TEST = """
(module
  (import "env" "memory" (memory 1))
  (import "env" "opa_builtin2" (func $host (param i32 i32 i32 i32) (result i32)))
  (global (export "opa_wasm_abi_version") i32 (i32.const 1))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))
  (data (i32.const 16) "text\\00")
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    (i32.store8 (i32.const 32) (i32.add (local.get 1) (i32.load8_u (local.get 3))))
    (i32.store8 (i32.const 33) (i32.add (local.get 2) (i32.add (local.get 4) (local.get 6))))
    (i32.store8 (i32.const 34) (i32.const 0))
    (i32.const 32))
  (func (export "host") (param i32) (result i32)
    (call $host (i32.const 1) (i32.const -2) (local.get 0) (i32.const 4)))
  (func (export "grow") (result i32) (memory.grow (i32.const 2)))
  (func (export "trap") unreachable))
"""
"""A module of our own with one of everything that the direct path does: see ``_examine``."""


def _examine(kind: type[PublicGuest]) -> list[Any]:
    """Return what *kind* makes of the self-test module: calls, callbacks, memory, failures."""
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, bytes(wasmtime.wat2wasm(SELF_TEST)))
    seen: list[Any] = []

    def host(*arguments: int) -> int:
        seen.append([argument & 0xFFFFFFFF for argument in arguments])
        if arguments[2] == 9:
            raise LookupError("asked for")
        return guest.call("grow") + arguments[2]

    functions: Mapping[str, HostFunction] = {"opa_builtin2": host}
    store = wasmtime.Store(engine)
    guest = kind("self-test", module, store, functions)
    seen += [guest.text(16), guest.evaluate(7, 1, b"0", 64), guest.call("host", 5)]
    seen += [guest.size_bytes(), guest.write(200_000, b"beyond"), guest.read(200_000, 6)]
    for export, argument in (("host", (9,)), ("trap", ())):
        try:
            seen.append(guest.call(export, *argument))
        except HostFault as fault:
            seen.append(repr(fault.cause))
        except wasmtime.Trap as trap:
            seen.append(trap.trap_code)
    seen += [guest.call("host", 6), guest.evaluate(8, 2, None, 64)]
    store.close()
    return seen


guest_class()  # Tested now, while imports are taking their time, and not with the first decision.
