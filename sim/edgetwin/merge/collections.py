"""Sets and maps: an observed-remove set, and a map of last-writer-wins registers.

Both joins are commutative, associative and idempotent (facts/verification.md, 2.6).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgetwin.merge.registers import Value, Version, last_writer_wins


@dataclass(frozen=True)
class TagSet:
    """An observed-remove set: every add is a tag; a remove takes exactly the tags it saw."""

    tags: Mapping[str, Value] = field(default_factory=dict)
    """Tag (the add's operation) to element, removed ones included."""
    removed: frozenset[str] = frozenset()
    """Tags that a remove took; may name tags that have not arrived yet."""

    @property
    def live(self) -> tuple[str, ...]:
        """The tags that show, in order of name."""
        return tuple(tag for tag in sorted(self.tags) if tag not in self.removed)

    @property
    def value(self) -> Value:
        """None, or ``{"set": [...]}`` with the distinct elements in order of their text."""
        elements: list[Value] = []
        for tag in self.live:
            if self.tags[tag] not in elements:
                elements.append(self.tags[tag])
        return {"set": sorted(elements, key=str)} if elements else None

    def tags_of(self, element: Value) -> tuple[str, ...]:
        """Return the live tags of *element*."""
        return tuple(tag for tag in self.live if self.tags[tag] == element)


def tags_joined(one: TagSet, other: TagSet) -> TagSet:
    """Return the union of tags and of removals."""
    tags = dict(sorted({**one.tags, **other.tags}.items()))
    return TagSet(tags, one.removed | other.removed)


Fields = Mapping[str, Version]
"""Field to its register; a deleted field keeps its tombstone."""


def fields_joined(one: Fields, other: Fields) -> Fields:
    """Return, per field, the version with the largest stamp."""
    joined = {}
    for name in sorted({*one, *other}):
        version = last_writer_wins(one.get(name), other.get(name))
        assert version is not None
        joined[name] = version
    return joined


def shown_fields(fields: Fields) -> dict[str, Value]:
    """Return the map that a reader sees, without deleted fields."""
    return {name: version.value for name, version in fields.items() if not version.deleted}
