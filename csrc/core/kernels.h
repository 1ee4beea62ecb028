// The innermost loops, once for each instruction set. What they are for is told in linear.h and attention.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa.h"

namespace lf {

enum class Format : std::uint8_t { f32, bf16, u8 };

constexpr std::size_t format_size(Format format) noexcept {
  return format == Format::f32 ? 4 : format == Format::bf16 ? 2 : 1;
}

enum class Preparation : std::uint8_t { plain, relu, normalise };  // normalise: a LayerNorm without scale and shift
enum class Activation : std::uint8_t { none, gelu, relu };         // gelu: by the error function

// A product of a few rows with one panel of a packed weight:
//   out[m][c] = sum over taps, groups of a[m * row_stride + tap * tap_stride][group] . b[tap][group][c]
// Every number of `out` is one sum in one order, whatever `rows` is.
struct Tile {
  const void* a;
  std::size_t row_stride, tap_stride;  // in bytes
  std::size_t rows;                    // 1 .. tile_rows
  const void* b;                       // (taps, groups, panel, group)
  std::size_t taps, groups;
  void* out;               // (rows, panel) float, or int32 where the rows are u8
  std::size_t out_stride;  // in elements
};

struct TileKernel {
  std::uint32_t group;      // inputs of one column that lie side by side: 1, or 2 and 4 where one instruction adds them
  std::uint32_t panel;      // columns
  std::uint32_t tile_rows;  // the most rows
  void (*run)(const Tile&);
};

constexpr std::size_t kMaxTileRows = 16;
constexpr std::size_t kMaxPanel = 64;
constexpr std::size_t kMaxTaps = 4;  // of u8

// A convolution of u8, whose rows have scales of their own: there is a tile for each tap, kMaxTileRows kMaxPanel
// numbers apart. Scale and offset of row m and a tap are at m row_step + tap tap_step, the tap's fold at tap
// fold_stride.
struct Taps {
  std::size_t count, row_step, tap_step, fold_stride;
};

// What happens to a tile before it is written: y = scale tile + bias, activation, residual.
struct Finish {
  const float* bias;          // (columns padded to a panel)
  const float* column_scale;  // u8 only: of the weights
  const float* column_fold;   // u8 only: column_scale times the sum of the column's weights
  const float* row_scale;     // u8 only: of the rows
  const float* row_offset;    // u8 only: what 0 stands for in them
  const Taps* taps;           // u8 only; nullptr: one tile
  Activation activation;
  const float* residual;  // or nullptr
  std::size_t residual_stride;
  const std::int32_t* residual_rows;  // row m adds residual row residual_rows[m]; nullptr: m
  const float* stats;                 // of the residual's rows: mean and 1/deviation; nullptr: added as it is
  const float* norm_scale;
  const float* norm_shift;
  void* out;
  std::size_t out_stride;  // in elements
  Format out_format;       // f32 or bf16
};

// One row of activations as a linear layer reads it.
struct PreparedRow {
  const float* x;
  std::size_t width, padded;  // `padded` elements are written, zeros from `width` on
  Preparation preparation;
  float epsilon;
  float* stats;  // mean and 1/deviation, or nullptr
  Format format;
  void* out;
  float* scale;   // u8 only
  float* offset;  // u8 only
};

struct SoftmaxRow {
  float* scores;             // in: products, readable up to whole vectors; out: nothing to rely on
  std::size_t keys, padded;  // of `keys` scores; `padded` weights are written, zeros from `keys` on
  float scale;
  std::size_t near;  // this many scores, the first, get 1 added (soft_causal); 0: none
  Format format;     // f32 or bf16
  void* out;         // exp(score - greatest)
  float* sum;        // of the weights before they were rounded
};

// Rows (count, width) packed as a tile reads a weight: as its columns, or as what is summed (not u8). The places that
// fill a panel hold anything, those that fill a group zeros; as columns, rows must be readable up to whole groups.
struct PackedRows {
  const void* rows;
  std::size_t stride, count, width;  // stride in elements
  Format format;
  void* out;
};

// For each column of a panel: its lowest score, the one after that, and where the lowest was first seen.
struct Nearest {
  alignas(64) float best[kMaxPanel];
  alignas(64) float second[kMaxPanel];
  alignas(64) std::uint32_t index[kMaxPanel];
};

struct Kernels {
  Isa isa;
  TileKernel tile[3];  // by Format; run is nullptr where the instruction set gains nothing from the format
  void (*finish)(const void* tile, std::size_t rows, std::size_t columns, const Finish&);
  void (*prepare)(const PreparedRow&);
  void (*softmax)(const SoftmaxRow&);
  void (*pack_columns)(const PackedRows&);
  void (*pack_sums)(const PackedRows&);
  // out[m][c] = tile[m][c] * row_scale[m]
  void (*scale)(const float* tile, std::size_t rows, std::size_t columns, const float* row_scale, void* out,
                std::size_t out_stride, Format out_format);
  // Scores of `codes` rows of a tile, numbered from `first`: half_norms[row] - tile[row][column].
  void (*nearest)(const float* tile, std::size_t codes, const float* half_norms, std::uint32_t first, Nearest&);
  void (*convert)(const float* x, std::size_t count, Format format, void* out);
  // To -127 .. 127; returns what 1 stands for.
  float (*quantize)(const float* x, std::size_t count, std::int8_t* out);
  // In place or not. Error bounds are in kernels_body.h.
  void (*exp)(const float* x, std::size_t count, float* out);  // the softmax's own, for the tests
  void (*gelu)(const float* x, std::size_t count, float* out);
  float (*dot)(const float* a, const float* b, std::size_t count);
};

// nullptr where the machine or the build does not have it.
const Kernels* find_kernels(Isa isa) noexcept;

// Of the best instruction set.
const Kernels& best_kernels() noexcept;

}  // namespace lf
