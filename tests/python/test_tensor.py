"""Tensors: zero copy, views, bounds."""

import array

import ml_dtypes
import numpy as np
import pytest
from pto_wsp import DType, Location, Tensor, TensorLayout, TypeCheckError

SHARED = [d for d in DType if d is not DType.BF16]


@pytest.mark.parametrize("dtype", SHARED, ids=lambda d: d.name)
def test_numpy_arrays_are_shared(dtype: DType) -> None:
    data = np.zeros((2, 3), dtype.numpy)
    tensor = Tensor(data)
    assert tensor.dtype is dtype
    assert np.shares_memory(np.asarray(tensor), data)
    data[1, 2] = 5
    assert np.asarray(tensor[1])[2] == 5


def test_bfloat16() -> None:
    bits = np.array([[0x3F80, 0x4000]], np.uint16)
    assert Tensor(bits).dtype is DType.U16
    assert Tensor(bits, dtype=DType.BF16).dtype is DType.BF16
    values = np.ones((2, 2), ml_dtypes.bfloat16)
    tensor = Tensor(values)
    assert tensor.dtype is DType.BF16
    assert np.shares_memory(np.asarray(tensor), values)
    assert np.asarray(tensor).dtype == np.uint16


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[::-1],
        lambda a: a[:, ::-2],
        lambda a: a.T,
        lambda a: a[1:3, 2:5],
        lambda a: np.broadcast_to(a[0], (5, 6)),
        lambda a: a[:0],
    ],
)
def test_any_strides(view, rng: np.random.Generator) -> None:
    data = rng.standard_normal((4, 6)).astype(np.float32)
    strided = view(data)
    tensor = Tensor(strided)
    np.testing.assert_array_equal(np.asarray(tensor), strided)
    through_native = tensor.view.array()
    np.testing.assert_array_equal(through_native, strided)
    assert through_native.strides == strided.strides or strided.size == 0
    if strided.size:
        assert np.shares_memory(through_native, data)
    for i in range(strided.shape[0]):
        np.testing.assert_array_equal(np.asarray(tensor[i]), strided[i])


def test_torch_is_shared_through_dlpack() -> None:
    torch = pytest.importorskip("torch")
    data = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    tensor = Tensor(data)
    data[1, 1] = 40
    assert np.asarray(tensor)[1, 1] == 40


def test_buffer_protocol_is_shared() -> None:
    data = array.array("d", [1, 2, 3])
    tensor = Tensor(data)
    assert (tensor.dtype, tensor.shape) == (DType.F64, (3,))
    data[0] = 9
    assert np.asarray(tensor)[0] == 9


def test_zeros_are_allocated_when_needed() -> None:
    tensor = Tensor(shape=(3, 5), dtype=DType.F16)
    assert (tensor.shape, tensor.nbytes()) == ((3, 5), 30)
    first, second = np.asarray(tensor), np.asarray(tensor)
    assert first.dtype == np.float16
    assert not first.any()
    assert np.shares_memory(first, second)
    assert first.ctypes.data % 64 == 0


def test_memory_outlives_the_tensor() -> None:
    view = np.asarray(Tensor(shape=(1000,))[10:20])
    view[:] = 1
    assert view.sum() == 10


def test_views() -> None:
    data = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    tensor = Tensor(data)
    for view, expected in [
        (tensor[1], data[1]),
        (tensor[-1], data[-1]),
        (tensor[1][2], data[1, 2]),
        (tensor[1, 2], data[1, 2]),
        (tensor[0:1], data[0:1]),
        (tensor[1, 1:3], data[1, 1:3]),
        (tensor[1][-2:], data[1, -2:]),
        (tensor.slice(0, 2), data[0:2]),
    ]:
        np.testing.assert_array_equal(np.asarray(view), expected)
        assert view.shape == expected.shape
        assert view.base is tensor
    assert len(tensor) == 2
    assert [np.asarray(row).sum() for row in tensor] == [66, 210]


def test_attributes() -> None:
    layout = TensorLayout.sharded(0, 2)
    tensor = Tensor(np.zeros((2, 2), np.float32), layout=layout, location=Location.L2, name="A")
    assert (tensor.layout, tensor.location, tensor.name) == (layout, Location.L2, "A")
    assert tensor.with_layout(TensorLayout.default(2)).layout.is_replicated()
    assert tensor[0].layout == TensorLayout.default(1)
    assert repr(tensor) == "<Tensor A: f32[2, 2]>"
    assert tensor.base is tensor


def text_of(action) -> str:
    with pytest.raises(TypeCheckError) as caught:
        action()
    assert caught.value.at is not None
    assert caught.value.at[0] == __file__
    return str(caught.value.text)


@pytest.mark.error
def test_bounds() -> None:
    tensor = Tensor(np.zeros((2, 3, 4), np.float32))
    assert text_of(lambda: tensor[5]) == "index 5 is out of range for extent 2 of shape [2, 3, 4]"
    assert text_of(lambda: tensor[0, -4]) == (
        "index -4 is out of range for extent 3 of shape [3, 4]"
    )
    assert "9" in text_of(lambda: tensor[0:9])
    assert text_of(lambda: tensor[0, 0, 0, 0]) == (
        "tensor of shape [2, 3, 4] takes at most 3 indices, got 4"
    )
    assert text_of(lambda: tensor[0:1, 0]) == "tensor: a slice must be the last index"
    assert text_of(lambda: tensor[::2]) == "tensor: a slice has step 1, got 2"
    assert text_of(lambda: tensor[1.5]).startswith("index 1.5 is neither an integer")


@pytest.mark.error
def test_data_is_checked() -> None:
    assert text_of(lambda: Tensor()) == "Tensor: needs data or a shape"
    assert text_of(lambda: Tensor([1, 2])) == (
        "Tensor: list has neither the buffer protocol nor __dlpack__"
    )
    assert text_of(lambda: Tensor(np.zeros(2, np.complex64))) == (
        "element type '<c8' (complex64) is not supported"
    )
    assert text_of(lambda: Tensor(np.zeros(2, ">f4"))).startswith("element type '>f4'")
    assert text_of(lambda: Tensor(np.zeros(2, np.float32), dtype=DType.F16)) == (
        "Tensor: data is F32, dtype is F16"
    )
    assert text_of(lambda: Tensor(np.zeros(2, np.float32), shape=(3,))) == (
        "Tensor: shape [3] does not fit data of shape [2]"
    )
    assert text_of(lambda: Tensor(shape=(2, -1))) == "Tensor: a shape holds integers >= 0, got -1"
    packed = np.zeros(3, np.dtype([("flag", "u1"), ("value", "<f4")]))
    assert "stride of 5 bytes" in text_of(lambda: np.asarray(Tensor(packed["value"]).view))
    assert text_of(lambda: Tensor(np.zeros(2), layout=TensorLayout.default(2))) == (
        "Tensor: layout Layout(R, R) has 2 dimensions, the tensor 1"
    )
