#include "word_pieces.h"

#include <algorithm>
#include <iterator>

#include "unicode_tables.h"
#include "utf8.h"

namespace lf {
namespace {

constexpr std::size_t kMaxWord = 100;  // a longer word is unknown
constexpr std::string_view kContinuing = "##";
constexpr std::size_t kShown = 40;  // characters of a prompt in a message

unicode::Kind kind_of(std::uint32_t character) noexcept {
  const auto* next = std::upper_bound(std::begin(unicode::kKinds), std::end(unicode::kKinds), character << 3 | 7);
  return static_cast<unicode::Kind>(next[-1] & 7);
}

std::uint32_t class_of(std::uint32_t character) noexcept {
  const auto* range = std::lower_bound(std::begin(unicode::kClasses), std::end(unicode::kClasses), character,
                                       [](const unicode::Class& r, std::uint32_t c) { return r.last < c; });
  return range != std::end(unicode::kClasses) && range->first <= character ? range->number : 0;
}

struct Characters {
  std::uint32_t parts[3];
  std::size_t count;
};

// Small letters without accents; syllables of Hangul as their letters.
Characters simplified(std::uint32_t character) noexcept {
  constexpr std::uint32_t syllables = 0xAC00, count = 11172, vowels = 21, finals = 28;
  if (character < 0x80) {
    return {{character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character}, 1};
  }
  if (character - syllables < count) {
    const std::uint32_t index = character - syllables, last = index % finals;
    return {{0x1100 + index / finals / vowels, 0x1161 + index / finals % vowels, 0x11A7 + last}, last == 0 ? 2u : 3u};
  }
  const auto before = [](const auto& entry, std::uint32_t c) { return entry.character < c; };
  const auto* single = std::lower_bound(std::begin(unicode::kSingles), std::end(unicode::kSingles), character, before);
  if (single != std::end(unicode::kSingles) && single->character == character) return {{single->result}, 1};
  const auto* several = std::lower_bound(std::begin(unicode::kSeveral), std::end(unicode::kSeveral), character, before);
  if (several != std::end(unicode::kSeveral) && several->character == character) {
    const auto& parts = several->parts;
    return {{parts[0], parts[1], parts[2]}, parts[2] == 0 ? 2u : 3u};
  }
  return {{character}, 1};
}

// As Python's str.isspace.
bool is_blank(std::uint32_t character) noexcept {
  return (character >= 0x1C && character <= 0x1F) || (character >= '\t' && character <= '\r') || character == 0x85 ||
         kind_of(character) == unicode::space;
}

// The beginning of a text for a message: no line ends, no half character.
struct Shown {
  explicit Shown(std::string_view text) noexcept {
    std::size_t position = 0, used = 0, count = 0;
    for (; position < text.size() && count < kShown; ++count) {
      const std::uint32_t character = next_character(text, position);
      used += write_character(character < ' ' || character == 0x7F ? ' ' : character, out + used);
    }
    if (position < text.size()) used += write_character(0x2026, out + used);
    out[used] = '\0';
  }
  char out[4 * (kShown + 1) + 1];
};

}  // namespace

// Collects the characters of a word, and takes the word apart when it ends.
class WordPieces::Splitter {
 public:
  Splitter(const WordPieces& words, std::size_t room, std::int32_t* ids) noexcept
      : words_(words), room_(room), ids_(ids) {}

  void add(std::uint32_t character) noexcept {
    const unicode::Kind kind = kind_of(character);
    if (kind == unicode::removed) return;
    if (kind == unicode::removed_break) {
      run_ = length_;
      return;
    }
    if (kind == unicode::space) return end_word();
    if (kind == unicode::ideograph) end_word();
    const Characters result = simplified(character);
    for (std::size_t i = 0; i < result.count; ++i) add_simplified(result.parts[i]);
    if (kind == unicode::ideograph) end_word();
  }

  void end_word() noexcept {
    if (length_ > kMaxWord) {
      emit(words_.unknown_);
    } else if (length_ > 0) {
      take_apart();
    }
    length_ = run_ = 0;
  }

