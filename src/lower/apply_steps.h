#pragma once

#include <map>
#include <string>

#include "pto/wsp/schedule/outline.h"
#include "pto/wsp/schedule/step.h"
#include "region_funcs.h"

namespace pto::wsp::lower {

/// Applies those steps of `schedule` that address Funcs of `region`: the only place where step
/// names meet Funcs. Throws ScheduleError at the step's line with the reason and the legal
/// alternatives.
///
/// Needs: Funcs as `build_region` makes them. Ensures: results are those without a schedule (steps
/// tagged reassociating: within the stated tolerance); nothing is written out of bounds.
void apply_steps(const schedule::KernelSchedule &schedule, const schedule::Outline &outline,
                 const schedule::Region &region, RegionFuncs &funcs);

}  // namespace pto::wsp::lower
