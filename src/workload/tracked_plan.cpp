#include "workload/tracked_plan.h"

#include <algorithm>
#include <map>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"
#include "workload/cells.h"
#include "workload/node_visit.h"
#include "workload/static_plan.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

/// ScheduleError when an operation in the key may have no value.
void check_operands(const ScalarExpr &key, const Sizes &sizes, const Loc &at) {
    if (const auto unsafe = unsafe_operand(key, sizes)) {
        throw ScheduleError(at, "key " + shown(key) + ": " + unsafe->text, {}, unsafe->hint);
    }
}

/// True when no two tasks of the workload conflict in this storage.
bool has_no_conflict(const std::vector<std::pair<const Site *, const DataAccess *>> &accesses) {
    if (accesses.size() > max_analysed_sites) {
        return false;
    }
    for (size_t i = 0; i < accesses.size(); ++i) {
        for (size_t j = i; j < accesses.size(); ++j) {
            const auto &[a, of_a] = accesses[i];
            const auto &[b, of_b] = accesses[j];
            if (!of_a->writes && !of_b->writes) {
                continue;
            }
            const std::vector<Relation> relations = a == b ? different_iterations(0, a->path.size())
                                                           : std::vector<Relation>{Relation{}};
            for (const Relation &relation : relations) {
                if (may_meet(*a, *of_a, *b, *of_b, relation)) {
                    return false;
                }
            }
        }
    }
    return true;
}

class Tracker {
public:
    Tracker(const AccessTable &table, const std::vector<LaneRule> &lanes, const OrderRules &rules)
        : table_(table), lanes_(lanes), rules_(rules) {
        add_storages();
        for (const LaneRule &rule : lanes) {
            const int64_t count = rule.lanes > 0 ? rule.lanes : max_workers;
            lane_grids_.push_back(
                add_grid(rule.name, std::min(count, max_cells), CellGrid::Kind::Lane));
        }
        for (const EdgeRule &edge : rules.edges) {
            edge_grids_.push_back(
                add_grid(edge.before + " -> " + edge.after, edge_cells, CellGrid::Kind::Sequence));
        }
    }

    TrackedPlan plan(const Node &root) {
        walk(root, plan_.program);
        gather();
        return std::move(plan_);
    }

private:
    /// Keys of an edge share these, which only adds order.
    static constexpr int64_t edge_cells = 4096;

    /// A sequential scope around the place where the walk is.
    struct Scope {
        int grid = 0;
        ScalarExpr cell = 0;
        bool chain = false;  ///< tasks inside read and write the cell
    };

    int add_grid(const std::string &name, int64_t cells, CellGrid::Kind kind) {
        plan_.grids.push_back({name, cells, kind});
        return static_cast<int>(plan_.grids.size()) - 1;
    }

    void add_storages() {
        const size_t count = table_.storages().size();
        std::vector<std::vector<std::pair<const Site *, const DataAccess *>>> accesses(count);
        for (const Site &site : table_.sites()) {
            for (const DataAccess &access : site.accesses) {
                accesses[static_cast<size_t>(access.storage)].emplace_back(&site, &access);
            }
        }
        cell_maps_.resize(count);
        data_grids_.assign(count, -1);
        for (size_t i = 0; i < count; ++i) {
            const Storage &storage = table_.storages()[i];
            if (rules_.data != OrderRules::Data::None && storage.written && !accesses[i].empty() &&
                !has_no_conflict(accesses[i])) {
                cell_maps_[i].emplace(accesses[i]);
                data_grids_[i] =
                    add_grid(storage.name, cell_maps_[i]->cells(), CellGrid::Kind::Data);
            }
        }
    }

    void walk(const Node &node, std::vector<TrackedStep> &out) {
        if (is_empty(node)) {
            return;
        }
        std::visit(Overloaded{
                       [&](const TaskNode &) { add_task(out); },
                       [&](const LoopNode &loop) { walk_loop(node, loop, out); },
                       [&](const GroupNode &group) { walk_group(node, group, out); },
                       [&](const CallNode &call) { walk(*call.body, out); },
                       [&](const BranchNode &branch) { walk_branch(branch, out); },
                       [&](const SlotNode &slot) { add_slot(slot, out); },
                       [&](const SendNode &send) { walk_send(send, out); },
                       [&](const ConsumeNode &consume) { walk_consume(node, consume, out); },
                       [&](const CloseNode &close) {
                           TrackedStep step;
                           step.close = true;
                           step.channels = {channel_number(close.channel)};
                           out.push_back(std::move(step));
                       },
                       [&](const NetNode &net) { walk_net(net, out); },
                       [&](const EventNode &event) {
                           TrackedSite site;
                           site.event = &event;
                           site.name = event.records ? "record" : "synchronize";
                           site.at = node.at;
                           add_site(out, std::move(site));
                       },
                   },
                   node.kind);
    }

