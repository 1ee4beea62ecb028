// What every entry of the C interface does: no exception leaves it, and what went wrong is told to the caller.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <new>

#include "error.h"
#include "lamp_fast.h"

namespace lf::capi {

static_assert(status::ok == LF_OK && status::invalid_argument == LF_ERROR_INVALID_ARGUMENT &&
                  status::not_finite == LF_ERROR_NOT_FINITE && status::out_of_memory == LF_ERROR_OUT_OF_MEMORY &&
                  status::file == LF_ERROR_FILE && status::format == LF_ERROR_FORMAT &&
                  status::unsupported == LF_ERROR_UNSUPPORTED && status::text == LF_ERROR_TEXT,
              "core and header number the statuses alike");

// Gives the caller the status and the sentence of a call that did not succeed.
inline lf_status tell(const Error& error, lf_error* out) noexcept {
  if (out != nullptr) {
    out->status = error.status;
    std::memcpy(out->text, error.text, sizeof out->text);
  }
  return error.status;
}

// body(Error&) -> bool: whether it succeeded.
template <class Body>
lf_status call(lf_error* out, Body&& body) noexcept {
  Error error;
  try {
    if (body(error)) return LF_OK;
  } catch (const std::bad_alloc&) {
    fail(error, LF_ERROR_OUT_OF_MEMORY, "the allocator gave no memory; free some, or give a larger arena");
  } catch (const std::exception& exception) {
    fail(error, LF_ERROR_INTERNAL, "a fault of the library: %.200s", exception.what());
  } catch (...) {
    fail(error, LF_ERROR_INTERNAL, "a fault of the library");
  }
  return tell(error, out);
}

template <class... Pointers>
bool given(Error& error, const char* expected, const Pointers*... pointers) noexcept {
  if ((... && (pointers != nullptr))) return true;
  return fail(error, LF_ERROR_INVALID_ARGUMENT, "a pointer is NULL: %s must be given", expected);
}

// Numbers without a bound of their own stay within these, so that what is computed of them stays finite.
constexpr float kMinNumber = 1e-6f, kMaxNumber = 1e6f;

inline bool in_range(double value, double lowest, double highest, const char* name, Error& error) noexcept {
  if (value >= lowest && value <= highest) return true;
  return fail(error, LF_ERROR_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, lowest, highest);
}

inline bool all_finite(const float* values, std::size_t count) noexcept {
  return std::all_of(values, values + count, [](float v) { return std::isfinite(v); });
}

// A struct of the caller that begins with its own size. Whoever adds a field also reads the sizes before it, and leaves
// lf_..._init, which cannot know for whom it writes, as it is, beside one that the header calls by its name.
template <class Struct>
bool sized(const Struct* of_caller, const char* name, Error& error) noexcept {
  if (of_caller == nullptr) return fail(error, LF_ERROR_INVALID_ARGUMENT, "the %s is NULL", name);
  if (of_caller->struct_size == sizeof(Struct)) return true;
  return fail(error, LF_ERROR_STRUCT_SIZE, "struct_size of the %s is %llu, this library knows %llu; set it to sizeof",
              name, static_cast<unsigned long long>(of_caller->struct_size),
              static_cast<unsigned long long>(sizeof(Struct)));
}

}  // namespace lf::capi
