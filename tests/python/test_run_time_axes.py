"""Axes whose sizes and places each run may have anew, and branches on them."""

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DenseDyn,
    DType,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    Ragged,
    Range,
    Scalar,
    Sparse,
    Symbol,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    slot_load_u64,
    slot_set_u64,
    slot_u64,
    workload,
)

Row = Tile[1, 4, DType.F32]


@kernel
def bump(x: In[Row], y: InOut[Row]):
    pto.store(y, pto.load(y) + pto.load(x) + 1)


@kernel
def scaled(x: In[Row], y: InOut[Row], n: Scalar[DType.I32]):
    pto.store(y, pto.load(y) + pto.load(x) * n)


def rows(count, start=0.0):
    return Tensor(np.full((count, 4), start, np.float32))


def arr(tensor):
    return np.asarray(tensor)


def ran(program):
    program.execute()
    assert program.synchronize(60)
    return program


def test_a_dynamic_size_changes_between_runs_and_nothing_is_compiled():
    X, Y = rows(8, 2), rows(8)
    batch = DenseDyn(3)

    @workload
    def w():
        for b in P(batch):
            bump[b](X[b], Y[b])

    assert repr(w()) == "Workload[DenseDyn, bump, Independent]"
    assert len(w().enumerate()) == 3
    program = ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [3, 3, 3, 0, 0, 0, 0, 0]
    misses = pto_wsp._native.generated_objects()
    program.set_axis_sizes({"batch": 5})
    ran(program)
    assert arr(Y)[:, 0].tolist() == [6, 6, 6, 3, 3, 0, 0, 0]
    program.set_axis_sizes({"b": 0})
    ran(program)
    assert arr(Y)[:, 0].tolist() == [6, 6, 6, 3, 3, 0, 0, 0]
    assert pto_wsp._native.generated_objects() == misses
    assert program.stats.task_count == 0
    program.set_axis_sizes({"batch": 9})
    with pytest.raises(
        ExecutionError,
        match=r"test_run_time_axes.py:\d+: error: bump: x = X\[b, 0:4\]: dimension 0 of X, "
        r"whose extent is 8: the index is 8, allowed is 0\.\.\.7\n.*test_run_time_axes.py:\d+: "
        r"note: b runs over DenseDyn\[symbol\(batch\)\], whose size is 9",
    ):
        program.execute()
    # Nothing has run.
    assert arr(Y)[:, 0].tolist() == [6, 6, 6, 3, 3, 0, 0, 0]
    program.set_axis_sizes({"batch": 8})
    ran(program)
    assert arr(Y)[:, 0].tolist() == [9, 9, 9, 6, 6, 3, 3, 3]


def test_wrong_sizes_are_refused():
    X, Y = rows(4), rows(4)
    batch = DenseDyn(3)

    @workload
    def w():
        for b in P(batch):
            bump[b](X[b], Y[b])

    program = w().compile()
    with pytest.raises(
        TypeCheckError, match=r"no axis of run-time size is called 'heads'\nhint: axes: .*batch"
    ):
        program.set_axis_sizes({"heads": 3})
    for wrong in (-1, 2.5, "3", True):
        with pytest.raises(
            TypeCheckError, match=r"the size of 'batch' must be an integer >= 0, got"
        ):
            program.set_axis_sizes({"batch": wrong})
    with pytest.raises(TypeCheckError, match=r"the program has no symbol 'm'"):
        program.set_symbol_u64("m", 3)
    with pytest.raises(TypeCheckError, match=r"'batch' must be an integer >= 0, got -3"):
        program.set_symbol_u64("batch", -3)
    with pytest.raises(TypeCheckError, match=r"symbol 'batch' is an integer, got the float 2.5"):
        program.set_symbol_f32("batch", 2.5)
    with pytest.raises(TypeCheckError, match=r"symbol 'batch' is an integer, got an address"):
        program.set_symbol_ptr("batch", X)


def test_a_symbol_is_an_axis_and_a_number():
    X, Y = rows(8, 2), rows(8)
    n = Symbol("n")

    @workload
    def w():
        for b in P(n):
            scaled[b](X[b], Y[b], pto_wsp.scalar_expr.symbol_u64("n"))

    program = w().compile()
    with pytest.raises(
        ExecutionError, match=r"symbol 'n' has no value\nhint: set it: program.set_symbol_u64"
    ):
        program.execute()
    program.set_symbol_u64("n", 2)
    ran(program)
    assert arr(Y)[:, 0].tolist() == [4, 4, 0, 0, 0, 0, 0, 0]
    program.set_symbol_u64("n", 2**33)
    with pytest.raises(
        ExecutionError, match=r"the index is 8589934591, allowed is 0\.\.\.7\n.*size is 8589934592"
    ):
        program.execute()