    /// Tells the places of tasks which records wait for them. Records that wait for the same ones
    /// follow each other, so that each has to look only at the tasks since the last.
    void gather() {
        std::map<std::pair<int, std::optional<std::vector<int>>>, int> numbers;
        for (TrackedSite &site : plan_.sites) {
            if (site.event != nullptr && site.event->records) {
                const auto next = static_cast<int>(numbers.size());
                site.gathers =
                    numbers.try_emplace({site.process, site.event->after}, next).first->second;
                if (!site.event->waits()) {
                    site.gathered_by.push_back(site.gathers);
                }
            }
        }
        for (const auto &[what, number] : numbers) {
            const auto &[process, after] = what;
            for (TrackedSite &site : plan_.sites) {
                // The program itself goes on when processes have ended, their tasks perhaps not.
                const bool is_before =
                    after ? site.task != nullptr && std::ranges::count(*after, site.task->mark) > 0
                          : process < 0 || site.process == process;
                if (site.task != nullptr && is_before) {
                    site.gathered_by.push_back(number);
                }
            }
        }
    }

    /// The number of a channel in the net around; made when first asked for.
    int channel_number(const ChannelPtr &channel) {
        const auto next = static_cast<int>(plan_.channels.size());
        const auto [found, added] = channels_.try_emplace(channel.get(), next);
        if (added) {
            const int64_t slots = slots_of(*channel);
            plan_.channels.push_back({channel, 0, slots, false});
            // One cell more than slots: of a `consume` that has a token from elsewhere.
            channel_grids_.push_back(add_grid(channel->name, slots + 1, CellGrid::Kind::Data));
        }
        return found->second;
    }

    /// With several receivers, so many that a token which takes long does not hold up the others;
    /// what tokens carry is stored for depth + 1 of them.
    int64_t slots_of(const Channel &channel) const {
        const auto receivers =
            std::ranges::count_if(net_->processes, [&](const NetNode::Process &process) {
                return std::ranges::any_of(
                    process.consumes, [&](const auto &each) { return each.get() == &channel; });
            });
        bool carries = false;
        for (const NetNode::Process &process : net_->processes) {
            for_each_node(*process.body, [&](const Node &node, const LoopPath &) {
                const auto *send = std::get_if<SendNode>(&node.kind);
                carries = carries || (send != nullptr && send->channel.get() == &channel &&
                                      std::ranges::any_of(sent_task(*send).arguments, is_own));
            });
        }
        return receivers > 1 && !carries ? channel.depth + 2 * receivers : channel.slots();
    }

    static bool is_own(const TaskArgument &argument) {
        const auto *region = std::get_if<Region>(&argument.value);
        return region != nullptr && region->tensor->own;
    }

    void walk_net(const NetNode &net, std::vector<TrackedStep> &out) {
        channels_.clear();
        net_ = &net;
        TrackedStep step;
        step.first_process = static_cast<int>(plan_.processes.size());
        step.process_count = static_cast<int>(net.processes.size());
        for (const NetNode::Process &process : net.processes) {
            TrackedProcess made{process.name, {}, {}, {}, process.at};
            process_ = static_cast<int>(plan_.processes.size());
            for (const ChannelPtr &channel : process.produces) {
                made.sends.push_back(channel_number(channel));
            }
            for (const ChannelPtr &channel : process.consumes) {
                made.receives.push_back(channel_number(channel));
            }
            plan_.processes.push_back(std::move(made));
            std::vector<TrackedStep> program;
            walk(*process.body, program);
            plan_.processes[static_cast<size_t>(process_)].program = std::move(program);
            process_ = -1;
        }
        out.push_back(std::move(step));
    }

