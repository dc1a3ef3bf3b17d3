// A file in memory, read from front to back; whatever is wrong is reported with its line.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mentor {

inline bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}
inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
inline bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

inline std::string_view stripped(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

/// A piece of a damaged file as it may stand in a message: short, and printable everywhere.
inline std::string shown(std::string_view text) {
    std::string short_text(text.substr(0, 80));
    for (char& c : short_text)
        if (c < ' ' || c > '~') c = '?';
    return "'" + short_text + "'";
}

/// Whether all of `text` is one number, which goes to `value`; the same in every locale.
template <class Number>
bool parse(std::string_view text, Number& value) {
    if (!text.empty() && text.front() == '+') text.remove_prefix(1);
    if (text.empty() || text.front() == '+') return false;
    const char* end = text.data() + text.size();
#ifdef __cpp_lib_to_chars
    const auto found = std::from_chars(text.data(), end, value);
#else  // standard libraries before GCC 11 and LLVM 20 can only do integers
    if constexpr (std::is_floating_point_v<Number>) {
        std::istringstream stream{std::string(text)};
        stream.imbue(std::locale::classic());
        return static_cast<bool>(stream >> value) && stream.peek() == EOF;
    }
    const auto found = std::from_chars(text.data(), end, value);
#endif
    return found.ec == std::errc() && found.ptr == end;
}

class TextFile {
  public:
    /// Throws std::runtime_error, as all functions here do, where the file cannot be read.
    explicit TextFile(const std::string& path) : path_(path) {
        std::ifstream stream(path, std::ios::binary);
        if (!stream) throw std::runtime_error(path + ": no such file, or you may not read it");
        stream.seekg(0, std::ios::end);
        const std::streamoff size = stream.tellg();
        stream.seekg(0);
        constexpr std::streamoff largest = std::streamoff{1} << 40;
        if (stream && size >= 0 && size < largest) {
            text_.resize(static_cast<size_t>(size));
            stream.read(text_.data(), size);
        }
        if (!stream || size < 0 || size >= largest)
            throw std::runtime_error(path + ": cannot be read; is it a file?");
    }

    std::string_view text() const { return text_; }
    size_t position() const { return position_; }
    void move_to(size_t position) { position_ = std::min(position, text_.size()); }
    void move_to_end() {
        move_to(text_.size());
        while (position_ > 0 && is_space(text_[position_ - 1])) --position_;
    }
    int64_t line() const {
        return 1 + std::count(text_.begin(), text_.begin() + static_cast<int64_t>(position_), '\n');
    }

    [[noreturn]] void fail(const std::string& what, int64_t line = 0) const {
        throw std::runtime_error(path_ + ":" + std::to_string(line ? line : this->line()) + ": " +
                                 what);
    }

    void skip_space() {
        while (position_ < text_.size() && is_space(text_[position_])) ++position_;
    }
    void skip_blanks() {
        while (position_ < text_.size() && (text_[position_] == ' ' || text_[position_] == '\t'))
            ++position_;
    }
    /// The next character, or a zero byte at the end.
    char peek() const { return position_ < text_.size() ? text_[position_] : '\0'; }
    bool take(char c) {
        const bool there = position_ < text_.size() && text_[position_] == c;
        if (there) ++position_;
        return there;
    }
    template <class Condition>
    std::string_view take_while(Condition condition) {
        const size_t start = position_;
        while (position_ < text_.size() && condition(text_[position_])) ++position_;
        return text().substr(start, position_ - start);
    }
    /// The rest of the line, without blanks around it; the end of the line is not read.
    std::string_view rest_of_line() {
        return stripped(take_while([](char c) { return c != '\n'; }));
    }

    /// A list {…} of finite numbers; `key` is for messages.
    template <class Number>
    std::vector<Number> list(const std::string& key) {
        std::vector<Number> values;
        open(key, '{');
        skip_space();
        if (take('}')) return values;
        do values.push_back(number<Number>(key));
        while (more(key));
        return values;
    }

    /// A list {{…}, …} of rows of four integers.
    std::vector<std::array<int, 4>> rows(const std::string& key) {
        std::vector<std::array<int, 4>> values;
        open(key, '{');
        skip_space();
        if (take('}')) return values;
        do {
            const auto row = list<int>(key);
            if (row.size() != 4)
                fail("row " + std::to_string(values.size()) + " of " + key + " has " +
                     std::to_string(row.size()) + " numbers, not 4");
            values.push_back({row[0], row[1], row[2], row[3]});
        } while (more(key));
        return values;
    }

  private:
    std::string path_, text_;
    size_t position_ = 0;

    void open(const std::string& key, char brace) {
        skip_space();
        if (!take(brace)) fail(key + " must be followed by a list in braces");
    }

    /// After an item of a list: whether another follows.
    bool more(const std::string& key) {
        skip_space();
        if (take(',')) return true;
        if (take('}')) return false;
        if (position_ == text_.size())
            fail("the list of " + key + " is not closed; the file ends too early");
        fail("the list of " + key + " is damaged; expected ',' or '}'");
    }

    template <class Number>
    Number number(const std::string& key) {
        skip_space();
        const auto word = take_while([](char c) { return c != ',' && c != '}' && !is_space(c); });
        Number value{};
        if (position_ == text_.size())
            fail("the list of " + key + " is not closed; the file ends too early");
        if (!parse(word, value))
            fail(key + " contains " + shown(word) + ", which is not a number in range");
        if constexpr (std::is_floating_point_v<Number>)
            if (!std::isfinite(value)) fail(key + " contains a value that is not finite");
        return value;
    }
};

}  // namespace mentor
