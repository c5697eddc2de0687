"""Calls of the functions of the array API standard, for every parameter, with the dtypes they should give.

A row is `kinds | call | dtypes`, or `kinds | call ~ the same for NumPy | dtypes` where NumPy lacks a form.
Kinds are those of the arrays in the call: b, i, u, f, c; "-" for none. Dtypes of results: same; real (of
complex numbers), complex (of real ones); sum (at least as wide as the default integer); index (that of
indices); a name; "-" where there is no array.
"""

CALLS = """
- | xp.arange(5) | int32
- | xp.arange(5.0) | float32
- | xp.arange(1, 7, 2) | int32
- | xp.arange(1, stop=7, step=2, dtype=xp.float64, device=cpu) | float64
- | xp.arange(7, 1, -2, dtype=xp.int8) | int8
biufc | xp.asarray(x) | same
- | xp.asarray([[1, 2], [3, 4]]) | int32
- | xp.asarray([1.5, 2.5]) | float32
- | xp.asarray([1.5j]) | complex64
- | xp.asarray(True) | bool
biufc | xp.asarray(x, dtype=xp.float32, device=cpu, copy=True).real ~ x.real.astype(np.float32) | float32
- | xp.empty((2, 3)).shape | -
- | xp.empty((2, 3), dtype=xp.int8, device=cpu).shape | -
biufc | xp.empty_like(x).shape | -
biufc | xp.empty_like(x, dtype=xp.int8, device=cpu).shape | -
- | xp.eye(3) | float32
- | xp.eye(3, 4, k=-1, dtype=xp.int16, device=cpu) | int16
biuf | xp.from_dlpack(x) | same
biuf | xp.from_dlpack(x, device=cpu, copy=True) | same
- | xp.full((2, 3), 7) | int32
- | xp.full(3, 7.5) | float32
- | xp.full((2,), True) | bool
- | xp.full((), 1j) | complex64
- | xp.full(shape=(2,), fill_value=7, dtype=xp.uint8, device=cpu) | uint8
iufc | xp.full_like(x, 7) | same
biufc | xp.full_like(x, fill_value=1, dtype=xp.float64, device=cpu) | float64
- | xp.linspace(0, 1, 5) | float32
- | xp.linspace(0.0, 1.0, num=4, dtype=xp.float64, device=cpu, endpoint=False) | float64
- | xp.linspace(0j, 4 + 2j, 3) | complex64
iufc | xp.meshgrid(w, v) | same
iufc | xp.meshgrid(w, v, indexing="ij") | same
- | xp.ones((2, 3)) | float32
- | xp.ones(4, dtype=xp.uint16, device=cpu) | uint16
biufc | xp.ones_like(x) | same
biufc | xp.ones_like(x, dtype=xp.int64, device=cpu) | int64
biufc | xp.tril(x) | same
biufc | xp.tril(x, k=1) | same
biufc | xp.triu(x) | same
biufc | xp.triu(x, k=-1) | same
- | xp.zeros((2, 3)) | float32
- | xp.zeros(4, dtype=xp.bool, device=cpu) | bool
biufc | xp.zeros_like(x) | same
biufc | xp.zeros_like(x, dtype=xp.int64, device=cpu) | int64

biufc | xp.astype(x, xp.complex64) | complex64
biuf | xp.astype(x, xp.int64, copy=False, device=cpu) | int64
biuf | xp.astype(x, xp.bool, copy=True) | bool
- | xp.can_cast(xp.int8, xp.int16), xp.can_cast(xp.int16, xp.int8), xp.can_cast(xp.zeros(1), xp.float64) | -
- | xp.finfo(xp.float32).bits, xp.finfo(xp.float64).eps | -
- | xp.finfo(xp.zeros(1, dtype=xp.float64)).max ~ np.finfo(np.float64).max | -
- | xp.finfo(xp.complex64).min, xp.finfo(xp.float32).smallest_normal | -
- | xp.iinfo(xp.int8).bits, xp.iinfo(xp.uint64).max | -
- | xp.iinfo(xp.zeros(1, dtype=xp.int16)).min ~ np.iinfo(np.int16).min | -
- | xp.isdtype(xp.int8, "integral"), xp.isdtype(xp.bool, ("numeric", xp.bool)) | -
- | xp.isdtype(xp.bool, "numeric"), xp.isdtype(xp.int8, xp.int8) | -
- | xp.isdtype(dtype=xp.float32, kind="real floating"), xp.isdtype(xp.complex64, "complex floating") | -
- | xp.zeros(1, dtype=xp.result_type(xp.int8, xp.uint8)) | int16
iufc | xp.zeros(1, dtype=xp.result_type(x, 1, True)) | same
fc | xp.zeros(1, dtype=xp.result_type(1.5, x)) | same

biufc | xp.take(x, i, axis=1) | same
biufc | xp.take(w, i) | same
biufc | xp.take_along_axis(x, xp.stack([i, i]), axis=1) | same
biufc | xp.take_along_axis(w, i) | same
- | xp.__array_namespace_info__().capabilities()["boolean indexing"] | -

iufc | xp.matmul(x, xp.matrix_transpose(x)) | same
iufc | xp.matmul(m, v), xp.matmul(v, m), xp.matmul(v, v), xp.matmul(m, m) | same
iufc | xp.matrix_transpose(m) | same
iufc | xp.tensordot(x, y) | same
iufc | xp.tensordot(m, v, axes=1) | same
iufc | xp.tensordot(x, m, axes=((1, 0), (2, 0))) | same
iufc | xp.vecdot(x, y) | same
iufc | xp.vecdot(x, y, axis=0) | same

biufc | xp.broadcast_arrays(x, v) | same
biufc | xp.broadcast_to(v, (2, 3)) | same
biufc | xp.broadcast_to(v, shape=(4, 1, 3)) | same
biufc | xp.concat([x, y]) | same
biufc | xp.concat((x, y), axis=-1) | same
biufc | xp.concat((x, w), axis=None) | same
biufc | xp.expand_dims(x) ~ np.expand_dims(x, axis=0) | same
biufc | xp.expand_dims(x, axis=-1) | same
biufc | xp.flip(x) | same
biufc | xp.flip(x, axis=1) | same
biufc | xp.flip(m, axis=(0, -1)) | same
biufc | xp.moveaxis(m, 0, -1) | same
biufc | xp.moveaxis(m, (0, 1), (-1, 0)) | same
biufc | xp.permute_dims(m, (2, 0, 1)) | same
biufc | xp.permute_dims(m, axes=(1, 2, 0)) | same
biufc | xp.repeat(x, 2) | same
biufc | xp.repeat(x, 2, axis=0) | same
biufc | xp.repeat(x, xp.asarray([2, 0, 1]), axis=1) | same
biufc | xp.repeat(z, 3) | same
biufc | xp.reshape(x, (3, 2)) | same
biufc | xp.reshape(x, shape=(-1,), copy=True) | same
biufc | xp.reshape(x, (1, 6), copy=False) | same
biufc | xp.roll(x, 2) | same
biufc | xp.roll(x, shift=(1, -1), axis=(0, 1)) | same
biufc | xp.squeeze(xp.reshape(x, (1, 6, 1)), 0) | same
biufc | xp.squeeze(xp.reshape(x, (1, 6, 1)), axis=(0, 2)) | same
biufc | xp.stack([x, y]) | same
biufc | xp.stack((x, y), axis=-1) | same
biufc | xp.tile(x, (2, 1, 2)) | same
biufc | xp.unstack(x) | same
biufc | xp.unstack(x, axis=-1) | same

iuf | xp.argmax(x) | index
iuf | xp.argmax(x, axis=1, keepdims=True) | index
iuf | xp.argmin(x) | index
iuf | xp.argmin(x, axis=0, keepdims=True) | index
biufc | xp.count_nonzero(x) | index
biufc | xp.count_nonzero(x, axis=(0, 1), keepdims=True) | index
biufc | xp.nonzero(x) | index
iuf | xp.searchsorted(xp.sort(w), v) | index
iuf | xp.searchsorted(w, v, side="right", sorter=xp.argsort(w)) | index
biufc | xp.where(k, x, y) | same
iufc | xp.where(k, x, 1) | same
biufc | xp.unique_all(w) | same, index, index, index
biufc | xp.unique_all(x) | same, index, index, index
biufc | xp.unique_counts(w) | same, index
biufc | xp.unique_inverse(x) | same, index
biufc | xp.unique_values(x) ~ np.unique(x) | same
iuf | xp.argsort(x, stable=True) ~ np.argsort(x, stable=True) | index
iuf | xp.argsort(x, axis=0, descending=True) ~ np.argsort(-x.astype(np.float64), axis=0) | index
iuf | xp.argsort(w, axis=-1, descending=True, stable=True) ~ np.argsort(-w.astype(float), stable=True) | index
iuf | xp.sort(x, stable=False) ~ np.sort(x) | same
iuf | xp.sort(x, axis=0, descending=True) ~ np.sort(x, axis=0)[::-1] | same

iufc | xp.cumulative_prod(w) | sum
iufc | xp.cumulative_prod(x, axis=1, dtype=xp.complex64, include_initial=True) | complex64
iufc | xp.cumulative_sum(w) | sum
iufc | xp.cumulative_sum(x, axis=0, dtype=xp.complex64, include_initial=True) | complex64
iuf | xp.cumulative_sum(x, axis=-1, dtype=xp.float64) | float64
iuf | xp.max(x) | same
iuf | xp.max(x, axis=(0, 1), keepdims=True) | same
fc | xp.mean(x) | same
fc | xp.mean(x, axis=1, keepdims=True) | same
iuf | xp.min(x) | same
iuf | xp.min(x, axis=-1, keepdims=True) | same
iufc | xp.prod(w) | sum
iufc | xp.prod(x, axis=0, dtype=xp.complex64, keepdims=True) | complex64
f | xp.std(x) | same
f | xp.std(x, axis=1, correction=1, keepdims=True) | same
f | xp.std(x, correction=0.5) | same
iufc | xp.sum(x) | sum
iufc | xp.sum(x, axis=(0, 1), dtype=xp.complex64, keepdims=True) | complex64
iuf | xp.sum(x, axis=1, dtype=xp.float64) | float64
f | xp.var(x) | same
f | xp.var(x, axis=0, correction=1, keepdims=True) | same
biufc | xp.all(x) | bool
biufc | xp.all(x, axis=1, keepdims=True) | bool
biufc | xp.any(x) | bool
biufc | xp.any(x, axis=(0,), keepdims=True) | bool
iufc | xp.diff(x) | same
iufc | xp.diff(w, n=2) | same
iufc | xp.diff(x, axis=0, n=1, prepend=y, append=y) | same
iuf | xp.clip(x) ~ x | same
iuf | xp.clip(x, 2, 4) | same
iuf | xp.clip(x, min=v) | same
iuf | xp.clip(x, max=2) | same

fc | xp.linalg.cholesky(h) | same
fc | xp.linalg.cholesky(h, upper=True) | same
iufc | xp.linalg.cross(v, x) | same
iufc | xp.linalg.cross(m, m + 1, axis=1) | same
fc | xp.linalg.det(h) | same
biufc | xp.linalg.diagonal(m) | same
biufc | xp.linalg.diagonal(m, offset=-1) | same
fc | xp.linalg.eigh(h)[0] | real
fc | xp.abs(xp.linalg.eigh(h).eigenvectors) | real
fc | xp.linalg.eigvalsh(h) | real
fc | xp.linalg.inv(h) | same
iufc | xp.linalg.matmul(m, m) | same
fc | xp.linalg.matrix_norm(m) | real
fc | xp.linalg.matrix_norm(m, keepdims=True, ord="nuc") | real
fc | xp.linalg.matrix_norm(m, ord=1), xp.linalg.matrix_norm(m, ord=-1), xp.linalg.matrix_norm(m, ord=2) | real
fc | xp.linalg.matrix_norm(m, ord=xp.inf), xp.linalg.matrix_norm(m, ord=-xp.inf) | real
fc | xp.linalg.matrix_norm(m, ord=-2) | real
fc | xp.linalg.matrix_power(h, 3), xp.linalg.matrix_power(h, 0), xp.linalg.matrix_power(h, -1) | same
fc | xp.linalg.matrix_rank(h) | index
fc | xp.linalg.matrix_rank(h, rtol=0.5) | index
fc | xp.linalg.matrix_rank(h, rtol=xp.asarray([0.9, 1e-3])) | index
biufc | xp.linalg.matrix_transpose(m) | same
iufc | xp.linalg.outer(v, w) | same
fc | xp.linalg.pinv(m) | same
fc | xp.linalg.pinv(m, rtol=1e-3) | same
fc | xp.linalg.pinv(h, rtol=xp.asarray([0.4, 1e-3])) | same
fc | xp.abs(xp.linalg.qr(m).R) | real
fc | xp.abs(xp.linalg.qr(m[:, :, :2], mode="complete").R) | real
fc | xp.linalg.qr(m[:, :, :2], mode="complete").Q.shape | -
fc | xp.linalg.slogdet(h).sign, xp.linalg.slogdet(h)[0] | same
fc | xp.linalg.slogdet(h).logabsdet | real
fc | xp.linalg.solve(h, v) | same
fc | xp.linalg.solve(h, m) | same
fc | xp.linalg.svd(m).S | real
fc | [part.shape for part in xp.linalg.svd(x, full_matrices=True)] | -
fc | [part.shape for part in xp.linalg.svd(x, full_matrices=False)] | -
fc | xp.abs(xp.linalg.svd(x, full_matrices=False).Vh) | real
fc | xp.linalg.svdvals(m) | real
iufc | xp.linalg.tensordot(x, y) | same
iufc | xp.linalg.tensordot(m, m, axes=([0], [0])) | same
iufc | xp.linalg.trace(m) | sum
iufc | xp.linalg.trace(m, offset=1, dtype=xp.complex64) | complex64
iufc | xp.linalg.vecdot(x, y) | same
iufc | xp.linalg.vecdot(x, y, axis=0) | same
fc | xp.linalg.vector_norm(x) | real
fc | xp.linalg.vector_norm(m, axis=(0, 2), keepdims=True, ord=1) | real
fc | xp.linalg.vector_norm(x, axis=1, ord=xp.inf), xp.linalg.vector_norm(x, ord=-xp.inf) | real
fc | xp.linalg.vector_norm(x, ord=0), xp.linalg.vector_norm(x, ord=3) | real

c | xp.fft.fft(w) | complex
c | xp.fft.fft(m, n=5, axis=1, norm="ortho") | complex
c | xp.fft.ifft(w) | complex
c | xp.fft.ifft(m, n=2, axis=0, norm="forward") | complex
c | xp.fft.fftn(m) | complex
c | xp.fft.fftn(m, s=(2, 4), axes=(0, 2), norm="ortho") | complex
c | xp.fft.ifftn(m) | complex
c | xp.fft.ifftn(m, s=(2, 4), axes=(0, 2), norm="forward") | complex
f | xp.fft.rfft(w) | complex
f | xp.fft.rfft(m, n=5, axis=1, norm="ortho") | complex
c | xp.fft.irfft(w) | real
c | xp.fft.irfft(m, n=5, axis=1, norm="forward") | real
f | xp.fft.rfftn(m) | complex
f | xp.fft.rfftn(m, s=(3, 4), axes=(0, 2), norm="ortho") | complex
c | xp.fft.irfftn(m) | real
c | xp.fft.irfftn(m, s=(3, 5), axes=(0, 2), norm="forward") | real
c | xp.fft.hfft(w) | real
c | xp.fft.hfft(m, n=5, axis=1, norm="ortho") | real
f | xp.fft.ihfft(w) | complex
f | xp.fft.ihfft(m, n=5, axis=1, norm="forward") | complex
- | xp.fft.fftfreq(7) | float32
- | xp.fft.fftfreq(8, d=0.5, dtype=xp.float64, device=cpu) ~ np.fft.fftfreq(8, d=0.5) | float64
- | xp.fft.rfftfreq(7) | float32
- | xp.fft.rfftfreq(8, d=0.5, dtype=xp.float64, device=cpu) ~ np.fft.rfftfreq(8, d=0.5) | float64
fc | xp.fft.fftshift(m) | same
fc | xp.fft.fftshift(m, axes=1) | same
fc | xp.fft.ifftshift(m) | same
fc | xp.fft.ifftshift(m, axes=(0, 2)) | same
"""
# Indexing, read and written: the index of an array of the shape (2, 3).
INDICES = """
0; -1; 1, 2; ...; None; (); :; 1:; ::-1; :, 1; :, None, 1; ..., 0; 0, ...; None, ..., None; -1, -2:
:1, ::2; 5:; k; i % 2; i % 2, i; k, ; z
"""
