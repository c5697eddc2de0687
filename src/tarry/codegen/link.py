"""Loads objects without LLVM, where that is simple: ELF objects for x86-64 in a Linux process.

The sections that take part at run time are laid out in pages of their own, absolute addresses are filled in,
and the pages become executable. Code for the large model, which is what the assembler writes, has no other
relocations. `load_object` returns None for everything else, and LLVM's linker takes over: it is slower to
start (60 ms) but knows every format.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from collections.abc import Mapping, Sequence

_HEADER = struct.Struct("<4sBBB9xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_ADDRESS = struct.Struct("<Q")

_RELOCATABLE, _X86_64 = 1, 62
_SYMBOL_TABLE, _RELOCATIONS, _NO_BITS, _UNWIND = 2, 4, 8, 0x70000001
_WRITABLE, _ALLOCATED = 1, 2
_UNDEFINED, _RESERVED = 0, 0xFF00
_ABSOLUTE_ADDRESS = 1  # R_X86_64_64: address of the symbol + addend

_READ_WRITE, _READ_EXECUTE = 3, 5
_PRIVATE_ANONYMOUS = 0x22
_FAILED = ctypes.c_void_p(-1).value


class Unsupported(Exception):
    """Something in an object that only LLVM's linker knows."""


class Section:
    """`place` is where it begins in the image, None if it is not needed at run time."""

    __slots__ = ("alignment", "flags", "info", "kind", "link", "offset", "place", "size")

    def __init__(self, fields: Sequence[int]) -> None:
        _, self.kind, self.flags, _, self.offset, self.size, self.link, self.info, self.alignment, _ = fields
        self.place: int | None = None


class ElfObject:
    """An object with its sections laid out one after the other; raises Unsupported or struct.error."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        fields = _HEADER.unpack_from(content)
        magic, wide, little, _, kind, machine = fields[:6]
        if (magic, wide, little, kind, machine) != (b"\x7fELF", 2, 1, _RELOCATABLE, _X86_64):
            raise Unsupported("not a relocatable object for x86-64")
        table, count = fields[9], fields[15]
        self.sections = [
            Section(_SECTION.unpack_from(content, table + number * _SECTION.size)) for number in range(count)
        ]
        self.size = 0
        for section in self.sections:
            # Nobody unwinds through kernels.
            if not section.flags & _ALLOCATED or section.kind == _UNWIND:
                continue
            if section.flags & _WRITABLE:
                raise Unsupported("data that changes")
            section.place = -(-self.size // max(1, section.alignment)) * max(1, section.alignment)
            self.size = section.place + section.size
        self.symbols = self._symbols()

    def _symbols(self) -> list[tuple[str, int, int]]:
        """Name, section and offset of every symbol."""
        for section in self.sections:
            if section.kind == _SYMBOL_TABLE:
                names = self.sections[section.link].offset
                end = section.offset + section.size
                table = _SYMBOL.iter_unpack(self.content[section.offset : end])
                return [(self._text(names + name), home, value) for name, _, _, home, value, _ in table]
        raise Unsupported("no symbols")

    def _text(self, start: int) -> str:
        return self.content[start : self.content.index(b"\0", start)].decode()

    def image(self, base: int, imports: Mapping[str, int]) -> tuple[bytearray, dict[str, int]]:
        """The bytes to put at address `base`, and where its functions then are."""
        image = bytearray(self.size)
        for section in self.sections:
            if section.place is not None and section.kind != _NO_BITS:
                part = self.content[section.offset : section.offset + section.size]
                image[section.place : section.place + section.size] = part
        for section in self.sections:
            target = self.sections[section.info].place if section.kind == _RELOCATIONS else None
            if target is None:
                continue
            end = section.offset + section.size
            entries = _RELOCATION.iter_unpack(self.content[section.offset : end])
            for offset, kind, symbol, addend in entries:
                if kind != _ABSOLUTE_ADDRESS:
                    raise Unsupported(f"relocation {kind}")
                address = self._address(self.symbols[symbol], base, imports) + addend
                _ADDRESS.pack_into(image, target + offset, address & (1 << 64) - 1)
        defined = [symbol for symbol in self.symbols if symbol[0] and _UNDEFINED < symbol[1] < _RESERVED]
        placed = [symbol for symbol in defined if self.sections[symbol[1]].place is not None]
        return image, {symbol[0]: self._address(symbol, base, imports) for symbol in placed}

    def _address(self, symbol: tuple[str, int, int], base: int, imports: Mapping[str, int]) -> int:
        name, home, value = symbol
        if home == _UNDEFINED:
            return imports[name] if name in imports else _process_symbol(name)
        place = self.sections[home].place if home < _RESERVED else None
        if place is None:
            raise Unsupported(f"symbol {name} of no section in memory")
        return base + place + value


def load_object(
    content: bytes, names: Sequence[str], imports: Mapping[str, int] | None = None
) -> dict[str, int] | None:
    """The addresses of `names` in an object, loaded for ever; None where LLVM's linker has to do it."""
    if not _is_supported():
        return None
    try:
        elf = ElfObject(content)
        if not elf.size:
            return None
        base = _process().mmap(None, elf.size, _READ_WRITE, _PRIVATE_ANONYMOUS, -1, 0)
        if base in (None, _FAILED):
            return None
        try:
            image, found = elf.image(base, {} if imports is None else imports)
            addresses = {name: found[name] for name in names}
            ctypes.memmove(base, bytes(image), len(image))
            if _process().mprotect(base, elf.size, _READ_EXECUTE):
                raise Unsupported("pages that must not become executable")
        except BaseException:
            _process().munmap(base, elf.size)
            raise
    except (Unsupported, struct.error, KeyError, IndexError, ValueError):
        return None
    return addresses


@functools.cache
def _is_supported() -> bool:
    return sys.platform == "linux" and os.uname().machine == "x86_64" and sys.maxsize > 1 << 32


@functools.cache
def _process() -> ctypes.CDLL:
    """The symbols of this process, with the calls that make pages."""
    process = ctypes.CDLL(None)
    process.mmap.restype = ctypes.c_void_p
    process.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    process.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    process.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return process


def _process_symbol(name: str) -> int:
    try:
        function = _process()[name]
    except AttributeError:
        raise Unsupported(f"symbol {name}, which this process does not have") from None
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address
