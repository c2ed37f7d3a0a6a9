"""A running module with its data documents, kept usable through aborts, traps and patches.

The heap is used as OPA's own host does (facts/opa-wasm.md, 1.5): data documents lie at its bottom,
each decision is written above them and forgotten by the next.
"""

import atexit
import re
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import wasmtime

from edgetwin.policy import patching, values
from edgetwin.policy.binary import STACK_POINTER
from edgetwin.policy.blocks import BLOCK_DECISIONS, BlockDriver
from edgetwin.policy.compiled import Metering, load_policy
from edgetwin.policy.deadline import WATCHDOG
from edgetwin.policy.direct import DirectGuest
from edgetwin.policy.errors import (
    DataError,
    DecisionError,
    InputError,
    ModuleError,
    PatchError,
    PolicyAborted,
    PolicyError,
    PolicyOutOfMemory,
    PolicyTimeout,
    PolicyTrapped,
)
from edgetwin.policy.guest import HostFault, PublicGuest, Runner, check_interface

FAILURES = (HostFault, wasmtime.Trap, wasmtime.WasmtimeError)
"""What a call into a module may end with."""

ABI_MINOR_NEWEST = 3

Builtin = Callable[..., Any]
"""A built-in function over Rego values; a ValueError from it makes the expression undefined."""


_STORES: weakref.WeakSet[wasmtime.Store] = weakref.WeakSet()


@atexit.register
def _close_stores() -> None:
    """Close what still runs: a store calls back into Python when it goes, so it goes before it."""
    for store in list(_STORES):
        store.close()


class _Abort(Exception):  # noqa: N818
    """The module called ``opa_abort`` with this text."""


class _Interrupted(Exception):  # noqa: N818
    """A built-in was called by a module that is to break off."""


NOT_INTERRUPTED = -1


@dataclass(frozen=True)
class Limits:
    """What one decision may use."""

    memory_bytes: int = 256 * 2**20
    """Of the whole instance, data included. Chosen: JSON takes 15 times its size once it is read
    (facts/opa-wasm.md, finding 9), so this holds documents of some 15 MB together."""
    deadline_us: int | None = 5_000_000
    """Wall time; None leaves the interruption out of the machine code. Chosen: a thousand times
    what a slow decision takes; Rego always ends, so only a hostile module reaches it."""
    input_bytes: int = 8 * 2**20
    """As JSON. Chosen: at up to 39 times while it is read, what still fits into the memory."""


