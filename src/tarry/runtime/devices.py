"""Devices and streams, truthfully: there is one CPU, and evaluation runs in the calling thread.

MLX programs name devices and streams; the names are accepted where they mean the CPU, and a GPU is refused.
"""

from __future__ import annotations

import enum
import operator
import os
import platform
import threading

from tarry.base.errors import type_name


class DeviceType(enum.Enum):
    """The kinds of devices there are names for: `cpu`, and `gpu`, of which there is none.

    A kind equals the first device of its own.

    Example:
        >>> cpu, cpu == Device(cpu)
        (DeviceType.cpu, True)
    """

    cpu = 0
    gpu = 1

    def __repr__(self) -> str:
        return f"DeviceType.{self.name}"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Device):
            return other == self
        return self is other

    def __hash__(self) -> int:
        return hash(self.name)


cpu = DeviceType.cpu
gpu = DeviceType.gpu


class Device:
    """A device of a type; `index` tells several of one type apart.

    Example:
        >>> Device(cpu)
        Device(cpu, 0)
    """

    __slots__ = ("_index", "_type")

    def __init__(self, type: DeviceType, index: int = 0) -> None:
        if not isinstance(type, DeviceType):
            raise TypeError(f"[Device] Expected a DeviceType, but got {type!r}.")
        self._type = type
        try:
            self._index = operator.index(index)
        except TypeError:
            raise TypeError(f"[Device] Expected an integer for the index, but got {index!r}.") from None
        if abs(self._index) >= 1 << 31:
            raise TypeError(f"[Device] Expected an index of 32 bits, but got {index!r}.")

    @property
    def type(self) -> DeviceType:
        """The kind of the device."""
        return self._type

    def __eq__(self, other: object) -> bool:
        if isinstance(other, DeviceType):
            return self._type is other and self._index == 0
        return isinstance(other, Device) and (self._type, self._index) == (other._type, other._index)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Device({self._type.name}, {self._index})"


class Stream:
    """A queue of work on a device. Work runs when it is evaluated, in order, whatever its stream.

    Streams are made by `new_stream` and its like, and equal if device and number do. TypeError when the
    class is called.

    Example:
        >>> new_stream(cpu) == default_stream(cpu)
        False
    """

    __slots__ = ("_device", "_index")

    _device: Device
    _index: int

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(f"[{type(self).__name__}] Streams are made by functions like mx.new_stream.")

    @property
    def device(self) -> Device:
        """The device of the stream."""
        return self._device

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Stream) and self._index == other._index and self._device == other._device
        )

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._device!r}, {self._index})"


class ThreadLocalStream(Stream):
    """A stream that stands for one of its own in every thread, made by `new_thread_local_stream`.

    Example:
        >>> isinstance(new_thread_local_stream(cpu), Stream)
        True
    """

    __slots__ = ()


def _make_stream(kind: type[Stream], index: int) -> Stream:
    made = object.__new__(kind)
    made._device = Device(cpu)
    made._index = index
    return made


class _State(threading.local):
    def __init__(self) -> None:
        self.device = Device(cpu)
        self.stream = _make_stream(Stream, 0)


_state = _State()
_counter = [0]
_lock = threading.Lock()

StreamOrDevice = Stream | Device | DeviceType
# What parameters `device` and `stream` take.
DeviceLike = Device | DeviceType | None
StreamLike = Stream | Device | DeviceType | None


def _require_cpu(op: str, device: object) -> None:
    if not isinstance(device, (Device, DeviceType)):
        raise TypeError(f"[{op}] Expected a Device or DeviceType, but got {device!r}.")
    kind = device.type if isinstance(device, Device) else device
    if kind is not cpu:
        raise ValueError(f"[{op}] Cannot get gpu stream without gpu backend: only mx.cpu is available.")


def require_device(op: str, device: object) -> None:
    """Where an array is to be: None or the CPU. TypeError for what is no device, ValueError for a GPU."""
    if device is not None:
        _require_cpu(op, device)


def require_stream(op: str, stream: object) -> None:
    """What an operation is to run on, if it was given: a stream, or the CPU, which has one.

    TypeError for what is neither, ValueError for a GPU, IndexError for a second CPU.
    """
    if stream is None or isinstance(stream, Stream):
        return
    if not isinstance(stream, (Device, DeviceType)):
        shown = repr(stream) if isinstance(stream, (bool, int, float, str)) else "a value"
        raise TypeError(
            f"[{op}] incompatible function arguments: expected a Stream, a Device, a DeviceType or None "
            f"for stream, not {shown} of type {type_name(stream)}."
        )
    _require_cpu(op, stream)
    if isinstance(stream, Device) and stream != cpu:
        raise IndexError(f"[{op}] There is no {stream!r}: the only device is {Device(cpu)!r}.")