    void walk_send(const SendNode &send, std::vector<TrackedStep> &out) {
        const int channel = channel_number(send.channel);
        TrackedChannel &made = plan_.channels[static_cast<size_t>(channel)];
        made.value_count = std::max(made.value_count, static_cast<int>(token_values(send).size()));
        made.tried = made.tried || send.result >= 0;
        TrackedStep step;
        step.send = &send;
        step.channels = {channel};
        loops_.push_back(&send.number);
        parallel_.push_back(false);
        sent_ = {channel_grids_[static_cast<size_t>(channel)],
                 false,
                 true,
                 slot_of(send.number, channel),
                 {}};
        walk(*send.body, step.body);
        sent_.reset();
        parallel_.pop_back();
        loops_.pop_back();
        out.push_back(std::move(step));
    }

    ScalarExpr slot_of(const LoopVar &number, int channel) const {
        const int64_t slots = plan_.channels[static_cast<size_t>(channel)].slots;
        return ScalarExpr::make(ScalarExpr::Op::Mod, {ScalarExpr::variable(number.id), slots});
    }

    void walk_consume(const Node &node, const ConsumeNode &consume, std::vector<TrackedStep> &out) {
        TrackedStep step;
        step.consume = &consume;
        const bool opened = open_scope(node);
        const bool join = opened && !scopes_.back().chain;
        const size_t outer = tokens_.size();
        for (size_t i = 0; i < consume.channels.size(); ++i) {
            const int channel = channel_number(consume.channels[i]);
            step.channels.push_back(channel);
            ScalarExpr cell = slot_of(consume.number, channel);
            if (consume.channels.size() > 1) {
                cell = ScalarExpr::make(
                    ScalarExpr::Op::Select,
                    {ScalarExpr::make(ScalarExpr::Op::Eq, {ScalarExpr::variable(consume.which.id),
                                                           static_cast<int64_t>(i)}),
                     std::move(cell), plan_.channels[static_cast<size_t>(channel)].slots});
            }
            tokens_.push_back(
                {channel_grids_[static_cast<size_t>(channel)], true, false, std::move(cell), {}});
        }
        const std::vector<const LoopVar *> variables = variables_in(node);
        loops_.insert(loops_.end(), variables.begin(), variables.end());
        parallel_.insert(parallel_.end(), variables.size(), false);
        walk(*consume.body, step.body);
        if (join) {
            add_join(step.body, node.at);
        }
        loops_.resize(loops_.size() - variables.size());
        parallel_.resize(parallel_.size() - variables.size());
        tokens_.resize(outer);
        if (opened) {
            scopes_.pop_back();
        }
        out.push_back(std::move(step));
    }

    void walk_branch(const BranchNode &branch, std::vector<TrackedStep> &out) {
        TrackedStep step;
        step.branch = &branch;
        for (const BranchNode::Case &each : branch.cases) {
            walk(*each.body, step.cases.emplace_back());
        }
        step.cases.emplace_back();
        if (branch.otherwise != nullptr) {
            walk(*branch.otherwise, step.cases.back());
        }
        out.push_back(std::move(step));
    }

    void walk_loop(const Node &node, const LoopNode &loop, std::vector<TrackedStep> &out) {
        const bool several = loop.variable.axis.constant() != 1;
        const bool opened =
            several && (loop.sequential ? open_scope(node) : loop.depth > 0 && open_pipe(loop));
        const bool join = opened && !scopes_.back().chain;
        TrackedStep step;
        step.loop = &loop.variable;
        loops_.push_back(step.loop);
        parallel_.push_back(!loop.sequential);
        walk(*loop.body, step.body);
        if (join) {
            add_join(step.body, node.at);
        }
        parallel_.pop_back();
        loops_.pop_back();
        out.push_back(std::move(step));
        if (opened) {
            scopes_.pop_back();
        }
    }

    void walk_group(const Node &node, const GroupNode &group, std::vector<TrackedStep> &out) {
        std::vector<const Node *> items;
        for (const NodePtr &child : group.children) {
            if (!is_empty(*child)) {
                items.push_back(child.get());
            }
        }
        const bool opened = group.sequential && items.size() > 1 && open_scope(node);
        for (size_t i = 0; i < items.size(); ++i) {
            const bool chain = is_chain(*items[i]);
            const bool was_chain = opened && scopes_.back().chain;
            if (opened) {
                scopes_.back().chain = chain;
            }
            walk(*items[i], out);
            // A chain orders what is around it when it has a task.
            const auto links = [](const Node &item) {
                return is_chain(item) && surely_makes_task(item);
            };
            if (opened && i + 1 < items.size() && !links(*items[i]) && !links(*items[i + 1])) {
                add_join(out, node.at);
            }
            if (opened) {
                scopes_.back().chain = was_chain;
            }
        }
        if (opened) {
            scopes_.pop_back();
        }
    }

