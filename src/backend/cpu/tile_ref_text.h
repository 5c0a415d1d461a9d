#pragma once

namespace pto::wsp::backend::cpu {

/// The text of core/tile_ref.h: the system's compiler reads it where no sources are installed.
extern const char *const tile_ref_text;

}  // namespace pto::wsp::backend::cpu
