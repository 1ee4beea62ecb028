#include "attention.h"

#include <cmath>

namespace lf {
namespace {

// What one task, a head of a sample, lays out in its share of the scratch.
struct Sizes {
  std::size_t key_panels, width_panels;  // panels of keys, of the head's width
  std::size_t width_groups, key_groups;
  std::size_t packed_keys, packed_values, scores, weights;  // in bytes

  Sizes(const TileKernel& kernel, std::size_t keys, std::size_t width, std::size_t size) noexcept {
    key_panels = (keys + kernel.panel - 1) / kernel.panel;
    width_panels = (width + kernel.panel - 1) / kernel.panel;
    width_groups = (width + kernel.group - 1) / kernel.group;
    key_groups = (keys + kernel.group - 1) / kernel.group;
    const std::size_t cell = kernel.panel * kernel.group * size;
    packed_keys = round_up(key_panels * width_groups * cell, kAlignment);
    packed_values = round_up(width_panels * key_groups * cell, kAlignment);
    scores = round_up(kernel.tile_rows * key_panels * kernel.panel * sizeof(float), kAlignment);
    weights = kernel.tile_rows * round_up(key_groups * kernel.group * size, kAlignment);
  }
  std::size_t total() const noexcept { return packed_keys + packed_values + scores + weights; }
};

const unsigned char* row_of(const Rows& rows, std::size_t row, std::size_t column) noexcept {
  return static_cast<const unsigned char*>(rows.from_row(row).from_column(column).data);
}

void attend_head(const Kernels& kernels, const AttentionCall& call, std::size_t sample, std::size_t head,
                 unsigned char* scratch) noexcept {
  const Format format = call.q.format;
  const TileKernel& kernel = kernels.tile[static_cast<int>(format)];
  const std::size_t size = format_size(format), width = call.head_width, column = head * width, panel = kernel.panel;
  const std::size_t queries = call.queries, keys = call.keys;
  const std::size_t first_query = sample * queries, first_key = sample * keys;
  const Sizes sizes(kernel, keys, width, size);
  unsigned char* packed_keys = scratch;
  unsigned char* packed_values = packed_keys + sizes.packed_keys;
  float* scores = reinterpret_cast<float*>(packed_values + sizes.packed_values);
  unsigned char* weights = packed_values + sizes.packed_values + sizes.scores;
  const std::size_t weights_stride = sizes.weights / kernel.tile_rows, scores_stride = sizes.key_panels * panel;
  kernels.pack_columns({row_of(call.k, first_key, column), call.k.stride, keys, width, format, packed_keys});
  kernels.pack_sums({row_of(call.v, first_key, column), call.v.stride, keys, width, format, packed_values});

  alignas(kAlignment) float tile[kMaxTileRows * kMaxPanel];
  float inverse_sums[kMaxTileRows];
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  const std::size_t cell = panel * kernel.group * size;
  const std::size_t tiles = (queries + kernel.tile_rows - 1) / kernel.tile_rows;
  for (std::size_t t = 0; t < tiles; ++t) {
    const std::size_t query = t * queries / tiles, rows = (t + 1) * queries / tiles - query;
    for (std::size_t p = 0; p < sizes.key_panels; ++p) {
      kernel.run({row_of(call.q, first_query + query, column), call.q.stride * size, 0, rows,
                  packed_keys + p * sizes.width_groups * cell, 1, sizes.width_groups, scores + p * panel,
                  scores_stride});
    }
    for (std::size_t m = 0; m < rows; ++m) {
      const std::size_t index = first_query + query + m;
      const std::size_t position =
          call.positions != nullptr ? static_cast<std::size_t>(call.positions[index]) : keys - queries + query + m;
      const std::size_t past = position + 1 < keys ? position + 1 : keys;
      const std::size_t seen = call.mode == AttentionMode::causal ? past : keys;
      float sum;
      kernels.softmax({scores + m * scores_stride, seen, sizes.key_groups * kernel.group, scale,
                       call.mode == AttentionMode::soft_causal ? past : 0, format, weights + m * weights_stride, &sum});
      inverse_sums[m] = 1.0f / sum;
    }
    for (std::size_t p = 0; p < sizes.width_panels; ++p) {
      kernel.run({weights, weights_stride, 0, rows, packed_values + p * sizes.key_groups * cell, 1, sizes.key_groups,
                  tile, panel});
      const Rows out = call.out.from_row(first_query + query).from_column(column + p * panel);
      const std::size_t columns = width - p * panel < panel ? width - p * panel : panel;
      kernels.scale(tile, rows, columns, inverse_sums, out.data, out.stride, out.format);
    }
  }
}

}  // namespace

Format attention_format(const Kernels& kernels, Precision precision, std::size_t head_width) noexcept {
  const bool narrow = precision != Precision::f32 && kernels.tile[static_cast<int>(Format::bf16)].run != nullptr;
  return narrow && head_width % 2 == 0 ? Format::bf16 : Format::f32;
}

std::size_t attention_scratch(const Kernels& kernels, std::size_t batch, std::size_t keys, std::size_t heads,
                              std::size_t head_width) noexcept {
  std::size_t most = 0;
  for (const Format format : {Format::f32, Format::bf16}) {
    const TileKernel& kernel = kernels.tile[static_cast<int>(format)];
    if (kernel.run == nullptr) continue;
    const std::size_t total = Sizes(kernel, keys, head_width, format_size(format)).total();
    most = total > most ? total : most;
  }
  return batch * heads * most;
}

void attention(const Kernels& kernels, const Executor& executor, const AttentionCall& call, void* scratch) noexcept {
  const TileKernel& kernel = kernels.tile[static_cast<int>(call.q.format)];
  const std::size_t share = Sizes(kernel, call.keys, call.head_width, format_size(call.q.format)).total();
  executor.run(call.batch * call.heads, [&](std::size_t task) {
    attend_head(kernels, call, task / call.heads, task % call.heads,
                static_cast<unsigned char*>(scratch) + task * share);
  });
}

}  // namespace lf