    /// False when the scope around already puts everything inside in order.
    bool open_scope(const Node &node) {
        if (!scopes_.empty() && scopes_.back().chain) {
            return false;
        }
        const auto [cell, cells] = cell_of_iteration();
        scopes_.push_back(
            {add_grid("sequence", cells, CellGrid::Kind::Sequence), cell, is_chain(node)});
        return true;
    }

    /// As many cells as iterations may run at a time: each waits for the join that left its cell.
    bool open_pipe(const LoopNode &loop) {
        if (!scopes_.empty() && scopes_.back().chain) {
            return false;
        }
        const auto [outer, cells] = cell_of_iteration();
        const int64_t depth = std::min(loop.depth, max_cells / cells);
        ScalarExpr cell =
            ScalarExpr::make(ScalarExpr::Op::Mod, {ScalarExpr::variable(loop.variable.id), depth});
        if (cells > 1) {
            cell = ScalarExpr::make(
                ScalarExpr::Op::Add,
                {ScalarExpr::make(ScalarExpr::Op::Mul, {outer, depth}), std::move(cell)});
        }
        scopes_.push_back({add_grid("pipe", cells * depth, CellGrid::Kind::Lane), cell, false});
        return true;
    }

    /// A cell for each iteration of the parallel loops around, and how many there are. Where they
    /// are not known, or too many, iterations share cells, which only adds order.
    std::pair<ScalarExpr, int64_t> cell_of_iteration() const {
        constexpr int64_t shared_cells = 4096;
        Affine cell;
        int64_t cells = 1;
        bool shared = false;
        for (size_t i = loops_.size(); i-- > 0;) {
            if (!parallel_[i] || loops_[i]->value) {
                continue;
            }
            cell = cell + Affine::variable(loops_[i]->id, cells);
            const auto size = loops_[i]->axis.constant();
            if (!size || *size > max_cells / cells) {
                shared = true;
                cells = 1;
            } else {
                cells *= std::max<int64_t>(*size, 1);
            }
        }
        if (!shared) {
            return {ScalarExpr::from(cell), cells};
        }
        return {ScalarExpr::make(ScalarExpr::Op::Mod, {ScalarExpr::from(cell), shared_cells}),
                shared_cells};
    }

    void add_join(std::vector<TrackedStep> &out, const Loc &at) {
        TrackedSite site;
        site.name = "join";
        site.at = at;
        add_access(site, {scopes_.back().grid, true, true, scopes_.back().cell, {}});
        add_site(out, std::move(site));
    }

    /// The next site with what it does to data.
    TrackedSite next_site() {
        const Site &from = table_.sites()[next_site_++];
        TrackedSite site;
        site.at = from.node->at;
        for (const DataAccess &access : from.accesses) {
            const auto storage = static_cast<size_t>(access.storage);
            if (data_grids_[storage] >= 0) {
                CellAccess cells = cell_maps_[storage]->access(access);
                cells.grid = data_grids_[storage];
                const Region &region = region_of(from, access);
                cells.covers = cells.covers && table_.storages()[storage].frame.exact &&
                               !region.valid_rows && !region.valid_columns;
                add_access(site, std::move(cells));
            }
        }
        site.task = from.task;
        return site;
    }

    void add_slot(const SlotNode &slot, std::vector<TrackedStep> &out) {
        TrackedSite site = next_site();
        site.slot = &slot;
        site.name = "slot";
        add_site(out, std::move(site));
    }

    void add_task(std::vector<TrackedStep> &out) {
        TrackedSite site = next_site();
        site.name = site.task->kernel->name;
        for (const Scope &scope : scopes_) {
            add_access(site, {scope.grid, true, scope.chain, scope.cell, {}});
        }
        for (const CellAccess &token : tokens_) {
            add_access(site, token);
        }
        if (sent_) {
            add_access(site, *sent_);
        }
        for (size_t i = 0; i < lanes_.size(); ++i) {
            add_lane(site, lanes_[i], lane_grids_[i]);
        }
        for (size_t i = 0; i < rules_.edges.size(); ++i) {
            add_edge(site, rules_.edges[i], edge_grids_[i]);
        }
        site.rank = rules_.rank ? std::optional(resolved(site, *rules_.rank)) : std::nullopt;
        site.pool = rules_.pool ? std::optional(resolved(site, *rules_.pool)) : std::nullopt;
        add_site(out, std::move(site));
    }

