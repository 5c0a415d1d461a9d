"""Which names a loop variable has."""

import numpy as np
import pytest
from pto_wsp import Dense, In, P, ScheduleError, Tensor, kernel, workload
from pto_wsp.naming import singular

X = Tensor(np.zeros((4, 8, 8), np.float32))
rows_of_module = Dense[4]


@kernel
def expert(x: In[Tensor]): ...


def names_of(function, *axes) -> list[str]:
    """The names of the first loop, as the text of the workload lists them."""
    line = function(*axes).dump().split("{\n")[1].strip()
    return [name.strip(" {") for name in line.partition(" as ")[2].split(",")]


def test_precedence() -> None:
    @workload
    def every(heads):
        for target in P(heads, names=["mine"]):
            expert[target](X[target])

    names = names_of(every, Dense[4])
    assert names == ["mine", "target", "heads", "head", "expert", "b"]


def test_parameter_and_module_names() -> None:
    @workload
    def both(batch):
        for i in P(batch):
            expert(X[i])

    assert names_of(both, rows_of_module)[:3] == ["i", "batch", "rows_of_module"]


def test_a_global_axis() -> None:
    @workload
    def outer():
        for i in P(rows_of_module):
            expert(X[i])

    assert names_of(outer)[:2] == ["i", "rows_of_module"]


def test_a_closure_axis() -> None:
    tiles = 4

    @workload
    def outer():
        for i in P(tiles):
            expert(X[i])

    assert names_of(outer)[:3] == ["i", "tiles", "tile"]


def test_integers_of_one_value_are_told_apart() -> None:
    @workload
    def square(rows, columns):
        for i, j in P(rows, columns):
            expert[i, j](X[i])

    task = square(4, 4).enumerate()[6]
    assert (task.row, task.column, task.i, task.j) == (1, 2, 1, 2)


def test_grid_and_seq() -> None:
    @workload
    def grid(rows):
        for i in P.grid(rows):
            expert(X[i])

    @workload
    def seq(rows):
        for i in P.seq(rows):
            expert(X[i])

    assert names_of(grid, 4)[:2] == names_of(seq, 4)[:2] == ["i", "rows"]


def test_expressions_have_no_name() -> None:
    @workload
    def computed(n):
        for i in P(n // 2):
            expert(X[i])

    assert names_of(computed, 8)[0] == "i"
    assert "n" not in names_of(computed, 8)


def test_one_target_for_several_axes() -> None:
    @workload
    def tupled(rows, columns):
        for at in P(rows, columns):
            expert[at](X[at[0]])

    task = tupled(2, 3).enumerate()[4]
    assert (task.row, task.column, task.params) == (1, 1, [1, 1])


def test_letters_in_order_of_creation() -> None:
    @workload
    def anonymous():
        for at in P(2, 3):
            expert(X[at[0]])

    task = anonymous().enumerate()[5]
    assert (task.b, task.h) == (1, 2)


def test_an_inner_loop_hides_an_outer_one() -> None:
    @workload
    def hiding():
        for i in P(2):
            for i in P(3):
                expert(X[i])

    assert [task.i for task in hiding()] == [0, 1, 2, 0, 1, 2]


def test_a_comprehension() -> None:
    @workload
    def short():
        [expert[z](X[z]) for z in P(4)]

    assert [task.z for task in short()] == [0, 1, 2, 3]


@pytest.mark.error
def test_unknown_names() -> None:
    @workload
    def known(heads):
        for i in P(heads):
            expert(X[i])

    task = known(4).enumerate()[0]
    with pytest.raises(ScheduleError) as caught:
        task.get("batch")
    assert "batch" in caught.value.text
    assert "heads" in str(caught.value)
    assert caught.value.at[0] == __file__


@pytest.mark.parametrize(
    ("plural", "one"),
    [("heads", "head"), ("queries", "query"), ("batch", None), ("mass", None), ("s", None)],
)
def test_singular(plural: str, one: str) -> None:
    assert singular(plural) == one


def test_at_takes_the_names_of_loops() -> None:
    @workload
    def known(heads):
        for i in P(heads):
            for j in P(Dense[2], names="inner"):
                expert.at(head=i, inner=j)(X[i])
                expert.at(b=i, h=j + 1)(X[i])

    assert [task.params for task in known(2).enumerate()][:2] == [[0, 0], [0, 1]]


@pytest.mark.error
def test_at_refuses_other_names() -> None:
    @workload
    def unknown(heads):
        for i in P(heads):
            expert.at(haed=i)(X[i])

    with pytest.raises(ScheduleError) as caught:
        unknown(4)
    assert caught.value.text == "kernel 'expert': no loop around the call has a variable 'haed'"
    assert caught.value.hint == "did you mean 'head'? they are i/heads/head"
    assert caught.value.at[0] == __file__