def test_symbols_are_compared():
    n = Symbol("n")
    X, Y = rows(6), rows(6)

    @workload
    def w():
        for b in P(6):
            with P.when(b < 2 * n):
                bump[b](X[b], Y[b])
            with P.when(n >= 3):
                bump[b](X[b], Y[b])

    program = w().compile()
    program.set_symbol_u64("n", 2)
    assert arr(ran(program) and Y)[:, 0].tolist() == [1, 1, 1, 1, 0, 0]
    program.set_symbol_u64("n", 3)
    assert arr(ran(program) and Y)[:, 0].tolist() == [3, 3, 3, 3, 2, 2]


@pytest.mark.parametrize("sequential", [False, True])
def test_triangular_loops(sequential):
    X, Y = rows(8, 1), rows(8)

    @workload
    def w():
        for i in P.seq(6) if sequential else P(6):
            for j in P(6 - i):
                bump[i, j](X[i + j], Y[i])

    assert len(w().enumerate()) == 21
    ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [12, 10, 8, 6, 4, 2, 0, 0]


def test_branches_follow_lists_arrays_tensors_and_ragged_axes():
    lengths = [33, 64, 128, 15]
    array = np.array(lengths, np.int32)
    tensor = Tensor(np.array(lengths, np.uint16))
    ragged = Ragged(4, lengths)
    X = rows(4, 2)

    def tiers(seq_lens, Y):
        @workload
        def w():
            for b in P(4):
                with P.when(seq_lens[b] <= 32):
                    scaled[b](X[b], Y[b], 1)
                with P.when(seq_lens[b] <= 64):
                    scaled[b](X[b], Y[b], 10)
                with P.otherwise():
                    scaled[b](X[b], Y[b], 100)

        return w()

    for seq_lens in (lengths, array, tensor, ragged):
        Y = rows(4)
        w = tiers(seq_lens, Y)
        assert len(w.enumerate()) == 4
        ran(w.compile())
        assert arr(Y)[:, 0].tolist() == [20, 20, 200, 2], seq_lens

    # Data that is changed in place is seen by the next run.
    Y = rows(4)
    program = tiers(array, Y).compile()
    misses = pto_wsp._native.generated_objects()
    array[:] = [1, 1, 65, 65]
    ran(program)
    assert arr(Y)[:, 0].tolist() == [2, 2, 200, 200]
    program.bind(seq_lens=[65, 1, 1, 1])
    ran(program)
    assert arr(Y)[:, 0].tolist() == [202, 4, 202, 202]
    assert pto_wsp._native.generated_objects() == misses


def test_whens_without_otherwise_are_independent():
    X, Y = rows(4, 1), rows(4)

    @workload
    def w():
        for b in P(4):
            with P.when(b >= 1):
                scaled[b](X[b - 1], Y[b], 1)
            with P.when(b >= 2):
                with P.when((b == 3) & (b != 2)):
                    scaled[b](X[b], Y[b], 100)
                with P.otherwise():
                    scaled[b](X[b], Y[b], 10)

    assert repr(w()).startswith("Workload[Dense[4], combine(scaled), Combined]")
    ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [0, 1, 11, 101]


def test_wrong_branches_are_refused():
    X = rows(4)

    with pytest.raises(
        pto_wsp.CompileError, match=r"P.otherwise: there is no P.when right before it"
    ):

        @workload
        def alone():
            with P.otherwise():
                bump(X[0], X[1])

        alone()

    with pytest.raises(TypeCheckError, match=r"P.when: 'b' is no run-time expression"):

        @workload
        def text():
            with P.when("b"):
                bump(X[0], X[1])

        text()

    with pytest.raises(pto_wsp.CompileError, match=r"is no loop"):

        @workload
        def looped():
            for _ in P.when(slot_u64(0) > 1):
                bump(X[0], X[1])

        looped()


def test_jumps_do_not_leave_branches(fails):
    X, Y = rows(4), rows(4)

    @workload
    def returns():
        for b in P(4):
            with P.when(b > 1):
                bump[b](X[b], Y[b])
                return
            bump[b](X[b], Y[b])

    @workload
    def continues():
        for b in P(4):
            with P.when(b > 1):
                bump[b](X[b], Y[b])
            with P.otherwise():
                if len(X.shape) == 2:
                    continue
            bump[b](X[b], Y[b])

    text = "leaves the body of a branch, which is built for all cases at once"
    fails(CompileError, lambda: returns(), f"'return' {text}", line=None)
    fails(CompileError, lambda: continues(), f"'continue' {text}", line=None)
    fails(CompileError, lambda: workload(lambda: returns())(), f"'return' {text}", line=None)
    with pytest.raises(CompileError) as caught:
        returns()
    assert caught.value.at[1] == returns.__wrapped__.__code__.co_firstlineno + 5

    @workload
    def loops():
        with P.when(Symbol("n") > 1):
            for index in (0, 1, 2):
                if index == 1:
                    continue
                if index == 2:
                    break
                bump[index](X[index], Y[index])

    assert loops().dump().count("task") == 1


