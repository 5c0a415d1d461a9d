#include "print.h"

#include <fmt/format.h>

#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

class Printer {
public:
    explicit Printer(const TileProgram &program)
        : program_(program), numbers_(program.values.size(), -1) {}

    std::string run(const std::string &name) {
        std::vector<std::string> params;
        for (const Param &param : program_.params) {
            params.push_back(
                param.kind == Param::Kind::Scalar
                    ? fmt::format("%{}: scalar<{}>", param.name, pto::wsp::name(param.type.dtype))
                    : fmt::format("%{}: {} {}", param.name, kernel::name(param.direction),
                                  param.type.str()));
        }
        text_ = fmt::format("kernel @{}({}) {{\n", is_identifier(name) ? name : quoted(name),
                            join(params));
        if (program_.custom != nullptr) {
            text_ += fmt::format("  custom {} {}\n", quoted(program_.custom->language()),
                                 quoted(program_.custom->str()));
        }
        block(0, "  ");
        return text_ + "}\n";
    }

private:
    std::string value(Value value) const {
        const ValueInfo &info = program_.values[static_cast<size_t>(value)];
        return info.param >= 0 ? "%" + program_.params[static_cast<size_t>(info.param)].name
                               : fmt::format("%{}", numbers_[static_cast<size_t>(value)]);
    }

    std::string number(Value value) {
        numbers_[static_cast<size_t>(value)] = next_++;
        return this->value(value);
    }

    std::vector<std::string> all(const std::vector<Value> &values) const {
        std::vector<std::string> texts;
        for (Value each : values) {
            texts.push_back(value(each));
        }
        return texts;
    }

    void block(int index, const std::string &indent) {
        for (int n : program_.blocks[static_cast<size_t>(index)].nodes) {
            const Node &node = program_.nodes[static_cast<size_t>(n)];
            if (node.op == Op::ForiLoop) {
                loop(node, indent);
            } else {
                line(node, indent);
            }
        }
    }

    void line(const Node &node, const std::string &indent) {
        std::vector<std::string> operands = all(node.operands);
        std::vector<std::string> attributes;
        for (const auto &[name, attribute] : node.attributes) {
            if (name == "param") {
                auto index = static_cast<size_t>(std::get<int64_t>(attribute));
                operands.insert(operands.begin(), "%" + program_.params[index].name);
            } else {
                attributes.push_back(name + " = " + attribute_text(attribute));
            }
        }
        std::string body = kernel::name(node.op);
        if (!operands.empty()) {
            body += " " + join(operands);
        }
        if (!attributes.empty()) {
            body += " {" + join(attributes) + "}";
        }
        if (node.results.empty()) {
            text_ += indent + body + "\n";
            return;
        }
        text_ += fmt::format("{}{} = {} : {}\n", indent, number(node.results[0]), body,
                             program_.type(node.results[0]).str());
    }

    void loop(const Node &node, const std::string &indent) {
        std::string operands = join(all(node.operands));
        const Block &body = program_.blocks[static_cast<size_t>(node.block)];
        std::vector<std::string> results;
        for (Value result : node.results) {
            results.push_back(number(result));
        }
        std::vector<std::string> arguments;
        for (Value argument : body.arguments) {
            arguments.push_back(number(argument));
        }
        std::string symbol = loop_symbol(node);
        text_ += fmt::format("{}{}{}fori_loop {}{} do ({}) {{\n", indent, join(results),
                             results.empty() ? "" : " = ", operands,
                             symbol.empty() ? "" : " as " + symbol, join(arguments));
        block(node.block, indent + "  ");
        std::string yields = join(all(body.yields));
        text_ +=
            fmt::format("{}  yield{}{}\n{}}}\n", indent, yields.empty() ? "" : " ", yields, indent);
    }

    const TileProgram &program_;
    std::vector<int> numbers_;
    int next_ = 0;
    std::string text_;
};

}  // namespace

std::string dim_text(const Affine &dim) {
    return dim.is_constant() ? dim.str() : "(" + dim.str() + ")";
}

std::string print(const TileProgram &program, const std::string &name) {
    return Printer(program).run(name);
}

}  // namespace pto::wsp::kernel
