"""`mlx.core.fast` by another name: common parts of neural networks, each one operation."""

from tarry.ops.fast import (
    cross_entropy,
    cuda_kernel,
    gated_delta_update,
    layer_norm,
    metal_kernel,
    precompiled_cuda_kernel,
    rms_norm,
    rope,
    scaled_dot_product_attention,
)

__all__ = [
    "cross_entropy", "cuda_kernel", "gated_delta_update", "layer_norm", "metal_kernel",
    "precompiled_cuda_kernel", "rms_norm", "rope", "scaled_dot_product_attention",
]  # fmt: skip