def default_device() -> Device:
    """The device that operations run on: the CPU."""
    return _state.device


def set_default_device(device: Device | DeviceType) -> None:
    """Name the device that operations run on. ValueError for anything but a CPU."""
    _require_cpu("set_default_device", device)
    _state.device = device if isinstance(device, Device) else Device(device)


def _device_type(op: str, value: object) -> DeviceType:
    if isinstance(value, DeviceType):
        return value
    raise TypeError(f"[{op}] Expected a Device or DeviceType, but got {value!r}.")


def is_available(device: Device | DeviceType) -> bool:
    """Whether there is such a device."""
    if isinstance(device, Device):
        return device == cpu
    return _device_type("is_available", device) is cpu


def device_count(device_type: DeviceType) -> int:
    """The number of devices of a type."""
    return 1 if _device_type("device_count", device_type) is cpu else 0


def device_info(d: Device | DeviceType | None = None) -> dict[str, str | int]:
    """What is known about a device; nothing about one that does not exist."""
    kind = d.type if isinstance(d, Device) else d
    if kind is not None and _device_type("device_info", kind) is not cpu:
        return {}
    name = platform.processor() or platform.machine()
    return {"architecture": platform.machine(), "device_name": name, "threads": os.cpu_count() or 1}


def default_stream(device: Device | DeviceType) -> Stream:
    """The stream that operations on a device belong to."""
    _require_cpu("default_stream", device)
    return _state.stream


def _new_stream(op: str, kind: type[Stream], device: Device | DeviceType) -> Stream:
    _require_cpu(op, device)
    with _lock:
        _counter[0] += 1
        return _make_stream(kind, _counter[0])


def new_stream(device: Device | DeviceType) -> Stream:
    """Another stream on a device.

    Example:
        >>> new_stream(cpu).device
        Device(cpu, 0)
    """
    return _new_stream("new_stream", Stream, device)


def new_thread_unsafe_stream(device: Device | DeviceType) -> Stream:
    """Another stream on a device; every stream may be used from all threads."""
    return _new_stream("new_thread_unsafe_stream", Stream, device)


def new_thread_local_stream(device: Device | DeviceType) -> Stream:
    """Another stream on a device, for use by several threads."""
    return _new_stream("new_thread_local_stream", ThreadLocalStream, device)


def set_default_stream(stream: Stream) -> None:
    """Make a stream the one that operations of this thread belong to."""
    if not isinstance(stream, Stream):
        raise TypeError(f"[set_default_stream] Expected a Stream, but got {stream!r}.")
    _state.stream = stream


def clear_streams() -> None:
    """Forget the streams of this thread; the default stream is the first again."""
    _state.stream = _make_stream(Stream, 0)


class StreamContext:
    """Puts a stream or device in force between `__enter__` and `__exit__`; `stream` makes one.

    Errors: TypeError for what is neither, ValueError for a GPU.

    Example:
        >>> with StreamContext(cpu):
        ...     default_device()
        Device(cpu, 0)
    """

    __slots__ = ("_chosen", "_previous")

    def __init__(self, s: StreamOrDevice) -> None:
        if not isinstance(s, Stream):
            _require_cpu("stream", s)
        self._chosen = s
        self._previous = (_state.device, _state.stream)

    def __enter__(self) -> None:
        self._previous = (_state.device, _state.stream)
        if isinstance(self._chosen, Stream):
            _state.stream, _state.device = self._chosen, self._chosen.device
        else:
            set_default_device(self._chosen)

    def __exit__(self, *_: object) -> None:
        _state.device, _state.stream = self._previous


def stream(s: StreamOrDevice) -> StreamContext:
    """A context in which operations belong to a stream or device.

    Example:
        >>> with stream(cpu):
        ...     default_device()
        Device(cpu, 0)
    """
    return StreamContext(s)


def synchronize(stream: StreamOrDevice | None = None) -> None:
    """Wait for the work of a stream: it is done, because evaluation returns only then."""
    require_stream("synchronize", stream)
