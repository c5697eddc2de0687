"""Bad uses of the members of public classes: (expression, exception, what the message says).

`MEMBERS` has the rows of each method, operator and property, by `class.member`; `class` alone stands for
making an object and for attributes it does not have. The variables are those of `error_calls.variables`;
`op` is the module `operator`. A text in brackets is what the message begins with, others are anywhere in it.
"""

from __future__ import annotations

from error_calls import Row

# operator: (symbol, the function that complains, operands that are good for it)
ARITHMETIC = {
    "add": ("+", "add", "x"), "sub": ("-", "subtract", "x"), "mul": ("*", "multiply", "x"),
    "truediv": ("/", "divide", "x"), "floordiv": ("//", "floor_divide", "x"), "mod": ("%", "remainder", "x"),
    "pow": ("**", "power", "x"), "matmul": ("@", "matmul", "x"),
}  # fmt: skip
BITS = {
    "and": ("&", "bitwise_and", "i"), "or": ("|", "bitwise_or", "i"), "xor": ("^", "bitwise_xor", "i"),
    "lshift": ("<<", "left_shift", "i"), "rshift": (">>", "right_shift", "i"),
}  # fmt: skip
ORDER = {
    "lt": ("<", "less"), "le": ("<=", "less_equal"), "gt": (">", "greater"), "ge": (">=", "greater_equal"),
}  # fmt: skip
NO_OPERANDS = ["object()", "'text'", "[1.0]", "{}", "len", "mx.float32"]
NO_NUMBERS = ["np.array('text')", "np.array([object()])"]


def two_sided(name: str, symbol: str, function: str, good: str, bits: bool) -> dict[str, list[Row]]:
    """The rows of a binary operator, its reflected and its in-place form."""
    call = f"op.{name}_" if name in ("and", "or") else f"op.{name}"
    head = f"[{function}]"
    error = TypeError if name == "matmul" else ValueError
    reflected_error, reflected = (TypeError, "unsupported operand") if bits else (error, head)
    wrong = NO_OPERANDS + NO_NUMBERS
    forward: list[Row] = [(f"{call}({good}, {bad})", error, head) for bad in wrong]
    backward: list[Row] = [
        (f"{call}({bad}, {good})", reflected_error, reflected)
        for bad in NO_OPERANDS
        if (name, bad) != ("mod", "'text'")  # puts the array into the text
    ]
    inplace: list[Row] = [(f"op.i{name}({good} + 0, {bad})", error, head) for bad in wrong]
    forward += [(f"{call}({good}, a7)", ValueError, head)]
    inplace += [(f"op.i{name}({good} + 0, a7)", ValueError, head)]
    forward += [(f"{call}({good}, None)", TypeError, f"unsupported operand type(s) for {symbol}")]
    forward += [(f"{good}.__{name}__()", TypeError, "argument"), (f"{good}.__{name}__(1, 2)", TypeError, "")]
    backward += [(f"{call}(None, {good})", TypeError, f"unsupported operand type(s) for {symbol}")]
    inplace += [(f"op.i{name}({good} + 0, None)", TypeError, f"[{symbol}=]")]
    if bits:
        forward += [(f"{call}({bad})", ValueError, head) for bad in ("x, 1", "xc, i", "i, x", "i, 1.5")]
        inplace += [(f"op.i{name}({bad})", ValueError, head) for bad in ("x + 0, i", "i + 0, 1.5")]
    return {f"array.__{name}__": forward, f"array.__r{name}__": backward, f"array.__i{name}__": inplace}


def operator_rows() -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for name, (symbol, function, good) in ARITHMETIC.items():
        rows |= two_sided(name, symbol, function, good, False)
    for name, (symbol, function, good) in BITS.items():
        rows |= two_sided(name, symbol, function, good, True)
    for name, (symbol, function) in ORDER.items():
        rows[f"array.__{name}__"] = [
            (f"op.{name}(x, {bad})", ValueError, f"[{function}]")
            for bad in [*NO_OPERANDS, *NO_NUMBERS, "a7"]
        ] + [(f"op.{name}(x, None)", TypeError, f"'{symbol}' not supported")]
    rows["array.__matmul__"] += [("s @ x", ValueError, "[matmul]"), ("x @ x", ValueError, "[matmul]")]
    rows["array.__itruediv__"] += [("op.itruediv(i + 0, 2)", ValueError, "[divide]")]
    return rows


