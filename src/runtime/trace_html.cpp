#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "pto/wsp/runtime/trace.h"
#include "pto/wsp/support/markup.h"

namespace pto::wsp::runtime {

namespace {

constexpr int row_height = 24;
constexpr int bar_height = 18;
/// Tasks that are shorter than this part of the run are drawn together with their neighbours.
constexpr int64_t parts = 4000;

/// The timeline's unit is one microsecond; zooming changes which part of it the box shows.
constexpr const char *on_wheel =
    "event.preventDefault();const v=this.viewBox.baseVal,b=this.getBoundingClientRect(),"
    "t=+this.dataset.end,at=v.x+v.width*(event.clientX-b.left)/b.width,"
    "w=Math.max(Math.min(v.width*Math.exp(event.deltaY/500),t),t/1e6);"
    "v.x=Math.max(0,Math.min(at-(at-v.x)*w/v.width,t-w));v.width=w;"
    "this.nextElementSibling.textContent=v.x.toFixed(3)+' ... '+(v.x+w).toFixed(3)+' us'";
constexpr const char *on_move =
    "if(event.buttons&amp;1){const v=this.viewBox.baseVal,b=this.getBoundingClientRect(),"
    "t=+this.dataset.end;v.x=Math.max(0,Math.min(v.x-event.movementX*v.width/b.width,t-v.width));"
    "this.nextElementSibling.textContent=v.x.toFixed(3)+' ... '+(v.x+v.width).toFixed(3)+' us'}";
constexpr const char *on_double_click =
    "const v=this.viewBox.baseVal;v.x=0;v.width=+this.dataset.end;"
    "this.nextElementSibling.textContent='0 ... '+v.width.toFixed(3)+' us'";

double us(int64_t ns) {
    return static_cast<double>(ns) / 1000;
}

class Timeline {
public:
    explicit Timeline(const Trace &trace)
        : trace_(trace), least_ns_(std::max<int64_t>(trace.duration_ns / parts, 1)) {
        for (const auto &[kernel, totals] : trace.kernels()) {
            // The golden angle keeps neighbours apart.
            const auto turns = static_cast<double>(colours_.size()) * 137.508;
            colours_[kernel] = fmt::format("hsl({:.0f} 65% 55%)", std::fmod(turns, 360));
        }
    }

    std::string draw() {
        std::vector<std::vector<const Trace::Task *>> rows(static_cast<size_t>(trace_.workers));
        for (const Trace::Task &task : trace_.tasks) {
            if (!site(task).join) {
                rows[static_cast<size_t>(task.worker)].push_back(&task);
            }
        }
        for (size_t row = 0; row < rows.size(); row++) {
            std::sort(rows[row].begin(), rows[row].end(),
                      [](const auto *a, const auto *b) { return a->begin_ns < b->begin_ns; });
            draw_row(static_cast<int>(row), rows[row]);
        }
        draw_critical_path();
        return fmt::format(
            "<div style=\"display:flex\">{}<div style=\"flex:1\">"
            "<svg viewBox=\"0 0 {:.3f} {}\" data-end=\"{:.3f}\" preserveAspectRatio=\"none\" "
            "style=\"width:100%;height:{}px;background:#f4f4f4;touch-action:none\" "
            "onwheel=\"{}\" onpointermove=\"{}\" ondblclick=\"{}\">\n{}</svg>"
            "<div>0 ... {:.3f} us</div></div></div>\n{}",
            labels(), us(trace_.duration_ns), height(), us(trace_.duration_ns), height(), on_wheel,
            on_move, on_double_click, text_, us(trace_.duration_ns), legend());
    }

private:
    const Trace::Site &site(const Trace::Task &task) const {
        return trace_.sites[static_cast<size_t>(task.site)];
    }
    int height() const { return std::max(trace_.workers, 1) * row_height; }

