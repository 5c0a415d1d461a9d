#include "workload/static_plan.h"

#include <algorithm>
#include <limits>

#include "workload/iteration_needs.h"
#include "workload/node_visit.h"
#include "workload/proofs.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

/// Loops of this many iterations feed the workers whatever their bodies are.
constexpr int64_t enough_iterations = 64;
/// More nests than this are better tracked than run in phases.
constexpr size_t max_nests = 64;
/// A body of more statements than this is kept together, whatever its statements need.
constexpr size_t few_parts = 16;
/// Phases cost a barrier each: more than this many short ones are better tracked.
constexpr size_t few_phases = 8;
constexpr int64_t short_phase = 16;

/// A nest with the sites of its body and the nests it must follow.
struct Nest {
    StaticNest nest;
    size_t first_site = 0;
    size_t last_site = 0;
    std::vector<std::pair<size_t, size_t>> after;  ///< ranges of nests
};

class Planner {
public:
    explicit Planner(const AccessTable &table) : table_(table) {}

    StaticPlan plan(const NodePtr &root) {
        StaticPlan result;
        if (table_.sites().size() > max_analysed_sites) {
            why_not_ = std::to_string(table_.sites().size()) +
                       " task places are too many to compare pair by pair";
            remedy_ = "calls that differ by an index in one loop: up to " +
                      std::to_string(max_analysed_sites) + " places are compared";
        } else if (collect(root, 0)) {
            result.phases = phases();
        }
        result.why_not = why_not_;
        result.remedy = remedy_;
        result.at = at_.known() ? at_ : root->at;
        return result;
    }

private:
    bool collect(const NodePtr &node, size_t first_site) {
        if (is_empty(*node)) {
            return true;
        }
        return std::visit(
            Overloaded{
                [&](const TaskNode &) { return add_nest(node, first_site); },
                [&](const LoopNode &loop) { return collect_loop(node, loop, first_site); },
                [&](const GroupNode &group) { return collect_group(node, group, first_site); },
                [&](const CallNode &call) { return collect(call.body, first_site); },
                [&](const BranchNode &) { return collect_branch(node, first_site); },
                [&](const SlotNode &) {
                    return refuse("slots are filled in program order", node->at);
                },
                [&](const SendNode &) { return refuse_channels(*node); },
                [&](const ConsumeNode &) { return refuse_channels(*node); },
                [&](const CloseNode &) { return refuse_channels(*node); },
                [&](const NetNode &) { return refuse_channels(*node); },
                [&](const EventNode &) {
                    return refuse("events are met in program order", node->at);
                },
            },
            node->kind);
    }

    bool refuse_channels(const Node &node) {
        return refuse("processes take turns as tokens come", node.at);
    }

    bool collect_loop(const NodePtr &node, const LoopNode &loop, size_t first_site) {
        if (loop.sequential || loop.depth > 0) {
            if (!is_chain(*node) && iterations() < enough_iterations) {
                return refuse(std::string("the ") + (loop.sequential ? "sequential" : "pipelined") +
                                  " loop over " + loop.variable.id + " has parallel work inside",
                              node->at,
                              "parallel loops of " + std::to_string(enough_iterations) +
                                  " iterations or more around loop " + loop.variable.id);
            }
            return add_nest(node, first_site);
        }
        if (!loop.variable.axis.size.variables().empty()) {
            // A nest is rectangular; what is not runs serially in its iterations.
            if (iterations() < enough_iterations) {
                return refuse("the size of the loop over " + loop.variable.id +
                                  " depends on loops around it, which have few iterations",
                              node->at,
                              "parallel loops of " + std::to_string(enough_iterations) +
                                  " iterations or more around loop " + loop.variable.id);
            }
            return add_nest(node, first_site);
        }
        if (!loops_.empty() && is_proven_chain(loop, first_site)) {
            return add_nest(node, first_site);
        }
        if (is_blockable(place_of(loop, first_site), table_)) {
            // Many iterations around feed the workers with whole wavefronts.
            return iterations() < enough_iterations ? add_wavefront(loop, first_site)
                                                    : add_nest(node, first_site);
        }
        loops_.push_back(&loop.variable);
        const bool done = collect(loop.body, first_site);
        loops_.pop_back();
        return done;
    }

    LoopPlace place_of(const LoopNode &loop, size_t first_site) const {
        return {&loop, loops_.size(), first_site, first_site + site_count(*loop.body)};
    }

    bool add_wavefront(const LoopNode &loop, size_t first_site) {
        const LoopNode &inner = *inner_loop(loop);
        const size_t independent = loops_.size();
        loops_.insert(loops_.end(), {&loop.variable, &inner.variable});
        const bool done = add_nest(inner.body, first_site, independent);
        loops_.resize(independent);
        return done;
    }