  std::size_t count() const noexcept { return count_; }
  bool knows_a_word() const noexcept { return knows_a_word_; }

 private:
  void add_simplified(std::uint32_t character) noexcept {
    if (kind_of(character) == unicode::punctuation) {
      end_word();
      put(character);
      return end_word();
    }
    put(character);
  }

  // Combining characters of a run stand in the order of their classes.
  void put(std::uint32_t character) noexcept {
    if (length_ >= kMaxWord) {
      length_ = kMaxWord + 1;
      return;
    }
    const std::uint32_t number = class_of(character);
    std::size_t at = length_++;
    if (number == 0) {
      run_ = length_;
    } else {
      for (; at > run_ && class_of(word_[at - 1]) > number; --at) word_[at] = word_[at - 1];
    }
    word_[at] = character;
  }

  // The longest piece that fits, again and again; if none does, the whole word is unknown.
  void take_apart() noexcept {
    char bytes[4 * kMaxWord];
    std::size_t size = 0;
    for (std::size_t i = 0; i < length_; ++i) size += write_character(word_[i], bytes + size);
    const std::size_t count_before = count_;
    const bool knew = knows_a_word_;
    for (std::size_t start = 0; start < size;) {
      const std::size_t prefix = start == 0 ? 0 : kContinuing.size();
      Pieces pieces = start == 0 ? Pieces{0, static_cast<std::uint32_t>(words_.size())} : words_.continuing_;
      std::size_t end = start;
      std::int32_t id = words_.unknown_;
      for (std::size_t i = start; i < size; ++i) {
        pieces = words_.beginning(pieces, prefix + (i - start), static_cast<unsigned char>(bytes[i]));
        if (pieces.first == pieces.last) break;
        // A piece that is nothing but this beginning comes first.
        if (words_.byte_of(pieces.first, prefix + (i - start) + 1) < 0) {
          end = i + 1;
          id = static_cast<std::int32_t>(words_.order_[pieces.first]);
        }
      }
      if (end == start) {
        count_ = count_before;
        knows_a_word_ = knew;
        return emit(words_.unknown_);
      }
      emit(id);
      start = end;
    }
  }

  void emit(std::int32_t id) noexcept {
    if (count_ < room_) ids_[count_] = id;
    ++count_;
    knows_a_word_ = knows_a_word_ || words_.is_known_word(id);
  }

  const WordPieces& words_;
  const std::size_t room_;
  std::int32_t* const ids_;
  std::size_t count_ = 0;
  bool knows_a_word_ = false;
  std::uint32_t word_[kMaxWord];
  std::size_t length_ = 0, run_ = 0;  // run_: where the combining characters at the end of the word begin
};

bool WordPieces::read(std::string_view vocabulary, const Allocator& allocator, Error& error) {
  const auto wrong = [&](const char* what) {
    return fail(error, status::format, "the vocabulary of the model %s", what);
  };
  if (vocabulary.empty() || vocabulary.back() != '\n' || vocabulary.size() > INT32_MAX) {
    return wrong("does not end with a line end");
  }
  if (!is_utf8(vocabulary)) return wrong("is not UTF-8");
  const auto size = static_cast<std::size_t>(std::count(vocabulary.begin(), vocabulary.end(), '\n'));
  vocabulary_ = vocabulary;
  starts_ = Buffer<std::uint32_t>(size + 1, allocator);
  order_ = Buffer<std::uint32_t>(size, allocator);
  std::uint32_t start = 0;
  for (std::size_t i = 0; i < size; ++i) {
    starts_[i] = start;
    order_[i] = static_cast<std::uint32_t>(i);
    start = static_cast<std::uint32_t>(vocabulary.find('\n', start)) + 1;
  }
  starts_[size] = start;

  // std::string_view compares bytes as unsigned.
  const auto at = [this](std::uint32_t id) { return piece(static_cast<std::int32_t>(id)); };
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) { return at(a) < at(b); });
  const auto same = [&](std::uint32_t a, std::uint32_t b) { return at(a) == at(b); };
  if (std::adjacent_find(order_.begin(), order_.end(), same) != order_.end()) return wrong("lists a piece twice");

  std::int32_t pad = 0;
  if (!find("[PAD]", pad)) return wrong("lacks [PAD]");
  if (!find("[UNK]", unknown_)) return wrong("lacks [UNK]");
  if (!find("[CLS]", start_)) return wrong("lacks [CLS]");
  if (!find("[SEP]", end_)) return wrong("lacks [SEP]");
  if (at(static_cast<std::uint32_t>(size - 1)) != "[DEC]") return wrong("does not end with [DEC]");

  continuing_ = {0, static_cast<std::uint32_t>(size)};
  for (std::size_t i = 0; i < kContinuing.size(); ++i) {
    continuing_ = beginning(continuing_, i, static_cast<unsigned char>(kContinuing[i]));
  }
  return true;
}

