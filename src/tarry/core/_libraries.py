"""What the libraries of this package (nn, optimizers) use besides the public names."""

from tarry.transforms.autodiff import value_and_gradients as value_and_gradients
from tarry.transforms.replay import record_as_one as record_as_one
from tarry.transforms.replay import recorded_once as recorded_once

__all__ = ["record_as_one", "recorded_once", "value_and_gradients"]
