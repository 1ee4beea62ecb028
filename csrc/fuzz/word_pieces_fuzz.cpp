// libFuzzer: any bytes as a prompt, and as a vocabulary.
#include <cstdlib>
#include <string>

#include "../tests/tiny_model.h"
#include "word_pieces.h"

namespace {

void split(const lf::WordPieces& words, std::string_view text) {
  constexpr std::size_t room = 49;
  std::int32_t ids[room];
  std::size_t count = 0;
  lf::Error error;
  if (!words.encode(text, room, ids, count, error)) {
    if (error.text[0] == '\0') std::abort();
    return;
  }
  if (count < 3 || count > room) std::abort();
  for (std::size_t i = 0; i < count; ++i) {
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= words.size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const std::string vocabulary = lf::TinyModel().vocabulary;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  lf::Error error;
  lf::WordPieces words;
  if (!words.read(vocabulary, lf::system_allocator(), error)) std::abort();
  split(words, text);

  const std::string made = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n" + std::string(text) + "\n[DEC]\n";
  if (words.read(made, lf::system_allocator(), error)) split(words, text);
  return 0;
}
