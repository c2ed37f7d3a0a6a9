"""YAML whose every key and value still knows its line, and that can do no harm.

Built from the event stream of PyYAML's C parser: no tag is ever constructed, nothing recurses, and
size, nesting, and the number of elements that aliases stand for are limited.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgetwin.errors import Problem
from edgetwin.inputs.element import Document, Element, place_text

SIZE_BYTES_MAX = 4 * 2**20
"""Largest file that is read. Chosen: a topology of 1,000 sites written out one by one is 223 kB
(facts/ux.md, 3.4), and the largest manifest that etcd takes is 1.5 MiB."""
DEPTH_MAX = 64
"""Deepest nesting. Chosen: three times the depth of an affinity term of a Pod template."""
ELEMENTS_MAX = 250_000
"""Most keys and values in one file, those behind aliases counted each time. Chosen: more than
the largest sensible topology has, and some 100 MB of memory."""
KEY_LENGTH_MAX = 1_024
"""Longest key; YAML's own limit for a key that is not marked by ``?``."""

Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVER: Any = yaml.resolver.Resolver()
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
"""Breaks to YAML 1.1, but not to editors."""
_BREAK = re.compile("\r\n|\r|\n")
_TRUE = frozenset({"true", "yes", "on"})


def read(path: Path, problems: list[Problem], *, shown: str | None = None) -> list[Document]:
    """Return the documents of the file *path*, called *shown* in messages; empty ones are left out.

    What is wrong is added to *problems*, and the documents before it are returned.
    """
    name = shown if shown is not None else str(path)
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or "cannot be read"
        problems.append(Problem(name, 0, "", f"{reason}", "give the path of a readable YAML file"))
        return []
    return parse(content, name, problems)


def parse(content: bytes, file: str, problems: list[Problem]) -> list[Document]:
    """Return the documents of the YAML text *content*; see `read`."""
    if len(content) > SIZE_BYTES_MAX:
        found = f"the file is larger than {SIZE_BYTES_MAX // 2**20} MiB"
        problems.append(Problem(file, 0, "", found, "split it, or write alike things once"))
        return []
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.append(Problem(file, line, "", "this is not UTF-8 text", "save it as UTF-8"))
        return []
    if bad := _FORBIDDEN.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        found = f"character U+{ord(bad[0]):04X} is not allowed in YAML"
        problems.append(Problem(file, line, "", found, "remove it"))
        return []
    builder = _Builder(file, text, problems)
    try:
        builder.run()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What ends too early is found missing after the last line; that line is what to look at.
        last = len(_BREAK.split(text.rstrip()))
        line = min(builder.line_of(mark), last) if mark else 0
        found = f"this is not YAML: {error.problem or error.context}"
        context = f" ({error.context})" if error.context and error.problem else ""
        problems.append(Problem(file, line, "", found, f"mend the syntax{context}"))
    except yaml.YAMLError as error:
        problems.append(Problem(file, 0, "", f"this is not YAML: {error}", "mend the syntax"))
    except _LimitError as error:
        problems.append(error.problem)
    return builder.documents


class _LimitError(Exception):
    """A limit is passed: reading stops here."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end is not yet seen."""

    element: Element
    anchor: str | None
    key: str | None = None
    """The key of a mapping whose value comes next."""
    key_line: int = 0
    refused: bool = False
    """The key that was just read cannot stand; its value is read and dropped."""
    merges: list[Element] = field(default_factory=list)


