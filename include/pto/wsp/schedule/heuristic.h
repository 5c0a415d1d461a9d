#pragma once

#include <cstdint>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/schedule/outline.h"
#include "pto/wsp/schedule/step.h"

namespace pto::wsp::schedule {

/// What the heuristic needs to know of a machine.
struct Machine {
    int lanes = 8;       ///< f32 lanes of a vector register
    int registers = 16;  ///< vector registers
    int64_t l1_bytes = 32 << 10;
    int64_t l2_bytes = 1 << 20;
};

/// Tile sizes that the user fixed; 0: the heuristic's choice.
struct BlockSizes {
    int64_t m = 0;  ///< rows of a block of the result
    int64_t n = 0;  ///< columns of a register tile
    int64_t k = 0;  ///< depth of a block of a reduction
};

/// The default schedule of a kernel: plain data that a user can print, edit and give back.
///
/// Rows of each result are cut into blocks; what a block needs row by row (products, row
/// reductions, their inputs) is computed for that block and stays in cache; right operands of
/// products are packed once where their rows are not vectors; products run in register tiles;
/// everything else is computed where it is used.
KernelSchedule default_schedule(const kernel::TileProgram &program, const Outline &outline,
                                const Machine &machine, const BlockSizes &blocks = {});

}  // namespace pto::wsp::schedule
