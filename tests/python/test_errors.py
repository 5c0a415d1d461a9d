"""The error classes and the form of their texts."""

import pickle

import pto_wsp as w
import pytest
from pto_wsp.errors import error

BUILT_IN = {
    w.CompileError: ValueError,
    w.TypeCheckError: TypeError,
    w.IRConversionError: ValueError,
    w.LayoutIncompatibleError: TypeError,
    w.ScheduleError: ValueError,
    w.ExecutionError: RuntimeError,
    w.KernelError: RuntimeError,
    w.ChannelError: RuntimeError,
    w.InternalError: RuntimeError,
}


@pytest.mark.parametrize(("kind", "built_in"), BUILT_IN.items())
def test_each_is_also_a_built_in_one(kind: type[w.PtoError], built_in: type[Exception]) -> None:
    assert issubclass(kind, w.PtoError)
    assert issubclass(kind, built_in)


def test_hierarchy() -> None:
    assert issubclass(w.TypeCheckError, w.CompileError)
    assert issubclass(w.IRConversionError, w.CompileError)
    assert issubclass(w.LayoutIncompatibleError, w.TypeCheckError)
    assert issubclass(w.KernelError, w.ExecutionError)
    assert issubclass(w.ChannelClosed, w.ChannelError)
    assert issubclass(w.ChannelFull, w.ChannelError)


def test_form() -> None:
    made = error(
        w.TypeCheckError,
        "two values differ: 1 x 2",
        at=("model.py", 41),
        notes=((("model.py", 38), "the first is made here"),),
        hint="make them equal",
    )
    assert str(made) == (
        "model.py:41: error: two values differ: 1 x 2\n"
        "model.py:38: note: the first is made here\n"
        "hint: make them equal"
    )
    assert made.at == ("model.py", 41)
    assert made.text == "two values differ: 1 x 2"
    assert made.notes == ((("model.py", 38), "the first is made here"),)
    assert made.hint == "make them equal"


def test_survives_pickling() -> None:
    made = error(w.ScheduleError, "no such step", at=("a.py", 1), hint="dispatch")
    copy = pickle.loads(pickle.dumps(made))
    assert type(copy) is w.ScheduleError
    assert (str(copy), copy.at, copy.hint) == (str(made), made.at, made.hint)


def test_native_errors_become_these(fails) -> None:
    def join() -> None:
        w.tensor_layout_join(w.TensorLayout.default(2), w.TensorLayout.default(3))

    with pytest.raises(w.LayoutIncompatibleError) as caught:
        join()
    assert caught.value.at == (__file__, join.__code__.co_firstlineno + 1)
