#include "workload/proofs.h"

#include <algorithm>
#include <set>

#include "workload/node_visit.h"
#include "workload/static_plan.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

/// Calls `visit(a, of_a, b, of_b)` for pairs of accesses of the loop's places, one of them a write,
/// until it gives true; true then.
template <class Visit>
bool any_pair(const LoopPlace &place, const AccessTable &table, Visit visit) {
    for (size_t i = place.first; i < place.last; ++i) {
        for (size_t j = place.first; j < place.last; ++j) {
            const Site &a = table.sites()[i];
            const Site &b = table.sites()[j];
            for (const DataAccess &of_a : a.accesses) {
                for (const DataAccess &of_b : b.accesses) {
                    if ((of_a.writes || of_b.writes) && visit(a, of_a, b, of_b)) {
                        return true;
                    }
                }
            }
        }
    }
    return false;
}

/// What is left of the node when calls are taken away around it.
const Node *inlined(const NodePtr &node) {
    const Node *body = node.get();
    while (const auto *call = std::get_if<CallNode>(&body->kind)) {
        body = call->body.get();
    }
    return body;
}

/// No dependence goes on in one of the two loops and back in the other.
bool is_wavefront(const LoopPlace &place, const AccessTable &table) {
    const LoopNode *inner = inner_loop(*place.loop);
    if (inner == nullptr || inner->sequential || inner->depth > 0 || inner->variable.value ||
        !conflict_inside({inner, place.depth + 1, place.first, place.last}, table)) {
        return false;
    }
    const std::vector<Relation> crossing = {{place.depth, 1, -1}, {place.depth, -1, 1}};
    return !any_pair(
        place, table,
        [&](const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b) {
            return std::ranges::any_of(crossing, [&](const Relation &relation) {
                return may_meet(a, of_a, b, of_b, relation);
            });
        });
}

LoopOrder chain_order(const LoopPlace &place, const AccessTable &table) {
    const LoopVar &variable = place.loop->variable;
    const Site &site = table.sites()[place.first];
    if (place.last - place.first != 1 || site.path.back() != &variable) {
        return LoopOrder::Unknown;
    }
    LoopOrder order = LoopOrder::Unknown;
    any_pair(place, table,
             [&](const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b) {
                 if (!always_meet(a, of_a, b, of_b, variable, table)) {
                     return false;
                 }
                 const bool same = &of_a == &of_b && of_a.reads && of_a.writes;
                 order = same ? LoopOrder::Reduction : LoopOrder::Chain;
                 return same;
             });
    return order;
}

std::string access_text(const Site &site, const DataAccess &access) {
    const Region &region = region_of(site, access);
    return site.task->kernel->name + " writes " + region.str() + " (" +
           (region.at.known() ? region.at : site.node->at).str() + ")";
}

class RaceFinder {
public:
    explicit RaceFinder(const AccessTable &table) : table_(table) {}

    void walk(const Node &node) {
        if (is_empty(node)) {
            return;
        }
        const size_t first = next_site_;
        next_site_ += is_site(node) ? 1 : 0;
        for_each_child(node, [&](const NodePtr &child) { walk(*child); });
        if (std::holds_alternative<BranchNode>(node.kind)) {
            for (size_t site = first; site < next_site_; ++site) {
                conditional_.insert(&table_.sites()[site]);
            }
        }
        const auto *loop = std::get_if<LoopNode>(&node.kind);
        if (loop != nullptr && !loop->sequential && loop->depth == 0 &&
            loop->variable.axis.constant().value_or(0) > 1) {
            find({loop, 0, first, next_site_});
        }
    }

    Reasons take() { return std::move(reasons_); }

private:
    void find(const LoopPlace &place) {
        const LoopVar &variable = place.loop->variable;
        any_pair(place, table_,
                 [&](const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b) {
                     if (!of_a.reads && !of_b.reads && of_a.writes && of_b.writes &&
                         seen_.count({&of_a, &of_b}) == 0 && conditional_.count(&a) == 0 &&
                         conditional_.count(&b) == 0 &&
                         always_meet(a, of_a, b, of_b, variable, table_) &&
                         !is_read(place, a, of_a)) {
                         seen_.insert({&of_a, &of_b});
                         add(variable, a, of_a, b, of_b);
                     }
                     return false;
                 });
    }

