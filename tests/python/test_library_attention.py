"""Attention of arrays against float64."""

from __future__ import annotations

import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from helpers import assert_close, attention_in_float64, band
from pto_wsp import TypeCheckError, kernels

Array = np.ndarray[Any, Any]
F32 = np.float32
DTYPES = {
    "f16": np.dtype(np.float16),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}


def draw(rng: np.random.Generator, *shape: int, dtype: Any = F32) -> Array:
    return rng.standard_normal(shape).astype(dtype)


def draw_qkv(
    rng: np.random.Generator, shape: tuple[int, ...], keys: int | None = None, dtype: Any = F32
) -> tuple[Array, Array, Array]:
    key_shape = (*shape[:-2], shape[-2] if keys is None else keys, shape[-1])
    return (
        draw(rng, *shape, dtype=dtype),
        draw(rng, *key_shape, dtype=dtype),
        draw(rng, *key_shape, dtype=dtype),
    )


@pytest.mark.parametrize("depth", [1, 3, 64, 80, 128, 256])
def test_any_size(rng: np.random.Generator, depth: int) -> None:
    """One piece of code for each head dimension serves all lengths."""
    for length in (1, 3, 17, 33, 100, 512):
        q, k, v = draw_qkv(rng, (2, length, depth))
        assert_close(kernels.attention(q, k, v), attention_in_float64(q, k, v))


@pytest.mark.parametrize("depth", [3, 64])
def test_any_size_causal(rng: np.random.Generator, depth: int) -> None:
    for length in (1, 3, 17, 33, 100, 512):
        q, k, v = draw_qkv(rng, (2, length, depth))
        seen = band(length, length, right=0)
        assert_close(
            kernels.attention(q, k, v, is_causal=True), attention_in_float64(q, k, v, visible=seen)
        )


@pytest.mark.slow
def test_many_keys(rng: np.random.Generator) -> None:
    q, k, v = draw_qkv(rng, (8192, 64))
    got = kernels.attention(q, k, v, is_causal=True)
    for row in (0, 1, 63, 64, 255, 256, 4095, 8191):
        expected = attention_in_float64(q[row : row + 1], k[: row + 1], v[: row + 1])
        assert_close(got[row : row + 1], expected)


@pytest.mark.parametrize("name", DTYPES)
def test_every_option_in_every_type(rng: np.random.Generator, name: str) -> None:
    dtype = DTYPES[name]
    q, k, v = draw_qkv(rng, (2, 3, 33, 64), keys=100, dtype=dtype)
    v = draw(rng, 2, 3, 100, 24, dtype=dtype)
    bias = draw(rng, 3, 33, 100, dtype=dtype)
    slopes = np.array([0.5, 0.25, 0.125], F32)
    got = kernels.attention(
        q,
        k,
        v,
        attn_mask=bias,
        is_causal=True,
        window=(40, 0),
        alibi_slopes=slopes,
        scale=0.2,
        query_start="end",
    )
    distance = np.abs(np.arange(100)[None, :] - (np.arange(33)[:, None] + 67))
    expected = attention_in_float64(
        q,
        k,
        v,
        visible=band(33, 100, left=40, right=0, start=67),
        bias=bias.astype(np.float64) - slopes[:, None, None].astype(np.float64) * distance,
        scale=0.2,
    )
    assert got.dtype == dtype
    assert_close(got, expected)
    assert_close(kernels.attention(q, k, v), attention_in_float64(q, k, v))


@pytest.mark.parametrize("queries", [1, 5, 40])
@pytest.mark.parametrize("start", [0, 3, -2, "end"])
def test_queries_stand_anywhere(rng: np.random.Generator, queries: int, start: Any) -> None:
    q, k, v = draw_qkv(rng, (2, queries, 16), keys=21)
    first = 21 - queries if start == "end" else start
    got = kernels.attention(q, k, v, is_causal=True, query_start=start)
    seen = band(queries, 21, right=0, start=first)
    assert_close(got, attention_in_float64(q, k, v, visible=seen))


