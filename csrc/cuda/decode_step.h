// One step of masked decoding: kernels/decode_step.py says what it computes, csrc/core/decode_step.h does it on a CPU.
#pragma once

#include "device.h"
#include "error.h"

namespace lf::cuda {

struct DecodeOptions {
  float guidance_scale = 1;
  float temperature = 1;
  std::int32_t top_k = 1;
};

// Device pointers, contiguous. Scored is float or bf16, in both logits.
struct DecodeStep {
  const void* logits = nullptr;              // (samples, scored, codes) in rows of logits_stride; with scored <
                                             // positions row r is of the r-th masked one
  const void* unconditional = nullptr;       // the same, or null
  const std::int64_t* ids = nullptr;         // (samples, positions), the id `codes` where a code is wanted
  const void* next_count = nullptr;          // (samples,) int64: how many of them are masked again
  const std::int64_t* seeds = nullptr;       // (samples,)
  const std::int64_t* samples_of = nullptr;  // (samples,): which sample of its seed; the lower 32 bits count
  const float* noise = nullptr;              // (samples, positions, codes) in [0, 1), or null: that of Philox
  std::int64_t* out_ids = nullptr;           // (samples, positions), not `ids`
  float* confidence = nullptr;               // (samples, positions)
  std::int32_t* arrivals = nullptr;          // (samples,), zeros, and zeros again at the end
  // Null, or (branches, samples, next_limit): rows of hidden states, 1 + positions of them a sample, first those of
  // positions that are masked now; with a limit of all positions in their order.
  std::int32_t* next_rows = nullptr;
  int next_limit = 0, branches = 1;
  int samples = 0, positions = 0, codes = 0, scored = 0, logits_stride = 0;
  std::uint32_t step = 0;
  const DecodeOptions* shared_options = nullptr;  // in the device's memory; null: `options`
  DecodeOptions options;
};

template <typename Scored>
bool run(const DecodeStep& step, void* stream, bool dependent, Error& error);

}  // namespace lf::cuda
