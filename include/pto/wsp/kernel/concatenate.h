#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// For each parameter of a second kernel the index of the parameter of a first one that is bound to
/// the same tile, or -1.
using SharedParams = std::vector<int>;

/// Whether `program`, of a tile program, stores all of its tile parameter `param` once, outside of
/// loops and without a mask, and stores nothing else to it.
bool stores_whole(const TileProgram &program, int param);

/// Why `concatenate` has no kernel for the two; empty when it has one.
std::string why_not_concatenated(const TileProgram &first, const TileProgram &second,
                                 const SharedParams &shared);

/// `first` and then `second` as one kernel, called `name`. Its parameters are those of `first`,
/// then those of `second` that are not shared; where a name is taken they get a number behind it. A
/// tile that `first` stores and `second` loads is stored as before, and loaded no more: the value
/// is converted to the element type of the tile and used.
///
/// A shared tile is read by both, or stored whole, once and outside of loops by `first` and loaded
/// whole by `second`. InternalError when `why_not_concatenated` has a reason.
std::shared_ptr<const TileProgram> concatenate(const TileProgram &first, const TileProgram &second,
                                               const SharedParams &shared, const std::string &name,
                                               Loc at = Loc::here());

}  // namespace pto::wsp::kernel
