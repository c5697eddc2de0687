"""Layer 4: transforms of functions: derivatives, batches, custom rules, checkpoints."""

from tarry.transforms.autodiff import grad, jvp, value_and_grad, vjp
from tarry.transforms.batching import vmap
from tarry.transforms.custom import checkpoint, custom_function

__all__ = ["checkpoint", "custom_function", "grad", "jvp", "value_and_grad", "vjp", "vmap"]