def test_ragged_rows_and_the_flat_axis():
    lengths = [3, 0, 2]
    tokens = Ragged(3, lengths)
    assert (tokens.outer_size, tokens.lengths, tokens.offsets) == (3, [3, 0, 2], [0, 3, 3, 5])
    assert (tokens.length(0), tokens.total(), tokens[2]) == (3, 5, Dense[2])
    assert Ragged([0, 3, 3, 5]).lengths == [3, 0, 2]
    X, Z = Tensor(np.ones((3, 4, 4), np.float32)), rows(9)
    Y = Tensor(np.zeros((3, 4, 4), np.float32))

    @workload
    def w():
        for b in P(3):
            for t in P(tokens[b]):
                bump[b, t](X[b][t], Y[b][t])
        for i in P(tokens):
            bump[i](X[0][0], Z[i])

    assert "Ragged[load(lengths, b)]" in w().dump()
    assert len(w().enumerate()) == 10
    program = ran(w().compile())
    assert arr(Y)[:, :, 0].tolist() == [[2, 2, 2, 0], [0, 0, 0, 0], [2, 2, 0, 0]]
    assert arr(Z)[:, 0].tolist() == [2] * 5 + [0] * 4
    misses = pto_wsp._native.generated_objects()
    program.bind(lengths=[1, 4, 1])
    ran(program)
    assert arr(Y)[:, :, 0].tolist() == [[4, 2, 2, 0], [2, 2, 2, 2], [4, 2, 0, 0]]
    assert arr(Z)[:, 0].tolist() == [4] * 5 + [2] + [0] * 3
    assert pto_wsp._native.generated_objects() == misses
    with pytest.raises(TypeCheckError, match=r"Ragged: length 1 is -4; expected Ragged"):
        program.bind(lengths=[1, -4, 1])
    with pytest.raises(TypeCheckError, match=r"bind: the program has no tensor or list 'size'"):
        program.bind(size=[1])
    with pytest.raises(TypeCheckError, match=r"Ragged: 3 rows but 2 lengths; expected Ragged"):
        program.bind(lengths=[1, 1])
    program.bind(tokens=[0, 0, 1])
    ran(program)
    assert arr(Y)[:, :, 0].tolist() == [[4, 2, 2, 0], [2, 2, 2, 2], [6, 2, 0, 0]]
    program.bind(tokens=Ragged([0, 0, 0, 2]))
    ran(program)
    assert arr(Y)[:, :, 0].tolist() == [[4, 2, 2, 0], [2, 2, 2, 2], [8, 4, 0, 0]]
    with pytest.raises(TypeCheckError, match=r"'tokens' is data of Ragged: lengths, got Sparse"):
        program.bind(tokens=Sparse([0]))
    with pytest.raises(TypeCheckError, match=r"bind: the program has no axis 'rows'"):
        program.bind(rows=Ragged([0, 1]))


FORMS = r"expected Ragged\(outer_size, lengths\).*Ragged\(offsets\)"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((2, [1, 2, 3]), "2 rows but 3 lengths"),
        ((2, [1, -2]), "length 1 is -2"),
        ((2, [1, 2.5]), "expected integers"),
        (("2", [1]), "outer_size '2' is no integer"),
        (([1, 2],), "offsets start at 1"),
        (([],), "there are no offsets"),
        (([0, 3, 2],), "offset 2 is below offset 1"),
        ((5,), "5 is no sequence of integers"),
        ((1, [1], 2), "takes one or two arguments, got 3"),
    ],
)
def test_wrong_ragged_axes(given, text):
    with pytest.raises(TypeCheckError, match=f"Ragged: .*{text}.*{FORMS}") as caught:
        Ragged(*given)
    assert isinstance(caught.value, ValueError)


def test_selected_places():
    indptr, indices = [0, 2, 2, 5], [1, 3, 0, 2, 3]
    routing = Sparse(3, indptr, indices)
    assert (routing.outer_size, routing.indptr, routing.indices) == (3, indptr, indices)
    assert (routing.nnz(), routing.row_nnz(2), routing[2], routing[1]) == (5, 3, [0, 2, 3], [])
    X, W, Y = rows(3, 1), rows(4), Tensor(np.zeros((3, 4, 4), np.float32))
    arr(W)[:, 0] = [10, 20, 30, 40]
    C = rows(4)

    @kernel
    def expert(x: In[Row], w: In[Row], y: InOut[Row]):
        pto.store(y, pto.load(y) + pto.load(x) + pto.load(w))

    @workload
    def moe(routing):
        for b in P(3):
            for e in P.sel(routing[b]):
                expert[b, e](X[b], W[e], Y[b][e])
        for e in P.sel(routing):
            bump[e](X[0], C[e])

    w = moe(routing)
    tasks = w.enumerate()
    assert [t.get("expert") for t in tasks[:5]] == [1, 3, 0, 2, 3]
    assert [t.e for t in tasks[5:]] == indices
    assert tasks[0].params == [0, 1]
    program = ran(w.compile())
    assert arr(Y)[:, :, 0].tolist() == [[0, 21, 0, 41], [0, 0, 0, 0], [11, 0, 31, 41]]
    assert arr(C)[:, 0].tolist() == [2, 2, 2, 4]
    misses = pto_wsp._native.generated_objects()
    program.bind(indptr=[0, 1, 2, 2], indices=[2, 2])
    arr(Y)[:] = 0
    ran(program)
    assert arr(Y)[:, :, 0].tolist() == [[0, 0, 31, 0], [0, 0, 31, 0], [0, 0, 0, 0]]
    assert pto_wsp._native.generated_objects() == misses
    with pytest.raises(TypeCheckError, match=r"Sparse: indptr ends at 2, there are 1 indices"):
        program.bind(indices=[2])
    program.bind(routing=Sparse(3, [0, 0, 0, 1], [1]))
    arr(Y)[:] = 0
    ran(program)
    assert arr(Y)[:, :, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 21, 0, 0]]
    program.bind(indptr=[0, 1, 1, 1], indices=[4])
    program.execute()
    with pytest.raises(
        ExecutionError, match=r"dimension 0 of W, whose extent is 4: the index is 4"
    ):
        program.synchronize()


