// Self-attention over the rows of each sample, on tensor cores.
#pragma once

#include "device.h"
#include "error.h"

namespace lf::cuda {

// Widths of heads that kernels exist for; a head between two of them is filled up with zeros.
constexpr int kHeadWidths[] = {32, 64, 128};

enum class Mask { full, soft_causal, causal };  // soft_causal adds 1 to the scores of own and past positions

struct Attention {
  // Queries of all heads side by side, then keys, then values, each head filled up to head_width; Element is bf16 or
  // float.
  const void* qkv = nullptr;
  int qkv_stride = 0;
  void* attended = nullptr;  // (samples * period, heads * head_width), zeros in rows at or beyond a sample's length
  int attended_stride = 0;
  int samples = 0, period = 0, heads = 0, head_width = 0;
  const std::int32_t* lengths = nullptr;  // (samples,) in rows, 1 .. period; null: all of them
  Mask mask = Mask::full;
  float scale = 1;  // of scores
};

template <typename Element>
bool run(const Attention& attention, void* stream, bool dependent, Error& error);

}  // namespace lf::cuda
