// How the core says what went wrong: a status, and one English sentence for the person who reads it.
#pragma once

#include <cstdint>

namespace lf {

// The values of lf_status in lamp_fast.h.
namespace status {
constexpr std::int32_t ok = 0;
constexpr std::int32_t invalid_argument = -1;
constexpr std::int32_t not_finite = -2;
constexpr std::int32_t out_of_memory = -3;
constexpr std::int32_t file = -4;         // cannot be opened or read
constexpr std::int32_t format = -5;       // is not a model file, or a damaged one
constexpr std::int32_t unsupported = -6;  // a model file of another version, or a part that this model lacks
constexpr std::int32_t text = -7;         // a prompt that the model cannot read
constexpr std::int32_t no_device = -16;   // no GPU, or no driver for it
constexpr std::int32_t device = -17;      // the GPU reported an error
}  // namespace status

struct Error {
  std::int32_t status = status::ok;
  char text[256] = {};
};

// The compiler holds arguments against the format, which is C's everywhere: MinGW's GCC has to be told.
#if defined(__MINGW32__) && !defined(__clang__)
#define LF_FORMAT(text, first) __attribute__((format(gnu_printf, text, first)))
#elif defined(__GNUC__)
#define LF_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define LF_FORMAT(text, first)
#endif

// Fills `error`, cutting a long sentence between characters; always returns false, for `return fail(...)`.
LF_FORMAT(3, 4)
bool fail(Error& error, std::int32_t status, const char* format, ...) noexcept;

}  // namespace lf