    /// A chain has no parallel work: as a body it needs no tracking.
    bool is_proven_chain(const LoopNode &loop, size_t first_site) const {
        const LoopOrder order = loop_order(place_of(loop, first_site), table_);
        return order == LoopOrder::Chain || order == LoopOrder::Reduction;
    }

    /// The body of a nest, as a predicate may differ from iteration to iteration.
    bool collect_branch(const NodePtr &node, size_t first_site) {
        if (has_parallel_loop(*node) && iterations() < enough_iterations) {
            return refuse("the branch has parallel work inside", node->at);
        }
        return add_nest(node, first_site);
    }

    bool collect_group(const NodePtr &node, const GroupNode &group, size_t first_site) {
        const bool many = !loops_.empty() && iterations() >= enough_iterations;
        const bool serial = !loops_.empty() && (many || !has_parallel_loop(*node));
        const size_t mark = nests_.size();
        if (many && (group.sequential || each_needs_all_before(group, first_site)) &&
            add_nest(node, first_site)) {
            return true;
        }
        if (split(group, first_site) && !(many && nests_.size() - mark > few_parts)) {
            return true;
        }
        nests_.resize(mark);
        return (serial && add_nest(node, first_site)) || (many && split(group, first_site));
    }

    /// True when each statement reads what each one before it writes in the same iteration, or what
    /// one writes that does so: a body that ends where one fails then leaves out nothing else.
    bool each_needs_all_before(const GroupNode &group, size_t first_site) const {
        std::vector<NestSites> parts;
        for (const NodePtr &child : group.children) {
            const size_t last_site = first_site + site_count(*child);
            if (last_site > first_site) {
                parts.push_back({nullptr, first_site, last_site});
            }
            first_site = last_site;
        }
        // A statement that needs the one before it needs all before that, which is in turn so.
        const Relation same{loops_.size(), 0};
        for (size_t i = 1; i < parts.size(); ++i) {
            if (!is_read_by(parts[i - 1], parts[i], same)) {
                return false;
            }
        }
        return true;
    }

    /// Each child by itself; loops around are distributed over the children.
    bool split(const GroupNode &group, size_t first_site) {
        const size_t mark = nests_.size();
        for (const NodePtr &child : group.children) {
            const size_t before = nests_.size();
            if (group.sequential) {
                after_.emplace_back(mark, before);
            }
            const bool done = collect(child, first_site) && may_distribute(mark, before);
            if (group.sequential) {
                after_.pop_back();
            }
            if (!done) {
                return false;
            }
            first_site += site_count(*child);
        }
        return true;
    }

    /// No task of a nest from `before` on precedes one of a nest in [mark, before) that it
    /// conflicts with.
    bool may_distribute(size_t mark, size_t before) {
        std::vector<Relation> later;
        for (size_t level = 0; level < loops_.size(); ++level) {
            later.push_back({level, 1});
        }
        for (size_t i = mark; i < before; ++i) {
            for (size_t j = before; j < nests_.size(); ++j) {
                if (const auto conflict = conflict_between(nests_[i], nests_[j], later)) {
                    return refuse(conflict->str(table_), conflict->b->node->at);
                }
            }
        }
        return true;
    }

    bool add_nest(const NodePtr &body, size_t first_site) {
        return add_nest(body, first_site, loops_.size());
    }

    /// The last loops, from `independent` on, are a wavefront.
    bool add_nest(const NodePtr &body, size_t first_site, size_t independent) {
        Nest nest;
        nest.first_site = first_site;
        nest.last_site = first_site + site_count(*body);
        nest.after = after_;
        nest.nest = {loops_, body, constant_iterations(), constant_task_count(*body), body->at};
        nest.nest.wavefront = independent < loops_.size();
        if (!loops_.empty()) {
            nest.nest.at = loops_.front()->at;
        }
        if (const auto conflict =
                conflict_between(nest, nest, different_iterations(0, independent))) {
            return refuse(conflict->str(table_), nest.nest.at);
        }
        nests_.push_back(std::move(nest));
        return true;
    }

    std::optional<Conflict> conflict_between(const Nest &a, const Nest &b,
                                             const std::vector<Relation> &relations) const {
        for (size_t i = a.first_site; i < a.last_site; ++i) {
            for (size_t j = &a == &b ? i : b.first_site; j < b.last_site; ++j) {
                auto conflict = find_conflict(table_.sites()[i], table_.sites()[j], relations);
                if (conflict) {
                    return conflict;
                }
            }
        }
        return std::nullopt;
    }

