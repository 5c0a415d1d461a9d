"""The library on PyTorch's tensors, and against PyTorch. Needs torch (the group `peers`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pto_wsp import TypeCheckError, kernels

torch = pytest.importorskip("torch", reason="torch is not installed")
functional = torch.nn.functional

# Both round: twice the error of one.
TOLERANCE = {
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
    torch.float32: 8e-6,
    torch.float64: 2e-13,
}


def assert_close(got: Any, expected: Any) -> None:
    assert got.dtype == expected.dtype and got.shape == expected.shape
    scale = float(expected.abs().max())
    assert float((got - expected).abs().max()) <= TOLERANCE[got.dtype] * scale


def draw(*shape: int, dtype: Any = torch.float32) -> Any:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_attention_is_that_of_torch(dtype: Any) -> None:
    q, k, v = (draw(2, 4, rows, 64, dtype=dtype) for rows in (33, 40, 41))
    v = v[:, :, :40]
    keep = draw(33, 40) < 0.5
    keep[:, 0] = True
    choices: list[dict[str, Any]] = [{}]
    if dtype is torch.float32:
        bias = draw(4, 33, 40)
        choices += [{"is_causal": True}, {"attn_mask": keep}, {"attn_mask": bias}, {"scale": 0.3}]
    for options in choices:
        expected = functional.scaled_dot_product_attention(q, k, v, **options)
        assert_close(kernels.attention(q, k, v, **options), expected)


@pytest.mark.parametrize("shape", [(5, 7, 16), (7, 16), (1, 2, 1, 64), (2, 2, 100, 3)])
def test_shapes_of_torch(shape: tuple[int, ...]) -> None:
    q, k, v = (draw(*shape) + i for i in range(3))
    expected = functional.scaled_dot_product_attention(q, k, v)
    assert_close(kernels.attention(q, k, v), expected)


@pytest.mark.parametrize("queries", [1, 20])
def test_grouped_heads_of_torch(queries: int) -> None:
    q, k = draw(2, 8, queries, 32), draw(2, 2, 20, 32)
    expected = functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)
    assert_close(kernels.attention(q, k, k, enable_gqa=True), expected)


def test_a_row_without_keys_is_that_of_torch() -> None:
    q = draw(1, 1, 6, 16)
    keep = torch.ones(6, 6, dtype=torch.bool)
    keep[3] = False
    expected = functional.scaled_dot_product_attention(q, q, q, attn_mask=keep)
    assert_close(kernels.attention(q, q, q, attn_mask=keep), expected)


def test_tensors_are_used_in_place() -> None:
    x = draw(4, 6, 8)
    out = torch.empty(8, 6, 4)
    got = kernels.softmax(x, out=out.permute(2, 1, 0))
    assert got.data_ptr() == out.data_ptr()
    assert_close(out.permute(2, 1, 0), torch.softmax(x, -1))


def test_other_functions_are_those_of_torch() -> None:
    x, up, gamma, beta = draw(3, 5, 40), draw(3, 5, 40) + 1, draw(40), draw(40) + 1
    assert_close(
        kernels.layernorm(x, gamma, beta), functional.layer_norm(x, (40,), gamma, beta, 1e-5)
    )
    assert_close(kernels.rmsnorm(x, gamma), functional.rms_norm(x, (40,), gamma, 1e-6))
    assert_close(kernels.swiglu(x, up), functional.silu(x) * up)
    weight = draw(40, 24)
    assert_close(kernels.matmul(x, weight, bias=beta[:24]), x @ weight + beta[:24])
    assert_close(kernels.matmul(x, weight, activation="gelu"), functional.gelu(x @ weight))
    small = torch.randint(-128, 127, (5, 40), dtype=torch.int8)
    assert torch.equal(kernels.matmul(small, small.T), small.int() @ small.T.int())


def test_the_result_is_of_the_kind_of_the_first_argument() -> None:
    q = draw(4, 8)
    array = q.numpy()
    assert isinstance(kernels.attention(array, q, q), np.ndarray)
    assert isinstance(kernels.attention(q, array, array), torch.Tensor)


def test_tensors_with_gradients_are_refused(fails: Any) -> None:
    x = draw(3, 4).requires_grad_()
    with pytest.raises(TypeCheckError, match="softmax: 'x' does not share its memory: ") as caught:
        kernels.softmax(x)
    assert caught.value.hint == ("no gradients are kept here: pass a detached tensor in CPU memory")
