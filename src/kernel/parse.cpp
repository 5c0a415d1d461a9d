#include <charconv>
#include <map>

#include <fmt/format.h>

#include "attributes.h"
#include "check.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

class Parser {
public:
    Parser(std::string_view text, const std::string &origin) : reader_(text, origin) {}

    std::shared_ptr<const TileProgram> run() {
        program_->at = reader_.loc();
        reader_.expect("kernel");
        reader_.expect("@");
        program_->name = reader_.name();
        reader_.expect("(");
        reader_.list(")", [&] { param(); });
        reader_.expect("{");
        program_->blocks.emplace_back();
        while (!reader_.accept("}")) {
            statement(0);
        }
        if (!reader_.at_end()) {
            reader_.fail("the end of the kernel");
        }
        verify(*program_);
        return program_;
    }

    Loc loc() const { return reader_.loc(); }

private:
    [[noreturn]] static void refuse(const Loc &at, const std::string &text) {
        throw IRConversionError(at, text);
    }

    void param() {
        Param param;
        param.at = reader_.loc();
        reader_.expect("%");
        param.name = reader_.identifier();
        reader_.expect(":");
        if (reader_.accept("scalar")) {
            param.kind = Param::Kind::Scalar;
            reader_.expect("<");
            param.type.dtype = parse_dtype(reader_.identifier(), param.at);
            reader_.expect(">");
        } else {
            param.direction = direction();
            param.type = type();
        }
        auto index = static_cast<int>(program_->params.size());
        if (!params_.emplace(param.name, index).second) {
            refuse(param.at, fmt::format("there are two parameters '{}'", param.name));
        }
        if (param.kind == Param::Kind::Scalar) {
            define(param.name, {param.type, -1, index, param.at});
        }
        program_->params.push_back(std::move(param));
    }

    Direction direction() {
        for (Direction each : {Direction::In, Direction::Out, Direction::InOut}) {
            if (reader_.accept(kernel::name(each))) {
                return each;
            }
        }
        reader_.fail("in, out, inout or scalar");
    }

    /// `tile<512x(N + 1)xf32>`. The reader gives digits, parentheses and words such as `x64xf32`,
    /// so that a dim may be the tail of a word.
    TileType type() {
        reader_.expect("tile");
        reader_.expect("<");
        std::string word;
        Affine rows = dim(word);
        Affine columns = dim(word);
        TileType type{parse_dtype(word, reader_.loc()), rows, columns};
        reader_.expect(">");
        return type;
    }

    /// A dim and the `x` behind it; `word` holds what was read of a word but not used yet.
    Affine dim(std::string &word) {
        Affine dim;
        if (!word.empty()) {
            int64_t size = 0;
            auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
            if (error != std::errc()) {
                reader_.fail("a type such as tile<512x64xf32>");
            }
            dim = Affine(size);
            word.erase(0, static_cast<size_t>(end - word.data()));
        } else if (reader_.accept("(")) {
            dim = Affine::parse(reader_);
            reader_.expect(")");
        } else {
            dim = Affine(reader_.integer());
        }
        if (word.empty()) {
            word = reader_.identifier();
        }
        if (word.empty() || word.front() != 'x') {
            reader_.fail("a type such as tile<512x64xf32>");
        }
        word.erase(0, 1);
        return dim;
    }

    Value define(const std::string &name, ValueInfo info) {
        auto value = static_cast<Value>(program_->values.size());
        if (!values_.emplace(name, value).second) {
            refuse(info.at, fmt::format("%{} is made twice", name));
        }
        program_->values.push_back(std::move(info));
        return value;
    }

    /// `%x` or `%12`, without the sign.
    std::string value_name() {
        reader_.expect("%");
        return reader_.peek().kind == Token::Kind::Integer ? reader_.next().text
                                                           : reader_.identifier();
    }

    Value use() {
        Loc at = reader_.loc();
        std::string name = value_name();
        auto found = values_.find(name);
        if (found == values_.end()) {
            refuse(at, params_.count(name) > 0
                           ? fmt::format("%{} is a tile parameter; load reads it", name)
                           : fmt::format("%{} is not made before it is used", name));
        }
        return found->second;
    }

    template <typename Item> void list(Item item) {
        do {
            item();
        } while (reader_.accept(","));
    }

