#include "pto/wsp/kernel/rules.h"

#include "pto/wsp/rewrite/engine.h"
#include "rules_graph.h"

namespace pto::wsp::kernel {

std::shared_ptr<const TileProgram> rewrite_tile_program(const TileProgram &program,
                                                        Reasons *reasons) {
    std::shared_ptr<const rewrite::Graph> graph =
        std::make_shared<TileGraph>(std::make_shared<const TileProgram>(program));
    graph = rewrite::apply_rules(loop_rules(), graph, reasons);
    graph = rewrite::apply_rules(fold_rules(), graph, reasons);
    graph = rewrite::apply_rules(simplify_rules(), graph, reasons);
    graph = rewrite::apply_rules(mask_rules(), graph, reasons);
    graph = rewrite::apply_rules(online_rules(), graph, reasons);
    graph = rewrite::apply_rules(norm_rules(), graph, reasons);
    graph = rewrite::apply_rules(expand_rules(), graph, reasons);
    graph = rewrite::apply_rules(softmax_rules(), graph, reasons);
    graph = rewrite::apply_rules(scale_rules(), graph, reasons);
    if (static_cast<const TileGraph &>(*graph).has_dead_nodes()) {
        graph =
            graph->rebuild([](rewrite::NodeId, rewrite::Rebuild &) { return rewrite::no_node; });
    }
    return bound_causal_rows(in_order_of_need(*static_cast<const TileGraph &>(*graph).program()),
                             reasons);
}

}  // namespace pto::wsp::kernel
