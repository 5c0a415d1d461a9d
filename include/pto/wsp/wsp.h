#pragma once

#include "pto/wsp/program/channels.h"
#include "pto/wsp/program/event.h"
#include "pto/wsp/program/expressions.h"
#include "pto/wsp/program/kernels.h"
#include "pto/wsp/program/library.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/program/tensors.h"
#include "pto/wsp/program/workloads.h"

/// Kernels on tiles, workloads of tasks, programs that run them: what `import pto_wsp` is in
/// Python, by the same names and with the same errors.
///
/// ```
/// using namespace pto::wsp;
///
/// Tensor Q("Q", {4, 8, 512, 64}), K("K", {4, 8, 512, 64}), V = ..., O = ...;
/// const Tile tile(512, 64, DType::F32);
/// const Kernel attn("attn", {In("Q", tile), In("K", tile), In("V", tile), Out("O", tile)},
///                   [](const Parameters &k) {
///                       auto scores = matmul(k["Q"], k["K"], {.trans_b = true}) * 0.125;
///                       store(k["O"], matmul(softmax(scores), k["V"]));
///                   });
/// const Workload attention("attention", [&] {
///     for (auto [b, h] : P(Dense(4), Dense(8))) {
///         attn[{b, h}]({Q[b][h], K[b][h], V[b][h], O[b][h]});
///     }
/// });
/// Program program = attention.compile();
/// program.execute();
/// program.synchronize();
/// ```
///
/// Operations on tiles are in `pto/wsp/kernel/tile.h`, ready-made kernels in
/// `pto/wsp/program/library.h`.
namespace pto::wsp {}