@pytest.mark.parametrize("window", [1, 4, (2, 3), (0, 5), (100, 100)])
@pytest.mark.parametrize("queries", [1, 30])
def test_a_window_limits_both_sides(rng: np.random.Generator, queries: int, window: Any) -> None:
    q, k, v = draw_qkv(rng, (2, queries, 16), keys=40)
    left, right = window if isinstance(window, tuple) else (window - 1, window - 1)
    seen = band(queries, 40, left=left, right=right, start=4)
    got = kernels.attention(q, k, v, window=window, query_start=4)
    assert_close(got, attention_in_float64(q, k, v, visible=seen))


@pytest.mark.parametrize("shape", [(33, 40), (1, 40), (33, 1), (2, 1, 33, 40), (1, 3, 1, 40)])
@pytest.mark.parametrize("queries", [1, 33])
def test_masks_broadcast(rng: np.random.Generator, shape: tuple[int, ...], queries: int) -> None:
    q, k, v = draw_qkv(rng, (2, 3, queries, 16), keys=40)
    shape = tuple(queries if extent == 33 else extent for extent in shape)
    keep = rng.random(shape) < 0.6
    keep[..., 0] = False
    got = kernels.attention(q, k, v, attn_mask=keep)
    assert_close(got, attention_in_float64(q, k, v, visible=keep))
    bias = np.where(keep, rng.standard_normal(shape), -np.inf).astype(F32)
    got = kernels.attention(q, k, v, attn_mask=bias)
    assert_close(got, attention_in_float64(q, k, v, visible=keep, bias=np.where(keep, bias, 0)))


def test_a_row_that_sees_nothing_is_zero(rng: np.random.Generator) -> None:
    q, k, v = draw_qkv(rng, (6, 16), keys=9)
    keep = np.ones((6, 9), bool)
    keep[2] = False
    assert not kernels.attention(q, k, v, attn_mask=keep)[2].any()
    assert not kernels.attention(q, k, v, attn_mask=np.where(keep, 0, -np.inf).astype(F32))[2].any()
    late = kernels.attention(q, k, v, window=(1, 1), query_start=7)
    assert not late[3:].any() and late[:3].all()
    assert not kernels.attention(q[:1], k, v, is_causal=True, query_start=-1).any()


def test_what_one_query_does_not_see_may_be_anything(rng: np.random.Generator) -> None:
    q, k, v = draw_qkv(rng, (2, 1, 16), keys=20)
    keep = rng.random((1, 20)) < 0.5
    k[:, ~keep[0]], v[:, ~keep[0]] = np.nan, np.inf
    expected = attention_in_float64(q, k, v, visible=keep)
    assert_close(kernels.attention(q, k, v, attn_mask=keep), expected)
    bias = np.where(keep, 0, -np.inf).astype(F32)
    assert_close(kernels.attention(q, k, v, attn_mask=bias), expected)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("queries", [1, 12])