    /// A key of the schedule, over ids.
    ScalarExpr resolved(const TrackedSite &site, const ScalarExpr &key) const {
        if (key.variables().contains(number_variable)) {
            return key;
        }
        ScalarExpr result = resolve_key(key, *site.task, loops_, rules_.at);
        check_operands(result, sizes_of(loops_), rules_.at);
        return result;
    }

    static ScalarExpr modulo(const ScalarExpr &value, const ScalarExpr &by) {
        return ScalarExpr::make(ScalarExpr::Op::Mod, {value, by});
    }

    void add_edge(TrackedSite &site, const EdgeRule &edge, int grid) const {
        const std::string &kernel = site.task->kernel->name;
        const auto cell = [&](const ScalarExpr &key) {
            return modulo(resolved(site, key), edge_cells);
        };
        if (kernel == edge.after) {
            add_access(site, {grid, true, false, cell(edge.after_key), {}});
        }
        if (kernel == edge.before) {
            add_access(site, {grid, false, true, cell(edge.before_key), {}});
        }
    }

    void add_lane(TrackedSite &site, const LaneRule &rule, int grid) const {
        const ScalarExpr count =
            rule.lanes > 0 ? ScalarExpr(rule.lanes) : ScalarExpr::variable(workers_variable);
        ScalarExpr lane =
            rule.hashed.empty() ? plain_lane(site, rule, count) : hashed_lane(site, rule, count);
        if (rule.pinned) {
            site.worker = lane;
        }
        if (rule.lanes > max_cells) {
            lane = modulo(lane, max_cells);
        }
        add_access(site, {grid, true, true, lane, {}});
    }

    ScalarExpr plain_lane(const TrackedSite &site, const LaneRule &rule,
                          const ScalarExpr &count) const {
        const ScalarExpr key = rule.key ? resolve_key(*rule.key, *site.task, loops_, rule.at)
                                        : ScalarExpr::variable(number_variable);
        check_operands(key, sizes_of(loops_), rule.at);
        return modulo(key, count);
    }

    ScalarExpr hashed_lane(TrackedSite &site, const LaneRule &rule, const ScalarExpr &count) const {
        TrackedSite::Hash hash{"hash$" + std::to_string(site.hashes.size()), {}, count};
        for (const ScalarExpr &key : rule.hashed) {
            hash.keys.push_back(resolve_key(key, *site.task, loops_, rule.at));
            check_operands(hash.keys.back(), sizes_of(loops_), rule.at);
        }
        site.hashes.push_back(hash);
        return ScalarExpr::variable(hash.variable);
    }

    /// Accesses to the same cells become one.
    static void add_access(TrackedSite &site, CellAccess access) {
        for (CellAccess &other : site.accesses) {
            if (other.grid == access.grid && other.first == access.first &&
                other.box == access.box) {
                other.reads |= access.reads;
                other.writes |= access.writes;
                other.covers &= access.covers;
                return;
            }
        }
        site.accesses.push_back(std::move(access));
    }

    void add_site(std::vector<TrackedStep> &out, TrackedSite site) {
        site.loops = loops_;
        site.process = process_;
        TrackedStep step;
        step.site = static_cast<int>(plan_.sites.size());
        plan_.sites.push_back(std::move(site));
        out.push_back(std::move(step));
    }

    const AccessTable &table_;
    const std::vector<LaneRule> &lanes_;
    const OrderRules &rules_;
    TrackedPlan plan_;
    std::vector<std::optional<CellMap>> cell_maps_;
    std::vector<int> data_grids_;
    std::vector<int> lane_grids_;
    std::vector<int> edge_grids_;
    LoopPath loops_;
    std::vector<bool> parallel_;  ///< of each of `loops_`
    std::vector<Scope> scopes_;
    const NetNode *net_ = nullptr;             ///< around
    std::map<const Channel *, int> channels_;  ///< of it
    std::vector<int> channel_grids_;           ///< of all channels
    std::vector<CellAccess> tokens_;           ///< of the `consume`s around
    std::optional<CellAccess> sent_;           ///< of the `send` around
    int process_ = -1;
    size_t next_site_ = 0;
};

}  // namespace

TrackedPlan plan_tracked(const NodePtr &root, const AccessTable &table,
                         const std::vector<LaneRule> &lanes, const OrderRules &rules) {
    return Tracker(table, lanes, rules).plan(*root);
}

}  // namespace pto::wsp::workload