    /// Something in the loop reads what the access writes: an order by data is meant.
    bool is_read(const LoopPlace &place, const Site &a, const DataAccess &of_a) const {
        for (size_t i = place.first; i < place.last; ++i) {
            const Site &site = table_.sites()[i];
            for (const DataAccess &access : site.accesses) {
                if (access.reads && may_meet(a, of_a, site, access, Relation{})) {
                    return true;
                }
            }
        }
        return false;
    }

    void add(const LoopVar &variable, const Site &a, const DataAccess &of_a, const Site &b,
             const DataAccess &of_b) {
        const std::string next = "in iteration " + variable.id + " + 1";
        const std::string text = "race: " + access_text(a, of_a) + " in iteration " + variable.id +
                                 " and " +
                                 (&of_a == &of_b ? "again " : access_text(b, of_b) + " ") + next +
                                 ", and nothing reads it between: the later one stays";
        reasons_.push_back({"loop " + variable.id, false, text, a.node->at, true});
    }

    const AccessTable &table_;
    size_t next_site_ = 0;
    std::set<const Site *> conditional_;  ///< may make no task
    std::set<std::pair<const DataAccess *, const DataAccess *>> seen_;
    Reasons reasons_;
};

}  // namespace

const LoopNode *inner_loop(const LoopNode &loop) {
    return std::get_if<LoopNode>(&inlined(loop.body)->kind);
}

bool always_meet(const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b,
                 const LoopVar &variable, const AccessTable &table) {
    const auto is_known = [](const LoopVar *each) { return !each->value && each->axis.constant(); };
    if (!of_a.valid.empty() || !of_b.valid.empty()) {
        return false;
    }
    if (of_a.storage != of_b.storage || !table.storage(of_a).frame.exact ||
        variable.axis.constant().value_or(0) < 2 || !std::ranges::all_of(a.path, is_known)) {
        return false;
    }
    if (a.path.size() != b.path.size() || common_loops(a.path, b.path) != a.path.size()) {
        return false;
    }
    for (size_t d = 0; d < of_a.offsets.size(); ++d) {
        const Affine apart = of_b.offsets[d] - of_a.offsets[d];
        if (!apart.is_constant()) {
            return false;
        }
        const Wide distance =
            static_cast<Wide>(*apart.as_constant()) + of_b.offsets[d].coefficient(variable.id);
        if (distance >= of_a.extents[d] || distance <= -static_cast<Wide>(of_b.extents[d])) {
            return false;
        }
    }
    return true;
}

std::optional<Conflict> conflict_inside(const LoopPlace &place, const AccessTable &table) {
    for (size_t i = place.first; i < place.last; ++i) {
        for (size_t j = i; j < place.last; ++j) {
            auto conflict = find_conflict(table.sites()[i], table.sites()[j],
                                          different_iterations(place.depth, place.depth + 1));
            if (conflict) {
                return conflict;
            }
        }
    }
    return std::nullopt;
}

LoopOrder loop_order(const LoopPlace &place, const AccessTable &table) {
    if (!conflict_inside(place, table)) {
        return LoopOrder::Independent;
    }
    const LoopOrder chain = chain_order(place, table);
    if (chain != LoopOrder::Unknown) {
        return chain;
    }
    return is_wavefront(place, table) ? LoopOrder::Wavefront : LoopOrder::Unknown;
}

bool is_blockable(const LoopPlace &place, const AccessTable &table) {
    const LoopNode *inner = inner_loop(*place.loop);
    if (inner == nullptr || !std::holds_alternative<TaskNode>(inlined(inner->body)->kind) ||
        loop_order(place, table) != LoopOrder::Wavefront) {
        return false;
    }
    const auto surely_reads = [&](const LoopVar &variable) {
        return any_pair(
            place, table,
            [&](const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b) {
                return of_a.writes && of_b.reads && always_meet(a, of_a, b, of_b, variable, table);
            });
    };
    return surely_reads(place.loop->variable) && surely_reads(inner->variable);
}

Reasons races(const Node &root, const AccessTable &table) {
    if (table.sites().size() > max_analysed_sites) {
        return {};
    }
    RaceFinder finder(table);
    finder.walk(root);
    return finder.take();
}

}  // namespace pto::wsp::workload
