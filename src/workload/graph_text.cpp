#include <algorithm>

#include <fmt/format.h>

#include "pto/wsp/support/markup.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/graph.h"

/// Texts and drawings of task graphs.
namespace pto::wsp::workload {

namespace {

constexpr int box_width = 120;
constexpr int box_height = 28;
constexpr int gap_x = 16;
constexpr int gap_y = 44;

struct CauseRow {
    const char *name;
    const char *colour;
};

const CauseRow &row(TaskGraph::Cause cause) {
    static constexpr CauseRow rows[] = {
        {"RAW", "#1f6feb"},      {"WAR", "#bf8700"},  {"WAW", "#cf222e"},
        {"sequence", "#57606a"}, {"lane", "#8250df"}, {"edge", "#1a7f37"},
    };
    return rows[static_cast<size_t>(cause)];
}

/// Where the vertices of a drawing lie: by level, those of one level side by side.
struct Places {
    std::vector<int> x;
    std::vector<int> y;
    int width = 0;
    int height = 0;
};

Places places_of(const TaskGraph &graph) {
    std::vector<int> level(graph.vertices.size(), 0);
    for (const TaskGraph::Edge &edge : graph.edges) {  // those to earlier vertices first
        int &to = level[static_cast<size_t>(edge.to)];
        to = std::max(to, level[static_cast<size_t>(edge.from)] + 1);
    }
    Places places;
    std::vector<int> used;
    for (const int l : level) {
        used.resize(std::max(used.size(), static_cast<size_t>(l) + 1), 0);
        const int column = used[static_cast<size_t>(l)]++;
        places.x.push_back(gap_x + column * (box_width + gap_x));
        places.y.push_back(gap_x + l * (box_height + gap_y));
        places.width = std::max(places.width, places.x.back() + box_width + gap_x);
        places.height = std::max(places.height, places.y.back() + box_height + gap_x);
    }
    return places;
}

}  // namespace

const char *name(TaskGraph::Cause cause) {
    return row(cause).name;
}

std::string TaskGraph::Vertex::str() const {
    std::vector<std::string> parts;
    for (const auto &[id, value] : indices) {
        parts.push_back(id + "=" + std::to_string(value));
    }
    return parts.empty() ? name : name + "[" + join(parts) + "]";
}

std::string TaskGraph::Edge::str() const {
    const bool data = cause < Cause::Sequence;
    return std::string(workload::name(cause)) + (data ? " on " : ": ") + on;
}

std::string TaskGraph::dot() const {
    std::string text = "digraph tasks {\n  node [shape=box];\n";
    for (size_t v = 0; v < vertices.size(); ++v) {
        const Vertex &vertex = vertices[v];
        text += "  t" + std::to_string(v) + " [label=" + quoted(vertex.str()) +
                (vertex.task < 0 ? ", shape=point" : "") + "];\n";
    }
    for (const Edge &edge : edges) {
        text += fmt::format("  t{} -> t{} [label={}, color=\"{}\"];\n", edge.from, edge.to,
                            quoted(edge.str()), row(edge.cause).colour);
    }
    return text + "}\n";
}

std::string TaskGraph::svg() const {
    const Places places = places_of(*this);
    std::string text =
        fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" "
                    "font-family=\"sans-serif\" font-size=\"11\">\n",
                    places.width, places.height);
    for (const Edge &edge : edges) {
        const auto from = static_cast<size_t>(edge.from);
        const auto to = static_cast<size_t>(edge.to);
        text += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" "
                            "stroke=\"{}\"><title>{}</title></line>\n",
                            places.x[from] + box_width / 2, places.y[from] + box_height,
                            places.x[to] + box_width / 2, places.y[to], row(edge.cause).colour,
                            markup_text(fmt::format("{} before {}: {}", vertices[from].str(),
                                                    vertices[to].str(), edge.str())));
    }
    for (size_t v = 0; v < vertices.size(); ++v) {
        const std::string label = markup_text(vertices[v].str());
        text += fmt::format(
            "<g transform=\"translate({} {})\"><title>{} {}</title><rect width=\"{}\" "
            "height=\"{}\" rx=\"4\" fill=\"{}\" stroke=\"#57606a\"/><text x=\"{}\" y=\"{}\" "
            "text-anchor=\"middle\">{}</text></g>\n",
            places.x[v], places.y[v], label, markup_text(vertices[v].at.str()), box_width,
            box_height, vertices[v].task < 0 ? "#d0d7de" : "#f6f8fa", box_width / 2,
            box_height / 2 + 4, label);
    }
    return text + "</svg>\n";
}

}  // namespace pto::wsp::workload
