"""Tile kernels and task graphs with separated schedules, compiled just in time.

>>> import numpy as np
>>> from pto_wsp import In, Out, Tile, DType, Tensor, kernel, workload, P, Dense, pto
>>> @kernel
... def double(x: In[Tile[4, 8, DType.F32]], y: Out[Tile[4, 8, DType.F32]]):
...     pto.store(y, pto.load(x) * 2)
>>> X, Y = Tensor(np.ones((3, 4, 8), np.float32)), Tensor(np.zeros((3, 4, 8), np.float32))
>>> @workload
... def doubled():
...     for i in P(Dense[3]):
...         double[i](x=X[i], y=Y[i])
>>> program = doubled().compile()
>>> program.execute()
>>> program.synchronize()
True
>>> float(np.asarray(Y).sum())
192.0
"""

import logging as _logging
import pathlib as _pathlib
import pkgutil as _pkgutil
import sys as _sys

# The native module is built beside the sources; the first on the path is taken.
__path__ = _pkgutil.extend_path(__path__, __name__)

import pto_wsp._pto_wsp as _native

_native.set_package_directory(str(_pathlib.Path(__file__).parent))

from pto_wsp import errors as _errors
from pto_wsp import kernels, ptoisa, scalar_expr
from pto_wsp import language as pto
from pto_wsp import naming as _naming
from pto_wsp.annotations import Constexpr, In, InOut, Out, Scalar, Tile
from pto_wsp.axes import Dense, DenseDyn, Ragged, Range, Sparse
from pto_wsp.channels import Channel, consume, send, try_send
from pto_wsp.collectives import allgather, allreduce, reduce_scatter, relayout
from pto_wsp.compiled import CompiledKernel
from pto_wsp.coverages import coverage
from pto_wsp.decorators import jit_kernel, kernel, ptoisa_kernel
from pto_wsp.dtypes import DType, Location
from pto_wsp.errors import (
    CancelledError,
    ChannelClosed,
    ChannelError,
    ChannelFull,
    CompileError,
    EventTimeoutError,
    ExecutionError,
    InternalError,
    IRConversionError,
    KernelError,
    LayoutIncompatibleError,
    PtoError,
    RaceWarning,
    ScheduleError,
    SlotWarning,
    TypeCheckError,
)
from pto_wsp.events import Event, query, record, synchronize
from pto_wsp.external_kernels import ExternalKernel
from pto_wsp.functional import cond, for_each, parallel_for, select, task
from pto_wsp.kernel_ir import KernelIR
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.layout import TensorLayout, TensorReplicate, TensorShard, tensor_layout_join
from pto_wsp.loop_variables import AxisVar
from pto_wsp.loops import P
from pto_wsp.memory_layouts import LinearLayout, MemLayout
from pto_wsp.passes import (
    DeadTaskPass,
    FlattenCombinePass,
    FusePass,
    HoistPass,
    InterchangePass,
    MergePass,
    Pass,
    PassManager,
    PatternRewriter,
    PrintPass,
    RulePass,
)
from pto_wsp.policies import DispatchPolicy, TimingPolicy
from pto_wsp.processes import Pipeline, Process, connect, process, replicate
from pto_wsp.programs import Program, ProgramStats
from pto_wsp.progress import Progress
from pto_wsp.scalar_expr import ScalarExpr, slot_u64
from pto_wsp.schedules import Schedule
from pto_wsp.statements import slot_load_u64, slot_set_u64
from pto_wsp.symbols import Symbol
from pto_wsp.task_graph_policies import (
    Deps,
    DepsMode,
    Pools,
    ReadyPolicy,
    StartPolicy,
    TaskWindow,
    TracePolicy,
    WindowMode,
)
from pto_wsp.tensor import Tensor
from pto_wsp.traces import Trace, TraceEvent, TraceLevel
from pto_wsp.tracing import Value
from pto_wsp.workloads import (
    Task,
    TypeChecker,
    Workload,
    combine,
    sequential,
    workload,
)

tl = pto
Layout = TensorLayout
LayoutShard = Shard = TensorShard
LayoutReplicate = Replicate = TensorReplicate
layout_join = tensor_layout_join

__version__ = "0.1.0"

_logger = _logging.getLogger("pto_wsp")
_native.feed_logger(_logger)
if _native.env_log_level() in ("debug", "info"):
    _logger.setLevel(_native.env_log_level().upper())

_not_yet = frozenset(
    {
        "graph",
    }
)

__all__ = [
    "AxisVar",
    "CancelledError",
    "Channel",
    "ChannelClosed",
    "ChannelError",
    "ChannelFull",
    "CompileError",
    "CompiledKernel",
    "Constexpr",
    "DType",
    "DeadTaskPass",
    "Dense",
    "DenseDyn",
    "Deps",
    "DepsMode",
    "DispatchPolicy",
    "Event",
    "EventTimeoutError",
    "ExecutionError",
    "ExternalKernel",
    "FlattenCombinePass",
    "FusePass",
    "HoistPass",
    "IRConversionError",
    "In",
    "InOut",
    "InterchangePass",
    "InternalError",
    "KernelError",
    "KernelIR",
    "KernelRef",
    "Layout",
    "LayoutIncompatibleError",
    "LayoutReplicate",
    "LayoutShard",
    "LinearLayout",
    "Location",
    "MemLayout",
    "MergePass",
    "Out",
    "P",
    "Pass",
    "PassManager",
    "PatternRewriter",
    "Pipeline",
    "Pools",
    "PrintPass",
    "Process",
    "Program",
    "ProgramStats",
    "Progress",
    "PtoError",
    "RaceWarning",
    "Ragged",
    "Range",
    "ReadyPolicy",
    "Replicate",
    "RulePass",
    "Scalar",
    "ScalarExpr",
    "Schedule",
    "ScheduleError",
    "Shard",
    "SlotWarning",
    "Sparse",
    "StartPolicy",
    "Symbol",
    "Task",
    "TaskWindow",
    "Tensor",
    "TensorLayout",
    "TensorReplicate",
    "TensorShard",
    "Tile",
    "TimingPolicy",
    "Trace",
    "TraceEvent",
    "TraceLevel",
    "TracePolicy",
    "TypeCheckError",
    "TypeChecker",
    "Value",
    "WindowMode",
    "Workload",
    "allgather",
    "allreduce",
    "combine",
    "cond",
    "connect",
    "consume",
    "coverage",
    "for_each",
    "hardware",
    "jit_kernel",
    "kernel",
    "kernels",
    "layout_join",
    "parallel_for",
    "process",
    "pto",
    "ptoisa",
    "ptoisa_kernel",
    "query",
    "record",
    "reduce_scatter",
    "relayout",
    "replicate",
    "scalar_expr",
    "select",
    "send",
    "sequential",
    "slot_load_u64",
    "slot_set_u64",
    "slot_u64",
    "synchronize",
    "task",
    "tensor_layout_join",
    "tl",
    "try_send",
    "workload",
]


def hardware() -> str:
    """This machine in words: features, caches, cores."""
    return _native.host_fingerprint()


def __getattr__(name: str) -> object:
    if name in _not_yet:
        if _naming.is_importing(_sys._getframe(1)):
            # `from pto_wsp import name` hides the text of other errors.
            raise ImportError(f"pto_wsp.{name} is not available yet", name=__name__)
        raise _errors.error(_errors.NotAvailableError, f"pto_wsp.{name} is not available yet")
    near = _native.nearest_name(name, __all__)
    asked = f"; did you mean '{near}'?" if near else ""
    raise AttributeError(f"module 'pto_wsp' has no attribute '{name}'{asked}")
