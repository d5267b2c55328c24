"""What a page consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    name
        In the DataFrame; of an interval, the lower end.
    label
        In the page.
    kind
        ``"text"``, ``"gene"``, ``"count"``, ``"number"``, ``"signed"``, ``"percent"``, ``"p"``, ``"interval"``.
    note
        What it means, for the line below the table.
    upper
        Upper end of an interval.
    """

    name: str
    label: str
    kind: str = "number"
    note: str = ""
    upper: str = ""


@dataclass(frozen=True)
class Cell:
    """What is shown, and what is sorted by: a number as text, or nothing where there is none."""

    text: str
    value: str | None = None


@dataclass(frozen=True)
class Table:
    """A table that can be sorted."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    block: ClassVar[str] = "table"

    @property
    def notes(self) -> list[Column]:
        """The columns that need explaining."""
        return [column for column in self.columns if column.note]


@dataclass(frozen=True)
class Picture:
    """A picture, in the page itself."""

    source: str
    width: int
    height: int
    alt: str
    block: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Text:
    """A paragraph; what stands between backticks is code."""

    text: str
    block: ClassVar[str] = "text"


Block: TypeAlias = Table | Picture | Text


@dataclass(frozen=True)
class Section:
    """A result.

    Attributes
    ----------
    id
        For links.
    title, lead
        What it is, in a few words and in a sentence or two.
    blocks
        Tables, pictures and text.
    call
        What returns it in Python.
    """

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=list)
    call: str = ""


@dataclass(frozen=True)
class Missing:
    """A result that is not there, and the call that makes it."""

    what: str
    call: str


@dataclass(frozen=True)
class Remark:
    """What a reader has to know; a warning where something is wrong or unknown with these results."""

    text: str
    is_warning: bool = True
