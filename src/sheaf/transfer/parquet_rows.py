"""Remove rows from Parquet files. One row group is in memory at a time."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sheaf.errors import InvalidInput

__all__ = ["Condition", "Where", "checked"]

Test = tuple[str, str, object]
#: A condition: tests that must all hold, ``[("person", "==", 17)]``, or several such lists of which one must hold, as in
#: PyArrow; or a text: ``person == 17 and year in (2024, 2025) or name == "x"``.
Where = str | Sequence[Test] | Sequence[Sequence[Test]]

_NOT_PARQUET = (pa.ArrowException, OSError, ValueError, TypeError, KeyError)


def checked(where: Where) -> Condition:
    """Parse a condition. Raises InvalidInput if it is empty or invalid."""
    if isinstance(where, str):
        where = _parsed(where)
    if not where:
        raise InvalidInput("the condition is empty: every row would be erased", 'pass [("column", "==", value)]')
    try:
        tests: list[Any] = [test for group in where for test in ([group] if isinstance(group[0], str) else group)]
        columns = frozenset(str(test[0]) for test in tests)
        return Condition(pq.filters_to_expression(list(where)), columns)
    except _NOT_PARQUET as error:
        raise InvalidInput(f"invalid condition: {error}", 'pass [("column", "==", value)]') from error


def _parsed(text: str) -> list[list[Test]]:
    """Parse a text into alternatives, each a list of tests that must all hold. Raises InvalidInput."""
    try:
        found = ast.parse(text.strip(), mode="eval").body
        return [[_test(test) for test in _parts(group, ast.And)] for group in _parts(found, ast.Or)]
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise InvalidInput(
            f"invalid condition '{text}'", "write, for example: column == 17 and other in ('a', 'b') or third > 2.5"
        ) from error


def _parts(node: ast.expr, joined_by: type[ast.boolop]) -> list[ast.expr]:
    return node.values if isinstance(node, ast.BoolOp) and isinstance(node.op, joined_by) else [node]


def _test(node: ast.expr) -> Test:
    match node:
        case ast.Compare(left=ast.Name(id=column), ops=[operator], comparators=[value]):
            return column, _OPERATORS[type(operator)], ast.literal_eval(value)
        case ast.Compare(left=ast.Constant(value=str(column)), ops=[operator], comparators=[value]):
            return column, _OPERATORS[type(operator)], ast.literal_eval(value)
    raise ValueError("no test")


_OPERATORS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}


class Condition:
    """A condition on rows. A row with null in a column of the condition does not satisfy it."""

    def __init__(self, expression: pc.Expression, columns: frozenset[str]) -> None:
        self._is_meant = expression
        self.columns = columns
        self.text = str(expression)

    def count(self, file: BinaryIO, what: str) -> int:
        """Count the rows of a Parquet file that satisfy the condition. Raises InvalidInput for other files or columns."""
        try:
            table = pq.ParquetFile(file)
            if lacking := sorted(self.columns - set(table.schema_arrow.names)):
                raise InvalidInput(f"{what} has no column '{lacking[0]}'", "exclude the file from the pattern")
            groups = range(table.num_row_groups)
            parts = (table.read_row_group(group, columns=sorted(self.columns)) for group in groups)
            return sum(part.filter(self._is_meant).num_rows for part in parts)
        except _NOT_PARQUET as error:
            raise InvalidInput(f"can't search {what}: {_line(error)}", "name Parquet files") from error

    def without(self, file: BinaryIO) -> Iterator[bytes]:
        """Yield the bytes of a Parquet file of the other rows, with the same columns, compression and remaining row groups."""
        table = pq.ParquetFile(file)
        sink = _Sink()
        with pq.ParquetWriter(sink, table.schema_arrow, compression=_compression(table.metadata)) as writer:
            for group in range(table.num_row_groups):
                rows = table.read_row_group(group)
                kept = rows.filter(self._is_meant.is_null() | ~self._is_meant)
                if kept.num_rows:
                    writer.write_table(kept, row_group_size=kept.num_rows)
                yield from sink.drain()
        yield from sink.drain()


def _compression(metadata: pq.FileMetaData) -> dict[str, str]:
    """Return the codec of each column in the first row group."""
    if not metadata.num_row_groups:
        return {}
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {column.path_in_schema: _CODECS.get(column.compression, column.compression) for column in columns}


_CODECS = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}


class _Sink(io.RawIOBase):
    """A file that collects written bytes until they are taken."""

    def __init__(self) -> None:
        self._at = 0
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        block = bytes(data)
        self._at += len(block)
        self._blocks.append(block)
        return len(block)

    def drain(self) -> Iterable[bytes]:
        """Return the bytes written since the last call."""
        blocks, self._blocks = self._blocks, []
        return blocks


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