    void statement(int block) {
        Loc at = reader_.loc();
        std::vector<std::string> results;
        if (reader_.is_next("%")) {
            list([&] { results.push_back(value_name()); });
            reader_.expect("=");
        }
        std::string name = reader_.identifier();
        const OpInfo *row = find_op(name);
        if (name == "custom") {
            refuse(at, "a custom body cannot be read from a text");
        }
        if (row == nullptr) {
            refuse(at, fmt::format("there is no operation '{}'", name));
        }
        Node node{row->op, {}, {}, {}, -1, at};
        if (row->op == Op::ForiLoop) {
            loop(std::move(node), results, block);
            return;
        }
        operands(node);
        if (reader_.accept("{")) {
            list([&] { attribute(node); });
            reader_.expect("}");
        }
        normalise_attributes(*row, node.attributes, at);
        if (results.size() != (has_effect(row->op) ? 0U : 1U)) {
            refuse(at, fmt::format("{} has {} results", name, results.size()));
        }
        auto index = static_cast<int>(program_->nodes.size());
        if (!results.empty()) {
            reader_.expect(":");
            node.results.push_back(define(results[0], {type(), index, -1, at}));
        }
        add(std::move(node), block);
    }

    void add(Node node, int block) {
        auto index = static_cast<int>(program_->nodes.size());
        program_->nodes.push_back(std::move(node));
        program_->blocks[static_cast<size_t>(block)].nodes.push_back(index);
    }

    /// The tile parameter of `load` and `store` comes first.
    void operands(Node &node) {
        if (!reader_.is_next("%")) {
            return;
        }
        bool memory = info(node.op).kind == OpKind::Memory;
        list([&] {
            if (memory && node.attributes.empty()) {
                Loc at = reader_.loc();
                std::string name = value_name();
                auto found = params_.find(name);
                if (found == params_.end()) {
                    refuse(at, fmt::format("there is no parameter '{}'", name));
                }
                node.attributes.emplace("param", int64_t{found->second});
            } else {
                node.operands.push_back(use());
            }
        });
    }

    void attribute(Node &node) {
        Loc at = reader_.loc();
        std::string name = reader_.identifier();
        reader_.expect("=");
        if (name == "param" || !node.attributes.emplace(name, attribute_value()).second) {
            refuse(at, fmt::format("the attribute '{}' is given twice", name));
        }
    }

    Attribute attribute_value() {
        if (reader_.accept("true")) {
            return true;
        }
        if (reader_.accept("false")) {
            return false;
        }
        if (reader_.peek().kind == Token::Kind::String) {
            return reader_.string();
        }
        if (reader_.accept("[")) {
            Affine dim = Affine::parse(reader_);
            reader_.expect("]");
            return dim;
        }
        if (reader_.peek(reader_.is_next("-") ? 1 : 0).kind == Token::Kind::Integer) {
            return reader_.integer();
        }
        return reader_.number();
    }

    void loop(Node node, const std::vector<std::string> &results, int block) {
        if (++depth_ > max_nesting) {
            refuse(node.at, fmt::format("loops nest deeper than {}", max_nesting));
        }
        operands(node);
        if (node.operands.size() != results.size() + 2) {
            refuse(node.at, fmt::format("fori_loop has {} operands and {} results, expected 2 more "
                                        "operands than results",
                                        node.operands.size(), results.size()));
        }
        if (reader_.accept("as")) {
            node.attributes["symbol"] = reader_.identifier();
        }
        reader_.expect("do");
        auto body = static_cast<int>(program_->blocks.size());
        node.block = body;
        program_->blocks.emplace_back();
        std::vector<Value> arguments;
        reader_.expect("(");
        list([&] {
            Loc at = reader_.loc();
            size_t c = arguments.size();
            if (c > results.size()) {
                refuse(at,
                       fmt::format("the body takes more than {} arguments", results.size() + 1));
            }
            TileType type =
                c == 0 ? TileType{DType::I32, 1, 1} : program_->type(node.operands[c + 1]);
            arguments.push_back(define(value_name(), {type, -1, -1, at}));
        });
        reader_.expect(")");
        program_->blocks.back().arguments = std::move(arguments);
        reader_.expect("{");
        while (!reader_.accept("yield")) {
            statement(body);
        }
        std::vector<Value> yields;
        if (reader_.is_next("%")) {
            list([&] { yields.push_back(use()); });
        }
        program_->blocks[static_cast<size_t>(body)].yields = std::move(yields);
        reader_.expect("}");
        auto index = static_cast<int>(program_->nodes.size());
        for (size_t c = 0; c < results.size(); ++c) {
            TileType type = program_->type(node.operands[c + 2]);
            node.results.push_back(define(results[c], {type, index, -1, node.at}));
        }
        add(std::move(node), block);
        --depth_;
    }

    TextReader reader_;
    std::shared_ptr<TileProgram> program_ = std::make_shared<TileProgram>();
    std::map<std::string, int> params_;
    std::map<std::string, Value> values_;
    int depth_ = 0;
};

}  // namespace

std::shared_ptr<const TileProgram> parse_tile_program(std::string_view text,
                                                      const std::string &origin) {
    Parser parser(text, origin);
    try {
        return parser.run();
    } catch (const CompileError &error) {
        if (error.at().known()) {
            throw;
        }
        throw IRConversionError(parser.loc(), error.text(), error.notes(), error.hint());
    }
}

}  // namespace pto::wsp::kernel