class Instance:
    """One module that runs; made anew whenever it was broken off in the middle of something."""

    def __init__(
        self,
        name: str,
        wasm: bytes,
        *,
        limits: Limits,
        metering: Metering,
        guest_kind: type[PublicGuest],
        resolve: Callable[[Mapping[str, int]], Mapping[int, Builtin]],
    ) -> None:
        self.name = name
        self.limits = limits
        self.guest_kind = guest_kind
        compiled = load_policy(name, wasm, metering)
        self.engine, self.module = compiled.engine, compiled.module
        self.metering = compiled.metering
        check_interface(name, self.module)
        self.ticket = 0
        """Odd while the module is running; what the watchdog looks at."""
        self.interrupted_ticket = NOT_INTERRUPTED
        if metering is Metering.DEADLINE and limits.deadline_us is not None:
            WATCHDOG.watch(self, limits.deadline_us)
        self.rebuilds = 0
        self.documents: list[Any] = []
        self.addresses: list[int] = []
        self._builtins: Mapping[int, Builtin] = {}
        self._start()
        self.builtin_ids = self._table("builtins")
        self.entrypoints = self._table("entrypoints")
        self._builtins = resolve(self.builtin_ids)
        if self.guest.abi_minor > ABI_MINOR_NEWEST:
            warnings.warn(
                f"{name}: speaks ABI 1.{self.guest.abi_minor}, newer than the 1.3 that this host "
                "knows; it is run as 1.3",
                stacklevel=4,
            )

    # Starting and healing.

    def interrupt(self, ticket: int) -> None:
        """Break off what has been running since *ticket*; called by the watchdog's thread."""
        self.interrupted_ticket = ticket
        if self.metering is Metering.EPOCH:
            self.engine.increment_epoch()
        else:
            self.guest.interrupt()

    def _announce(self, guest: PublicGuest) -> None:
        self.guest = guest

    def _start(self) -> None:
        """Instantiate the module, with an empty heap."""
        self.ticket += 1
        try:
            self._instantiate()
        except FAILURES as error:
            fault = f"cannot be started: {str(error).splitlines()[0]}"
            raise ModuleError(self.name, fault) from None
        finally:
            self.ticket += 1

    def _instantiate(self) -> None:
        self.store = wasmtime.Store(self.engine)
        _STORES.add(self.store)
        if self.metering is Metering.EPOCH:
            self.store.set_epoch_deadline(1)
        if self.metering is Metering.FUEL:
            self.store.set_fuel(2**63)
        self.store.set_limits(memory_size=self.limits.memory_bytes)
        functions = {f"opa_builtin{count}": self._builtin for count in range(5)}
        self.guest = self.guest_kind(
            self.name,
            self.module,
            self.store,
            {**functions, "opa_abort": self._abort, "opa_println": self._print},
            self._announce,
        )
        pointer = self.guest.exports.get(STACK_POINTER)
        self._stack_pointer = pointer if isinstance(pointer, wasmtime.Global) else None
        top = self._stack_pointer.value(self.store) if self._stack_pointer else 0
        self._stack_top = int(top)
        self.guest.call("opa_malloc", 0)
        self._settle()
        self.base = self.heap
        self.loaded_bytes = 0
        self._driver: BlockDriver | None = None
        self.fast = self.guest.has("opa_eval")
        self.stashes = self.guest.has("opa_heap_blocks_stash")

    def _settle(self) -> None:
        """Take note of where the heap of decisions starts, now that the data have moved it."""
        self.heap = self.guest.call("opa_heap_ptr_get")
        self.runners: dict[int, Runner] = {}

    def _table(self, export: str) -> dict[str, int]:
        """Return the map from names to numbers that *export* gives."""
        try:
            address = self.guest.call("opa_json_dump", self.guest.call(export))
            table = orjson.loads(self.guest.text(address))
        except (*FAILURES, ValueError) as error:
            raise ModuleError(self.name, f"its list of {export} cannot be read: {error}") from None
        if not isinstance(table, dict) or not all(isinstance(n, int) for n in table.values()):
            raise ModuleError(self.name, f"its list of {export} is no map of names to numbers")
        return dict(sorted(table.items()))

    def _rebuild(self) -> None:
        """Start over with the same documents; the machine code is kept."""
        self.rebuilds += 1
        self._start()
        self._load_documents()

    # Data.

    def set_documents(self, documents: Sequence[Any]) -> None:
        """Hold *documents*, JSON values, and nothing else; keep what was there if one is refused.

        Raises DataError if one has no JSON form, PolicyOutOfMemory if they do not fit.
        """
        before = self.documents
        texts = [data_text(self.name, document) for document in documents]
        # Read back, so that what the caller does with its own objects later changes nothing here.
        self.documents = [values.parse(text) for text in texts]
        try:
            self._load_documents(texts)
        except PolicyError:
            self.documents = before
            self._rebuild()
            raise

    def _load_documents(self, texts: Sequence[bytes] | None = None) -> None:
        guest = self.guest
        if texts is None:
            texts = [data_text(self.name, document) for document in self.documents]
        self.ticket += 1
        try:
            if guest.has("opa_heap_stash_clear"):
                guest.call("opa_heap_stash_clear")
            guest.call("opa_heap_ptr_set", self.base)
            self._driver = None
            self.addresses = [self._parsed(text) for text in texts]
            if self.stashes:
                guest.call("opa_heap_blocks_stash")
            self._settle()
        except FAILURES as error:
            raise self._typed(error, "its data") from None
        finally:
            self.ticket += 1
        self.loaded_bytes = self.heap - self.base

    def _parsed(self, text: bytes) -> int:
        """Return the address of the value of the JSON or Rego *text*, made in the module's heap."""
        guest = self.guest
        parse = "opa_value_parse" if guest.has("opa_value_parse") else "opa_json_parse"
        room = guest.call("opa_malloc", len(text))
        if not guest.write(room, text):
            raise HostFault(_Abort("opa_malloc: failed"))
        address = guest.call(parse, room, len(text))
        if guest.has("opa_free"):
            guest.call("opa_free", room)
        if not address:
            raise DataError(self.name, "its data is not JSON to the module")
        return address

    def patch_document(self, place: int, operations: Sequence[Mapping[str, Any]]) -> None:
        """Apply *operations* (op, path, value) to the document *place*, all of them or none.

        Raises PatchError if one cannot be applied.
        """
        document = self.documents[place]
        try:
            changed = patching.apply_operations(document, operations)
        except (patching.PatchFault, KeyError, TypeError) as error:
            raise PatchError(self.name, f"the patch cannot be applied: {error}") from None
        exact = [*self.documents]
        exact[place] = changed
        data_text(self.name, [operation.get("value") for operation in operations])
        paths = [
            min((patching.touched(one, operation["path"]) for one in (document, changed)), key=len)
            for operation in operations
        ]
        # Without the stash of ABI 1.3 a patch would lose the memory of what it replaces.
        if not self.stashes or not all(paths):
            self.set_documents(exact)
            return
        self.documents = exact
        try:
            self._patch_in_place(self.addresses[place], changed, paths)
        except FAILURES as error:
            self.documents[place] = document
            fault = self._typed(error, "the patch")
            self._rebuild()
            raise fault from None
        if self.heap - self.base > 2 * self.loaded_bytes + 65_536:
            self._load_documents()

    def _patch_in_place(self, address: int, after: Any, paths: Sequence[list[str]]) -> None:
        """Give the document at *address* at each of *paths* what *after* has there."""
        guest = self.guest
        guest.call("opa_heap_ptr_set", self.heap)
        guest.call("opa_heap_blocks_restore")
        for keys in paths:
            found, value = _at(after, keys)
            path = self._parsed(data_text(self.name, keys))
            if found:
                new = self._parsed(data_text(self.name, value))
                code = guest.call("opa_value_add_path", address, path, new)
            else:
                code = guest.call("opa_value_remove_path", address, path)
            guest.call("opa_value_free", path)
            assert code == 0, (code, keys)
        guest.call("opa_heap_blocks_stash")
        self._settle()

    # Decisions.

    def runner(self, document: int) -> Runner:
        """Return what decides over *document*, until the data change; see ``runners``."""
        run = self.runners[document] = self.guest.runner(self.addresses[document], self.heap)
        return run

    def evaluate(self, entrypoint: int, raw: bytes | None, document: int = 0) -> bytes:
        """Return the result set of one decision as Rego text; *raw* is JSON, None for no input.

        Raises a kind of DecisionError, after which the instance is as usable as before.
        """
        address = self.addresses[document]
        self.ticket = ticket = self.ticket + 1 | 1
        try:
            if self.fast:
                answer = self.guest.evaluate(entrypoint, address, raw, self.heap)
            else:
                answer = self._evaluate_in_steps(entrypoint, address, raw)
        except FAILURES as error:
            return self.recover(error, ticket, entrypoint, raw, document)
        self.ticket = ticket + 1
        if answer is None:
            raise self.too_large(raw)
        return answer

    def recover(
        self, error: BaseException, ticket: int, entrypoint: int, raw: bytes | None, document: int
    ) -> bytes:
        """Heal after the decision *ticket* ended in *error*, and raise its typed error.

        Returns the result only if the decision was broken off by mistake and made again.
        """
        self.ticket = ticket + 1
        meant, broken_off = self.interrupted_ticket, self._broken_off(error)
        self._heal(error)
        if broken_off and meant not in {ticket, NOT_INTERRUPTED}:
            # The watchdog meant an earlier decision, which ended at that very moment.
            return self.evaluate(entrypoint, raw, document)
        if broken_off and meant == ticket:
            raise PolicyTimeout(
                self.name, f"the decision took longer than {self.limits.deadline_us} us"
            ) from None
        raise self._typed(error, "the decision") from None

    def _broken_off(self, error: BaseException) -> bool:
        """Tell whether *error* is what an interruption looks like."""
        if isinstance(error, HostFault):
            return isinstance(error.cause, _Interrupted)
        code = error.trap_code if isinstance(error, wasmtime.Trap) else None
        if self.metering is Metering.EPOCH:
            return code is wasmtime.TrapCode.INTERRUPT
        return code is wasmtime.TrapCode.UNREACHABLE and self.guest.interrupted()

    def too_large(self, raw: bytes | None) -> PolicyOutOfMemory:
        """Return the error for an input that the memory has no room for."""
        return PolicyOutOfMemory(
            self.name,
            f"an input of {len(raw or b'')} bytes does not fit",
            f"the memory limit is {self.limits.memory_bytes} bytes",
        )

    def evaluate_block(
        self, entrypoint: int, raws: Sequence[bytes | None], document: int = 0
    ) -> list[bytes]:
        """Return the result sets of many decisions, as ``evaluate`` gives them one by one.

        Raises what ``evaluate`` would for the first that it would for, with its ``index``.
        """
        if not (self.fast and isinstance(self.guest, DirectGuest)):
            return self._evaluate_singly(entrypoint, raws, document, 0)
        answers: list[bytes] = []
        while len(answers) < len(raws):
            part = raws[len(answers) : len(answers) + BLOCK_DECISIONS]
            try:
                found = self._run_block(entrypoint, part, document)
            except FAILURES as error:
                # One by one, it shows which of them it was.
                self._heal(error)
                found = None
            if found is None:
                found = self._evaluate_singly(entrypoint, part, document, len(answers))
            answers += found
        return answers

    def _run_block(
        self, entrypoint: int, raws: Sequence[bytes | None], document: int
    ) -> list[bytes] | None:
        if self._driver is None:
            self._driver = self._make_driver()
        self.ticket += 1
        try:
            return self._driver.run(entrypoint, self.addresses[document], self.heap, raws)
        finally:
            self.ticket += 1

    def _make_driver(self) -> BlockDriver:
        """Take room for the buffers of blocks above the data."""
        guest = self.guest
        assert isinstance(guest, DirectGuest)
        guest.call("opa_heap_ptr_set", self.heap)
        if self.stashes:
            guest.call("opa_heap_blocks_restore")
        driver = BlockDriver(self.name, guest, self.metering)
        if self.stashes:
            guest.call("opa_heap_blocks_stash")
        self._settle()
        self.loaded_bytes = self.heap - self.base
        return driver

    def _evaluate_singly(
        self, entrypoint: int, raws: Sequence[bytes | None], document: int, first: int
    ) -> list[bytes]:
        answers = []
        for place, raw in enumerate(raws):
            try:
                answers.append(self.evaluate(entrypoint, raw, document))
            except DecisionError as error:
                error.index = first + place
                raise
        return answers

    def _evaluate_in_steps(self, entrypoint: int, data: int, raw: bytes | None) -> bytes | None:
        """Decide without ``opa_eval``, which came with ABI 1.2."""
        guest = self.guest
        guest.call("opa_heap_ptr_set", self.heap)
        context = guest.call("opa_eval_ctx_new")
        guest.call("opa_eval_ctx_set_data", context, data)
        if guest.has("opa_eval_ctx_set_entrypoint"):
            guest.call("opa_eval_ctx_set_entrypoint", context, entrypoint)
        if raw is not None:
            guest.call("opa_eval_ctx_set_input", context, self._parsed(raw))
        guest.call("eval", context)
        result = guest.call("opa_eval_ctx_get_result", context)
        dump = "opa_value_dump" if guest.has("opa_value_dump") else "opa_json_dump"
        return guest.text(guest.call(dump, result))

    def _heal(self, error: BaseException) -> None:
        """Make the instance usable again after a decision that ended in *error*."""
        aborted = isinstance(error, HostFault) and not isinstance(error.cause, _Interrupted)
        self.interrupted_ticket = NOT_INTERRUPTED
        if aborted and self._stack_pointer is not None:
            self._stack_pointer.set_value(self.store, wasmtime.Val.i32(self._stack_top))
        else:
            self._rebuild()

    def _typed(self, error: BaseException, what: str) -> DecisionError:
        """Return the typed error for what a call into the module ended with."""
        cause = error.cause if isinstance(error, HostFault) else error
        if isinstance(cause, _Abort):
            return self._aborted(str(cause))
        if isinstance(cause, DecisionError):
            return cause
        if isinstance(error, HostFault) and not isinstance(cause, _Interrupted):
            # A fault of ours, or of a built-in that the user brought along: not to be hidden.
            raise cause
        code = cause.trap_code if isinstance(cause, wasmtime.Trap) else None
        if isinstance(cause, _Interrupted) or code is wasmtime.TrapCode.INTERRUPT:
            deadline = self.limits.deadline_us
            return PolicyTimeout(self.name, f"{what} took longer than {deadline} us")
        if code is wasmtime.TrapCode.STACK_OVERFLOW:
            return PolicyTrapped(self.name, f"{what} nests too deep for the module's stack")
        reason = str(code.name).lower().replace("_", " ") if code else str(cause).splitlines()[0]
        return PolicyTrapped(self.name, f"{what} broke off: {reason}")

    def _aborted(self, text: str) -> DecisionError:
        if text in {"opa_malloc: failed", "opa_malloc: illegal builtin request"}:
            limit = f"the limit is {self.limits.memory_bytes} bytes"
            return PolicyOutOfMemory(self.name, "ran out of memory", limit)
        if text in {"illegal utf-8", "illegal string escape character"}:
            return InputError(self.name, f"the input holds text that is not Unicode: {text}")
        match = re.match(r"(.*?:\d+:\d+): (.*)", text, re.DOTALL)
        return (
            PolicyAborted(self.name, match[2], match[1])
            if match
            else PolicyAborted(self.name, text)
        )

    # What the module imports.

    def _abort(self, address: int) -> None:
        raise _Abort(self.guest.text(address).decode("utf-8", "replace"))

    def _print(self, address: int) -> None:
        """``opa_println`` is the runtime's own debugging aid; policies print by a built-in."""

    def _builtin(self, number: int, _context: int, *arguments: int) -> int:
        guest = self.guest
        if guest.interrupted():
            # A module may go round by way of the host, where it has no check of its own.
            raise _Interrupted
        operands = [
            values.parse(guest.text(guest.call("opa_value_dump", argument)))
            for argument in arguments
        ]
        try:
            result = self._builtins[number](*operands)
        except (ValueError, OverflowError, RecursionError):
            return 0
        text = values.dump(result).encode("utf-8", "replace")
        room = guest.call("opa_malloc", len(text))
        if not guest.write(room, text):
            raise _Abort("opa_malloc: failed")
        return guest.call("opa_value_parse", room, len(text))


def data_text(name: str, document: Any) -> bytes:
    """Return *document* as JSON that the module reads; raise DataError if it has no JSON form."""
    try:
        return values.json_bytes(document)
    except (ValueError, TypeError) as error:
        raise DataError(name, f"its data is no JSON value: {error}") from None


def _at(document: Any, keys: Sequence[str]) -> tuple[bool, Any]:
    """Return whether *document* has a place *keys*, and the value there."""
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            return False, None
        document = document[key]
    return True, document
