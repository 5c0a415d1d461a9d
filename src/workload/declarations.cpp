#include "workload/declarations.h"

#include <sys/mman.h>

#include <algorithm>

#include "pto/wsp/support/text.h"

namespace pto::wsp::workload {

namespace {

constexpr int64_t longest_table = int64_t{1} << 30;
/// Bytes from a tensor's memory to that of another placed at it, and to either's ends.
constexpr int64_t farthest_place = int64_t{1} << 40;

/// `at <tensor> + <bytes>` of a tensor.
struct Placement {
    size_t tensor = 0;
    size_t base = 0;
    int64_t bytes = 0;
};

class Parser {
public:
    explicit Parser(TextReader &reader) : reader_(reader) {}

    Declarations parse() {
        while (reader_.peek().text == "tensor") {
            parse_tensor();
        }
        place_tensors();
        for (const std::shared_ptr<Tensor> &tensor : tensors_) {
            made_.tensors.emplace(tensor->name, tensor);
        }
        while (reader_.peek().text == "kernel") {
            parse_kernel();
        }
        while (reader_.peek().text == "channel") {
            parse_channel();
        }
        while (reader_.peek().text == "event") {
            parse_event();
        }
        parse_data(made_.data);
        return std::move(made_);
    }

private:
    template <class Named>
    static void declare(std::map<std::string, Named> &all, const std::string &what,
                        const std::string &name, Named made, const Loc &at) {
        if (!all.emplace(name, std::move(made)).second) {
            refuse(at, what + " " + name + " is declared twice");
        }
    }

    void parse_tensor() {
        const Loc at = reader_.loc();
        reader_.expect("tensor");
        Tensor tensor;
        tensor.at = at;
        tensor.name = reader_.name();
        reader_.expect(":");
        tensor.view.dtype = parse_dtype(reader_.identifier(), at);
        tensor.view.shape = reader_.integers();
        if (std::ranges::any_of(tensor.view.shape, [](int64_t size) { return size < 0; })) {
            refuse(at, "tensor " + tensor.name + " has the negative shape " +
                           shape_text(tensor.view.shape));
        }
        tensor.own = reader_.accept("own");
        tensor.view.strides = contiguous_strides(tensor.view.shape);
        if (reader_.accept("strides")) {
            tensor.view.strides = reader_.integers();
        }
        if (tensor.view.strides.size() != tensor.view.shape.size()) {
            refuse(at, "tensor " + tensor.name + " has " +
                           std::to_string(tensor.view.shape.size()) + " dimensions and " +
                           std::to_string(tensor.view.strides.size()) + " strides");
        }
        if (reader_.accept("at")) {
            const size_t base = declared(tensor_numbers_, "tensor", reader_.name(), at);
            const bool minus = reader_.accept("-");
            if (!minus) {
                reader_.expect("+");
            }
            const int64_t bytes = reader_.integer();
            if (bytes > farthest_place || bytes < -farthest_place) {
                refuse(at, "tensor " + tensor.name + " reaches too far from its place");
            }
            placements_.push_back({tensors_.size(), base, minus ? -bytes : bytes});
        }
        declare(tensor_numbers_, "tensor", tensor.name, tensors_.size(), at);
        tensors_.push_back(std::make_shared<Tensor>(std::move(tensor)));
    }

    /// Gives memory to tensors that share it.
    void place_tensors() {
        std::map<size_t, std::vector<Placement>> groups;
        for (const Placement &placement : placements_) {
            std::vector<Placement> &group = groups[placement.base];
            if (group.empty()) {
                group.push_back({placement.base, placement.base, 0});
            }
            group.push_back(placement);
        }
        for (const auto &[base, group] : groups) {
            place_group(group);
        }
    }

    void place_group(const std::vector<Placement> &group) {
        int64_t low = 0;
        int64_t high = 0;
        for (const Placement &placement : group) {
            const Tensor &tensor = *tensors_[placement.tensor];
            if (tensor.view.data != nullptr) {
                refuse(tensor.at,
                       "tensor " + tensor.name + " is placed at a tensor that is placed");
            }
            const auto [begin, end] = extent_of(tensor);
            if (begin < -farthest_place || end > farthest_place) {
                refuse(tensor.at, "tensor " + tensor.name + " reaches too far from its place");
            }
            low = std::min(low, placement.bytes + begin);
            high = std::max(high, placement.bytes + end);
        }
        const std::shared_ptr<void> memory = reserve(static_cast<size_t>(high - low));
        if (memory == nullptr) {
            refuse(tensors_[group.front().tensor]->at,
                   "cannot reserve " + std::to_string(high - low) + " bytes");
        }
        for (const Placement &placement : group) {
            TensorView &view = tensors_[placement.tensor]->view;
            view.data = static_cast<char *>(memory.get()) + (placement.bytes - low);
            view.owner = memory;
        }
    }

