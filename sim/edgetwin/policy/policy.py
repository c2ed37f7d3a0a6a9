"""A policy that decides: the surface of this package.

>>> from edgetwin.policy import UNDEFINED, Policy, load_bundle
>>> UNDEFINED
UNDEFINED
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from edgetwin.errors import did_you_mean
from edgetwin.policy import builtins, values
from edgetwin.policy.bundle import Bundle
from edgetwin.policy.compiled import Metering
from edgetwin.policy.context import DecisionContext
from edgetwin.policy.direct import guest_class
from edgetwin.policy.errors import (
    DataError,
    DecisionError,
    EntrypointError,
    InputError,
    InputTooLargeError,
    MissingBuiltinsError,
    ModuleError,
    PolicyTrapped,
)
from edgetwin.policy.guest import PublicGuest
from edgetwin.policy.instance import FAILURES, Builtin, Instance, Limits
from edgetwin.policy.undefined import UNDEFINED

MEMO_ENTRIES = 65_536
"""Decisions remembered by one policy. Chosen: at some 300 bytes each, 20 MB when it is full."""

_UNSEEN: Any = object()

_SHARED = (bool, int, float, str, type(None), type(UNDEFINED))
"""Types of results that cannot be changed by who receives them."""

_dumps = orjson.dumps

_LONG_NUMBER = re.compile(rb"\d{16}")


class Policy:
    """One bundle's module with its data, ready to decide; to be used by one thread at a time.

    *limits* bound memory, time and input of each decision. *context* gives time, chance and
    network to the built-ins that need them. *builtin_functions* adds functions of your own, by
    Rego name; they take and return values as ``edgetwin.policy.values`` describes. *memo_entries*
    decisions of a pure policy are remembered; 0 decides every time. *public_api* goes through
    wasmtime's public API, twenty times slower with the same answers.

    Raises a kind of BundleError if the bundle has no module, or one that cannot be run here.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: Limits | None = None,
        context: DecisionContext | None = None,
        builtin_functions: Mapping[str, Builtin] | None = None,
        memo_entries: int = MEMO_ENTRIES,
        public_api: bool = False,
    ) -> None:
        if bundle.wasm is None:
            raise ModuleError(
                bundle.name, "has no policy.wasm", "build it with `opa build -t wasm -e ENTRYPOINT`"
            )
        self.bundle = bundle
        self.limits = limits or Limits()
        self.context = context or DecisionContext()
        self._input_bytes = self.limits.input_bytes
        self._own_builtins = dict(builtin_functions or {})
        kind: type[PublicGuest] = PublicGuest if public_api else guest_class()
        metered = Metering.NOTHING if self.limits.deadline_us is None else Metering.DEADLINE
        self._instance = self._instantiate(bundle.wasm, metered, kind)
        self._numbers = self._instance.entrypoints
        self.entrypoints: tuple[str, ...] = tuple(self._numbers)
        """What it can be asked, sorted."""
        self.builtins: tuple[str, ...] = tuple(self._instance.builtin_ids)
        """The functions it may call in the host, sorted; empty for most policies."""
        for entrypoint in bundle.entrypoints:
            self._number(entrypoint)
        impure = builtins.IMPURE | set(self._own_builtins)
        self.pure: bool = not impure.intersection(self.builtins)
        """Whether the answer hangs on nothing but data and input."""
        self._memo: OrderedDict[tuple[int, int, bytes | None], Any] = OrderedDict()
        self._memo_entries = memo_entries if self.pure else 0
        self._direct = self.pure and not self._memo_entries and self._instance.fast
        self._answers: dict[bytes | None, Any] = {b"set()": UNDEFINED}
        self._fuel: Instance | None = None
        self.set_data(bundle.data)

    def _instantiate(self, wasm: bytes, metering: Metering, kind: type[PublicGuest]) -> Instance:
        return Instance(
            self.bundle.name,
            wasm,
            limits=self.limits,
            metering=metering,
            guest_kind=kind,
            resolve=self._resolve,
        )

    def _resolve(self, wanted: Mapping[str, int]) -> Mapping[int, Builtin]:
        """Return the built-ins that the module wants, by its own numbers; refuse missing ones."""
        found: dict[int, Builtin] = {}
        missing: dict[str, str] = {}
        for name, number in wanted.items():
            if name in self._own_builtins:
                found[number] = self._own_builtins[name]
                continue
            try:
                found[number] = builtins.find(name, lambda: self.context)
            except builtins.Unavailable as reason:
                missing[name] = str(reason)
        if missing:
            remedy = "; ".join(dict.fromkeys(missing.values()))
            raise MissingBuiltinsError(self.bundle.name, tuple(sorted(missing)), remedy)
        return found

    def _number(self, entrypoint: str) -> int:
        try:
            return self._numbers[entrypoint]
        except KeyError:
            raise EntrypointError(
                self.bundle.name,
                f"has no entrypoint {entrypoint!r}",
                did_you_mean(entrypoint, self.entrypoints),
            ) from None

    # Deciding.

    def decide(self, entrypoint: str, input: object = UNDEFINED, *, document: int = 0) -> Any:  # noqa: A002
        """Return what *entrypoint* decides on *input*, a JSON value: a JSON value, or UNDEFINED.

        Sets come out as lists in OPA's order. An *input* of UNDEFINED is none at all, which is not
        ``null``. *document* is which of several data documents is ``data``: see ``add_document``.

        Raises EntrypointError, InputError if *input* is not JSON, or another DecisionError.
        """
        # The path of nearly all decisions, in one frame: whatever is out of the ordinary goes
        # the long way, which comes to the same answer or says what is wrong.
        number = self._numbers.get(entrypoint)
        try:
            raw = _dumps(input, None, values.STRICT)
        except (TypeError, ValueError):
            return self._decide_slowly(entrypoint, input, document)
        if number is None or len(raw) > self._input_bytes or b"null" in raw:
            return self._decide_slowly(entrypoint, input, document)
        if not self._direct:
            return self._decide(number, document, raw)
        instance = self._instance
        run = instance.runners.get(document) or instance.runner(document)
        instance.ticket = ticket = instance.ticket + 1 | 1
        try:
            answer = run(number, raw)
        except FAILURES as failure:
            answer = instance.recover(failure, ticket, number, raw, document)
        else:
            instance.ticket = ticket + 1
        known = self._answers.get(answer, _UNSEEN)
        return self._result(answer, raw) if known is _UNSEEN else known

    def _decide_slowly(self, entrypoint: str, given: object, document: int) -> Any:
        number = self._number(entrypoint)
        return self._decide(number, document, None if given is UNDEFINED else self._encode(given))

    def decide_json(self, entrypoint: str, raw: bytes, *, document: int = 0) -> Any:
        """Return what *entrypoint* decides on the JSON text *raw*, which is checked first."""
        number = self._number(entrypoint)
        try:
            value = values.parse_json(raw)
        except (ValueError, RecursionError) as error:
            raise InputError(self.bundle.name, f"the input is not JSON: {error}") from None
        return self._decide(number, document, self._encode(value))

    def _decide(self, number: int, document: int, raw: bytes | None) -> Any:
        if not self._memo_entries:
            if not self.pure:
                self.context.begin()
            return self._result(self._instance.evaluate(number, raw, document))
        key = (number, document, raw)
        answer = self._memo.get(key)
        if answer is None:
            answer = self._memo[key] = self._instance.evaluate(number, raw, document)
            if len(self._memo) > self._memo_entries:
                self._memo.popitem(last=False)
        return self._result(answer)

    def decide_many(
        self, entrypoint: str, inputs: Sequence[object], *, document: int = 0
    ) -> list[Any]:
        """Return what *entrypoint* decides on each of *inputs*, in their order.

        The same answers as ``decide`` gives one by one, faster. Raises what ``decide`` would for
        the first input that it would for, with ``index`` saying which.
        """
        number = self._number(entrypoint)
        if not self.pure:
            return self._decide_in_order(number, inputs, document)
        raws = self._encode_all(inputs)
        if self._memo_entries:
            answers = self._remembered(number, document, raws)
        else:
            answers = self._instance.evaluate_block(number, raws, document)
        known = self._answers
        return [known[answer] if answer in known else self._result(answer) for answer in answers]

    def _decide_in_order(self, number: int, inputs: Sequence[object], document: int) -> list[Any]:
        """Decide one by one, so that each decision has its own draws."""
        results = []
        for index, value in enumerate(inputs):
            try:
                raw = None if value is UNDEFINED else self._encode(value)
                results.append(self._decide(number, document, raw))
            except DecisionError as error:
                error.index = index
                raise
        return results

    def _encode_all(self, inputs: Sequence[object]) -> list[bytes | None]:
        """Return *inputs* as JSON; raise InputError for the first that has none."""
        raws: list[bytes | None] = []
        for index, value in enumerate(inputs):
            try:
                raws.append(None if value is UNDEFINED else self._encode(value))
            except InputError as error:
                error.index = index
                raise
        return raws

    def _remembered(
        self, number: int, document: int, raws: Sequence[bytes | None]
    ) -> Sequence[bytes]:
        """Return the answers to *raws*, deciding each distinct one that is new once."""
        memo = self._memo
        new = [raw for raw in dict.fromkeys(raws) if (number, document, raw) not in memo]
        try:
            found = self._instance.evaluate_block(number, new, document)
        except DecisionError as error:
            error.index = raws.index(new[error.index or 0])
            raise
        fresh = dict(zip(new, found, strict=True))
        answers = [fresh[raw] if raw in fresh else memo[number, document, raw] for raw in raws]
        for raw, answer in fresh.items():
            memo[number, document, raw] = answer
        while len(memo) > self._memo_entries:
            memo.popitem(last=False)
        return answers

    def _encode(self, value: object) -> bytes:
        """Return *value* as JSON; raise InputError if it has no JSON form or is too large."""
        try:
            raw = orjson.dumps(value, None, values.STRICT)
            if len(raw) <= self._input_bytes and b"null" not in raw:
                return raw
        except (TypeError, ValueError):
            pass  # It says why, below.
        try:
            raw = values.json_bytes(value)
        except (ValueError, TypeError) as error:
            raise InputError(self.bundle.name, f"the input is no JSON value: {error}") from None
        except RecursionError:
            raise InputError(self.bundle.name, "the input nests too deep") from None
        if len(raw) > self._input_bytes:
            raise InputTooLargeError(
                self.bundle.name,
                f"the input has {len(raw)} bytes",
                f"at most {self.limits.input_bytes} are accepted",
            )
        return raw

    def _result(self, answer: bytes | None, raw: bytes | None = None) -> Any:
        """Return the result in the result set *answer*, a Rego literal; None: *raw* did not fit."""
        if answer is None:
            raise self._instance.too_large(raw)
        known = self._answers.get(answer, _UNSEEN)
        if known is not _UNSEEN:
            return known
        try:
            result = read_result(answer)
        except (ValueError, RecursionError) as error:
            raise PolicyTrapped(self.bundle.name, f"gave no result set: {error}") from None
        if isinstance(result, _SHARED) and len(answer) < 200 and len(self._answers) < 4096:
            self._answers[answer] = result
        return result

    def evaluate(self, entrypoint: str, raw: bytes | None = None) -> bytes:
        """Return the result set of *entrypoint* as Rego text: the host's lowest level.

        *raw* is JSON or a Rego literal and is not checked; a text that is neither is, to the
        module, no input at all.
        """
        if not self.pure:
            self.context.begin()
        return self._instance.evaluate(self._number(entrypoint), raw)

    # Data.

    @property
    def data(self) -> Any:
        """The data document, as it was set and patched; not to be changed."""
        return self._instance.documents[0]

    def set_data(self, data: object) -> None:
        """Replace the data document by *data*, a JSON value; additional documents are dropped.

        Raises DataError or PolicyOutOfMemory, and then the data is as before.
        """
        self._instance.set_documents([data])
        self._forget()

    def add_document(self, data: object) -> int:
        """Hold another data document beside the first; return the number that ``decide`` takes.

        A thousand nodes with data of their own fit into one instance, a few kB each
        (facts/opa-wasm.md, finding 7).
        """
        self._instance.set_documents([*self._instance.documents, data])
        self._forget()
        return len(self._instance.documents) - 1

    def patch_data(self, operations: Sequence[Mapping[str, Any]], *, document: int = 0) -> None:
        """Apply the *operations* of a delta bundle: ``{op, path, value}``, all of them or none.

        Raises PatchError if one cannot be applied; the data is then as before.
        """
        self._instance.patch_document(document, operations)
        self._forget()

    def apply_delta(self, delta: Bundle) -> None:
        """Apply a delta bundle; one with no operations wipes the data, as it does in OPA."""
        if delta.patch is None:
            raise DataError(delta.name, "is not a delta bundle: it has no patch.json")
        if delta.patch:
            self.patch_data(delta.patch)
        else:
            self.set_data({})

    def _forget(self) -> None:
        self._memo.clear()
        self._fuel = None

    # Cost.

    def fuel(self, entrypoint: str, input: object = UNDEFINED) -> int:  # noqa: A002
        """Return how many steps one decision takes: the same number on every machine.

        Counted on an engine of its own with the same data. Divided by ``FUEL_PER_US`` it is the
        simulated duration of the decision, in microseconds.
        """
        number = self._number(entrypoint)
        raw = None if input is UNDEFINED else self._encode(input)
        if not self.pure:
            self.context.begin()
        counted = self._counted()
        counted.store.set_fuel(FUEL_TANK)
        counted.evaluate(number, raw)
        return FUEL_TANK - counted.store.get_fuel()

    def fuel_many(self, entrypoint: str, inputs: Sequence[object]) -> list[int]:
        """Return what ``fuel`` gives for each of *inputs*, faster."""
        if not self.pure:
            return [self.fuel(entrypoint, one) for one in inputs]
        number, raws, counted = self._number(entrypoint), self._encode_all(inputs), self._counted()
        store, evaluate = counted.store, counted.evaluate
        store.set_fuel(FUEL_TANK)
        used, left = [], FUEL_TANK
        for raw in raws:
            evaluate(number, raw)
            before, left = left, store.get_fuel()
            used.append(before - left)
        return used

    def _counted(self) -> Instance:
        """Return the instance whose fuel is counted, made when it is first asked for."""
        if self._fuel is None:
            assert self.bundle.wasm is not None
            self._fuel = self._instantiate(self.bundle.wasm, Metering.FUEL, guest_class())
            self._fuel.set_documents([self.data])
        return self._fuel

    @property
    def memory_bytes(self) -> int:
        """The present size of the module's memory."""
        return self._instance.guest.size_bytes()

    @property
    def abi_minor(self) -> int:
        """The minor version of ABI 1 that the module speaks."""
        return self._instance.guest.abi_minor

    @property
    def rebuilds(self) -> int:
        """How often the instance had to be made anew after a decision that broke off."""
        return self._instance.rebuilds


