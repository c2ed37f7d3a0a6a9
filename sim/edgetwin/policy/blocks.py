"""Many decisions in one call: a loop around ``opa_eval`` that runs inside Wasm.

Going in and out of Wasm costs as much as a small decision does. The driver below reads inputs from
a buffer in the policy's own memory, one behind the other, and writes the results to another.
"""

from array import array
from collections.abc import Sequence
from functools import cache

import wasmtime

from edgetwin.policy.compiled import Metering, load_as_it_is
from edgetwin.policy.direct import DirectGuest

BLOCK_DECISIONS = 256
"""Decisions in a block. Chosen: above some 64 the way in and out is below 1 % (facts, 5.1)."""

INPUT_BYTES, RESULT_BYTES = 256 * 1024, 64 * 1024
"""Room for the inputs and the results of a block. Chosen: 1 kB an input, 256 bytes a result; what
does not fit is decided by itself."""

_TABLE_BYTES = 4 * (BLOCK_DECISIONS + 1)
NO_INPUT = 0xFFFFFFFF
"""In place of a length: this decision has no input at all."""

DRIVER = f"""
(module
  (import "env" "memory" (memory 0))
  (import "env" "opa_eval"
    (func $decide (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
  ;; table: how many bytes of results, then the length of each input
  (func (export "run")
    (param $entrypoint i32) (param $data i32) (param $heap i32) (param $table i32)
    (param $input i32) (param $count i32) (param $out i32) (param $out_end i32) (result i32)
    (local $done i32) (local $size i32) (local $from i32) (local $start i32) (local $byte i32)
    (local.set $start (local.get $out))
    (block $finished
      (loop $each
        (br_if $finished (i32.eq (local.get $done) (local.get $count)))
        (local.set $size (i32.load offset=4
          (i32.add (local.get $table) (i32.shl (local.get $done) (i32.const 2)))))
        (if (i32.eq (local.get $size) (i32.const {NO_INPUT}))
          (then
            (local.set $size (i32.const 0))
            (local.set $from (call $decide (i32.const 0) (local.get $entrypoint)
              (local.get $data) (i32.const 0) (i32.const 0) (local.get $heap) (i32.const 1))))
          (else
            (local.set $from (call $decide (i32.const 0) (local.get $entrypoint)
              (local.get $data) (local.get $input) (local.get $size) (local.get $heap)
              (i32.const 1)))))
        (loop $copy
          (br_if $finished (i32.eq (local.get $out) (local.get $out_end)))
          (local.set $byte (i32.load8_u (local.get $from)))
          (i32.store8 (local.get $out) (local.get $byte))
          (local.set $out (i32.add (local.get $out) (i32.const 1)))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (br_if $copy (local.get $byte)))
        (i32.store (local.get $table) (i32.sub (local.get $out) (local.get $start)))
        (local.set $input (i32.add (local.get $input) (local.get $size)))
        (local.set $done (i32.add (local.get $done) (i32.const 1)))
        (br $each)))
    (local.get $done)))
"""


@cache
def _driver() -> bytes:
    return bytes(wasmtime.wat2wasm(DRIVER))


class BlockDriver:
    """The loop, bound to one instance: made anew whenever the instance is, or its data change."""

    def __init__(self, name: str, guest: DirectGuest, metering: Metering) -> None:
        engine = guest.store.engine
        module = load_as_it_is(_driver(), engine, metering)
        imports: list[wasmtime.Memory | wasmtime.Func] = [guest.memory]
        evaluate = guest.exports["opa_eval"]
        assert isinstance(evaluate, wasmtime.Func), name
        imports.append(evaluate)
        instance = wasmtime.Instance(guest.store, module, imports)
        run = instance.exports(guest.store)["run"]
        assert isinstance(run, wasmtime.Func), name
        guest.add_function("run", run)
        self.guest = guest
        self.table = guest.call("opa_malloc", _TABLE_BYTES + INPUT_BYTES + RESULT_BYTES)
        self.input = self.table + _TABLE_BYTES
        self.result = self.input + INPUT_BYTES

    def run(
        self, entrypoint: int, data: int, heap: int, raws: Sequence[bytes | None]
    ) -> list[bytes] | None:
        """Return the result sets for the first of *raws* that fit, at least one; None if none does.

        Raises what a call raises; which of the decisions it was is then not known.
        """
        lengths = array("I", [NO_INPUT if raw is None else len(raw) for raw in raws])
        joined = b"".join([raw for raw in raws if raw is not None])
        while len(joined) > INPUT_BYTES:
            raws = raws[: len(raws) // 2]
            if not raws:
                return None
            lengths = lengths[: len(raws)]
            joined = b"".join([raw for raw in raws if raw is not None])
        guest = self.guest
        guest.write(self.table, b"\x00\x00\x00\x00" + lengths.tobytes())
        guest.write(self.input, joined)
        end = self.result + RESULT_BYTES
        done = guest.call(
            "run", entrypoint, data, heap, self.table, self.input, len(raws), self.result, end
        )
        if not done:
            return None
        used = int.from_bytes(guest.read(self.table, 4), "little")
        return guest.read(self.result, used).split(b"\x00")[:done]