    static std::pair<int64_t, int64_t> extent_of(const Tensor &tensor) {
        try {
            return tensor.view.byte_extent();
        } catch (const CompileError &error) {
            refuse(tensor.at, "tensor " + tensor.name + ": " + error.text());
        }
    }

    /// Zeros that take memory only where they are written: what a text says of addresses may be
    /// far larger than what its workload touches. Null when there is no room.
    static std::shared_ptr<void> reserve(size_t bytes) {
        bytes = std::max<size_t>(bytes, 1);
        void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return nullptr;
        }
        return {memory, [bytes](void *mapped) { munmap(mapped, bytes); }};
    }

    void parse_kernel() {
        auto kernel = std::make_shared<Kernel>();
        kernel->at = reader_.loc();
        reader_.expect("kernel");
        kernel->name = reader_.name();
        reader_.expect("(");
        reader_.list(")", [&] { kernel->params.push_back(parse_param()); });
        declare<KernelPtr>(made_.kernels, "kernel", kernel->name, kernel, kernel->at);
    }

    kernel::Param parse_param() {
        kernel::Param param;
        param.at = reader_.loc();
        bool tile = false;
        for (const auto direction :
             {kernel::Direction::In, kernel::Direction::Out, kernel::Direction::InOut}) {
            if (!tile && reader_.peek().text == kernel::name(direction) &&
                reader_.peek(1).text != ":") {
                reader_.next();
                param.direction = direction;
                tile = true;
            }
        }
        param.name = reader_.name();
        reader_.expect(":");
        param.type.dtype = parse_dtype(reader_.identifier(), param.at);
        if (tile) {
            reader_.expect("[");
            param.type.rows = Affine::parse(reader_);
            reader_.expect(",");
            param.type.columns = Affine::parse(reader_);
            reader_.expect("]");
        } else {
            param.kind = kernel::Param::Kind::Scalar;
        }
        return param;
    }

    void parse_data(RunData &data) {
        while (reader_.peek().text == "symbol") {
            reader_.next();
            const std::string name = reader_.identifier();
            reader_.expect("=");
            data.symbols.insert_or_assign(name, reader_.integer());
        }
        while (reader_.peek().text == "table") {
            const Loc at = reader_.loc();
            reader_.next();
            const std::string name = reader_.identifier();
            Shape values;
            if (reader_.accept(":")) {
                const int64_t count = reader_.integer();
                if (count < 0 || count > longest_table) {
                    refuse(at, "table " + name + " has " + std::to_string(count) + " values");
                }
                values.assign(static_cast<size_t>(count), 0);
                reader_.expect("values");
            } else {
                reader_.expect("=");
                values = reader_.integers();
            }
            data.tables.insert_or_assign(
                name, std::make_shared<const std::vector<int64_t>>(values.begin(), values.end()));
        }
    }

    void parse_channel() {
        const Loc at = reader_.loc();
        reader_.expect("channel");
        const std::string name = reader_.name();
        reader_.expect(":");
        declare(made_.channels, "channel", name, make_channel(name, reader_.integer(), at), at);
    }

    void parse_event() {
        const Loc at = reader_.loc();
        reader_.expect("event");
        const std::string name = reader_.name();
        reader_.expect(":");
        const int64_t depth = reader_.integer();
        if (depth != 0 && depth != 1) {
            refuse(at, "event " + name + " has the depth " + std::to_string(depth));
        }
        declare<EventPtr>(made_.events, "event", name,
                          std::make_shared<const Event>(Event{name, depth, at, nullptr}), at);
    }

    TextReader &reader_;
    Declarations made_;
    std::vector<std::shared_ptr<Tensor>> tensors_;  ///< in the order of the text
    std::map<std::string, size_t> tensor_numbers_;
    std::vector<Placement> placements_;
};

}  // namespace

Declarations parse_declarations(TextReader &reader) {
    return Parser(reader).parse();
}

void refuse(const Loc &at, const std::string &text) {
    throw IRConversionError(at, text);
}

}  // namespace pto::wsp::workload
