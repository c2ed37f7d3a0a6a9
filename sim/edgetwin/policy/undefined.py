"""The decision that is none."""

from typing import Final


class _Undefined:
    """No rule gave a value: neither false nor null. It has no truth; ask ``is UNDEFINED``."""

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        raise TypeError("an undefined decision is neither true nor false: compare with UNDEFINED")

    def __reduce__(self) -> str:
        return "UNDEFINED"

    def __copy__(self) -> "_Undefined":
        return self

    def __deepcopy__(self, memo: object) -> "_Undefined":
        return self


UNDEFINED: Final = _Undefined()