@dataclass(frozen=True)
class Interface:
    """What a module says of itself, whether or not this host can run it."""

    abi_minor: int
    entrypoints: tuple[str, ...]
    builtins: tuple[str, ...]
    """The functions it may call in the host, sorted."""
    missing: tuple[str, ...]
    """Those of them that this host does not have."""
    memory_bytes: int

    @property
    def pure(self) -> bool:
        """Whether its answers hang on nothing but data and input."""
        return builtins.IMPURE.isdisjoint(self.builtins)


def interface(bundle: Bundle) -> Interface:
    """Return what the module of *bundle* offers and needs; raise ModuleError if it has none."""
    if bundle.wasm is None:
        raise ModuleError(bundle.name, "has no policy.wasm")
    instance = Instance(
        bundle.name,
        bundle.wasm,
        limits=Limits(),
        metering=Metering.DEADLINE,
        guest_kind=guest_class(),
        resolve=lambda wanted: {},
    )
    missing = []
    for name in instance.builtin_ids:
        try:
            builtins.find(name, DecisionContext)
        except builtins.Unavailable:
            missing.append(name)
    return Interface(
        instance.guest.abi_minor,
        tuple(instance.entrypoints),
        tuple(instance.builtin_ids),
        tuple(missing),
        instance.guest.size_bytes(),
    )


