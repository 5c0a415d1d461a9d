#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/readers.h"

namespace pto::wsp::fuzz {

/// The files of `PTO_WSP_SEEDS/<reader>`, in the order of their names.
inline std::vector<std::string> seeds_of(const Reader &reader) {
    std::vector<std::filesystem::path> files;
    const auto directory = std::filesystem::path(PTO_WSP_SEEDS) / reader.name;
    for (const auto &entry : std::filesystem::directory_iterator(directory)) {
        files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<std::string> texts;
    for (const std::filesystem::path &file : files) {
        std::ostringstream text;
        text << std::ifstream(file).rdbuf();
        texts.push_back(text.str());
    }
    return texts;
}

/// Damages texts by words and signs of the seeds, by parts of other seeds and by single bytes.
class Mutator {
public:
    Mutator(std::vector<std::string> texts, unsigned seed)
        : texts_(std::move(texts)), pieces_(pieces_of(texts_)), random_(seed) {}

    /// A damaged seed.
    std::string next() { return damaged(texts_[below(texts_.size())]); }

    std::string damaged(std::string text) {
        for (size_t edits = 1 + below(4); edits > 0; --edits) {
            edit(text);
        }
        return text;
    }

private:
    static std::vector<std::string> pieces_of(const std::vector<std::string> &texts) {
        std::vector<std::string> pieces = {"-9223372036854775808",
                                           "99999999999999999999",
                                           "1e999",
                                           "nan",
                                           "\"",
                                           "\\u",
                                           std::string(1, '\0'),
                                           "\xff"};
        for (const std::string &text : texts) {
            std::string word;
            for (char c : text) {
                if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_') {
                    word += c;
                    continue;
                }
                if (!word.empty()) {
                    pieces.push_back(std::exchange(word, {}));
                }
                pieces.emplace_back(1, c);
            }
        }
        return pieces;
    }

    size_t below(size_t end) { return random_() % end; }

    const std::string &piece() { return pieces_[below(pieces_.size())]; }

    /// Start and length of a word of `text` at or behind a random place.
    std::pair<size_t, size_t> word(const std::string &text) {
        auto part_of_word = [&](size_t i) {
            return std::isalnum(static_cast<unsigned char>(text[i])) != 0;
        };
        size_t begin = below(text.size() + 1);
        while (begin < text.size() && !part_of_word(begin)) {
            ++begin;
        }
        size_t end = begin;
        while (end < text.size() && part_of_word(end)) {
            ++end;
        }
        return {begin, end - begin};
    }

    void edit(std::string &text) {
        const size_t at = below(text.size() + 1);
        const std::string &other = texts_[below(texts_.size())];
        switch (below(6)) {
        case 0:
            text.erase(at, below(20));
            break;
        case 1:
            text.insert(at, piece());
            break;
        case 2: {
            auto [begin, length] = word(text);
            text.replace(begin, length, piece());
            break;
        }
        case 3:
            text.replace(at, below(30), other, below(other.size() + 1), below(60));
            break;
        case 4: {
            // A line, or what stands for one, again or somewhere else.
            const size_t from = text.rfind('\n', at == 0 ? 0 : at - 1);
            const size_t begin = from == std::string::npos ? 0 : from;
            const size_t end = text.find('\n', begin + 1);
            const std::string line = text.substr(begin, end - begin);
            text.insert(below(text.size() + 1), line);
            break;
        }
        default:
            if (at < text.size()) {
                text[at] = static_cast<char>(below(256));
            }
        }
    }

    std::vector<std::string> texts_;
    std::vector<std::string> pieces_;
    std::mt19937 random_;
};

}  // namespace pto::wsp::fuzz
