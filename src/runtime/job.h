#pragma once

namespace pto::wsp::runtime {

class Run;

/// Something that a worker can take from a queue and hand to `run->run_job`. Lives in the run.
struct Job {
    Run *run = nullptr;
    Job *next = nullptr;  ///< in an inbox
};

}  // namespace pto::wsp::runtime