UPDATES = "add subtract multiply divide maximum minimum"


def update_rows(name: str) -> list[Row]:
    """The rows of `a.at[...].add` and the like."""
    values: list[Row] = [
        ("object()", ValueError, "object"), ("'text'", ValueError, "str"),
        ("np.array('text')", ValueError, "U4"),
        ("None", TypeError, "None"), ("a7", ValueError, "(7,)"), ("", TypeError, "argument"),
        ("1, 2", TypeError, "argument"), ("1, stream=mx.cpu", TypeError, "argument"),
        ("{}", ValueError, "dict"),
    ]  # fmt: skip
    rows: list[Row] = [(f"x.at[0].{name}({bad})", exception, text) for bad, exception, text in values]
    return rows + [
        (f"x.at.{name}(1)", ValueError, "[at]"), (f"x.at['text'].{name}(1)", ValueError, "[index]"),
        (f"x.at[1.5].{name}(1)", ValueError, "[index]"), (f"x.at[0, 0, 0].{name}(1)", ValueError, "[index]"),
        (f"x.at[99].{name}(1)", IndexError, "[index]"), (f"x.at[::0].{name}(1)", ValueError, "[index]"),
    ]  # fmt: skip


def read_only(expression: str, attribute: str, text: str = "") -> list[Row]:
    """An attribute that can be neither set nor deleted."""
    return [
        (f"setattr({expression}, '{attribute}', 5)", AttributeError, text or attribute),
        (f"delattr({expression}, '{attribute}')", AttributeError, text or attribute),
    ]


INDICES: list[Row] = [
    ("1.5", ValueError, "[index]"), ("'text'", ValueError, "[index]"), ("object()", ValueError, "[index]"),
    ("{}", ValueError, "[index]"), ("1j", ValueError, "[index]"), ("0, 0, 0", ValueError, "[index]"),
    ("0, 'text'", ValueError, "[index]"), ("x", ValueError, "[index]"), ("..., ...", ValueError, "[index]"),
    ("99", IndexError, "[index] Index 99"), ("-99", IndexError, "[index] Index -99"),
    ("2**70", IndexError, "[index]"), ("2**31", IndexError, "[index]"), ("['text']", ValueError, "[array]"),
    ("mx.array([True] * 7)", ValueError, "[index]"), ("b, 0", ValueError, "[index]"),
    ("slice(None, None, 0)", ValueError, "[index]"), ("slice(0.5, None)", ValueError, "[index]"),
    ("slice('a', None)", ValueError, "[index]"), ("slice(None, None, 't')", ValueError, "[index]"),
    ("(mx.array([0, 1]), mx.array([0, 1, 2]))", ValueError, "[index]"),
    ("np.array([1.5])", ValueError, "[index]"), ("np.array(['t'])", RuntimeError, "[index]"),
]  # fmt: skip
ASSIGNED: list[Row] = [
    ("object()", ValueError, "object"), ("'text'", ValueError, "str"), ("None", TypeError, "None"),
    ("a7", ValueError, "(7,)"), ("{}", ValueError, "dict"), ("[[1.0, 2.0], [3.0]]", ValueError, "[index]"),
    ("np.array('text')", ValueError, "U4"), ("mx.float32", ValueError, "Dtype"),
]  # fmt: skip

