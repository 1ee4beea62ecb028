#include "error.h"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

namespace lf {

bool fail(Error& error, std::int32_t status, const char* format, ...) noexcept {
  error.status = status;
  std::va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(error.text, sizeof error.text, format, arguments);
  va_end(arguments);
  if (length < 0) error.text[0] = '\0';
  if (length >= static_cast<int>(sizeof error.text)) {
    // No half character of UTF-8 at the cut.
    std::size_t end = sizeof error.text - 1;
    while (end > 0 && (static_cast<unsigned char>(error.text[end - 1]) & 0xC0) == 0x80) --end;
    if (end > 0 && static_cast<unsigned char>(error.text[end - 1]) >= 0xC0) --end;
    error.text[end] = '\0';
  }
  return false;
}

}  // namespace lf
