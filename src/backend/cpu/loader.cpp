#include "pto/wsp/backend/cpu/loader.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectFileInterface.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Process.h>

#include "backend/cpu/elf_check.h"
#include "backend/cpu/symbols.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::backend::cpu {
namespace {

constexpr const char *pass = "load-object";
constexpr std::string_view made_by_linker = "_GLOBAL_OFFSET_TABLE_";

/// What the session reported on this thread; ORC links on the thread that looks a symbol up.
thread_local std::string reported;

[[noreturn]] void fail(const std::string &name, const std::string &what) {
    throw InternalError(pass, fmt::format("object {}: {}", name, what));
}

[[noreturn]] void fail(const std::string &name, llvm::Error error) {
    std::string what = llvm::toString(std::move(error));
    if (!reported.empty()) {
        what += "; " + std::exchange(reported, {});
    }
    fail(name, what);
}

using Addresses = std::map<std::string, void *, std::less<>>;

const std::unordered_map<std::string_view, void *> &host_addresses() {
    static const auto *addresses = [] {
        auto *made = new std::unordered_map<std::string_view, void *>;
        for (const HostSymbol &symbol : host_symbols()) {
            made->emplace(symbol.name, symbol.address);
        }
        return made;
    }();
    return *addresses;
}

/// Refuses what the linker could not use, before it is started: its own texts name no symbol.
void check_object(const std::string &name, std::string_view bytes, const Externals &externals) {
    const ElfSummary summary = check_elf(bytes);
    if (!summary.flaw.empty()) {
        fail(name, fmt::format("not an object for this machine: {}", summary.flaw));
    }
    std::vector<std::string> missing;
    for (const std::string &symbol : summary.undefined) {
        if (symbol != made_by_linker && host_symbol(symbol) == nullptr &&
            externals.count(symbol) == 0) {
            missing.push_back(symbol);
        }
    }
    if (!missing.empty()) {
        fail(name, fmt::format("needs {} {} that the engine does not supply",
                               missing.size() == 1 ? "symbol" : "symbols", join(missing)));
    }
}

/// The process's ORC session. An LLJIT would add a target machine for IR that we never have.
class Session {
public:
    /// Never destroyed, so that objects may be unloaded at any time before the process ends.
    static Session &get() {
        static Session &session = *new Session;
        return session;
    }

    /// Links `bytes` into a library of their own.
    std::pair<llvm::orc::JITDylib *, Addresses>
    load(std::string_view bytes, const std::string &name, const Externals &externals);
    void unload(llvm::orc::JITDylib &library);

private:
    Session();
    Addresses link(llvm::orc::JITDylib &library, const std::string &name,
                   std::unique_ptr<llvm::MemoryBuffer> buffer);

    /// Defines functions of this process in `library`.
    void supply(llvm::orc::JITDylib &library, const Externals &functions);

    llvm::orc::ExecutionSession session_;
    llvm::jitlink::InProcessMemoryManager memory_;
    llvm::orc::ObjectLinkingLayer linker_;
    llvm::orc::JITDylib &host_;
    std::atomic<uint64_t> loaded_ = 0;
};

// The process control that supports nothing keeps this process's own symbols out of reach.
Session::Session()
    : session_(std::make_unique<llvm::orc::UnsupportedExecutorProcessControl>()),
      memory_(llvm::sys::Process::getPageSizeEstimate()), linker_(session_, memory_),
      host_(session_.createBareJITDylib("host")) {
    session_.setErrorReporter(
        [](llvm::Error error) { reported = llvm::toString(std::move(error)); });
    Externals functions;
    for (const HostSymbol &symbol : host_symbols()) {
        functions.emplace(symbol.name, symbol.address);
    }
    supply(host_, functions);
}

void Session::supply(llvm::orc::JITDylib &library, const Externals &functions) {
    llvm::orc::SymbolMap symbols;
    for (const auto &[name, address] : functions) {
        symbols[session_.intern(name)] = {llvm::orc::ExecutorAddr::fromPtr(address),
                                          llvm::JITSymbolFlags::Exported |
                                              llvm::JITSymbolFlags::Callable};
    }
    if (llvm::Error error = library.define(llvm::orc::absoluteSymbols(std::move(symbols)))) {
        fail(library.getName(), std::move(error));
    }
}

std::pair<llvm::orc::JITDylib *, Addresses>
Session::load(std::string_view bytes, const std::string &name, const Externals &externals) {
    check_object(name, bytes, externals);
    const llvm::StringRef text(bytes.data(), bytes.size());
    // ORC wants library names to be unique.
    llvm::orc::JITDylib &library =
        session_.createBareJITDylib(fmt::format("{}#{}", name, loaded_.fetch_add(1)));
    try {
        if (!externals.empty()) {
            supply(library, externals);
        }
        return {&library, link(library, name, llvm::MemoryBuffer::getMemBufferCopy(text, name))};
    } catch (...) {
        unload(library);
        throw;
    }
}

Addresses Session::link(llvm::orc::JITDylib &library, const std::string &name,
                        std::unique_ptr<llvm::MemoryBuffer> buffer) {
    auto interface = llvm::orc::getObjectFileInterface(session_, buffer->getMemBufferRef());
    if (!interface) {
        fail(name, interface.takeError());
    }
    llvm::orc::SymbolLookupSet wanted;
    for (const auto &[symbol, flags] : interface->SymbolFlags) {
        wanted.add(symbol);
    }
    library.addToLinkOrder(host_);
    if (llvm::Error error = linker_.add(library.getDefaultResourceTracker(), std::move(buffer),
                                        std::move(*interface))) {
        fail(name, std::move(error));
    }
    reported.clear();
    auto found = session_.lookup(
        {{&library, llvm::orc::JITDylibLookupFlags::MatchExportedSymbolsOnly}}, std::move(wanted));
    if (!found) {
        fail(name, found.takeError());
    }
    Addresses addresses;
    for (const auto &[symbol, definition] : *found) {
        addresses.emplace((*symbol).str(), definition.getAddress().toPtr<void *>());
    }
    return addresses;
}

void Session::unload(llvm::orc::JITDylib &library) {
    llvm::consumeError(session_.removeJITDylib(library));
    session_.getSymbolStringPool()->clearDeadEntries();
}

class LinkedObject : public LoadedObject {
public:
    LinkedObject(std::string name, llvm::orc::JITDylib &library, Addresses addresses)
        : name_(std::move(name)), library_(library), addresses_(std::move(addresses)) {}
    ~LinkedObject() override { Session::get().unload(library_); }

    void *address(std::string_view symbol) const override {
        const auto found = addresses_.find(symbol);
        if (found == addresses_.end()) {
            std::vector<std::string> names;
            for (const auto &[name, address] : addresses_) {
                names.push_back(name);
            }
            fail(name_, fmt::format("no symbol {} among {}", symbol, join(names)));
        }
        return found->second;
    }

private:
    std::string name_;
    llvm::orc::JITDylib &library_;
    Addresses addresses_;
};

}  // namespace

std::shared_ptr<LoadedObject> load_object(std::string_view bytes, const std::string &name,
                                          const Externals &externals) {
    auto [library, addresses] = Session::get().load(bytes, name, externals);
    return std::make_shared<LinkedObject>(name, *library, std::move(addresses));
}

void *host_symbol(std::string_view name) {
    const auto found = host_addresses().find(name);
    return found == host_addresses().end() ? nullptr : found->second;
}

}  // namespace pto::wsp::backend::cpu