    /// A sequence puts nest `j` before nest `i`.
    bool is_sequenced(size_t j, size_t i) const {
        return std::ranges::any_of(nests_[i].after, [&](const auto &range) {
            return range.first <= j && j < range.second;
        });
    }

    /// Tasks of `b` may read what tasks of `a` of that relation write.
    bool is_read_by(const NestSites &a, const NestSites &b, const Relation &relation) const {
        for (size_t i = a.first; i < a.last; ++i) {
            for (size_t j = b.first; j < b.last; ++j) {
                const Site &writer = table_.sites()[i];
                const Site &reader = table_.sites()[j];
                for (const DataAccess &write : writer.accesses) {
                    for (const DataAccess &read : reader.accesses) {
                        if (write.writes && read.reads &&
                            may_meet(writer, write, reader, read, relation)) {
                            return true;
                        }
                    }
                }
            }
        }
        return false;
    }

    static NestSites sites(const Nest &nest) {
        return {&nest.nest, nest.first_site, nest.last_site};
    }

    /// Fills in `needs`.
    void add_needs(std::vector<StaticPhase> &phases, const std::vector<size_t> &phase_of) const {
        std::vector<int> numbers(nests_.size());
        std::vector<StaticNest *> places(nests_.size());
        int number = 0;
        for (size_t p = 0; p < phases.size(); ++p) {
            auto place = phases[p].begin();
            for (size_t i = 0; i < nests_.size(); ++i) {
                if (phase_of[i] == p) {
                    numbers[i] = number++;
                    places[i] = &*place++;
                }
            }
        }
        for (size_t i = 0; i < nests_.size(); ++i) {
            for (size_t j = 0; j < i; ++j) {
                if (phase_of[j] >= phase_of[i]) {
                    continue;
                }
                if (is_sequenced(j, i)) {
                    places[i]->needs.push_back({numbers[j], {}});
                } else if (is_read_by(sites(nests_[j]), sites(nests_[i]), {})) {
                    places[i]->needs.push_back(
                        {numbers[j], iteration_needs(sites(nests_[j]), sites(nests_[i]), table_)});
                }
            }
        }
    }

    std::optional<std::vector<StaticPhase>> phases() {
        if (nests_.size() > max_nests) {
            refuse(std::to_string(nests_.size()) + " separate loop nests are better tracked", {},
                   "at most " + std::to_string(max_nests) + " loop nests");
            return std::nullopt;
        }
        std::vector<size_t> phase_of(nests_.size(), 0);
        std::vector<StaticPhase> phases;
        int64_t iterations = 0;
        for (size_t i = 0; i < nests_.size(); ++i) {
            for (size_t j = 0; j < i; ++j) {
                if (phase_of[i] <= phase_of[j] &&
                    (is_sequenced(j, i) || conflict_between(nests_[j], nests_[i], {Relation{}}))) {
                    phase_of[i] = phase_of[j] + 1;
                }
            }
            phases.resize(std::max(phases.size(), phase_of[i] + 1));
            phases[phase_of[i]].push_back(nests_[i].nest);
            iterations = std::min(iterations + nests_[i].nest.iterations.value_or(int64_t{1} << 32),
                                  int64_t{1} << 32);
        }
        if (phases.size() > few_phases &&
            iterations < short_phase * static_cast<int64_t>(phases.size())) {
            refuse(std::to_string(phases.size()) + " short phases are better tracked", {},
                   "phases of " + std::to_string(short_phase) + " iterations or more");
            return std::nullopt;
        }
        add_needs(phases, phase_of);
        return phases;
    }

    /// Of the loops around; those of a size that the run decides count as many.
    int64_t iterations() const {
        int64_t product = 1;
        for (const LoopVar *variable : loops_) {
            product *= variable->axis.constant().value_or(enough_iterations);
        }
        return product;
    }

    std::optional<int64_t> constant_iterations() const {
        const bool constant = std::ranges::all_of(
            loops_, [](const LoopVar *variable) { return variable->axis.constant().has_value(); });
        return constant ? std::optional<int64_t>(iterations()) : std::nullopt;
    }

    /// Keeps the first reason.
    bool refuse(const std::string &why, const Loc &at, const std::string &remedy = "") {
        if (why_not_.empty()) {
            why_not_ = why;
            remedy_ = remedy;
            at_ = at;
        }
        return false;
    }

    const AccessTable &table_;
    LoopPath loops_;  ///< parallel loops around
    std::vector<std::pair<size_t, size_t>> after_;
    std::vector<Nest> nests_;
    std::string why_not_;
    std::string remedy_;
    Loc at_;
};

class LoopReasons {
public:
    LoopReasons(const AccessTable &table, const StaticPlan &plan) : table_(table), plan_(plan) {}