FUEL_PER_US = 5_700
"""Fuel that a decision burns in a microsecond, the way in and out of Wasm included.
Measured with `tests/benchmarks/policy_fuel.py` on one core of an AMD EPYC server, wasmtime 50.0.1,
retail-authz-r1 over 100 inputs: 21,974 fuel and 3.87 us a decision on average. A tiny policy burns
2,000 (its time is mostly the way in and out), one of 200 rules 10,700. A slower node is modelled by
a lower rate."""

FUEL_TANK = 2**62
"""Fuel given to a decision whose fuel is counted: never too little."""


def read_result(answer: bytes) -> Any:
    """Return the value of ``result`` in the result set *answer*; UNDEFINED if the set is empty.

    Raises ValueError if it is none.

    >>> read_result(b'{{"result": {"b", "a"}}}'), read_result(b"set()")
    (['a', 'b'], UNDEFINED)
    """
    inner = answer[1:-1]
    if inner.startswith(b'{"result": ') and not _LONG_NUMBER.search(inner):
        # Without a set it is JSON, and the fast reader does.
        try:
            return orjson.loads(inner)["result"]
        except orjson.JSONDecodeError:
            pass
    bindings = values.parse(answer)
    if not isinstance(bindings, values.RegoSet | list):
        raise ValueError(f"{answer[:40]!r} is no set of bindings")
    for binding in bindings:
        if not isinstance(binding, dict) or "result" not in binding:
            raise ValueError(f"{answer[:40]!r} binds no result")
        return values.to_json(binding["result"])
    return UNDEFINED
