#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Tokens of our text formats (tile programs, workloads, expressions): identifiers
/// `[A-Za-z_][A-Za-z0-9_.$]*`, numbers (integers; floats incl. `inf`, `nan`, exponents), strings in
/// double quotes with JSON escapes, and punctuation. `#` starts a comment to the end of the line.
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
    TextReader(std::string_view text, std::string origin);

    const Token &peek(int ahead = 0) const;
    Token next();
    bool at_end() const { return peek().kind == Token::Kind::End; }
    /// Consumes the punctuation or identifier `text` if it is next.
    bool accept(std::string_view text);
    void expect(std::string_view text);
    std::string identifier();
    std::string string();
    /// With an optional sign in front.
    int64_t integer();
    double number();
    Loc loc() const;
    [[noreturn]] void fail(const std::string &expected) const;

private:
    std::string origin_;
    std::vector<Token> tokens_;
    size_t at_ = 0;
};

/// `text` in double quotes with JSON escapes.
std::string quoted(std::string_view text);
/// The shortest text that reads back as the same double: `0.5`, `1e-06`, `inf`, `-inf`, `nan`.
std::string number_text(double value);
/// The name among `known` nearest to `name` by edit distance, or empty: for `did you mean`.
std::string nearest_name(std::string_view name, const std::vector<std::string> &known);
/// `a, b, c`
std::string join(const std::vector<std::string> &parts, std::string_view separator = ", ");

}  // namespace pto::wsp
