// Words to ids: uncased WordPiece, as the text side of the model was trained with (lamp_fast/models/text.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "error.h"
#include "memory.h"

namespace lf {

class WordPieces {
 public:
  // vocabulary: UTF-8, a piece a line, each with its line end; it stays where it is as long as this is used.
  // False where a piece stands twice, or one of [PAD], [UNK], [CLS], [SEP], or [DEC] as the last, is missing.
  // Throws std::bad_alloc.
  bool read(std::string_view vocabulary, const Allocator& allocator, Error& error);

  // text: UTF-8. ids receives [CLS], the pieces, [SEP]; count how many, at most max_tokens. False for what is not
  // UTF-8, is empty, has no known English word, or more tokens than that.
  bool encode(std::string_view text, std::size_t max_tokens, std::int32_t* ids, std::size_t& count,
              Error& error) const noexcept;

  std::size_t size() const noexcept { return order_.size(); }
  std::string_view piece(std::int32_t id) const noexcept;

 private:
  class Splitter;

  // The pieces from `first` to `last` of order_: all that begin in one way.
  struct Pieces {
    std::uint32_t first = 0, last = 0;
  };
  int byte_of(std::uint32_t place, std::size_t depth) const noexcept;
  Pieces beginning(Pieces pieces, std::size_t depth, unsigned char byte) const noexcept;
  bool find(std::string_view piece, std::int32_t& id) const noexcept;
  bool is_known_word(std::int32_t id) const noexcept;

  std::string_view vocabulary_;
  Buffer<std::uint32_t> starts_;  // (size + 1): where each piece begins
  Buffer<std::uint32_t> order_;   // (size): ids in the order of their bytes
  Pieces continuing_;             // that begin with "##"
  std::int32_t unknown_ = 0, start_ = 0, end_ = 0;
};

}  // namespace lf
