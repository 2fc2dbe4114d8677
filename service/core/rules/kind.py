"""What every type of field has: texts, values, errors, and its form in JSON, Avro and SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from service.core.rules.fields import Reason, Reasons

Column = Sequence[str]
Reading = tuple[Any, Iterable[Reason]]


class Kind:
    """A type of field.

    wire: the type that msgspec decodes; avro: its type in backups; packed: the Avro type with the
    same bytes; readable: the Avro types that it can be read from; example: a value as it is sent;
    literal: the maximum size of a value in a statement, in bytes; stored: its size in a binary log,
    without text; in_texts: JSON has its values only as texts, as `column` takes them.
    """

    wire: Any
    literal: int
    stored: int
    avro: Any
    packed: str
    readable: tuple[str, ...]
    example: Any
    in_texts = False

    def column(self, texts: Column) -> Sequence[Any] | None:
        """The values of a column without empty texts; None unless all texts are plain."""
        raise NotImplementedError

    def each(self, texts: Column) -> list[Any]:
        """The value of each text; None for a text that is not plain."""
        raise NotImplementedError

    def read(self, text: str) -> Reading:
        """(value, errors) of a text that is not empty."""
        raise NotImplementedError

    @property
    def at_utc(self) -> Kind:
        """The same type, with UTC for texts without an offset."""
        return self

    def explain(self, value: object) -> Reasons:
        """Every error of a value. It runs only on values that msgspec refused."""
        raise NotImplementedError

    def shown(self, value: Any) -> Any:
        """A stored value as the API shows it."""
        return value