SPARSE = r"expected Sparse\(outer_size, indptr, indices\).*Sparse\(indices\)"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((2, [0, 1], [1]), "2 rows but 2 values in indptr"),
        ((1, [1, 1], [1]), "indptr starts at 1"),
        ((2, [0, 2, 1], [1]), "indptr 2 is below indptr 1"),
        ((1, [0, 2], [1]), "indptr ends at 2, there are 1 indices"),
        ((1, [0, 1], [-1]), "index 0 is -1"),
        ((1, [0, 1]), "takes one or three arguments, got 2"),
        ((["a"],), "expected integers"),
    ],
)
def test_wrong_sparse_axes(given, text):
    with pytest.raises(ValueError, match=f"Sparse: .*{text}.*{SPARSE}"):
        Sparse(*given)


def test_sparse_and_dense_axes_go_to_their_loops():
    X = rows(4)
    with pytest.raises(TypeCheckError, match=r"P.sel: Dense\[4\] selects no places"):

        @workload
        def dense():
            for i in P.sel(Dense[4]):
                bump(X[i], X[i])

        dense()
    with pytest.raises(TypeCheckError, match=r"selects places\nhint: P.sel"):

        @workload
        def sparse():
            for i in P(Sparse([1, 2])):
                bump(X[i], X[i])

        sparse()


def test_indirect_regions():
    where = [2, 0, 2]
    X, Y = rows(3, 1), rows(4)

    @workload
    def w():
        for b in P(3):
            scaled[b](X[b], Y[where[b]], b + 1)
            bump[b](Y[where[b] + 1], Y[3 - where[b]])

    made = w()
    assert len(made.enumerate()) == 6
    program = made.compile()
    ran(program)
    want = np.zeros(4)
    for b in range(3):
        want[where[b]] += b + 1
        want[3 - where[b]] += want[where[b] + 1] + 1
    assert arr(Y)[:, 0].tolist() == want.tolist()
    program.bind(where=[0, 1, 4])
    program.execute()
    with pytest.raises(
        ExecutionError, match=r"dimension 0 of Y, whose extent is 4: the index is 4"
    ):
        program.synchronize()


@kernel
def decide(x: In[Row], out: Out[Tile[1, 4, DType.I32]]):
    pto.store(out, pto.cast(pto.load(x), DType.I32))


def test_slots_carry_what_tasks_wrote_into_branches():
    X, Y = rows(6), rows(6)
    arr(X)[:, 1] = [0, 3, 1, 3, 2, 0]
    D = Tensor(np.zeros((6, 4), np.int32))

    @workload
    def w():
        slot_set_u64(7, 2)
        for b in P(6):
            decide[b](X[b], D[b])
            slot_load_u64(0, D[b], col=1)
            with P.when(slot_u64(0) > slot_u64(7)):
                bump[b](X[b], Y[slot_u64(0)])
            with P.otherwise():
                scaled[b](X[b], Y[b], slot_u64(0))

    program = ran(w().compile())
    want = np.zeros((6, 4), np.float32)
    for b in range(6):
        s = int(arr(X)[b, 1])
        if s > 2:
            want[s] += arr(X)[b] + 1
        else:
            want[b] += arr(X)[b] * s
    np.testing.assert_array_equal(arr(Y), want)
    misses = pto_wsp._native.generated_objects()
    arr(X)[:, 1] = 1
    arr(Y)[:] = 0
    ran(program)
    np.testing.assert_array_equal(arr(Y), arr(X))
    assert pto_wsp._native.generated_objects() == misses
    with pytest.raises(
        pto_wsp.CompileError, match=r"slot\(0\) has a value only while the program runs"
    ):
        w().enumerate()


