"""What rules make of kernels: one code for every spelling, and reasons."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import DType, In, Out, Tile, kernel, pto

F32 = DType.F32
QUERIES, KEYS, DEPTH, BLOCK = 48, 64, 16, 16
Q, K = Tile[QUERIES, DEPTH, F32], Tile[KEYS, DEPTH, F32]


def attention_of(output: Callable[[Any, Any, Any], Any]) -> Any:
    """A kernel `attention` that stores what `output` makes of q, k and v."""

    def attention(q, k, v, o):
        pto.store(o, output(q, k, v))

    attention.__annotations__ = {"q": In[Q], "k": In[K], "v": In[K], "o": Out[Q]}
    return kernel(attention)


def by_softmax(q, k, v):
    scores = pto.matmul(q, k, trans_b=True) * (1 / math.sqrt(DEPTH))
    return pto.matmul(pto.softmax(scores), v)


def step(q, k, v, i, carry):
    """One block of keys."""
    m, total, acc = carry
    keys = pto.load(k, offset=(i * BLOCK, 0), shape=(BLOCK, DEPTH))
    values = pto.load(v, offset=(i * BLOCK, 0), shape=(BLOCK, DEPTH))
    scores = pto.matmul(q, keys, trans_b=True) * (1 / math.sqrt(DEPTH))
    m_new = pto.maximum(m, pto.rowmax(scores))
    p = pto.exp(scores - m_new)
    alpha = pto.exp(m - m_new)
    return m_new, total * alpha + pto.rowsum(p), pto.rowmul(acc, alpha) + pto.matmul(p, values)


def start(low: float) -> tuple[Any, Any, Any]:
    return (
        pto.broadcast(pto.constant(low, F32), (QUERIES, 1)),
        pto.alloc((QUERIES, 1), F32),
        pto.alloc((QUERIES, DEPTH), F32),
    )


def in_a_loop(q, k, v, low=-math.inf):
    body = lambda i, carry: step(q, k, v, i, carry)  # noqa: E731
    _, total, acc = pto.fori_loop(0, KEYS // BLOCK, body, start(low))
    return acc / total


def in_a_line(q, k, v):
    carry = start(-math.inf)
    for i in range(KEYS // BLOCK):
        carry = step(q, k, v, i, carry)
    return carry[2] / carry[1]


def from_a_low_number(q, k, v):
    return in_a_loop(q, k, v, -1e30)


def by_the_reciprocal(q, k, v):
    scores = pto.matmul(q, pto.transpose(k)) * (1 / math.sqrt(DEPTH))
    e = pto.exp(scores - pto.rowmax(scores))
    return pto.matmul(pto.rowmul(e, 1 / pto.rowsum(e)), v)


@pytest.mark.parametrize("spelling", [in_a_loop, in_a_line, from_a_low_number, by_the_reciprocal])
def test_attention_by_hand_is_the_code_of_softmax(
    spelling: Callable[[Any, Any, Any], Any], rng: np.random.Generator
) -> None:
    by_hand = attention_of(spelling).compile()
    assert by_hand.code == attention_of(by_softmax).compile().code
    q, k, v = (
        rng.standard_normal((rows, DEPTH)).astype(np.float32) for rows in (QUERIES, KEYS, KEYS)
    )
    out = np.zeros_like(q)
    by_hand(q, k, v, out)
    scores = q.astype(float) @ k.T / math.sqrt(DEPTH)
    p = np.exp(scores - scores.max(1, keepdims=True))
    np.testing.assert_allclose(out, p @ v / p.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)


def normed(body: Callable[[Any], Any]) -> Any:
    def norm(x, gamma, y):
        pto.store(y, body(x) * gamma)

    norm.__annotations__ = {
        "x": In[Tile[8, 96, F32]],
        "gamma": In[Tile[1, 96, F32]],
        "y": Out[Tile[8, 96, F32]],
    }
    return kernel(norm).compile()


def layernorm_by_hand(x):
    centred = x - pto.rowsum(x) / 96
    return centred / pto.sqrt(pto.rowmean(centred * centred) + 1e-5)


RMS = [
    lambda x: pto.rmsnorm(x, 1e-5),
    lambda x: x * pto.rsqrt(pto.rowmean(x * x) + 1e-5),
    lambda x: pto.rowmul(x, 1 / pto.sqrt(pto.rowsum(x * x) * (1 / 96) + 1e-5)),
]
LAYER = [lambda x: pto.layernorm(x, 1e-5), layernorm_by_hand]


@pytest.mark.parametrize("layer", [False, True])
def test_norms_by_hand_are_the_code_of_the_primitives(
    layer: bool, rng: np.random.Generator
) -> None:
    kernels = [normed(body) for body in (LAYER if layer else RMS)]
    assert len({compiled.code for compiled in kernels}) == 1
    x = rng.standard_normal((8, 96)).astype(np.float32)
    gamma = rng.standard_normal((1, 96)).astype(np.float32)
    y = np.zeros_like(x)
    kernels[0](x, gamma, y)
    wide = x.astype(float)
    wide = wide - wide.mean(1, keepdims=True) if layer else wide
    expected = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-5) * gamma
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.error
def test_eps_is_a_number_of_at_least_zero() -> None:
    with pytest.raises(Exception, match=r"test_rewriting.py:\d+: error: rmsnorm: eps is -1"):
        normed(lambda x: pto.rmsnorm(x, -1.0))


def test_explain_names_rules_at_the_users_lines() -> None:
    reasons = [str(reason) for reason in attention_of(in_a_loop).compile().explain()]
    assert any("online-softmax: applied: fori_loop by rules_online.cpp" in r for r in reasons)
    line = in_a_loop.__code__.co_firstlineno + 2
    assert any(f"test_rewriting.py:{line}: online-softmax" in r for r in reasons)

    def by_scalar(q, k, v):
        return in_a_loop(q, k, v, -5.0)

    reasons = [str(reason) for reason in attention_of(by_scalar).compile().explain()]
    assert any(
        f"test_rewriting.py:{line}: online-softmax: not applied: the maximum does not start" in r
        for r in reasons
    )