MEMBERS: dict[str, list[Row]] = {
    **operator_rows(),
    **{f"ArrayAt.{name}": update_rows(name) for name in UPDATES.split()},
    "array": [
        ("mx.array()", TypeError, "argument"), ("mx.array(None)", TypeError, "None"),
        ("mx.array(object())", ValueError, "[array]"), ("mx.array('text')", ValueError, "[array]"),
        ("mx.array({})", ValueError, "[array]"), ("mx.array([1, [2]])", ValueError, "[array]"),
        ("mx.array([1, 't'])", ValueError, "[array]"), ("mx.array([None])", ValueError, "[array]"),
        ("mx.array([2**70])", RuntimeError, "[array]"), ("mx.array(1, 5)", TypeError, "[array]"),
        ("mx.array(1, dtype=np.float32)", TypeError, "[array]"), ("mx.array(1, mx.int32, 3)", TypeError, ""),
        ("mx.array(np.array(['t']))", RuntimeError, "[array]"), ("mx.array([x, a7])", ValueError, "[array]"),
        ("mx.array(1, nonsense=3)", TypeError, "nonsense"), ("x.nonsense", AttributeError, "nonsense"),
        ("setattr(x, 'nonsense', 1)", AttributeError, "nonsense"), ("x()", TypeError, "not callable"),
        ("op.delitem(x, 0)", AttributeError, "__delitem__"), ("divmod(x, 2)", TypeError, "unsupported"),
        ("round(x, 2)", TypeError, "__round__"), ("pow(x, 2, 3)", TypeError, "argument"),
        ("None in x", TypeError, "[==]"),
    ],
    "array.__eq__": [("op.eq(x, None)", TypeError, "[==]"), ("op.eq(x, a7)", ValueError, "[equal]")],
    "array.__ne__": [("op.ne(x, None)", TypeError, "[!=]"), ("op.ne(x, a7)", ValueError, "[not_equal]")],
    "array.__neg__": [("op.neg(xb)", ValueError, "[negative]"), ("x.__neg__(1)", TypeError, "argument")],
    "array.__pos__": [("x.__pos__(1)", TypeError, "argument")],
    "array.__abs__": [("x.__abs__(1)", TypeError, "argument")],
    "array.__invert__": [
        ("op.invert(x)", ValueError, "[bitwise_invert]"), ("op.invert(xc)", ValueError, "[bitwise_invert]"),
    ],
    "array.__getitem__": [
        *[(f"x[{index}]", exception, text) for index, exception, text in INDICES],
        ("s[0]", ValueError, "[index]"), ("s[0:1]", ValueError, "[index]"),
        ("x.__getitem__()", TypeError, ""),
    ],
    "array.__setitem__": [
        *[(f"op.setitem(x + 0, ({index}), 1.0)", exception, text) for index, exception, text in INDICES],
        *[
            (f"op.setitem(x + 0, {index}, {value})", exception, text)
            for index in ("0", "slice(None)", "z1")
            for value, exception, text in ASSIGNED
        ],
        ("x.__setitem__(0)", TypeError, "argument"),
    ],
    "array.__len__": [("len(s)", TypeError, "[len]"), ("reversed(s)", TypeError, "[len]")],
    "array.__iter__": [("iter(s)", TypeError, "[iter]"), ("list(s)", TypeError, "[iter]")],
    "array.item": [
        ("x.item()", ValueError, "[convert]"), ("e.item()", ValueError, "[convert]"),
        ("x.item(0)", TypeError, "argument"),
    ],
    "array.tolist": [("x.tolist(1)", TypeError, "argument")],
    "array.__bool__": [("bool(x)", ValueError, "[convert]")],
    "array.__int__": [("int(x)", ValueError, "[convert]"), ("int(xc[0, 0])", TypeError, "[int]")],
    "array.__float__": [("float(x)", ValueError, "[convert]"), ("float(xc[0, 0])", TypeError, "[float]")],
    "array.__complex__": [("complex(x)", ValueError, "[convert]")],
    "array.__index__": [
        ("op.index(x)", TypeError, "[index]"), ("op.index(s)", TypeError, "[index]"),
        ("op.index(vb[0])", TypeError, "[index]"), ("[1, 2][i]", TypeError, "[index]"),
    ],
    "array.__format__": [
        ("format(x, 'd')", TypeError, "[format]"), ("format(s, 'd')", ValueError, "Unknown format code"),
        ("format(s, 5)", TypeError, "must be str"),
    ],
    "array.__repr__": [("x.__repr__(1)", TypeError, "argument")],
    "array.__hash__": [("x.__hash__(1)", TypeError, "argument")],
    "array.__bytes__": [("x.__bytes__(1)", TypeError, "argument")],
    "array.__buffer__": [("x.__buffer__()", TypeError, "argument")],
    "array.__copy__": [("x.__copy__(1)", TypeError, "argument")],
    "array.__deepcopy__": [("x.__deepcopy__()", TypeError, "argument")],
    "array.__getstate__": [("x.__getstate__(1)", TypeError, "argument")],
    "array.__setstate__": [
        (f"x.__setstate__({state})", TypeError, "[array]")
        for state in (
            "5", "None", "()", "(1, 2)", "(np.ones(3), 99)", "(np.ones(3), 5.5)", "(np.ones(3), -1)",
            "(np.array(['t']), 10)", "(np.ones(3, np.int8), 12)",
        )
    ],
    "array.__array__": [
        ("x.__array__('nonsense')", TypeError, "nonsense"), ("x.__array__(5)", TypeError, "5"),
        ("np.array(x, dtype='nonsense')", TypeError, "nonsense"),
    ],
    "array.__dlpack__": [
        ("x.__dlpack__(5)", TypeError, "argument"), ("x.__dlpack__(copy=5)", TypeError, "[dlpack]"),
        ("x.__dlpack__(dl_device=5)", TypeError, "tuple"),
        ("x.__dlpack__(nonsense=1)", TypeError, "nonsense"),
        ("x.__dlpack__(dl_device=(2, 0))", BufferError, "device"),
        ("x.__dlpack__(max_version=5)", TypeError, "max_version"),
        ("x.astype(mx.bfloat16).__dlpack__()", BufferError, "[dlpack]"),
    ],
    "array.__dlpack_device__": [("x.__dlpack_device__(1)", TypeError, "argument")],
    "array.__array_namespace__": [
        ("x.__array_namespace__('1')", ValueError, "[array]"),
        ("x.__array_namespace__(5)", TypeError, "[array]"),
    ],
    "array.reshape": [
        ("x.reshape()", ValueError, "[reshape]"), ("x.reshape('text')", RuntimeError, "[reshape]"),
        ("x.reshape(1.5)", RuntimeError, "[reshape]"), ("x.reshape(4)", ValueError, "[reshape]"),
        ("x.reshape((4,))", ValueError, "[reshape]"), ("x.reshape(-1, -1)", ValueError, "[reshape]"),
        ("x.reshape(-5, 2)", ValueError, "[reshape]"), ("x.reshape(None)", RuntimeError, "[reshape]"),
        ("x.reshape(object())", RuntimeError, "[reshape]"), ("x.reshape((0.5,))", RuntimeError, "[reshape]"),
        ("x.reshape(2**70)", RuntimeError, "[reshape]"), ("x.reshape({3: 1})", RuntimeError, "[reshape]"),
        ("x.reshape(np.array([3.0, 2.0]))", RuntimeError, "[reshape]"),
        ("x.reshape((3, 2), 1)", RuntimeError, "[reshape]"), ("x.reshape(shape=(3, 2))", TypeError, "shape"),
    ],
    "array.transpose": [
        ("x.transpose(0.5)", RuntimeError, "[transpose]"), ("x.transpose(0)", ValueError, "[transpose]"),
        ("x.transpose(0, 0)", ValueError, "[transpose]"), ("x.transpose(0, 99)", IndexError, "[transpose]"),
        ("x.transpose('text')", RuntimeError, "[transpose]"),
        ("x.transpose(None)", RuntimeError, "[transpose]"),
        ("x.transpose(object())", RuntimeError, "[transpose]"),
        ("x.transpose((0, 99))", IndexError, "[transpose]"), ("x.transpose(axes=(1, 0))", TypeError, "axes"),
        ("x.transpose(2**70, 0)", RuntimeError, "[transpose]"),
        ("x.transpose((1, 0), 1)", RuntimeError, "[transpose]"),
    ],
    "array.squeeze": [
        ("x.squeeze(0)", ValueError, "[squeeze]"), ("x.squeeze(99)", IndexError, "[squeeze]"),
        ("x.squeeze('text')", TypeError, "[squeeze]"), ("x.squeeze(1.5)", TypeError, "[squeeze]"),
        ("x1.squeeze((0, 0))", ValueError, "[squeeze]"), ("x.squeeze(0, 1)", TypeError, "argument"),
    ],
    "array.diag": [
        ("v.diag('text')", TypeError, "[diag]"), ("v.diag(1.5)", TypeError, "[diag]"),
        ("v.diag(2**40)", TypeError, "[diag]"), ("s.diag()", ValueError, "[diag]"),
        ("R4.diag()", ValueError, "[diag]"),
    ],
    "array.to_device": [
        ("x.to_device('cpu')", TypeError, "[to_device]"), ("x.to_device(5)", TypeError, "[to_device]"),
        ("x.to_device(None)", TypeError, "[to_device]"), ("x.to_device(mx.gpu)", ValueError, "[to_device]"),
        ("x.to_device()", TypeError, "argument"),
    ],
    "array.at": [
        *read_only("x", "at"), ("x.at()", TypeError, "not callable"),
        ("setattr(x.at, 'nonsense', 1)", AttributeError, "nonsense"),
    ],
    "array.mT": [("v.mT", ValueError, "[mT]"), ("s.mT", ValueError, "[mT]"), *read_only("x", "mT")],
    **{
        f"array.{name}": read_only("x", name)
        for name in ("T", "shape", "dtype", "ndim", "size", "itemsize", "nbytes", "real", "imag", "device")
    },
    "ArrayAt": [
        ("mx.ArrayAt()", TypeError, "[ArrayAt]"), ("mx.ArrayAt(x)", TypeError, "[ArrayAt]"),
        ("mx.ArrayAt(5)", TypeError, "[ArrayAt]"),
    ],
    "ArrayAt.__getitem__": [("x.at.__getitem__()", TypeError, "argument")],
    "Device": [
        ("mx.Device()", TypeError, "argument"), ("mx.Device(5)", TypeError, "[Device]"),
        ("mx.Device('cpu')", TypeError, "[Device]"), ("mx.Device(None)", TypeError, "[Device]"),
        ("mx.Device(mx.cpu, '0')", TypeError, "[Device]"), ("mx.Device(mx.cpu, 1.5)", TypeError, "[Device]"),
        ("mx.Device(mx.cpu, 2**40)", TypeError, "[Device]"), ("mx.Device(mx.cpu, 0, 0)", TypeError, ""),
        ("setattr(mx.Device(mx.cpu), 'nonsense', 1)", AttributeError, "nonsense"),
        ("mx.Device(mx.cpu) < mx.Device(mx.cpu)", TypeError, "not supported"),
    ],
    "Device.type": read_only("mx.Device(mx.cpu)", "type"),
    "DeviceType": [
        ("mx.DeviceType()", TypeError, "argument"), ("mx.DeviceType(5)", ValueError, "DeviceType"),
        ("mx.DeviceType('cpu')", ValueError, "DeviceType"), ("mx.DeviceType['x']", KeyError, "x"),
        ("mx.cpu < mx.gpu", TypeError, "not supported"),
    ],
    "Stream": [
        ("mx.Stream()", TypeError, "[Stream]"), ("mx.Stream(mx.cpu)", TypeError, "[Stream]"),
        ("mx.Stream(0, mx.Device(mx.cpu))", TypeError, "[Stream]"), ("st < 5", TypeError, "not supported"),
        ("setattr(st, 'nonsense', 5)", AttributeError, "nonsense"),
    ],
    "Stream.device": read_only("st", "device"),
    "ThreadLocalStream": [
        ("mx.ThreadLocalStream()", TypeError, "[ThreadLocalStream]"),
        ("mx.ThreadLocalStream(mx.cpu)", TypeError, "[ThreadLocalStream]"),
    ],
    "ThreadLocalStream.device": read_only("mx.new_thread_local_stream(mx.cpu)", "device"),
    "StreamContext": [
        ("mx.StreamContext()", TypeError, "argument"), ("mx.StreamContext(5)", TypeError, "[stream]"),
        ("mx.StreamContext('cpu')", TypeError, "[stream]"), ("mx.StreamContext(None)", TypeError, "[stream]"),
        ("mx.StreamContext(mx.gpu)", ValueError, "[stream]"), ("mx.StreamContext(mx.cpu, 1)", TypeError, ""),
    ],
    "StreamContext.__enter__": [("mx.StreamContext(mx.cpu).__enter__(1)", TypeError, "argument")],
    "Dtype": [
        ("mx.Dtype()", TypeError, "[Dtype]"), ("mx.Dtype('float32')", TypeError, "[Dtype]"),
        ("mx.Dtype('float32', 1, 2, 3, 4)", TypeError, "[Dtype]"), ("mx.float32(5)", TypeError, "callable"),
        ("mx.float32 < mx.int32", TypeError, "not supported"), ("len(mx.float32)", TypeError, "len"),
        ("setattr(mx.float32, 'nonsense', 5)", AttributeError, "[Dtype]"),
    ],
    "Dtype.size": read_only("mx.float32", "size", "[Dtype]"),
    **{
        f"Dtype.{name}": read_only("mx.float32", name, "[Dtype]")
        for name in ("name", "kind", "code", "category")
    },
    "DtypeCategory": [
        ("mx.DtypeCategory()", TypeError, "[DtypeCategory]"), ("mx.floating()", TypeError, "not callable"),
        ("mx.DtypeCategory('x', None)", TypeError, "[DtypeCategory]"),
    ],
    **{
        f"DtypeCategory.{name}": read_only("mx.floating", name, "[DtypeCategory]")
        for name in ("name", "parent")
    },
    "finfo": [
        ("mx.finfo()", TypeError, "argument"), ("mx.finfo(5)", TypeError, "[finfo]"),
        ("mx.finfo('float32')", TypeError, "[finfo]"), ("mx.finfo(mx.int32)", ValueError, "[finfo]"),
        ("mx.finfo(None)", TypeError, "[finfo]"), ("mx.finfo(mx.bool_)", ValueError, "[finfo]"),
        ("setattr(mx.finfo(mx.float32), 'nonsense', 1)", AttributeError, "[finfo]"),
    ],
    **{
        f"finfo.{name}": read_only("mx.finfo(mx.float32)", name, "[finfo]")
        for name in ("bits", "dtype", "eps", "max", "min", "smallest_normal")
    },
    "iinfo": [
        ("mx.iinfo()", TypeError, "argument"), ("mx.iinfo(5)", TypeError, "[iinfo]"),
        ("mx.iinfo(mx.float32)", ValueError, "[iinfo]"), ("mx.iinfo(mx.bool_)", ValueError, "[iinfo]"),
    ],
    **{
        f"iinfo.{name}": read_only("mx.iinfo(mx.int32)", name, "[iinfo]")
        for name in ("bits", "dtype", "max", "min")
    },
    "PrintOptions": [
        ("mx.PrintOptions('t')", TypeError, "[printoptions]"),
        ("mx.PrintOptions(1, 2)", TypeError, "argument"),
        ("mx.PrintOptions(1.5)", TypeError, "[printoptions]"), ("mx.PrintOptions(2**40)", TypeError, ""),
        ("setattr(mx.PrintOptions(1), 'nonsense', 3)", AttributeError, "nonsense"),
    ],
    "PrintOptions.precision": read_only("mx.PrintOptions(1)", "precision"),
    "custom_function": [
        ("mx.custom_function()", TypeError, "argument"),
        ("mx.custom_function(5)", TypeError, "[custom_function]"),
        ("mx.custom_function(None)", TypeError, "[custom_function]"),
    ],
    "custom_function.__call__": [
        ("mx.custom_function(f)()", TypeError, "argument"),
        ("mx.custom_function(f)(1, 2)", TypeError, "argument"),
        ("mx.custom_function(lambda a: 'text')(x)", ValueError, "[custom_function]"),
    ],
    **{
        f"custom_function.{name}": [
            (f"mx.custom_function(f).{name}(5)", TypeError, "[custom_function]"),
            (f"mx.custom_function(f).{name}(None)", TypeError, "[custom_function]"),
            (f"mx.custom_function(f).{name}()", TypeError, "argument"),
        ]
        for name in ("vjp", "jvp", "vmap")
    },
}  # fmt: skip
