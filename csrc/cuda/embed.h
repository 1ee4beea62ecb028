// How a request enters the masked transformer, and the rows that enter it in each step.
#pragma once

#include "decode_step.h"
#include "device.h"
#include "error.h"

namespace lf::cuda {

// From what the caller gives to what the steps read. All pointers are the device's; the first group is the caller's.
struct Begin {
  const float* condition = nullptr;          // (samples, condition_width)
  const std::int64_t* known = nullptr;       // (samples, positions): `codes` where a code is wanted; null: everywhere
  const std::int64_t* lengths = nullptr;     // (samples,), clamped to 1 .. positions; null: positions
  const std::int64_t* seeds = nullptr;       // (samples,); null: 0
  const std::int64_t* samples_of = nullptr;  // (samples,); null: 0, 1, ...
  DecodeOptions options;

  int samples = 0, positions = 0, codes = 0, steps = 0, branches = 1, condition_width = 0, condition_stride = 0;
  bool pads_are_hidden = true;
  const std::int32_t* schedule =
      nullptr;  // (positions + 1, steps + 1): how many of so many are masked when a step begins

  void* stored_condition = nullptr;       // (samples, condition_stride), Element
  std::int64_t* ids = nullptr;            // (samples, positions)
  std::int64_t* token_lengths = nullptr;  // (samples,)
  std::int32_t* row_lengths = nullptr;    // (branches * samples,), the condition's row counted
  std::int64_t* seeds_of = nullptr;       // (samples,)
  std::int64_t* counters = nullptr;       // (samples,)
  std::int64_t* next_counts = nullptr;    // (steps, samples)
  std::int32_t* rows = nullptr;           // (branches * samples * positions,): all token rows
  std::int32_t* arrivals = nullptr;       // (samples,)
  DecodeOptions* stored_options = nullptr;
};

template <typename Element>
bool run(const Begin& begin, void* stream, Error& error);

// kernels/embed_tokens.py: row 0 of a sample is its condition, row 1 + n is table[ids[n]] + positions_table[n].
struct Embed {
  const std::int64_t* ids = nullptr;      // (samples, positions); ids beyond the table count as its last
  const void* conditions = nullptr;       // (samples, width), of the first branch; Element
  const float* no_condition = nullptr;    // (width,), of the second
  const void* table = nullptr;            // (table_rows, width)
  const void* positions_table = nullptr;  // (at least positions, width)
  void* out = nullptr;                    // (branches * samples * (1 + positions), width)
  int samples = 0, positions = 0, branches = 1, table_rows = 0, width = 0;  // width is a multiple of 8
};

template <typename Element>
bool run(const Embed& embed, void* stream, bool dependent, Error& error);

}  // namespace lf::cuda
