"""A multipart/form-data body, part by part as it comes in, and never kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


class Malformed(Exception):
    """The body isn't what a form sends; the text says why."""


@dataclass(frozen=True)
class Part:
    """The beginning of a part. Its type is in lower case, without parameters; empty if it names none."""

    name: str
    filename: str | None
    content_type: str


class Form:
    """Reads a body of this content type: RFC 7578."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Malformed("send the recording as multipart/form-data, in the field `file`")
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers_begin,
            "on_header_field": self._name,
            "on_header_value": self._value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._part_begins,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as error:
            raise Malformed(str(error)) from None
        self._found: list[Part | bytes] = []
        self._ended = False

    def feed(self, data: bytes) -> list[Part | bytes]:
        """What these bytes of the body hold: beginnings of parts, each followed by its content. Raises `Malformed`."""
        self._found = []
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise Malformed(f"the form can't be read: {error}") from None
        return self._found

    def end(self) -> None:
        """Says that the body has ended. Raises `Malformed` if the form hasn't."""
        if not self._ended:
            raise Malformed("the form ends before its last boundary")

    def _headers_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._header = self._header_value = b""

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header.lower()] = self._header_value
        self._header = self._header_value = b""

    def _part_begins(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        filename = options.get(b"filename")
        if filename is not None:
            filename = filename.replace(
                b"%22", b'"'
            )  # as browsers write it. Source: the HTML standard, multipart/form-data
        part = Part(_text(options.get(b"name", b"")), None if filename is None else _text(filename), _text(kind))
        self._found.append(part)

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _end(self) -> None:
        self._ended = True


def _text(data: bytes) -> str:
    """UTF-8, as all browsers send it; what isn't is shown as far as it goes."""
    return data.decode(errors="replace")
