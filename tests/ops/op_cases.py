"""The op table: one row per public op. Adding an op means adding its row to one of the parts.

    binary("logaddexp", np.logaddexp, integers="float", ulps=4)

The rows drive `test_forward`, `test_gradients`, `test_vmap`, `test_side_by_side` and `test_completeness`.
"""

from __future__ import annotations

from .op_case import OpCase
from .op_cases_convolutions import CONVOLUTION_CASES
from .op_cases_elementwise import ELEMENTWISE_CASES
from .op_cases_fast import FAST_CASES
from .op_cases_forms import FORM_CASES
from .op_cases_fourier import FOURIER_CASES
from .op_cases_linalg import LINALG_CASES
from .op_cases_matrices import MATRIX_CASES
from .op_cases_ordering import ORDERING_CASES
from .op_cases_products import PRODUCT_CASES
from .op_cases_quantized import QUANTIZED_CASES
from .op_cases_ranks import RANK_CASES
from .op_cases_reductions import REDUCTION_CASES
from .op_cases_shapes import SHAPE_CASES
from .op_cases_statistics import STATISTICS_CASES

OP_CASES: list[OpCase] = [
    *ELEMENTWISE_CASES,
    *SHAPE_CASES,
    *REDUCTION_CASES,
    *PRODUCT_CASES,
    *QUANTIZED_CASES,
    *ORDERING_CASES,
    *LINALG_CASES,
    *FAST_CASES,
    *STATISTICS_CASES,
    *CONVOLUTION_CASES,
    *FORM_CASES,
    *FOURIER_CASES,
    *MATRIX_CASES,
    *RANK_CASES,
]
CASES_BY_NAME = {case.name: case for case in OP_CASES}

assert len(CASES_BY_NAME) == len(OP_CASES), "two rows of the op table have the same name"