def test_wrong_slots_are_refused():
    X = rows(4)
    D = Tensor(np.zeros((2, 4), np.int32))

    def refused(call, error=TypeCheckError):
        @workload
        def w():
            call()

        with pytest.raises(error) as caught:
            w()
        return str(caught.value)

    assert "slots are 0...255, got 256" in refused(lambda: slot_set_u64(256, 1))
    assert "expected an integer >= 0 or an expression, got -1" in refused(
        lambda: slot_set_u64(0, -1)
    )
    assert "is F32, not an integer" in refused(lambda: slot_load_u64(0, X, 0, 0))
    assert "index 4 is out of range for extent 4" in refused(lambda: slot_load_u64(0, D, 0, 4))
    assert "expected a tensor, got 3" in refused(lambda: slot_load_u64(0, 3))
    assert "slots are 0...255" in refused(lambda: bump(X[slot_u64(-1)], X[1]))


def test_what_tasks_write_is_no_table():
    X, D = rows(2), Tensor(np.zeros((2, 4), np.int32))

    @workload
    def w():
        for b in P(2):
            decide[b](X[b], D[b])
            with P.when(D[b, 0] > 0):
                bump[b](X[b], X[b])

    with pytest.raises(
        pto_wsp.CompileError, match=r"D is written by tasks, and an expression reads it"
    ):
        w()


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_pipes_give_the_sequential_result(depth):
    X, Y = rows(8, 1), rows(8)
    batch = DenseDyn(8)

    @workload
    def w():
        for i in P.pipe(batch, depth=depth):
            bump[i](X[i], Y[i])
            bump[i](Y[i], X[i])

    assert repr(w()) == "Workload[DenseDyn, combine(bump), Pipeline]"
    assert f"pipe({depth}) i in batch: DenseDyn" in w().dump()
    ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [2] * 8
    assert arr(X)[:, 0].tolist() == [4] * 8


def test_wrong_pipes_are_refused():
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(TypeCheckError, match=r"P.pipe: depth must be an integer >= 1, got"):
            P.pipe(4, depth=wrong)
    with pytest.raises(TypeCheckError, match=r"depth=2 without stages has no meaning"):
        P.pipe(depth=2)


def test_a_pipe_without_stages_holds_statements():
    X, Y = rows(4, 1), rows(4)

    @workload
    def w():
        with P.pipe():
            for i in P(4):
                bump[i](X[i], Y[i])

    ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [2] * 4


def test_texts_parse_back():
    native = pto_wsp._native
    lengths, X, Y = [1, 2], rows(4), rows(4)
    routing, batch = Sparse(2, [0, 1, 2], [1, 0]), DenseDyn(2)

    @workload
    def w():
        slot_set_u64(1, 1)
        for b in P(batch):
            with P.when(lengths[b] > 1):
                bump[b](X[b], Y[lengths[b]])
            with P.otherwise():
                slot_load_u64(0, Tensor(np.zeros((1, 1), np.int64), name="Q"))
            for e in P.sel(routing[b]):
                bump[b, e](X[slot_u64(0)], Y[e])
            for s in P.pipe(4 - b, depth=2):
                bump[b, s](X[s], Y[s])

    text = w().dump()
    assert str(native.parse_workload(text)) == text
    for part in (
        "slot 1 = 1",
        "when (load(lengths, b) > 1)",
        "} otherwise {",
        "pipe(2) s in",
        "let e = load(routing.indices,",
        "symbol batch = 2",
        "table lengths = [1, 2]",
    ):
        assert part in text, part


