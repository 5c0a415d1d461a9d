#include <algorithm>
#include <array>
#include <charconv>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool continues_identifier(char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '$';
}

constexpr std::array<std::string_view, 13> long_punctuation = {
    "...", "->", "=>", "==", "!=", "<=", ">=", "<<", ">>", "//", ":=", "&&", "||"};

std::string describe(const Token &token) {
    switch (token.kind) {
    case Token::Kind::End:
        return "the end";
    case Token::Kind::String:
        return "string " + quoted(token.text);
    default:
        return "'" + token.text + "'";
    }
}

/// Splits text into tokens; one use.
class Lexer {
public:
    Lexer(std::string_view text, const std::string &origin) : text_(text), origin_(origin) {}

    std::vector<Token> tokens() {
        std::vector<Token> all;
        do {
            skip_space();
            all.push_back(token());
        } while (all.back().kind != Token::Kind::End);
        return all;
    }

private:
    char at(size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    bool ended() const { return at_ >= text_.size(); }

    [[noreturn]] void fail(const std::string &text) const {
        throw IRConversionError({origin_, line_}, text);
    }

    void skip_space() {
        for (; !ended(); ++at_) {
            if (at() == '#') {
                at_ = std::min(text_.find('\n', at_), text_.size());
            }
            if (at() == '\n') {
                ++line_;
            } else if (at() != ' ' && at() != '\t' && at() != '\r') {
                return;
            }
        }
    }

    Token token() {
        if (ended()) {
            return {Token::Kind::End, "", line_};
        }
        if (is_letter(at())) {
            return word();
        }
        if (is_digit(at())) {
            return number();
        }
        if (at() == '"') {
            return string();
        }
        return punctuation();
    }

    Token take(Token::Kind kind, size_t length) {
        Token result{kind, std::string(text_.substr(at_, length)), line_};
        at_ += length;
        return result;
    }

    Token word() {
        size_t length = 1;
        while (continues_identifier(at(length))) {
            ++length;
        }
        Token result = take(Token::Kind::Identifier, length);
        if (result.text == "inf" || result.text == "nan") {
            result.kind = Token::Kind::Float;
        }
        return result;
    }

    Token number() {
        size_t length = 0;
        auto skip_digits = [&] {
            while (is_digit(at(length))) {
                ++length;
            }
        };
        bool is_float = false;
        skip_digits();
        if (at(length) == '.' && is_digit(at(length + 1))) {
            is_float = true;
            ++length;
            skip_digits();
        }
        if (at(length) == 'e' || at(length) == 'E') {
            size_t sign = at(length + 1) == '+' || at(length + 1) == '-' ? 1 : 0;
            if (is_digit(at(length + 1 + sign))) {
                is_float = true;
                length += 1 + sign;
                skip_digits();
            }
        }
        return take(is_float ? Token::Kind::Float : Token::Kind::Integer, length);
    }

    Token punctuation() {
        for (std::string_view candidate : long_punctuation) {
            if (text_.substr(at_).starts_with(candidate)) {
                return take(Token::Kind::Punctuation, candidate.size());
            }
        }
        auto byte = static_cast<unsigned char>(at());
        if (byte <= ' ' || byte >= 0x7f) {
            constexpr char digits[] = "0123456789abcdef";
            fail(std::string("unexpected byte 0x") + digits[byte >> 4] + digits[byte & 15]);
        }
        return take(Token::Kind::Punctuation, 1);
    }

    Token string() {
        Token result{Token::Kind::String, "", line_};
        ++at_;
        while (at() != '"' || ended()) {
            if (ended() || at() == '\n') {
                fail("string has no closing quote");
            }
            if (static_cast<unsigned char>(at()) < 0x20) {
                fail("control character in a string: write it as an escape");
            }
            if (at() == '\\') {
                escape(result.text);
            } else {
                result.text += at();
                ++at_;
            }
        }
        ++at_;
        if (!is_utf8(result.text)) {
            fail("string is not utf-8");
        }
        return result;
    }

    void escape(std::string &out) {
        constexpr std::string_view names = "\"\\/bfnrt";
        constexpr std::string_view values = "\"\\/\b\f\n\r\t";
        char c = at(1);
        size_t known = names.find(c);
        if (known != std::string_view::npos) {
            out += values[known];
            at_ += 2;
        } else if (c == 'u') {
            append_utf8(code_point(), out);
        } else {
            fail("unknown escape in a string; known are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
        }
    }

    /// Four hexadecimal digits after `\u`.
    uint32_t code_unit() {
        uint32_t value = 0;
        const char *begin = text_.data() + std::min(at_ + 2, text_.size());
        const char *end = text_.data() + std::min(at_ + 6, text_.size());
        auto [stop, error] = std::from_chars(begin, end, value, 16);
        if (error != std::errc() || stop != end || end - begin != 4) {
            fail("\\u takes four hexadecimal digits");
        }
        at_ += 6;
        return value;
    }

    uint32_t code_point() {
        uint32_t first = code_unit();
        if (first < 0xd800 || first > 0xdfff) {
            return first;
        }
        bool paired = first < 0xdc00 && at() == '\\' && at(1) == 'u';
        uint32_t second = paired ? code_unit() : 0;
        if (second < 0xdc00 || second > 0xdfff) {
            fail("half of a surrogate pair in a string");
        }
        return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    }

    static void append_utf8(uint32_t code, std::string &out) {
        int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        constexpr std::array<uint32_t, 4> lead = {0, 0xc0, 0xe0, 0xf0};
        out += static_cast<char>(lead[static_cast<size_t>(more)] | (code >> (6 * more)));
        while (more-- > 0) {
            out += static_cast<char>(0x80 | ((code >> (6 * more)) & 0x3f));
        }
    }

    std::string_view text_;
    const std::string &origin_;
    size_t at_ = 0;
    int line_ = 1;
};

}  // namespace

bool is_identifier(std::string_view text) {
    if (text.empty() || !is_letter(text[0]) || text == "inf" || text == "nan") {
        return false;
    }
    for (char c : text) {
        if (!continues_identifier(c)) {
            return false;
        }
    }
    return true;
}

TextReader::TextReader(std::string_view text, std::string origin)
    : origin_(std::move(origin)), tokens_(Lexer(text, origin_).tokens()) {}

const Token &TextReader::peek(int ahead) const {
    return tokens_[std::min(at_ + static_cast<size_t>(ahead), tokens_.size() - 1)];
}

Token TextReader::next() {
    Token token = peek();
    at_ = std::min(at_ + 1, tokens_.size() - 1);
    return token;
}

bool TextReader::is_next(std::string_view text, int ahead) const {
    const Token &token = peek(ahead);
    bool is_word = token.kind == Token::Kind::Punctuation || token.kind == Token::Kind::Identifier;
    return is_word && token.text == text;
}

bool TextReader::accept(std::string_view text) {
    if (!is_next(text)) {
        return false;
    }
    next();
    return true;
}

void TextReader::expect(std::string_view text) {
    if (!accept(text)) {
        fail("'" + std::string(text) + "'");
    }
}

std::string TextReader::identifier() {
    if (peek().kind != Token::Kind::Identifier) {
        fail("a name");
    }
    return next().text;
}

std::string TextReader::string() {
    if (peek().kind != Token::Kind::String) {
        fail("a string");
    }
    return next().text;
}

std::string TextReader::name() {
    return peek().kind == Token::Kind::String ? string() : identifier();
}

std::vector<int64_t> TextReader::integers() {
    std::vector<int64_t> result;
    expect("[");
    list("]", [&] { result.push_back(integer()); });
    return result;
}

int64_t TextReader::integer() {
    bool negative = is_next("-");
    int sign = negative || is_next("+") ? 1 : 0;
    const Token &token = peek(sign);
    if (token.kind != Token::Kind::Integer) {
        fail("an integer");
    }
    // With the sign in the text, -2^63 needs no special case.
    std::string text = (negative ? "-" : "") + token.text;
    int64_t value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
        throw IRConversionError(loc(), "integer " + text + " does not fit 64 bits");
    }
    at_ += static_cast<size_t>(sign) + 1;
    return value;
}

double TextReader::number() {
    bool negative = is_next("-");
    int sign = negative || is_next("+") ? 1 : 0;
    const Token &token = peek(sign);
    if (token.kind != Token::Kind::Integer && token.kind != Token::Kind::Float) {
        fail("a number");
    }
    double value = 0;
    const char *end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
        throw IRConversionError(loc(), "number " + token.text + " does not fit a double");
    }
    at_ += static_cast<size_t>(sign) + 1;
    return negative ? -value : value;
}

Loc TextReader::loc() const {
    return {origin_, peek().line};
}

void TextReader::fail(const std::string &expected) const {
    throw IRConversionError(loc(), "expected " + expected + ", found " + describe(peek()));
}

}  // namespace pto::wsp
