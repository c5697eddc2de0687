"""From a loop nest to the text of a module: expand, emit."""

from __future__ import annotations

import sys

from tarry.base.settings import settings
from tarry.codegen.assemble import Module, Target, assembler
from tarry.codegen.cache import entry_key
from tarry.codegen.emit import emit_kernel
from tarry.codegen.expand import expand_kernel
from tarry.loops.ir import Kernel


def kernel_module(kernel: Kernel, identity: str) -> Module:
    """The module of a kernel for this machine; `identity` is its canonical text.

    The first name is the kernel's function, the second, if any, its finish; the number `partial_bytes` says
    what each chunk needs for partial results.
    """
    target = Target.host()
    kernel.name = "kernel_" + entry_key((identity,))[:12]
    code = emit_kernel(expand_kernel(kernel, target), target)
    if settings.debug >= 4:
        print(code.text, file=sys.stderr)
    if settings.debug >= 5:
        print(assembler.assembly_text(code.text, target), file=sys.stderr)
    names = [code.name] if code.finish_name is None else [code.name, code.finish_name]
    return Module(code.text, names, {"partial_bytes": code.partial_bytes})