def test_operators_of_expressions():
    b = pto_wsp.scalar_expr.axis("b")
    for expr, want in [
        (b << 3, 40),
        (b >> 1, 2),
        (b**3, 125),
        (b**0, 1),
        (abs(-b), 5),
        (divmod(b, 2)[1], 1),
        ((b > 7) ^ (b > 2), 1),
        ((b > 7) | (b > 2), 1),
        ((b > 7) & (b // 0 > 1), 0),
        (~(b > 2), 0),
        (~~(b > 2), 1),
        (b & 3, 1),
        (b & -4, 4),
        (b & 0, 0),
        (b & -1, 5),
        (6 & b, 4),
        (b & -6, 0),
        (8 | b, 13),
        (3 ^ b, 6),
        (~b, -6),
        (1 << b, 32),
        (2**b, 32),
        (-40 >> b, -2),
        (+b, 5),
        (b & b << 1, 0),
        (pto_wsp.scalar_expr.cast_bool(b), 1),
        (pto_wsp.scalar_expr.cast_i64(b), 5),
        (pto_wsp.scalar_expr.cast_u64(b), 5),
    ]:
        assert expr.evaluate(b=5) == want, expr
    with pytest.raises(ExecutionError, match=r"u64\(-5\) is below 0"):
        pto_wsp.scalar_expr.cast_u64(b).evaluate(b=-5)
    with pytest.raises(pto_wsp.CompileError, match=r"the right operand must be in 0...63, got 64"):
        b << 64
    with pytest.raises(ExecutionError, match=r"shift by -5, allowed is 0...63"):
        (1 << -b).evaluate(b=5)
    with pytest.raises(pto_wsp.CompileError, match=r"\(3\) \*\* \(b\): the exponent is not known"):
        _ = 3**b
    with pytest.raises(pto_wsp.CompileError, match=r"\(1\) / \(b\) is not an integer"):
        _ = 1 / b


OPERATORS = {
    "+": lambda x, i: (x + i, i + x, 3 + x, x - i, 7 - x, -x, +x, x * i, 3 * x),
    "//": lambda x, i: (x // (i + 1), 100 // x, i // x, x // -3, divmod(x, 7)[0], divmod(9, x)[0]),
    "%": lambda x, i: (x % (i + 1), 100 % x, i % x, x % -3, divmod(x, 7)[1], divmod(9, x)[1]),
    "&": lambda x, i: (x & 6, 6 & x, x & i, i & x, x & ~i, x & 7, x & -8, i & 5, 5 & i),
    "|": lambda x, i: (x | 6, 6 | x, x | i, i | x, i | 4, 4 | i),
    "^": lambda x, i: (x ^ 6, 6 ^ x, x ^ i, i ^ x, ~x, i ^ 1, 1 ^ i, ~i),
    "<<": lambda x, i: (x << 3, x << i, 1 << i, i << 2, i << i, 2**i),
    ">>": lambda x, i: (x >> 3, x >> i, 1000 >> i, i >> 1, i >> i, -9 >> i),
    "** and abs": lambda x, i: (x**2, x**0, abs(x), abs(-x), abs(i - 4), i**3),
    "compared": lambda x, i: (x < i, i <= x, x == 33, x != 33, x > 5, i >= 5, x > 4),
    "joined": lambda x, i: ((x < 9) & (i > 2), (x < 9) | (i > 2), (x < 9) ^ (i > 2)),
}


@pytest.mark.parametrize("sign", OPERATORS)
def test_every_operator_is_pythons_at_run_time(sign):
    import pto_wsp._pto_wsp as native

    operators, data = OPERATORS[sign], [33, 1, 128, -15, 2, 7]
    lengths = Tensor(np.array(data, np.int32))
    expected = np.array([operators(x, i) for i, x in enumerate(data)], np.int64)
    wanted = Tensor(expected)
    X, Y = rows(1), Tensor(np.zeros((*expected.shape, 1, 4), np.float32))

    @workload
    def w():
        for i in P(len(data)):
            for place, value in enumerate(operators(lengths[i], i)):
                with P.when(value == wanted[i, place]):
                    bump[i](X[0], Y[i, place])

    made = w()
    assert str(native.parse_workload(made.dump())) == made.dump()
    ran(made.compile())
    assert (arr(Y) == 1).all(), np.argwhere(arr(Y)[:, :, 0, 0] != 1).tolist()
    wanted.data[...] += 1
    ran(made.compile())
    assert (arr(Y) == 1).all()


def test_an_element_has_no_truth_and_other_tensors_have_no_operators():
    lengths = Tensor(np.array([3, 1], np.int32))
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = lengths & 1
    with pytest.raises(pto_wsp.TypeCheckError, match="is no integer that an expression could read"):
        _ = -lengths

    @workload
    def w():
        for i in P(2):
            if lengths[i]:
                return

    with pytest.raises(pto_wsp.CompileError, match="the truth of load"):
        w()


def test_inverted_bits_are_no_predicate():
    X = rows(4)

    @workload
    def w():
        for i in P(4):
            with P.when(~i):
                bump[i](X[i], X[i])

    with pytest.raises(pto_wsp.CompileError) as caught:
        w()
    assert caught.value.text == "P.when: (i ^ -1) inverts bits and is 0 only for -1"
    assert caught.value.hint == "write x == 0, which is true where x is 0"


MIXED = {
    "((n != 0)) and (((5 // n) % 2))": lambda n: (n != 0) & ((5 // n) & 1),
    "(n) and ((n > 1))": lambda n: n & (n > 1),
    "((n == 0)) and (slot(3))": lambda n: (n == 0) | slot_u64(3),
    "((n ^ -1)) and ((n > 2))": lambda n: ~n ^ (n > 2),
}


@pytest.mark.parametrize("shown", MIXED)
def test_bits_of_a_comparison_and_an_integer_are_refused(shown):
    with pytest.raises(pto_wsp.CompileError) as caught:
        MIXED[shown](pto_wsp.scalar_expr.axis("n"))
    assert caught.value.text == (
        f"{shown}: one is true or false, the other an integer, which & | ^ would join bit by bit"
    )
    assert caught.value.hint == "compare the integer too: x != 0"


def test_choices_of_truths_are_truths():
    where, minimum = pto_wsp.scalar_expr.where, pto_wsp.scalar_expr.minimum
    n = pto_wsp.scalar_expr.axis("n")
    chosen = where(n > 0, n > 5, False)
    for value in (-1, 3, 7):
        assert (~chosen | (n > 6)).evaluate(n=value) == (not 0 < value > 5 or value > 6)
        assert (~minimum(n > 2, n < 5)).evaluate(n=value) == (not 2 < value < 5)


def test_elements_at_known_and_at_computed_places():
    data = [5, 0, 2, 7, 1, 3]
    lengths = Tensor(np.array(data, np.int32))
    X, Y = rows(1), rows(6)

    @workload
    def w():
        for i in P(lengths[3] - 1):
            with P.when((lengths[i // 2] > i) | (i + lengths[2] == 6)):
                bump[i](X[0], Y[i])

    program = ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [data[i // 2] > i or i + data[2] == 6 for i in range(6)]
    program.bind(lengths=np.array([1, 1, 4, 7, 0, 0], np.int32))
    arr(Y)[...] = 0
    ran(program)
    assert arr(Y)[:, 0].tolist() == [True, False, True, False, False, False]


def test_tensors_are_true_as_lists_are():
    assert rows(2)
    assert not Tensor(np.zeros((0, 4), np.float32))


def test_guarded_operands_of_arguments_are_accepted():
    data = [2, 0, 5]
    divisors = Tensor(np.array(data, np.int32))
    X, Y = rows(3, 1), rows(3)
    where, maximum = pto_wsp.scalar_expr.where, pto_wsp.scalar_expr.maximum

    @workload
    def w():
        for i in P(3):
            at = where(divisors[i] != 0, 10 // divisors[i], 7)
            scaled[i](X[i], Y[i], maximum(pto_wsp.scalar_expr.minimum(at, 100), -100))

    ran(w().compile())
    assert arr(Y)[:, 0].tolist() == [5, 7, 2]


BY_ZERO = {
    "division by zero": lambda n: 10 // n,
    "division by zero ": lambda n: 10 % n,
    "shift by -2, allowed is 0...63": lambda n: 10 << (n - 2),
    "shift by 64, allowed is 0...63": lambda n: 10 >> (64 - n),
}


@pytest.mark.parametrize("text", BY_ZERO)
def test_operands_that_only_the_run_knows_end_it_with_an_error(text):
    X = rows(4)

    @workload
    def w():
        for i in P(4):
            with P.when(BY_ZERO[text](pto_wsp.scalar_expr.symbol_u64("n")) > 2):
                bump[i](X[i], X[i])

    program = w().compile()
    program.set_symbol_u64("n", 2)
    ran(program)
    before = arr(X).copy()
    program.set_symbol_u64("n", 0)
    with pytest.raises(ExecutionError, match=text.strip()):
        ran(program)
    np.testing.assert_array_equal(arr(X), before)


INDICES = {
    "i // 2": lambda i, j: i // 2,
    "i % 3": lambda i, j: i % 3,
    "i * j": lambda i, j: i * j,
    "(2 * i + j) // 3": lambda i, j: (2 * i + j) // 3,
    "i & 1": lambda i, j: i & 1,
    "i >> 1": lambda i, j: i >> 1,
    "j ** 2": lambda i, j: j**2,
    "abs(i - j)": lambda i, j: abs(i - j),
    "7 - divmod(i, 2)[0]": lambda i, j: 7 - divmod(i, 2)[0],
    "11 // (i + 1)": lambda i, j: 11 // (i + 1),
    "5 % (j + 1)": lambda i, j: 5 % (j + 1),
}


@pytest.mark.parametrize("shown", INDICES)
def test_expressions_of_loop_variables_are_indices_and_predicates(shown):
    index = INDICES[shown]
    X, Y, Z = rows(16), rows(12), rows(12)
    arr(X)[:, 0] = np.arange(16)

    @workload
    def w():
        for i, j in P(4, 3):
            bump[i, j](X[index(i, j)], Y[3 * i + j])
            with P.when(index(i, j) == 2):
                bump[i, j](X[0], Z[3 * i + j])

    made = w()
    assert made.kind == "parallel"
    assert "Selected" not in str(made)
    ran(made.compile())
    values = [index(i, j) for i in range(4) for j in range(3)]
    assert arr(Y)[:, 0].tolist() == [value + 1 for value in values]
    assert arr(Z)[:, 0].tolist() == [float(value == 2) for value in values]


def test_a_range_has_its_values_by_every_name():
    X, Y = rows(10), rows(10)
    arr(X)[:, 0] = np.arange(10)

    @workload
    def w():
        for place in P(range(1, 10, 3)):
            bump[place](X[place], Y[9 - place])

    made = w()
    assert made.kind == "parallel"
    assert str(made).startswith("Workload[Dense[3], bump, Independent]")
    assert [(t.get("place"), t.b, t.params) for t in made.enumerate()] == [
        (1, 1, [1]),
        (4, 4, [4]),
        (7, 7, [7]),
    ]
    assert made.enumerate()[0].get("bump") == 1
    ran(made.dispatch(pto_wsp.DispatchPolicy.affinity("place")).compile())
    assert arr(Y)[:, 0].tolist() == [0, 0, 8, 0, 0, 5, 0, 0, 2, 0]


@pytest.mark.parametrize("loop", ["grid", "seq"])
def test_bounds_of_a_range_are_expressions(loop):
    X, Y = rows(9, 1), rows(9)
    n = Symbol("n")

    @workload
    def w():
        for k in P.seq(4):
            for i in getattr(P, loop)(Range(2 * k + 1, n, 2)):
                with P.when(i != 5):
                    scaled[k, i](X[i], Y[i], k + 1)

    made = w()
    assert "DenseDyn[" in made.dump()
    program = made.compile()
    for size in (8, 9, 0):
        arr(Y)[:] = 0
        program.set_symbol_u64("n", size)
        ran(program)
        want = [0.0] * 9
        for k in range(4):
            for i in range(2 * k + 1, size, 2):
                want[i] += k + 1 if i != 5 else 0
        assert arr(Y)[:, 0].tolist() == want
    program.set_symbol_u64("n", 11)
    program.execute()
    with pytest.raises(
        ExecutionError, match=r"whose extent is 9: the index is 9, allowed is 0...8"
    ):
        program.synchronize()


def test_wrong_ranges_are_refused():
    with pytest.raises(TypeCheckError, match=r"Range: hi must be an integer expression, got 2.5"):
        Range(0, 2.5)
    with pytest.raises(TypeCheckError, match=r"Range: step must be >= 1, got 0"):
        Range(0, 4, 0)

    @workload
    def w():
        for i in P(4):
            for _ in P(Range(i // 2, 4)):
                pass

    with pytest.raises(
        TypeCheckError, match=r"Range\(\(i // 2\), 4\) starts at no sum of loop variables"
    ):
        w()


def test_sizes_that_a_branch_or_a_slot_decides_are_left_to_the_run():
    X, Y = rows(4), rows(4)
    n = Symbol("n")

    @workload
    def w():
        for b in P(n):
            with P.when(b < 4):
                bump[b](X[b], Y[b])
        slot_set_u64(0, 2)
        for b in P(slot_u64(0)):
            bump[b](X[b], Y[b])

    program = w().compile()
    program.set_symbol_u64("n", 9)
    ran(program)
    assert arr(Y)[:, 0].tolist() == [2, 2, 1, 1]


def test_slots_that_nothing_fills_are_warned_of():
    X, Y = rows(4), rows(4)

    @workload
    def w():
        for b in P(4):
            with P.when(slot_u64(3) == 0):
                bump[b](X[b], Y[b])
            slot_set_u64(3, 1)
            with P.when(slot_u64(3) == slot_u64(4)):
                bump[b](X[b], Y[b])

    with pytest.warns(pto_wsp.SlotWarning) as caught:
        made = w()
    assert [str(warning.message) for warning in caught] == [
        "slot 3: it is read before anything fills it: it is 0",
        "slot 4: it is read before anything fills it: it is 0",
    ]
    first = w.__wrapped__.__code__.co_firstlineno
    assert [warning.lineno for warning in caught] == [first + 3, first + 6]
    assert len(made.type_warnings) == 2


def test_the_graph_and_the_model_know_slots():
    X, Y = rows(4, 1), rows(4)
    lengths = Tensor(np.array([[3], [1], [2]], np.int32), name="lengths")

    @workload
    def w():
        slot_set_u64(1, 2)
        for i in P.seq(3):
            slot_load_u64(0, lengths, i)
            for b in P(slot_u64(0)):
                with P.when(b < slot_u64(1)):
                    bump[b](X[b], Y[b])

    program = w().compile(target="cpu_sim")
    assert len(program.graph().tasks) == 5
    assert program.stats.total_cycles is not None
    cycles = program.stats.total_cycles
    ran(program)
    assert program.stats.task_count == 5
    lengths.data[:, 0] = [1, 0, 0]
    ran(program)
    assert len(program.graph().tasks) == 1
    assert program.stats.total_cycles * 5 == cycles
    program.bind(lengths=np.full((3, 1), 2, np.int32))
    assert len(program.graph().tasks) == 6
    assert program.stats.total_cycles * 5 == cycles * 6


def test_slots_of_what_tasks_write_are_not_modelled():
    @kernel
    def put(x: In[Row], y: Out[Tile[1, 4, DType.I32]]):
        pto.store(y, pto.cast(pto.load(x), DType.I32))

    X = rows(4, 1)
    counts = Tensor(np.zeros((4, 4), np.int32), name="counts")

    @workload
    def w():
        put(X[0], counts[0])
        slot_load_u64(0, counts, 0)
        for b in P(slot_u64(0)):
            put(X[b], counts[1])

    program = w().compile(target="cpu_sim")
    text = r"slot 0 is filled with counts\[0, 0\], which tasks write: it is known while"
    with pytest.raises(CompileError, match=r"test_run_time_axes.py:\d+: error: " + text):
        program.graph()
    with pytest.raises(ExecutionError, match="total_cycles: " + text):
        _ = program.stats.total_cycles
