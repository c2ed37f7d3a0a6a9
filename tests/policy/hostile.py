"""Modules that no compiler would make: the least that passes for an OPA module, and a bad body."""

import wasmtime

_PLAIN = """
(module
  (import "env" "memory" (memory 2))
  (import "env" "opa_builtin0" (func $host (param i32 i32) (result i32)))
  (global $stack (mut i32) (i32.const 65536))
  (global (export "opa_wasm_abi_version") i32 (i32.const 1))
  (global (export "opa_wasm_abi_minor_version") i32 (i32.const 3))
  (table 2 funcref)
  (elem (i32.const 0) $recurse $leaf)
  (type $nullary (func (result i32)))
  (data (i32.const 70000) "{\\"e\\": 0}\\00")
  (data (i32.const 70100) "{\\"trace\\": 0}\\00")
  (data (i32.const 70200) "{}\\00")
  (data (i32.const 70300) "set()\\00")
  (func (export "eval") (param i32) (result i32) (i32.const 0))
  (func (export "builtins") (result i32) (i32.const BUILTINS))
  (func (export "entrypoints") (result i32) (i32.const 70000))
  (func (export "opa_eval_ctx_new") (result i32) (i32.const 80000))
  (func (export "opa_eval_ctx_set_input") (param i32 i32))
  (func (export "opa_eval_ctx_set_data") (param i32 i32))
  (func (export "opa_eval_ctx_get_result") (param i32) (result i32) (i32.const 70300))
  (func (export "opa_malloc") (param i32) (result i32) (i32.const 90000))
  (func (export "opa_json_parse") (param i32 i32) (result i32) (i32.const 1))
  (func (export "opa_value_parse") (param i32 i32) (result i32) (i32.const 1))
  (func (export "opa_value_dump") (param i32) (result i32) DUMP)
  (func (export "opa_json_dump") (param i32) (result i32) (local.get 0))
  (func (export "opa_heap_ptr_get") (result i32) (i32.const 91000))
  (func (export "opa_heap_ptr_set") (param i32))
  (func $leaf (result i32) (i32.const 1))
  (func $double (param $depth i32) (result i32)
    (if (result i32) (local.get $depth)
      (then (i32.add
        (call $double (i32.sub (local.get $depth) (i32.const 1)))
        (call $double (i32.sub (local.get $depth) (i32.const 1)))))
      (else (i32.const 1))))
  (global $left (mut i32) (i32.const 0))
  (func $recurse (result i32)
    (if (i32.eqz (global.get $left)) (then (return (i32.const 1))))
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (drop (call_indirect (type $nullary) (i32.const 0)))
    (drop (call_indirect (type $nullary) (i32.const 0)))
    (global.set $left (i32.add (global.get $left) (i32.const 1)))
    (i32.const 1))
  START
  (func (export "opa_eval") (param i32 i32 i32 i32 i32 i32 i32) (result i32)
    BODY (i32.const 70300)))
"""

ENDLESS = {
    "a loop that does nothing": "(loop $l (br $l))",
    "a loop that reads memory": "(loop $l (drop (i32.load (i32.const 8))) (br $l))",
    "a loop that calls": "(loop $l (drop (call $leaf)) (br $l))",
    "a loop in a loop": "(loop $a (loop $b (br_if $b (i32.const 1))) (br $a))",
    "two calls at each depth": "(drop (call $double (i32.const 60)))",
    "two indirect calls at each depth": "(global.set $left (i32.const 60)) (drop (call $recurse))",
    "a loop by way of the host": ""
    "(loop $l (drop (call $host (i32.const 0) (i32.const 0))) (br $l))",
}
"""Bodies that end only when they are made to."""


def hostile(
    body: str = "",
    *,
    start: str = "",
    dump: str = "(i32.const 70300)",
    builtins: bool = False,
    own_memory: bool = False,
) -> bytes:
    """Return a module whose ``opa_eval`` has *body*, and whose start function has *start*."""
    begin = f"(func $start {start}) (start $start)" if start else ""
    text = _PLAIN.replace("BODY", body).replace("START", begin).replace("DUMP", dump)
    text = text.replace("BUILTINS", "70100" if builtins else "70200")
    if own_memory:
        text = text.replace('(import "env" "memory" (memory 2))', "")
        text = text.replace("(global $stack", '(memory (export "memory") 2) (global $stack', 1)
    return bytes(wasmtime.wat2wasm(text))