def test_heads_share_keys(rng: np.random.Generator, heads: int, queries: int) -> None:
    q = draw(rng, 2, 4, queries, 16)
    k, v = draw(rng, 2, heads, 20, 16), draw(rng, 2, heads, 20, 16)
    slopes = np.array([1, 0.5, 0.25, 0.125], F32)
    expected = attention_in_float64(
        q,
        np.repeat(k, 4 // heads, axis=1),
        np.repeat(v, 4 // heads, axis=1),
        visible=band(queries, 20, right=0, start=8),
        bias=-slopes[:, None, None]
        * np.abs(np.arange(20) - (np.arange(queries)[:, None] + 8)).astype(np.float64),
    )
    got = kernels.attention(
        q, k, v, is_causal=True, enable_gqa=True, alibi_slopes=slopes, query_start=8
    )
    assert_close(got, expected)


def test_lengths_are_data_and_what_is_behind_them_is_not_read(rng: np.random.Generator) -> None:
    """Other lengths, batches and sizes need no other code, and padding may hold anything."""
    q, k, v = draw_qkv(rng, (3, 2, 40, 16), keys=50)
    kernels.attention(q, k, v, is_causal=True, lengths=[1, 2, 3])
    kernels.attention(q[:, :, :1], k, v, kv_lengths=[1, 2, 3])
    before = kernels.library_stats().kernels
    for lengths, kv_lengths in (([40, 7, 0], None), ([3, 40, 20], [50, 1, 0])):
        keys_of = kv_lengths or lengths
        for b in range(3):
            q[b, :, lengths[b] :] = np.nan
            k[b, :, keys_of[b] :] = np.nan
            v[b, :, keys_of[b] :] = np.inf
        got = kernels.attention(
            q, k, v, is_causal=True, lengths=lengths, kv_lengths=kv_lengths, query_start="end"
        )
        for b, (rows, keys) in enumerate(zip(lengths, keys_of)):
            part = (q[b, :, :rows], k[b, :, :keys], v[b, :, :keys])
            seen = band(rows, keys, right=0, start=keys - rows)
            assert_close(got[b, :, :rows], attention_in_float64(*part, visible=seen))
            assert not got[b, :, rows:].any()
        q, k, v = draw_qkv(rng, (3, 2, 40, 16), keys=50)
    decoded = kernels.attention(q[:, :, :1], k, v, kv_lengths=np.array([50, 4, 0]))
    for b, keys in enumerate((50, 4, 0)):
        assert_close(decoded[b], attention_in_float64(q[b, :, :1], k[b, :, :keys], v[b, :, :keys]))
    assert kernels.library_stats().kernels == before


@pytest.mark.parametrize("length", [33, 200])
@pytest.mark.parametrize("form", ["causal", "window", "bool", "bias"])
def test_what_is_masked_out_never_counts(rng: np.random.Generator, form: str, length: int) -> None:
    """Key and value j are NaN: rows that do not see j know nothing of it."""
    q, k, v = draw_qkv(rng, (2, length, 16))
    hidden = length - 7
    k[:, hidden], v[:, hidden, ::2], v[:, hidden, 1::2] = np.nan, np.nan, np.inf
    seen = band(length, length, right=0)
    options: dict[str, Any] = {"is_causal": True}
    if form == "window":
        seen = band(length, length, left=3, right=0)
        options = {"is_causal": True, "window": (3, 0)}
    elif form == "bool":
        options = {"attn_mask": seen}
    elif form == "bias":
        options = {"attn_mask": np.where(seen, 0, -np.inf).astype(F32)}
    got = kernels.attention(q, k, v, **options)
    clean = ~seen[:, hidden]
    expected = attention_in_float64(q, np.nan_to_num(k), np.nan_to_num(v), visible=seen)
    assert_close(got[:, clean], expected[:, clean])
    assert np.isnan(got[:, ~clean]).all()


def test_views_of_any_strides(rng: np.random.Generator) -> None:
    base = draw(rng, 2, 50, 3, 32)
    q = base.transpose(0, 2, 1, 3)[:, :, ::-1, :16]
    k = base.transpose(0, 2, 1, 3)[:, :, :, 16:]
    v = base.transpose(0, 2, 1, 3)[..., ::-2]
    expected = attention_in_float64(q, k, v)
    assert_close(kernels.attention(q, k, v), expected)
    out = np.full((2, 50, 3, 16), np.nan, F32)
    assert kernels.attention(q, k, v, out=out.transpose(0, 2, 1, 3)).base is not None
    assert_close(out.transpose(0, 2, 1, 3), expected)


def test_a_result_may_lie_on_its_inputs(rng: np.random.Generator) -> None:
    q, k, v = draw_qkv(rng, (2, 30, 16))
    expected = attention_in_float64(q, k, v)
    kernels.attention(q, k, v, out=v)
    assert_close(v, expected)


@pytest.mark.parametrize(
    ("q", "k"), [((0, 3, 16), (0, 3, 16)), ((2, 0, 16), (2, 3, 16)), ((2, 3, 16), (2, 0, 16))]
)
def test_nothing_to_do(q: tuple[int, ...], k: tuple[int, ...]) -> None:
    got = kernels.attention(np.ones(q, F32), np.ones(k, F32), np.ones(k, F32))
    assert got.shape == q and not got.any()


def test_shapes_that_do_not_fit_are_errors_at_the_users_line(fails: Any) -> None:
    refuses = functools.partial(fails, line=0)
    q = np.ones((2, 4, 8, 16), F32)

    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q[..., :8], q),
        "attention: the last dimensions of q and k differ: 'q' [2, 4, 8, 16], 'k' [2, 4, 8, 8], "
        "'v' [2, 4, 8, 16]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q[:, :, :5]),
        "attention: k and v have different numbers of rows: 'q' [2, 4, 8, 16], "
        "'k' [2, 4, 8, 16], 'v' [2, 4, 5, 16]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q[:, :2], q[:, :2]),
        "attention: leading dimensions do not broadcast: 'q' [2, 4, 8, 16], 'k' [2, 2, 8, 16], "
        "'v' [2, 2, 8, 16]",
        hint="enable_gqa lets each head of k and v serve several of q",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q[:, :3], q[:, :3], enable_gqa=True),
        "attention: the heads of q are no multiple of those of k and v: 'q' [2, 4, 8, 16], "
        "'k' [2, 3, 8, 16], 'v' [2, 3, 8, 16]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, attn_mask=np.ones((8, 7), bool)),
        "attention: 'attn_mask' is [8, 7], which does not broadcast to [2, 4, 8, 8]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, out=np.ones((2, 4, 8), F32)),
        "attention: 'out' is [2, 4, 8], expected [2, 4, 8, 16]",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q[0, 0, 0], q, q),
        "attention: 'q' is [16], expected 2 to 4 dimensions",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, lengths=[3]),
        "attention: 'lengths' has 1 entries, expected 2",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, kv_lengths=[3, 9]),
        "attention: 'kv_lengths' has 9, expected 0...8",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, alibi_slopes=np.ones(3, F32)),
        "attention: 'alibi_slopes' is F32 [3], expected F32 [4]",
    )


