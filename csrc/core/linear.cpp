#include "linear.h"

#include <algorithm>
#include <cstring>

namespace lf {
namespace {

constexpr std::size_t kTilesOfATask = 8;          // row tiles that share a panel while it is in the nearest cache
constexpr std::size_t kWorkOfAPart = 64'000'000;  // of a thread: bytes of weights times rows

Format input_format(const Kernels& kernels, Precision precision) noexcept {
  const Format wanted = precision == Precision::f32    ? Format::f32
                        : precision == Precision::bf16 ? Format::bf16
                                                       : Format::u8;
  return kernels.tile[static_cast<int>(wanted)].run != nullptr ? wanted : Format::f32;
}

// An odd number of cache lines to a row: rows a power of two apart would all meet in the same few places of the cache.
std::size_t row_stride(Format format, std::size_t width) noexcept {
  const std::size_t lines = (width * format_size(format) + kAlignment - 1) / kAlignment;
  return (lines | 1) * kAlignment / format_size(format);
}

Buffer<float> padded(const float* values, std::size_t count, std::size_t size, const Allocator& allocator) {
  Buffer<float> buffer(size, allocator);
  std::memset(buffer.data(), 0, size * sizeof(float));
  if (values != nullptr) std::memcpy(buffer.data(), values, count * sizeof(float));
  return buffer;
}

}  // namespace

LinearInput::LinearInput(const Kernels& kernels, Precision precision, std::size_t max_rows, std::size_t width,
                         Arena& arena, std::size_t margin) noexcept
    : kernels_(&kernels),
      format_(input_format(kernels, precision)),
      width_(width),
      stride_(row_stride(format_, width)),
      margin_(margin) {
  data_ = arena.take<unsigned char>((max_rows + 2 * margin) * stride_ * format_size(format_));
  if (format_ == Format::u8) {
    scale_ = arena.take<float>(max_rows + 2 * margin);
    offset_ = arena.take<float>(max_rows + 2 * margin);
    staging_ = arena.take<float>(max_rows * width);
  }
}

void LinearInput::clear_margins() noexcept {
  if (margin_ == 0) return;
  const std::size_t row_bytes = stride_ * format_size(format_);
  for (const std::size_t first : {std::size_t{0}, margin_ + rows_}) {
    std::memset(data_ + first * row_bytes, 0, margin_ * row_bytes);
    if (format_ != Format::u8) continue;
    std::fill_n(scale_ + first, margin_, 0.0f);
    std::fill_n(offset_ + first, margin_, 0.0f);
  }
}

void LinearInput::clear_padding() noexcept {
  const std::size_t row_bytes = stride_ * format_size(format_), used = width_ * format_size(format_);
  const std::size_t read = round_up(used, 4);  // by the tiles, four bytes at a time
  clear_margins();
  if (used == read) return;
  for (std::size_t m = 0; m < rows_; ++m) std::memset(data_ + (margin_ + m) * row_bytes + used, 0, read - used);
}

void LinearInput::prepare(const Executor& executor, const float* x, std::size_t stride, std::size_t count,
                          Preparation preparation, const Options& options) noexcept {
  rows_ = count;
  const std::size_t row_bytes = stride_ * format_size(format_);
  clear_margins();
  const std::size_t wanted = executor.even_tasks(), tasks = count < wanted ? 1 : wanted;
  executor.run(tasks, [&](std::size_t task) {
    for (std::size_t m = task * count / tasks; m < (task + 1) * count / tasks; ++m) {
      const std::size_t from = options.rows == nullptr ? m : static_cast<std::size_t>(options.rows[m]);
      kernels_->prepare({x + from * stride, width_, round_up(width_, 4 / format_size(format_)), preparation,
                         options.epsilon, options.stats == nullptr ? nullptr : options.stats + 2 * m, format_,
                         data_ + (margin_ + m) * row_bytes, scale_ == nullptr ? nullptr : scale_ + margin_ + m,
                         offset_ == nullptr ? nullptr : offset_ + margin_ + m});
    }
  });
}

Rows LinearInput::target(std::size_t count) noexcept {
  rows_ = count;
  if (format_ == Format::u8) return {staging_, width_, Format::f32};
  return {data_ + margin_ * stride_ * format_size(format_), stride_, format_};
}

void LinearInput::ready(const Executor& executor) noexcept {
  if (format_ == Format::u8) {
    prepare(executor, staging_, width_, rows_);
  } else {
    clear_padding();
  }
}

Linear::Linear(const Kernels& kernels, Precision precision, const LinearWeights& weights, const Allocator& allocator,
               const NormWeights& norm, std::size_t taps)
    : kernels_(&kernels),
      format_(input_format(kernels, precision)),
      inputs_(weights.matrix.columns / taps),
      outputs_(weights.matrix.rows),
      taps_(taps) {
  const WeightMatrix& matrix = weights.matrix;
  const TileKernel& kernel = kernels.tile[static_cast<int>(format_)];
  const std::size_t group = kernel.group, panel = kernel.panel, size = format_size(format_);
  const std::size_t panels = (outputs_ + panel - 1) / panel, columns = panels * panel;
  groups_ = (inputs_ + group - 1) / group;
  panel_bytes_ = taps_ * groups_ * panel * group * size;
  panels_ = Buffer<unsigned char>(panels * panel_bytes_, allocator);
  std::memset(panels_.data(), 0, panels_.size());
  bias_ = padded(weights.bias, outputs_, columns, allocator);
  if (norm.scale != nullptr) {
    norm_scale_ = padded(norm.scale, outputs_, columns, allocator);
    norm_shift_ = padded(norm.shift, outputs_, columns, allocator);
  }
  if (format_ == Format::u8) {
    scale_ = padded(nullptr, 0, columns, allocator);
    fold_ = padded(nullptr, 0, taps_ * columns, allocator);
  }

  // A panel's rows in the format that is multiplied, then turned into columns tap by tap.
  const std::size_t count = matrix.columns, tap_stride = groups_ * group, stride = taps_ * tap_stride;
  Buffer<float> floats(count, allocator);
  Buffer<std::int8_t> quantized(format_ == Format::u8 ? count : 0, allocator);
  Buffer<unsigned char> rows(panel * stride * size, allocator);
  std::memset(rows.data(), 0, rows.size());
  for (std::size_t first = 0; first < outputs_; first += panel) {
    const std::size_t here = outputs_ - first < panel ? outputs_ - first : panel;
    for (std::size_t i = 0; i < here; ++i) {
      const std::size_t o = first + i;
      unsigned char* row = rows.data() + i * stride * size;
      if (format_ == Format::u8) {
        const std::int8_t* numbers = quantized.data();
        if (matrix.dtype == Dtype::i8) {
          numbers = static_cast<const std::int8_t*>(matrix.data) + o * count;
          scale_[o] = matrix.scale[o];
        } else {
          widened_row(matrix, o, floats.data());
          scale_[o] = kernels.quantize(floats.data(), count, quantized.data());
        }
        for (std::size_t tap = 0; tap < taps_; ++tap, numbers += inputs_) {
          std::int64_t sum = 0;
          for (std::size_t n = 0; n < inputs_; ++n) sum += numbers[n];
          fold_[tap * columns + o] = scale_[o] * static_cast<float>(sum);
          std::memcpy(row + tap * tap_stride, numbers, inputs_);
        }
      } else {
        widened_row(matrix, o, floats.data());
        for (std::size_t tap = 0; tap < taps_; ++tap) {
          kernels.convert(floats.data() + tap * inputs_, inputs_, format_, row + tap * tap_stride * size);
        }
      }
    }
    for (std::size_t tap = 0; tap < taps_; ++tap) {
      kernels.pack_columns({rows.data() + tap * tap_stride * size, stride, here, inputs_, format_,
                            panels_.data() + first / panel * panel_bytes_ + tap * groups_ * panel * group * size});
    }
  }
}

std::size_t Linear::bytes() const noexcept {
  return panels_.size() + sizeof(float) * (bias_.size() + scale_.size() + fold_.size() + 2 * norm_scale_.size());
}

std::size_t Linear::parts(const Executor& executor, std::size_t rows) const noexcept {
  const std::size_t panels = panels_.size() / panel_bytes_;
  const std::size_t work = kWorkOfAPart * executor.threads();
  return std::clamp<std::size_t>((rows * panels_.size() + work - 1) / work, 1, panels);
}

void Linear::run(const Executor& executor, const LinearInput& in, const LinearCall& call) const noexcept {
  run(executor, in, {in.margin_, 1, 0, in.rows_}, call);
}

// Called for every tile.
inline Finish Linear::finishing(const LinearInput& in, const LinearCall& call, const Taps* taps, std::size_t from,
                                std::size_t row, std::size_t column) const noexcept {
  Finish finish{};
  finish.bias = bias_.data() + column;
  if (format_ == Format::u8) {
    finish.column_scale = scale_.data() + column;
    finish.column_fold = fold_.data() + column;
    finish.row_scale = in.scale_ + from;
    finish.row_offset = in.offset_ + from;
    finish.taps = taps;
  }
  finish.activation = call.activation;
  if (call.residual != nullptr) {
    const std::size_t first = call.residual_rows == nullptr ? row : 0;
    finish.residual = call.residual + first * call.residual_stride + column;
    finish.residual_stride = call.residual_stride;
    finish.residual_rows = call.residual_rows == nullptr ? nullptr : call.residual_rows + row;
    if (call.stats != nullptr) {
      finish.stats = call.stats + 2 * first;
      finish.norm_scale = norm_scale_.data() + column;
      finish.norm_shift = norm_shift_.data() + column;
    }
  }
  const Rows out = call.out.from_row(row).from_column(column);
  finish.out = out.data;
  finish.out_stride = out.stride;
  finish.out_format = out.format;
  return finish;
}

void Linear::run(const Executor& executor, const LinearInput& in, const Window& window,
                 const LinearCall& call) const noexcept {
  if (window.rows == 0) return;
  const TileKernel& kernel = kernels_->tile[static_cast<int>(format_)];
  const std::size_t panel = kernel.panel, all_panels = bias_.size() / panel;
  const std::size_t before = call.part * all_panels / call.parts;
  const std::size_t panels = (call.part + 1) * all_panels / call.parts - before;
  const auto tiles_of = [&](std::size_t rows) { return (rows + kernel.tile_rows - 1) / kernel.tile_rows; };

  // Each thread has rows of its own, the same in every layer, as long as there are tiles enough: numbers that another
  // core wrote come slowly. Every result is the same however the rows are cut.
  const std::size_t tiles = tiles_of(window.rows), owners = std::min(executor.threads(), tiles);
  const std::size_t row_parts = owners * ((tiles + owners * kTilesOfATask - 1) / (owners * kTilesOfATask));
  const std::size_t panel_parts = std::min((executor.even_tasks() + row_parts - 1) / row_parts, panels);

  const std::size_t row_bytes = in.stride_ * format_size(format_);
  const std::size_t row_stride = window.row_step * row_bytes, tap_stride = window.tap_step * row_bytes;
  const bool has_taps = format_ == Format::u8 && (taps_ > 1 || window.row_step != 1);
  const std::size_t tiles_a_place = has_taps ? taps_ : 1, taps_of_a_tile = has_taps ? 1 : taps_;
  const std::size_t tap_bytes = panel_bytes_ / taps_;
  const Taps taps = {taps_, window.row_step, window.tap_step, bias_.size()};

  executor.run(row_parts * panel_parts, [&](std::size_t task) {
    alignas(kAlignment) float sums[kMaxTaps * kMaxTileRows * kMaxPanel];
    const std::size_t row_part = task / panel_parts, panel_part = task % panel_parts;
    const std::size_t first_row = row_part * window.rows / row_parts;
    const std::size_t part_rows = (row_part + 1) * window.rows / row_parts - first_row,
                      part_tiles = tiles_of(part_rows);
    const std::size_t first_panel = before + panel_part * panels / panel_parts;
    const std::size_t end_panel = before + (panel_part + 1) * panels / panel_parts;
    for (std::size_t p = first_panel; p < end_panel; ++p) {
      const std::size_t column = p * panel, columns = outputs_ - column < panel ? outputs_ - column : panel;
      for (std::size_t t = 0; t < part_tiles; ++t) {
        const std::size_t row = first_row + t * part_rows / part_tiles;
        const std::size_t rows = first_row + (t + 1) * part_rows / part_tiles - row;
        const std::size_t from = window.first + row * window.row_step;
        const unsigned char* a = in.data_ + from * row_bytes;
        const unsigned char* b = panels_.data() + p * panel_bytes_;
        for (std::size_t tap = 0; tap < tiles_a_place; ++tap) {
          kernel.run({a + tap * tap_stride, row_stride, tap_stride, rows, b + tap * tap_bytes, taps_of_a_tile, groups_,
                      sums + tap * kMaxTileRows * kMaxPanel, panel});
        }
        kernels_->finish(sums, rows, columns, finishing(in, call, has_taps ? &taps : nullptr, from, row, column));
      }
    }
  });
}

}  // namespace lf
