// Attention of one sequence a sample, all heads, up to a few hundred rows.
#pragma once

#include <cstddef>
#include <cstdint>

#include "linear.h"

namespace lf {

// soft_causal adds 1 to the scores of past and own positions and hides nothing; causal hides the future.
enum class AttentionMode : std::uint8_t { full, soft_causal, causal };

// The format of queries, keys and values. A head of odd width is float32: tiles read bf16 in pairs.
Format attention_format(const Kernels& kernels, Precision precision, std::size_t head_width) noexcept;

struct AttentionCall {
  std::size_t batch = 1, queries = 0, keys = 0, heads = 1, head_width = 0;
  Rows q;     // (batch * queries, heads * head_width), in one format with k and v, that of attention_format or f32
  Rows k, v;  // (batch * keys, heads * head_width)
  AttentionMode mode = AttentionMode::full;
  const std::int32_t* positions = nullptr;  // (batch * queries) key position of each query; nullptr: keys - queries + m
  Rows out;                                 // (batch * queries, heads * head_width), f32 or bf16
};

// Bytes of scratch for a call of at most these sizes.
std::size_t attention_scratch(const Kernels& kernels, std::size_t batch, std::size_t keys, std::size_t heads,
                              std::size_t head_width) noexcept;

// Softmax in float32. scratch: aligned to kAlignment.
void attention(const Kernels& kernels, const Executor& executor, const AttentionCall& call, void* scratch) noexcept;

}  // namespace lf