def test_types_and_options_that_do_not_fit_are_errors(fails: Any) -> None:
    refuses = functools.partial(fails, line=0)
    q = np.ones((4, 8, 16), F32)

    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q.astype(np.float16), q),
        "attention: 'q' is F32, 'k' is F16, 'v' is F32, expected one type",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q.astype(np.int32), q, q),
        "attention: 'q' is I32, not a float",
        hint="F16, BF16, F32, F64",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, attn_mask=np.ones((8, 8), np.uint8)),
        "attention: 'attn_mask' is U8, expected booleans or floats",
        hint="convert it: attn_mask != 0",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, dropout_p=0.1),
        "attention: dropout_p is 0.1, and there is no dropout",
        hint="dropout_p=0.0 is the only one",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, window=0),
        "attention: 'window' is 0, expected a number of keys >= 1 or a pair (left, right)",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, window=(-1, 0)),
        "attention: the window (-1, 0) must not be negative",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, query_start="first"),
        "attention: 'query_start' is 'first', expected an integer or 'end'",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, lengths=[1.5] * 4),
        "attention: 'lengths' holds integers, got 1.5",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention([[1.0]], q, q),
        "attention: 'q' is a list, expected an array",
        hint="pass a NumPy array, a Tensor or an object with __dlpack__",
    )
    read_only = np.ones((4, 8, 16), F32)
    read_only.flags.writeable = False
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, out=read_only),
        "attention: 'out' is a read-only array",
    )
    refuses(
        TypeCheckError,
        lambda: kernels.attention(q, q, q, out=np.broadcast_to(read_only[:1], (4, 8, 16)).view()),
        "attention: 'out' is a read-only array",
    )