class _Builder:
    """Makes documents of events, one after the other."""

    def __init__(self, file: str, text: str, problems: list[Problem]) -> None:
        self.file = file
        self.text = text
        self.problems = problems
        self.documents: list[Document] = []
        self.stack: list[_Open] = []
        self.anchors: dict[str, Element | None] = {}
        self.root: Element | None = None
        self.total = 0
        self.odd = _ODD_BREAKS.search(text) is not None

    def line_of(self, mark: Any) -> int:
        """Return the line of *mark* as an editor counts it."""
        if self.odd:
            return self.text.count("\n", 0, mark.index) + 1
        return int(mark.line) + 1

    def run(self) -> None:
        """Read all events."""
        for event in yaml.parse(self.text, Loader=Parser):
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self.scalar(event)
            elif kind is yaml.MappingStartEvent:
                self.open(event, {}, {})
            elif kind is yaml.SequenceStartEvent:
                self.open(event, [], [])
            elif kind is yaml.AliasEvent:
                self.alias(event)
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                self.close()
            elif kind is yaml.DocumentStartEvent:
                self.anchors, self.root = {}, None
            elif kind is yaml.DocumentEndEvent and self.root and self.root.data is not None:
                self.documents.append(Document(self.file, self.root))

    def problem(self, line: int, found: str, remedy: str) -> Problem:
        """Return a problem at *line*, placed by the containers that are open."""
        steps: list[str | int] = []
        for part in self.stack:
            if isinstance(part.element.members, list):
                steps.append(len(part.element.members))
            elif part.key is not None:
                steps.append(part.key)
        return Problem(self.file, line, place_text(steps), found, remedy)

    def count(self, line: int, number: int) -> None:
        """Count *number* further elements against the limit."""
        self.total += number
        if self.total > ELEMENTS_MAX:
            found = f"more than {ELEMENTS_MAX:,} elements, aliases written out"
            raise _LimitError(self.problem(line, found, "write less, or alias less"))

    def limit_depth(self, line: int, depth: int) -> None:
        """Hold *depth* against the limit."""
        if depth > DEPTH_MAX:
            found = f"nested more than {DEPTH_MAX} deep"
            raise _LimitError(Problem(self.file, line, "", found, "write it flatter"))

    def scalar(self, event: Any) -> None:
        line = self.line_of(event.start_mark)
        self.count(line, 1)
        parent = self.stack[-1] if self.stack else None
        if parent and isinstance(parent.element.members, dict) and parent.key is None:
            self.take_key(parent, event.value, line, plain=event.implicit[0])
            if event.anchor:
                self.anchors[event.anchor] = Element(line, event.value)
            return
        if event.tag is not None and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self.refuse_tag(event.tag, line)
            value: Any = event.value
        else:
            value = _value(event.value, plain=event.implicit[0] and event.tag is None)
        element = Element(line, value)
        if event.anchor:
            self.anchors[event.anchor] = element
        self.put(element)

    def take_key(self, parent: _Open, key: str, line: int, *, plain: bool) -> None:
        """Make *key* the one whose value comes next."""
        parent.key, parent.key_line, parent.refused = key, line, False
        if plain and key == "<<":
            return
        if len(key) > KEY_LENGTH_MAX:
            raise _LimitError(
                self.problem(line, "a key is too long", f"at most {KEY_LENGTH_MAX:,}")
            )
        if key in parent.element.key_lines:
            first = parent.element.key_lines[key]
            found = f"key {key!r} stands twice, first in line {first}"
            self.problems.append(self.problem(line, found, "keep one of the two"))
            parent.refused = True

    def open(self, event: Any, data: Any, members: Any) -> None:
        line = self.line_of(event.start_mark)
        self.count(line, 1)
        parent = self.stack[-1] if self.stack else None
        if parent and isinstance(parent.element.members, dict) and parent.key is None:
            found = "a key is a list or a mapping"
            raise _LimitError(self.problem(line, found, "keys are text"))
        self.limit_depth(line, len(self.stack) + 1)
        if event.tag is not None and event.tag not in _CONTAINER_TAGS:
            self.refuse_tag(event.tag, line)
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(Element(line, data, members), event.anchor))

    def close(self) -> None:
        done = self.stack.pop()
        for merged in done.merges:
            _merge(done.element, merged)
        if done.anchor:
            self.anchors[done.anchor] = done.element
        self.put(done.element)

    def alias(self, event: Any) -> None:
        line = self.line_of(event.start_mark)
        known = self.anchors.get(event.anchor)
        parent = self.stack[-1] if self.stack else None
        is_key = parent and isinstance(parent.element.members, dict) and parent.key is None
        if known is None:
            inside = event.anchor in self.anchors
            found = f"alias '*{event.anchor}' " + ("is part of itself" if inside else "is unknown")
            raise _LimitError(self.problem(line, found, f"set '&{event.anchor}' before it"))
        if is_key and parent:
            if known.members is not None:
                raise _LimitError(
                    self.problem(line, "a key is a list or a mapping", "keys are text")
                )
            self.count(line, 1)
            self.take_key(parent, str(known.data), line, plain=False)
            return
        self.count(line, known.count)
        self.limit_depth(line, len(self.stack) + known.depth)
        self.put(known)

    def refuse_tag(self, tag: str, line: int) -> None:
        shown = tag.replace("tag:yaml.org,2002:", "!!")
        found = f"tag {shown!r} is not read"
        self.problems.append(self.problem(line, found, "leave the tag out"))

    def put(self, element: Element) -> None:
        """Place a finished *element* in the container that is open."""
        if not self.stack:
            self.root = element
            return
        parent = self.stack[-1]
        members = parent.element.members
        parent.element.count += element.count
        parent.element.depth = max(parent.element.depth, element.depth + 1)
        if isinstance(members, list):
            members.append(element)
            parent.element.data.append(element.data)
            return
        assert isinstance(members, dict), parent
        assert parent.key is not None, parent
        key, parent.key = parent.key, None
        if key == "<<" and not parent.refused:
            sources = element.members if isinstance(element.members, list) else [element]
            if all(isinstance(source.members, dict) for source in sources):
                parent.merges.extend(sources)
                return
            found = "'<<' merges mappings, and this is none"
            self.problems.append(self.problem(parent.key_line, found, "write '<<: *anchor'"))
        elif not parent.refused:
            members[key] = element
            parent.element.data[key] = element.data
            parent.element.key_lines[key] = parent.key_line


_CONTAINER_TAGS = ("!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def _merge(target: Element, source: Element) -> None:
    """Add the keys of *source* that *target* does not have itself."""
    assert isinstance(target.members, dict)
    assert isinstance(source.members, dict)
    for key, element in source.members.items():
        if key not in target.members:
            target.members[key] = element
            target.data[key] = element.data
            target.key_lines[key] = source.key_lines[key]


def _value(text: str, *, plain: bool) -> Any:
    """Return what a scalar stands for: YAML 1.1's null, truth values and numbers, else text.

    Dates, base-60 numbers and binary data stay text: no field of ours is one.
    """
    if not plain:
        return text
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)).rpartition(":")[2]
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in _TRUE
    number = text.replace("_", "")
    if tag == "int" and ":" not in text and len(text) < 100:
        digits = number.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xXbB":
            return int(number, 8)
        return int(number, 0)
    if tag == "float" and ":" not in text:
        return float(number.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
