"""What can be wrong with a policy: each fault a type of its own, naming the bundle.

``BundleError`` and its kinds are faults of what was loaded; ``DecisionError`` and its kinds are
faults of one decision, after which the policy is as usable as before.
"""

from edgetwin.errors import Problem


class PolicyError(Exception):
    """Something is wrong with the policy *bundle*; *fault* says what, *remedy* what would help."""

    def __init__(self, bundle: str, fault: str, remedy: str = "") -> None:
        self.bundle = bundle
        self.fault = fault
        self.remedy = remedy
        super().__init__(str(Problem(bundle, 0, "", fault, remedy)))

    @property
    def problem(self) -> Problem:
        """The fault in the form in which the rest of the package reports wrong inputs."""
        return Problem(self.bundle, 0, "", self.fault, self.remedy)


class BundleError(PolicyError):
    """The bundle cannot be used; whatever was active before it stays active."""


class ArchiveError(BundleError):
    """Not a gzip-compressed tar, or a member that escapes, links, repeats or is over-large."""


class ManifestError(BundleError):
    """The manifest is malformed, or contradicts what the archive holds."""


class DataError(BundleError):
    """A data document is not JSON or YAML, lies outside the roots, or the patch cannot apply."""


class SignatureError(BundleError):
    """The signature is missing, does not verify, or does not cover the files that are there."""


class RootsError(BundleError):
    """Two bundles own the same part of the data document."""


class ModuleError(BundleError):
    """The Wasm module is truncated, malformed, or lacks what every OPA module exports."""


class AbiError(ModuleError):
    """The module speaks an ABI that this host does not."""


class MissingBuiltinsError(ModuleError):
    """The module calls built-in functions that this host does not provide: *names*, sorted."""

    def __init__(self, bundle: str, names: tuple[str, ...], remedy: str) -> None:
        self.names = names
        many = "s" if len(names) > 1 else ""
        super().__init__(bundle, f"needs the built-in{many} {', '.join(names)}", remedy)


class EntrypointError(PolicyError):
    """The module has no such entrypoint."""


class DecisionError(PolicyError):
    """One decision could not be made; the policy stays usable."""

    index: int | None = None
    """Which input of a ``decide_many`` it was, from 0; None for a single decision."""


class InputError(DecisionError):
    """The input is not a JSON value: NaN, a lone surrogate, a key that is no string, too deep."""


class InputTooLargeError(InputError):
    """The input is larger than the limit, in bytes of JSON."""


class PolicyAborted(DecisionError):  # noqa: N818 - an outcome of a decision, named as OPA does
    """The policy itself gave up, as OPA would: a conflict of two rules, mostly.

    *location* is OPA's ``file:row:col`` where the module gave one, else empty.
    """

    def __init__(self, bundle: str, fault: str, location: str = "") -> None:
        self.location = location
        super().__init__(bundle, f"{location}: {fault}" if location else fault)


class PolicyTimeout(DecisionError):  # noqa: N818
    """The decision took longer than its deadline."""


class PolicyOutOfMemory(DecisionError):  # noqa: N818
    """The decision needed more memory than the policy is allowed."""


class PolicyTrapped(DecisionError):  # noqa: N818
    """The module broke off in a way no OPA-compiled policy should (unreachable code, stack)."""


class PatchError(PolicyError):
    """A data patch cannot be applied; the data is as it was before."""
