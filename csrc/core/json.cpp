#include "json.h"

#include <algorithm>

#include "utf8.h"

namespace lf {
namespace {

constexpr double kTens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kLargestTen = 22;  // the last power of ten that a double holds exactly

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

class Parser {
 public:
  Parser(std::string_view text, const char* what, Vector<JsonValue>& values, char* characters, Error& error)
      : text_(text),
        what_(what),
        values_(values),
        keys_(StlAllocator<std::string_view>(values.get_allocator())),
        characters_(characters),
        error_(error) {}

  bool run() {
    values_.emplace_back();
    if (!value(0, 1)) return false;
    skip_space();
    return position_ == text_.size() || wrong("nothing more");
  }

 private:
  bool wrong(const char* expected) noexcept {
    return fail(error_, status::format, "%s is damaged: at byte %zu its JSON should have %s", what_, position_,
                expected);
  }

  void skip_space() noexcept {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
      ++position_;
    }
  }

  bool take(char c) noexcept {
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  bool take(std::string_view word) noexcept {
    if (text_.substr(position_, word.size()) != word) return false;
    position_ += word.size();
    return true;
  }

  // Values move as more are added, so they are known by their index.
  bool value(std::uint32_t index, int depth) {
    skip_space();
    JsonValue& value = values_[index];
    if (take('{')) return children(index, depth, '}');
    if (take('[')) return children(index, depth, ']');
    if (take('"')) {
      value.kind = JsonValue::Kind::string;
      return string(value.string);
    }
    if (take("null")) return true;
    if (take("true") || take("false")) {
      value.kind = JsonValue::Kind::boolean;
      value.boolean = text_[position_ - 2] == 'u';
      return true;
    }
    value.kind = JsonValue::Kind::number;
    return number(value);
  }

  bool children(std::uint32_t parent, int depth, char end) {
    if (depth >= Json::kMaxDepth) return wrong("fewer levels");
    const bool named = end == '}';
    values_[parent].kind = named ? JsonValue::Kind::object : JsonValue::Kind::array;
    skip_space();
    if (take(end)) return true;
    const std::size_t first_key = keys_.size();
    std::uint32_t previous = 0, count = 0;
    do {
      if (values_.size() >= Json::kMaxValues) return wrong("fewer values");
      const auto child = static_cast<std::uint32_t>(values_.size());
      values_.emplace_back();
      if (named) {
        skip_space();
        if (!take('"')) return wrong("a name in quotes");
        if (!string(values_[child].key)) return false;
        keys_.push_back(values_[child].key);
        skip_space();
        if (!take(':')) return wrong("a colon");
      }
      if (!value(child, depth + 1)) return false;
      (previous == 0 ? values_[parent].first : values_[previous].next) = child;
      previous = child;
      ++count;
      skip_space();
    } while (take(','));
    if (!take(end)) return wrong(named ? "a comma or }" : "a comma or ]");
    values_[parent].count = count;
    std::sort(keys_.begin() + first_key, keys_.end());
    if (std::adjacent_find(keys_.begin() + first_key, keys_.end()) != keys_.end()) return wrong("each name once");
    keys_.resize(first_key);
    return true;
  }

  bool string(std::string_view& out) noexcept {
    char* const begin = characters_;
    for (;;) {
      if (position_ >= text_.size()) return wrong("the end of a string");
      if (take('"')) break;
      if (take('\\')) {
        if (!escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(text_[position_]) < 0x20) return wrong("no control character in a string");
      const std::uint32_t character = next_character(text_, position_);
      if (character == kNoCharacter) return wrong("UTF-8");
      characters_ += write_character(character, characters_);
    }
    out = {begin, static_cast<std::size_t>(characters_ - begin)};
    return true;
  }

  bool escape() noexcept {
    constexpr std::string_view names = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const std::size_t at = position_ < text_.size() ? names.find(text_[position_]) : names.npos;
    if (at != names.npos) {
      ++position_;
      *characters_++ = meanings[at];
      return true;
    }
    std::uint32_t character = 0, low = 0;
    if (!take('u') || !hexadecimal(character)) return wrong("a known escape");
    if (character >= 0xD800 && character < 0xDC00) {
      if (!take("\\u") || !hexadecimal(low) || low < 0xDC00 || low >= 0xE000) return wrong("a pair of surrogates");
      character = 0x10000 + ((character - 0xD800) << 10) + (low - 0xDC00);
    } else if (character >= 0xDC00 && character < 0xE000) {
      return wrong("a pair of surrogates");
    }
    characters_ += write_character(character, characters_);
    return true;
  }

  bool hexadecimal(std::uint32_t& value) noexcept {
    for (int i = 0; i < 4; ++i, ++position_) {
      if (position_ >= text_.size()) return false;
      const char c = text_[position_];
      const char lower = static_cast<char>(c | 0x20);
      if (is_digit(c)) {
        value = value << 4 | static_cast<std::uint32_t>(c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value << 4 | static_cast<std::uint32_t>(lower - 'a' + 10);
      } else {
        return false;
      }
    }
    return true;
  }

  bool digits(std::uint64_t& value, int& count) noexcept {
    count = 0;
    for (; position_ < text_.size() && is_digit(text_[position_]); ++position_, ++count) {
      const auto digit = static_cast<std::uint64_t>(text_[position_] - '0');
      if (value > (UINT64_MAX - digit) / 10) return wrong("a number of fewer digits");
      value = value * 10 + digit;
    }
    return count > 0 || wrong("a value");
  }

  // Exact where the digits fit into 53 bits and the power of ten into kLargestTen, as all that we write do.
  bool number(JsonValue& out) noexcept {
    const bool negative = take('-');
    const bool zero = position_ < text_.size() && text_[position_] == '0';
    std::uint64_t mantissa = 0, exponent = 0;
    int count = 0, fraction = 0;
    if (!digits(mantissa, count)) return false;
    if (zero && count > 1) return wrong("a number without leading zeros");
    bool whole = !negative;
    if (take('.')) {
      whole = false;
      if (!digits(mantissa, fraction)) return false;
    }
    bool down = false;
    if (take('e') || take('E')) {
      whole = false;
      down = take('-');
      if (!down) take('+');
      if (!digits(exponent, count)) return false;
      if (exponent > 300) return wrong("a number of the size of others");
    }
    int power = (down ? -static_cast<int>(exponent) : static_cast<int>(exponent)) - fraction;
    double value = static_cast<double>(mantissa);
    for (; power > 0; power -= std::min(power, kLargestTen)) value *= kTens[std::min(power, kLargestTen)];
    for (; power < 0; power += std::min(-power, kLargestTen)) value /= kTens[std::min(-power, kLargestTen)];
    if (value > 1e300) return wrong("a number of the size of others");
    out.is_whole = whole;
    out.whole = whole ? mantissa : 0;
    out.number = negative ? -value : value;
    return true;
  }

  std::string_view text_;
  const char* what_;
  Vector<JsonValue>& values_;
  Vector<std::string_view> keys_;  // of the objects that are open
  char* characters_;
  Error& error_;
  std::size_t position_ = 0;
};

}  // namespace

bool Json::parse(std::string_view text, const char* what, const Allocator& allocator, Error& error) {
  if (text.size() > UINT32_MAX) return fail(error, status::format, "%s is too large", what);
  values_ = Vector<JsonValue>(StlAllocator<JsonValue>(allocator));
  characters_ = Buffer<char>(text.size(), allocator);  // no string is longer decoded than it is written
  return Parser(text, what, values_, characters_.data(), error).run();
}

const JsonValue* Json::find(const JsonValue& object, std::string_view key) const noexcept {
  if (object.kind != JsonValue::Kind::object) return nullptr;
  for (const JsonValue* child = first(object); child != nullptr; child = next(*child)) {
    if (child->key == key) return child;
  }
  return nullptr;
}

}  // namespace lf