    std::string labels() const {
        std::string text = "<div style=\"padding-right:8px\">";
        for (int worker = 0; worker < trace_.workers; worker++) {
            text += fmt::format("<div style=\"height:{}px;white-space:nowrap\">worker {}</div>",
                                row_height, worker);
        }
        return text + "</div>";
    }

    std::string legend() const {
        std::string text = "<p>";
        for (const auto &[kernel, totals] : trace_.kernels()) {
            text += fmt::format("<span style=\"color:{}\">&#9632;</span> {}&ensp;",
                                colours_.at(kernel), markup_text(kernel));
        }
        return text +
               (merged_ > 0 ? fmt::format("<br>{} short tasks are drawn in grey, together "
                                          "with their neighbours",
                                          merged_)
                            : "") +
               "</p>\n";
    }

    std::string title(const Trace::Task &task) const {
        std::string loops;
        for (const auto &[loop, value] : trace_.indices(task)) {
            loops += fmt::format("{}{}={}", loops.empty() ? "" : ", ", loop, value);
        }
        return fmt::format("{}[{}] #{}: {:.3f} us from {:.3f} us on{}", site(task).kernel, loops,
                           task.id, us(task.duration_ns()), us(task.begin_ns),
                           task.failed ? ", failed" : "");
    }

    void bar(int row, int64_t begin_ns, int64_t end_ns, std::string_view colour,
             std::string_view title) {
        text_ += fmt::format("<rect x=\"{:.3f}\" y=\"{}\" width=\"{:.3f}\" height=\"{}\" "
                             "fill=\"{}\"><title>{}</title></rect>\n",
                             us(begin_ns), row * row_height + (row_height - bar_height) / 2,
                             us(std::max<int64_t>(end_ns - begin_ns, 1)), bar_height, colour,
                             markup_text(title));
    }

    void draw_row(int row, const std::vector<const Trace::Task *> &tasks) {
        for (size_t i = 0; i < tasks.size();) {
            size_t last = i;
            while (last + 1 < tasks.size() && tasks[last]->duration_ns() < least_ns_ &&
                   tasks[last + 1]->duration_ns() < least_ns_ &&
                   tasks[last + 1]->begin_ns - tasks[i]->begin_ns < 2 * least_ns_) {
                last++;
            }
            const Trace::Task &task = *tasks[i];
            if (last == i) {
                bar(row, task.begin_ns, task.end_ns,
                    task.failed ? "#d00" : colours_.at(site(task).kernel), title(task));
            } else {
                bar(row, task.begin_ns, tasks[last]->end_ns, "#999",
                    fmt::format("{} tasks, the first {}", last - i + 1, title(task)));
                merged_ += last - i + 1;
            }
            i = last + 1;
        }
    }

    void draw_critical_path() {
        std::string points;
        for (int64_t number : trace_.critical_path()) {
            const Trace::Task &task = trace_.tasks[static_cast<size_t>(number)];
            const int middle = task.worker * row_height + row_height / 2;
            points += fmt::format("{:.3f},{} {:.3f},{} ", us(task.begin_ns), middle,
                                  us(task.end_ns), middle);
        }
        if (!points.empty()) {
            text_ += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"black\" "
                                 "vector-effect=\"non-scaling-stroke\"><title>critical path"
                                 "</title></polyline>\n",
                                 points);
        }
    }

    const Trace &trace_;
    const int64_t least_ns_;
    std::map<std::string, std::string> colours_;
    std::string text_;
    size_t merged_ = 0;
};

}  // namespace

std::string Trace::html_fragment() const {
    const bool drawn = level == TraceLevel::Timing || level == TraceLevel::Full;
    return fmt::format("<div style=\"font:13px sans-serif\">\n{}<pre>{}</pre>\n</div>\n",
                       drawn ? Timeline(*this).draw() : "", markup_text(text()));
}

std::string Trace::html() const {
    return "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>trace</title></head>"
           "<body>\n" +
           html_fragment() + "</body></html>\n";
}

}  // namespace pto::wsp::runtime
