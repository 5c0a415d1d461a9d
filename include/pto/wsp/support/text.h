#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Tokens of our text formats (tile programs, workloads, expressions): identifiers
/// `[A-Za-z_][A-Za-z0-9_.$]*`, numbers (integers; floats incl. `inf`, `nan`, exponents), strings in
/// double quotes with JSON escapes, and punctuation: one ASCII character, or one of `-> => == !=
/// <= >= // := && || ...`. `#` starts a comment to the end of the line. A sign is punctuation of
/// its own; `inf` and `nan` are numbers and never identifiers. Outside strings the text is ASCII;
/// strings are UTF-8.
struct Token {
    enum class Kind { Identifier, Integer, Float, String, Punctuation, End };
    Kind kind = Kind::End;
    std::string text;  ///< strings: unescaped
    int line = 1;
};

/// A reader over tokens with one-line expectations. Every failure is an IRConversionError at
/// `origin:line` that names what was found and what was expected. Never crashes on any bytes.
class TextReader {
public:
    /// Reads all tokens of `text`; `origin` stands in for a file name in errors.
    TextReader(std::string_view text, std::string origin);

    /// The token `ahead` places on; the End token for all places past the last.
    const Token &peek(int ahead = 0) const;
    /// Consumes a token; the End token stays.
    Token next();
    bool at_end() const { return peek().kind == Token::Kind::End; }
    /// True when the punctuation or identifier `text` is next.
    bool is_next(std::string_view text, int ahead = 0) const;
    /// Consumes the punctuation or identifier `text` if it is next.
    bool accept(std::string_view text);
    /// Consumes the punctuation or identifier `text`, or fails.
    void expect(std::string_view text);
    /// Consumes an identifier, or fails.
    std::string identifier();
    /// Consumes a string and returns its unescaped text, or fails.
    std::string string();
    /// Consumes an identifier or a string, or fails.
    std::string name();
    /// With an optional sign in front; fails outside 64 bits.
    int64_t integer();
    /// `[1, 2]`, or fails.
    std::vector<int64_t> integers();
    /// Calls `part` where each part of a list begins, which are separated by commas; consumes the
    /// `close` behind the last one. There may be no part at all.
    template <class Part> void list(std::string_view close, Part part) {
        if (accept(close)) {
            return;
        }
        do {
            part();
        } while (accept(","));
        expect(close);
    }
    /// An integer or float with an optional sign in front; fails outside the range of a double.
    double number();
    /// The line of the next token.
    Loc loc() const;
    /// Throws `expected <expected>, found <next token>`.
    [[noreturn]] void fail(const std::string &expected) const;

private:
    std::string origin_;
    std::vector<Token> tokens_;
    size_t at_ = 0;
};

/// True when `text` reads as one identifier.
bool is_identifier(std::string_view text);
/// True when `text` is valid UTF-8: no overlong forms, no surrogates, nothing past U+10FFFF.
bool is_utf8(std::string_view text);
/// `text` in double quotes with JSON escapes; bytes from 0x80 up pass as they are.
std::string quoted(std::string_view text);
// Exact matches: argument-dependent look-up would otherwise prefer std::quoted for strings.
inline std::string quoted(const char *text) {
    return quoted(std::string_view(text));
}
inline std::string quoted(const std::string &text) {
    return quoted(std::string_view(text));
}
inline std::string quoted(std::string &text) {
    return quoted(std::string_view(text));
}
/// The shortest text that reads back as the same double: `0.5`, `1e-06`, `inf`, `-inf`, `nan`.
std::string number_text(double value);
/// The name among `known` nearest to `name` by edit distance (case apart; two neighbours swapped
/// count one), or empty when none is near: for `did you mean`.
std::string nearest_name(std::string_view name, const std::vector<std::string> &known);
/// `a, b, c`
std::string join(const std::vector<std::string> &parts, std::string_view separator = ", ");

}  // namespace pto::wsp