    /// What would remove the first thing that stands in the way of an untracked plan.
    const std::string &remedy() const { return remedy_; }

    void walk(const Node &node) {
        if (is_empty(node)) {
            return;
        }
        if (is_site(node)) {
            next_site_++;
        } else if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            walk_loop(*loop, node);
        } else {
            const size_t variables = variables_in(node).size();
            depth_ += variables;
            for_each_child(node, [&](const NodePtr &child) { walk(*child); });
            depth_ -= variables;
        }
    }

    Reasons take() { return std::move(reasons_); }

private:
    void walk_loop(const LoopNode &loop, const Node &node) {
        if (loop.variable.value) {
            depth_++;
            walk(*loop.body);
            depth_--;
            return;
        }
        const size_t mine = reasons_.size();
        reasons_.push_back({"loop " + loop.variable.id, false, "", node.at, true});
        const size_t first = next_site_;
        depth_++;
        walk(*loop.body);
        depth_--;
        Reason &reason = reasons_[mine];
        if (loop.sequential) {
            reason.text = "its iterations are ordered by P.seq";
        } else if (loop.depth > 0) {
            reason.text =
                "at most " + std::to_string(loop.depth) + " of its iterations run at a time";
        } else if (table_.sites().size() > max_analysed_sites) {
            reason.text = "not analysed: " + std::to_string(table_.sites().size()) + " task places";
        } else {
            prove({&loop, depth_, first, next_site_}, reason);
        }
    }

    void prove(const LoopPlace &place, Reason &reason) {
        const std::string &name = place.loop->variable.id;
        const auto conflict = conflict_inside(place, table_);
        std::string remedy;
        switch (loop_order(place, table_)) {
        case LoopOrder::Independent:
            reason.happened = true;
            reason.text = "independent loop: no iteration touches what another one writes";
            return;
        case LoopOrder::Chain:
            reason.text = "chain: each iteration depends on the one before: ";
            remedy = "P.seq over " + name + ": it is a chain anyway";
            break;
        case LoopOrder::Reduction:
            reason.text = "reduction: each iteration reads and writes what the one before wrote: ";
            remedy = "P.seq over " + name + ": it is a reduction, in this order";
            break;
        case LoopOrder::Wavefront: {
            const std::string &inner = inner_loop(*place.loop)->variable.id;
            reason.text =
                "wavefront with loop " + inner + ": iterations of one diagonal are independent; ";
            if (runs_in_blocks(*place.loop)) {
                reason.happened = true;
                reason.text += "blocks of them run untracked once those before them have";
                return;
            }
            reason.text += "the cells of each task are tracked, as ";
            remedy = "one task for each " + name + " and " + inner +
                     ", loops of constant sizes, and nothing that asks for single tasks: it is a "
                     "wavefront";
            break;
        }
        case LoopOrder::Unknown:
            remedy = table_.storage(*conflict->of_a).frame.exact
                         ? "regions that the index of loop " + name +
                               " keeps apart, or a tensor that the loop only writes"
                         : "tensors with memory of their own";
            break;
        }
        // Loops around come before those inside, so theirs is what counts.
        remedy_ = depth_ < remedy_depth_ ? remedy : remedy_;
        remedy_depth_ = std::min(depth_, remedy_depth_);
        reason.text += conflict->str(table_);
    }

    bool runs_in_blocks(const LoopNode &loop) const {
        const auto is_its = [&](const StaticNest &nest) {
            return nest.wavefront && nest.loops[nest.loops.size() - 2] == &loop.variable;
        };
        return plan_.phases && std::ranges::any_of(*plan_.phases, [&](const StaticPhase &phase) {
                   return std::ranges::any_of(phase, is_its);
               });
    }

    const AccessTable &table_;
    const StaticPlan &plan_;
    size_t next_site_ = 0;
    size_t depth_ = 0;
    size_t remedy_depth_ = std::numeric_limits<size_t>::max();
    std::string remedy_;
    Reasons reasons_;
};

}  // namespace

StaticPlan plan_static(const NodePtr &root, const AccessTable &table) {
    return Planner(table).plan(root);
}

Reasons loop_reasons(const Node &root, const AccessTable &table, const StaticPlan &plan) {
    LoopReasons walk(table, plan);
    walk.walk(root);
    Reasons reasons = walk.take();
    const std::string &remedy = plan.remedy.empty() ? walk.remedy() : plan.remedy;
    if (!plan.phases && !remedy.empty()) {
        reasons.push_back({"tracking", true, "would not be needed with " + remedy, plan.at, true});
    }
    return reasons;
}

}  // namespace pto::wsp::workload