bool WordPieces::encode(std::string_view text, std::size_t max_tokens, std::int32_t* ids, std::size_t& count,
                        Error& error) const noexcept {
  bool blank = true;
  for (std::size_t position = 0; position < text.size();) {
    const std::uint32_t character = next_character(text, position);
    if (character == kNoCharacter) {
      return fail(error, status::text, "the prompt is not UTF-8: byte %zu begins no character", position);
    }
    blank = blank && is_blank(character);
  }
  if (blank) {
    return fail(error, status::text, "the prompt is empty; describe a motion, such as 'a person walks forward'");
  }
  const std::size_t room = max_tokens < 2 ? 0 : max_tokens - 2;
  Splitter splitter(*this, room, ids + 1);
  for (std::size_t position = 0; position < text.size();) splitter.add(next_character(text, position));
  splitter.end_word();
  if (!splitter.knows_a_word()) {
    return fail(error, status::text, "no word of the prompt '%s' is known; describe the motion in English words",
                Shown(text).out);
  }
  if (splitter.count() > room) {
    return fail(error, status::text, "the prompt '%s' has %zu tokens, the model reads at most %zu; shorten it",
                Shown(text).out, splitter.count() + 2, max_tokens);
  }
  count = splitter.count() + 2;
  ids[0] = start_;
  ids[count - 1] = end_;
  return true;
}

std::string_view WordPieces::piece(std::int32_t id) const noexcept {
  const auto i = static_cast<std::size_t>(id);
  return vocabulary_.substr(starts_[i], starts_[i + 1] - 1 - starts_[i]);
}

// -1 behind the end of the piece.
int WordPieces::byte_of(std::uint32_t place, std::size_t depth) const noexcept {
  const std::string_view bytes = piece(static_cast<std::int32_t>(order_[place]));
  return depth < bytes.size() ? static_cast<unsigned char>(bytes[depth]) : -1;
}

// Of pieces that agree in `depth` bytes, those that have `byte` next.
WordPieces::Pieces WordPieces::beginning(Pieces pieces, std::size_t depth, unsigned char byte) const noexcept {
  const auto first_above = [&](int limit) {
    std::uint32_t low = pieces.first, high = pieces.last;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      (byte_of(middle, depth) > limit ? high : low) = byte_of(middle, depth) > limit ? middle : middle + 1;
    }
    return low;
  };
  return {first_above(byte - 1), first_above(byte)};
}

bool WordPieces::find(std::string_view wanted, std::int32_t& id) const noexcept {
  const auto* at = std::lower_bound(order_.begin(), order_.end(), wanted, [this](std::uint32_t i, std::string_view w) {
    return piece(static_cast<std::int32_t>(i)) < w;
  });
  if (at == order_.end() || piece(static_cast<std::int32_t>(*at)) != wanted) return false;
  id = static_cast<std::int32_t>(*at);
  return true;
}

// Letters of other scripts and emoji may be pieces of their own, but mean nothing to the model.
bool WordPieces::is_known_word(std::int32_t id) const noexcept {
  if (id == unknown_) return false;
  const std::string_view bytes = piece(id);
  return std::any_of(bytes.begin(), bytes.end(), [](char c) {
    const char lower = static_cast<char>(c | 0x20);
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'z');
  });
}

}  // namespace lf
