// The kernels of one instruction set, written over the vector type that the including file defines before it:
//
//   struct V: vectors of kWidth numbers; simd_portable.h says in plain C++ what each function does
//   struct Dot32, Dot16, Dot8: what the tile kernels multiply with, where there is one
//   kPanelVectors, kTileRows: the size of a tile; LF_UNROLL
//
// Everything here is local to the including file, and none of it calls an inline function of the standard library: the
// linker may keep any one copy of such a function, and must not keep one with instructions that other machines lack.

namespace lf {
namespace {

// ---- tiles

template <class Dot, int kRows>
void tile_rows(const Tile& tile) {
  constexpr int kVectors = static_cast<int>(kPanelVectors);
  const unsigned char* a = static_cast<const unsigned char*>(tile.a);
  const unsigned char* b = static_cast<const unsigned char*>(tile.b);
  const size_t stride = tile.row_stride;
  typename Dot::Sum sums[kRows][kVectors];
  LF_UNROLL
  for (int m = 0; m < kRows; ++m) {
    LF_UNROLL
    for (int c = 0; c < kVectors; ++c) sums[m][c] = Dot::zero();
  }
  for (size_t tap = 0; tap < tile.taps; ++tap) {
    const unsigned char* row = a + tap * tile.tap_stride;
    for (size_t g = 0; g < tile.groups; ++g) {
      typename Dot::B columns[kVectors];
      LF_UNROLL
      for (int c = 0; c < kVectors; ++c) columns[c] = Dot::load(b + static_cast<size_t>(c) * Dot::kBytes);
      LF_UNROLL
      for (int m = 0; m < kRows; ++m) {
        const typename Dot::A value = Dot::broadcast(row + static_cast<size_t>(m) * stride);
        LF_UNROLL
        for (int c = 0; c < kVectors; ++c) sums[m][c] = Dot::add(sums[m][c], value, columns[c]);
      }
      row += 4;
      b += kVectors * Dot::kBytes;
    }
  }
  unsigned char* out = static_cast<unsigned char*>(tile.out);
  LF_UNROLL
  for (int m = 0; m < kRows; ++m) {
    LF_UNROLL
    for (int c = 0; c < kVectors; ++c) {
      Dot::store(out + (static_cast<size_t>(m) * tile.out_stride + static_cast<size_t>(c) * V::kWidth) * 4, sums[m][c]);
    }
  }
}

// Calls tile_rows for as many rows as there are.
template <class Dot, int kRows>
void run_tile(const Tile& tile) {
  if constexpr (kRows == 1) {
    tile_rows<Dot, 1>(tile);
  } else {
    if (tile.rows == kRows) return tile_rows<Dot, kRows>(tile);
    run_tile<Dot, kRows - 1>(tile);
  }
}

// ---- functions, each with the largest error that the tests let pass

// e^x within 2 ulp for x in [-87, 88]; beyond, what it is there.
inline V::Float exp_of(V::Float x) {
  x = V::max(V::min(x, V::set(88.0f)), V::set(-87.0f));
  const V::Float shifted = V::fma(x, V::set(1.44269504f), V::set(12582912.0f));  // 1.5 2^23: rounds to an integer
  const V::Float n = V::sub(shifted, V::set(12582912.0f));
  V::Float r = V::fma(n, V::set(-0.693145752f), x);  // log 2 in two parts
  r = V::fma(n, V::set(-1.42860677e-6f), r);
  V::Float p = V::set(1.98412698e-4f);
  p = V::fma(p, r, V::set(1.38888889e-3f));
  p = V::fma(p, r, V::set(8.33333333e-3f));
  p = V::fma(p, r, V::set(4.16666667e-2f));
  p = V::fma(p, r, V::set(1.66666667e-1f));
  p = V::fma(p, r, V::set(0.5f));
  p = V::add(V::fma(V::mul(r, r), p, r), V::set(1.0f));
  return V::floats(V::add_int(V::bits(p), V::shift_left_23(V::bits(shifted))));
}

// x Phi(x), Phi the normal distribution, 0.5 (1 + erf(x / sqrt 2)), within 2e-7 (1 + |x|) of the true value.
inline V::Float gelu_of(V::Float x) {
  // Phi(x) = 0.5 + x q(x^2) up to |x| = 5.5, where it is 0 or 1 in float; Chebyshev points in x^2, scaled to [-1, 1].
  constexpr float kTerms[] = {1.285519329e-01f, -6.417256726e-02f, 4.773745211e-02f, -3.878428236e-02f,
                              3.207276352e-02f, -2.613957170e-02f, 2.035137671e-02f, -1.456736701e-02f,
                              1.026016133e-02f, -7.866468913e-03f, 4.582318885e-03f, -1.061182092e-03f,
                              7.429543877e-04f, -1.425138230e-03f, 6.267166465e-04f};
  const V::Float clipped = V::max(V::min(x, V::set(5.5f)), V::set(-5.5f));
  const V::Float s = V::fma(V::mul(clipped, clipped), V::set(2.0f / 30.25f), V::set(-1.0f));
  V::Float q = V::set(kTerms[14]);
  for (int i = 13; i >= 0; --i) q = V::fma(q, s, V::set(kTerms[i]));
  const V::Float phi = V::select_less(V::set(-5.5f), x, V::fma(clipped, q, V::set(0.5f)), V::set(0.0f));
  return V::mul(x, phi);
}

// Calls function(i, n) for the vectors that cover `count` numbers: n is Whole, but for the last a number of places.
struct Whole {};
template <class Function>
inline void cover(size_t count, Function function) {
  size_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) function(i, Whole());
  if (i < count) function(i, count - i);
}

// The same for sums: four of them side by side, which need not wait for one another. step(sum, i, n) -> sum.
template <class Step>
inline V::Float fold(size_t count, Step step) {
  V::Float sums[4] = {V::set(0.0f), V::set(0.0f), V::set(0.0f), V::set(0.0f)};
  const size_t fours = count / (4 * V::kWidth) * (4 * V::kWidth);
  for (size_t i = 0; i < fours; i += 4 * V::kWidth) {
    for (size_t j = 0; j < 4; ++j) sums[j] = step(sums[j], i + j * V::kWidth, Whole());
  }
  cover(count - fours, [&](size_t i, auto n) { sums[0] = step(sums[0], fours + i, n); });
  return V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3]));
}

inline V::Float load(const float* p, Whole) { return V::load(p); }
inline V::Float load(const float* p, size_t n) { return V::load_part(p, n); }
inline void store(float* p, V::Float a, Whole) { V::store(p, a); }
inline void store(float* p, V::Float a, size_t n) { V::store_part(p, a, n); }
inline void store_bf16(uint16_t* p, V::Float a, Whole) { V::store_bf16(p, a); }
inline void store_bf16(uint16_t* p, V::Float a, size_t n) { V::store_bf16_part(p, a, n); }
inline void store_u8(uint8_t* p, V::Float a, Whole) { V::store_u8(p, a); }
inline void store_u8(uint8_t* p, V::Float a, size_t n) { V::store_u8_part(p, a, n); }
inline V::Float part(V::Float a, Whole) { return a; }
inline V::Float part(V::Float a, size_t n) { return V::part(a, n); }
inline V::Float part_or(V::Float a, Whole, V::Float) { return a; }
inline V::Float part_or(V::Float a, size_t n, V::Float rest) { return V::part_or(a, n, rest); }

template <class Function>
void map(const float* x, size_t count, float* out, Function function) {
  cover(count, [=](size_t i, auto n) { store(out + i, function(load(x + i, n)), n); });
}

void exp_all(const float* x, size_t count, float* out) {
  map(x, count, out, [](V::Float v) { return exp_of(v); });
}
void gelu_all(const float* x, size_t count, float* out) {
  map(x, count, out, [](V::Float v) { return gelu_of(v); });
}

float dot(const float* a, const float* b, size_t count) {
  V::Float sum = V::set(0.0f), other = sum;
  size_t i = 0;
  for (; i + 2 * V::kWidth <= count; i += 2 * V::kWidth) {
    sum = V::fma(V::load(a + i), V::load(b + i), sum);
    other = V::fma(V::load(a + i + V::kWidth), V::load(b + i + V::kWidth), other);
  }
  for (; i < count; i += V::kWidth) {
    const size_t left = count - i < V::kWidth ? count - i : V::kWidth;
    sum = V::fma(V::load_part(a + i, left), V::load_part(b + i, left), sum);
  }
  return V::sum(V::add(sum, other));
}

// ---- rows on their way in and out

template <class N>
inline void store_as(Format format, void* out, size_t i, V::Float value, N n) {
  if (format == Format::f32) {
    store(static_cast<float*>(out) + i, value, n);
  } else {
    store_bf16(static_cast<uint16_t*>(out) + i, value, n);
  }
}

void convert(const float* x, size_t count, Format format, void* out) {
  cover(count, [=](size_t i, auto n) { store_as(format, out, i, load(x + i, n), n); });
}

float quantize(const float* x, size_t count, int8_t* out) {
  V::Float greatest = V::set(0.0f);
  cover(count, [&](size_t i, auto n) {
    const V::Float v = load(x + i, n);
    greatest = V::max(V::max(v, V::sub(V::set(0.0f), v)), greatest);
  });
  const float scale = V::greatest(greatest) / 127.0f;
  const V::Float inverse = V::set(scale > 0.0f ? 1.0f / scale : 0.0f), middle = V::set(128.0f);
  cover(count, [&](size_t i, auto n) {
    store_u8(reinterpret_cast<uint8_t*>(out) + i, V::fma(load(x + i, n), inverse, middle), n);
  });
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<int8_t>(out[i] ^ -128);
  return scale;
}

void zero(void* out, size_t first, size_t end) {
  unsigned char* bytes = static_cast<unsigned char*>(out);
  for (size_t i = first; i < end; ++i) bytes[i] = 0;
}

// Stores (max(x, least) - shift) factor.
void store_row(const PreparedRow& row, float least, float shift, float factor) {
  const float* x = row.x;
  const size_t width = row.width;
  const V::Float lowest = V::set(least), middle = V::set(shift), times = V::set(factor);
  if (row.format != Format::u8) {
    void* out = row.out;
    const Format format = row.format;
    cover(width, [=](size_t i, auto n) {
      // The value second: a NaN stays one.
      const V::Float value = V::max(lowest, load(x + i, n));
      store_as(format, out, i, V::mul(V::sub(value, middle), times), n);
    });
    const size_t size = format_size(format);
    return zero(out, width * size, row.padded * size);
  }

  // The numbers 0 .. 255 span what the row holds.
  V::Float low = V::set(__builtin_huge_valf()), high = V::set(-__builtin_huge_valf());
  cover(width, [&](size_t i, auto n) {
    const V::Float value = V::max(lowest, load(x + i, n));
    low = V::min(low, part_or(value, n, low));
    high = V::max(high, part_or(value, n, high));
  });
  const float smallest = V::least(low), range = V::greatest(high) - smallest;
  const float step = range > 0.0f ? range / 255.0f : 1.0f;
  *row.offset = (smallest - shift) * factor;
  *row.scale = step * factor;
  const V::Float origin = V::set(smallest), inverse = V::set(1.0f / step);
  uint8_t* out = static_cast<uint8_t*>(row.out);
  const auto steps = [=](size_t i, auto n) { return V::mul(V::sub(V::max(lowest, load(x + i, n)), origin), inverse); };
  size_t i = 0;
  for (; i + 4 * V::kWidth <= width; i += 4 * V::kWidth) {
    const size_t next = V::kWidth;
    V::store_u8_four(out + i, steps(i, Whole()), steps(i + next, Whole()), steps(i + 2 * next, Whole()),
                     steps(i + 3 * next, Whole()));
  }
  cover(width - i, [=](size_t j, auto n) { store_u8(out + i + j, steps(i + j, n), n); });
  zero(out, width, row.padded);
}

void prepare_row(const PreparedRow& given) {
  const PreparedRow row = given;  // a copy, which no store can change
  const float* x = row.x;
  const float least = -__builtin_huge_valf();
  if (row.preparation == Preparation::plain) return store_row(row, least, 0.0f, 1.0f);
  if (row.preparation == Preparation::relu) return store_row(row, 0.0f, 0.0f, 1.0f);
  const float width = static_cast<float>(row.width);
  const float mean =
      V::sum(fold(row.width, [=](V::Float sum, size_t i, auto n) { return V::add(sum, load(x + i, n)); })) / width;
  const V::Float middle = V::set(mean);
  const float squares = V::sum(fold(row.width, [=](V::Float sum, size_t i, auto n) {
    const V::Float difference = part(V::sub(load(x + i, n), middle), n);
    return V::fma(difference, difference, sum);
  }));
  const float inverse = 1.0f / V::square_root(squares / width + row.epsilon);
  if (row.stats != nullptr) {
    row.stats[0] = mean;
    row.stats[1] = inverse;
  }
  store_row(row, least, mean, inverse);
}

// What a tile holds: floats, integers, or integers of several taps.
enum class Sums { floats, integers, taps };

template <Sums kSums, bool kResidual, bool kNorm, class Activate>
void finish_rows(const void* tile, size_t rows, size_t columns, const Finish& finish, Activate activate) {
  const Finish f = finish;  // a copy, which no store can change
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  cover(columns, [&](size_t c, auto n) {
    const V::Float bias = V::load(f.bias + c), none = V::set(0.0f);
    const V::Float column_scale = kSums != Sums::floats ? V::load(f.column_scale + c) : none;
    const V::Float column_fold = kSums == Sums::integers ? V::load(f.column_fold + c) : none;
    const V::Float norm_scale = kNorm ? V::load(f.norm_scale + c) : none;
    const V::Float norm_shift = kNorm ? V::load(f.norm_shift + c) : none;
    for (size_t m = 0; m < rows; ++m) {
      V::Float y = bias;
      const auto add_tap = [&](const int32_t* sums, size_t row, V::Float fold) {
        y = V::fma(V::set(f.row_offset[row]), fold, y);
        y = V::fma(V::from_int(sums + m * kPanel + c), V::mul(column_scale, V::set(f.row_scale[row])), y);
      };
      if (kSums == Sums::floats) {
        y = V::add(V::load(static_cast<const float*>(tile) + m * kPanel + c), y);
      } else if (kSums == Sums::integers) {
        add_tap(static_cast<const int32_t*>(tile), m, column_fold);
      } else {
        for (size_t tap = 0; tap < f.taps->count; ++tap) {
          add_tap(static_cast<const int32_t*>(tile) + tap * kMaxTileRows * kMaxPanel,
                  m * f.taps->row_step + tap * f.taps->tap_step,
                  V::load(f.column_fold + tap * f.taps->fold_stride + c));
        }
      }
      y = activate(y);
      if (kResidual) {
        const size_t from = f.residual_rows == nullptr ? m : static_cast<size_t>(f.residual_rows[m]);
        V::Float r = load(f.residual + from * f.residual_stride + c, n);
        if (kNorm) {
          r = V::mul(V::sub(r, V::set(f.stats[2 * from])), V::set(f.stats[2 * from + 1]));
          r = V::fma(r, norm_scale, norm_shift);
        }
        y = V::add(y, r);
      }
      store_as(f.out_format, f.out, m * f.out_stride + c, y, n);
    }
  });
}

template <Sums kSums, class Activate>
void finish_with(const void* tile, size_t rows, size_t columns, const Finish& f, Activate activate) {
  if (f.residual == nullptr) return finish_rows<kSums, false, false>(tile, rows, columns, f, activate);
  if (f.stats == nullptr) return finish_rows<kSums, true, false>(tile, rows, columns, f, activate);
  finish_rows<kSums, true, true>(tile, rows, columns, f, activate);
}

template <Sums kSums>
void finish_as(const void* tile, size_t rows, size_t columns, const Finish& f) {
  switch (f.activation) {
    case Activation::none:
      return finish_with<kSums>(tile, rows, columns, f, [](V::Float y) { return y; });
    case Activation::gelu:
      return finish_with<kSums>(tile, rows, columns, f, [](V::Float y) { return gelu_of(y); });
    case Activation::relu:
      return finish_with<kSums>(tile, rows, columns, f, [](V::Float y) { return V::max(V::set(0.0f), y); });
  }
}

void finish(const void* tile, size_t rows, size_t columns, const Finish& f) {
  if (f.row_scale == nullptr) return finish_as<Sums::floats>(tile, rows, columns, f);
  if (f.taps == nullptr) return finish_as<Sums::integers>(tile, rows, columns, f);
  finish_as<Sums::taps>(tile, rows, columns, f);
}

// ---- attention

// kVectors hold all keys, so that scores stay in registers.
template <int kVectors>
void softmax_short(const SoftmaxRow& given) {
  const SoftmaxRow row = given;
  constexpr size_t kFirst = (kVectors - 1) * V::kWidth;  // of the last vector, the only one that may not be whole
  const size_t last = row.keys - kFirst;
  const V::Float scale = V::set(row.scale), one = V::set(1.0f);
  V::Float scores[kVectors];
  LF_UNROLL
  for (int j = 0; j < kVectors; ++j) {
    const size_t i = static_cast<size_t>(j) * V::kWidth, near = row.near > i ? row.near - i : 0;
    scores[j] = V::mul(V::load(row.scores + i), scale);
    scores[j] = V::add(scores[j], V::part(one, near < V::kWidth ? near : V::kWidth));
  }
  scores[kVectors - 1] = V::part_or(scores[kVectors - 1], last, V::set(-__builtin_huge_valf()));
  V::Float greatest = scores[0];
  LF_UNROLL
  for (int j = 1; j < kVectors; ++j) greatest = V::max(greatest, scores[j]);
  const V::Float top = V::set(V::greatest(greatest));
  LF_UNROLL
  for (int j = 0; j < kVectors; ++j) scores[j] = exp_of(V::sub(scores[j], top));
  scores[kVectors - 1] = V::part(scores[kVectors - 1], last);
  V::Float sum = scores[0];
  LF_UNROLL
  for (int j = 1; j < kVectors; ++j) sum = V::add(sum, scores[j]);
  *row.sum = V::sum(sum);
  LF_UNROLL
  for (int j = 0; j + 1 < kVectors; ++j)
    store_as(row.format, row.out, static_cast<size_t>(j) * V::kWidth, scores[j], Whole());
  store_as(row.format, row.out, kFirst, scores[kVectors - 1], last);
}

void softmax_long(const SoftmaxRow& given) {
  const SoftmaxRow row = given;
  const V::Float scale = V::set(row.scale), one = V::set(1.0f);
  V::Float greatest = V::set(-__builtin_huge_valf());
  cover(row.keys, [&](size_t i, auto n) {
    V::Float score = V::mul(load(row.scores + i, n), scale);
    if (i < row.near) score = V::add(score, row.near - i < V::kWidth ? V::part(one, row.near - i) : one);
    store(row.scores + i, score, n);
    greatest = V::max(greatest, part_or(score, n, greatest));
  });
  const V::Float top = V::set(V::greatest(greatest));
  *row.sum = V::sum(fold(row.keys, [=](V::Float sum, size_t i, auto n) {
    const V::Float weight = part(exp_of(V::sub(load(row.scores + i, n), top)), n);
    store_as(row.format, row.out, i, weight, n);
    return V::add(sum, weight);
  }));
}

void softmax(const SoftmaxRow& row) {
  switch ((row.keys + V::kWidth - 1) / V::kWidth) {
    case 1:
      softmax_short<1>(row);
      break;
    case 2:
      softmax_short<2>(row);
      break;
    case 3:
      softmax_short<3>(row);
      break;
    case 4:
      softmax_short<4>(row);
      break;
    default:
      softmax_long(row);
  }
  const size_t size = format_size(row.format);
  zero(row.out, row.keys * size, row.padded * size);
}

void scale_rows(const float* tile, size_t rows, size_t columns, const float* row_scale, void* out, size_t out_stride,
                Format out_format) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  const size_t size = out_format == Format::f32 ? 4 : 2;
  for (size_t m = 0; m < rows; ++m) {
    const V::Float factor = V::set(row_scale[m]);
    unsigned char* row = static_cast<unsigned char*>(out) + m * out_stride * size;
    cover(columns,
          [&](size_t c, auto n) { store_as(out_format, row, c, V::mul(V::load(tile + m * kPanel + c), factor), n); });
  }
}

// Four bytes, one number or several, stay together, so that all formats are columns of four bytes to be turned.
void pack_columns(const PackedRows& packed) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  const size_t size = format_size(packed.format), groups = (packed.width * size + 3) / 4;
  const size_t row_bytes = packed.stride * size;
  const unsigned char* rows = static_cast<const unsigned char*>(packed.rows);
  uint32_t* out = static_cast<uint32_t*>(packed.out);
  for (size_t n = 0; n < packed.count; n += V::kWidth) {
    const size_t count = packed.count - n < V::kWidth ? packed.count - n : V::kWidth;
    uint32_t* panel = out + n / kPanel * groups * kPanel + n % kPanel;
    size_t g = 0;
    for (; g + V::kWidth <= groups; g += V::kWidth) {
      V::turn(rows + n * row_bytes + 4 * g, row_bytes, count, panel + g * kPanel, kPanel);
    }
    for (; g < groups; ++g) {
      for (size_t i = 0; i < count; ++i)
        __builtin_memcpy(panel + g * kPanel + i, rows + (n + i) * row_bytes + 4 * g, 4);
    }
  }
}

void pack_sums(const PackedRows& packed) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  const size_t panels = (packed.width + kPanel - 1) / kPanel;
  for (size_t p = 0; p < panels; ++p) {
    const size_t first = p * kPanel, columns = packed.width - first < kPanel ? packed.width - first : kPanel;
    if (packed.format == Format::f32) {
      const float* rows = static_cast<const float*>(packed.rows) + first;
      float* out = static_cast<float*>(packed.out) + p * packed.count * kPanel;
      for (size_t n = 0; n < packed.count; ++n) {
        cover(columns,
              [=](size_t c, auto left) { V::store(out + n * kPanel + c, load(rows + n * packed.stride + c, left)); });
      }
    } else {
      const uint16_t* rows = static_cast<const uint16_t*>(packed.rows) + first;
      uint16_t* out = static_cast<uint16_t*>(packed.out) + p * ((packed.count + 1) / 2) * 2 * kPanel;
      for (size_t n = 0; n < packed.count; n += 2) {
        const uint16_t* one = rows + n * packed.stride;
        const uint16_t* two = n + 1 < packed.count ? one + packed.stride : nullptr;
        for (size_t c = 0; c < columns; c += V::kWidth) {
          const size_t left = columns - c < V::kWidth ? columns - c : V::kWidth;
          V::store_pairs(out + n * kPanel + 2 * c, one + c, two == nullptr ? nullptr : two + c, left);
        }
      }
    }
  }
}

void nearest(const float* tile, size_t codes, const float* half_norms, uint32_t first, Nearest& state) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  for (size_t c = 0; c < kPanel; c += V::kWidth) {
    V::Float best = V::load(state.best + c), second = V::load(state.second + c);
    V::Int index = V::load_int(state.index + c);
    for (size_t k = 0; k < codes; ++k) {
      const V::Float score = V::sub(V::set(half_norms[k]), V::load(tile + k * kPanel + c));
      second = V::min(second, V::max(best, score));
      index = V::select_less(score, best, V::set_int(first + static_cast<uint32_t>(k)), index);
      best = V::min(best, score);
    }
    V::store(state.best + c, best);
    V::store(state.second + c, second);
    V::store_int(state.index + c, index);
  }
}

template <class Dot, int kRows>
constexpr TileKernel tile_kernel(uint32_t group) {
  return {group, static_cast<uint32_t>(kPanelVectors * V::kWidth), static_cast<uint32_t>(kRows), &run_tile<Dot, kRows>};
}

// Dot16 may be void.
template <class Dot32, class Dot16, class Dot8, int kRows8 = kTileRows>
constexpr Kernels kernels_of(Isa isa) {
  TileKernel half = {};
  if constexpr (!__is_same(Dot16, void)) half = tile_kernel<Dot16, kTileRows>(2);
  return {isa,        {tile_kernel<Dot32, kTileRows>(1), half, tile_kernel<Dot8, kRows8>(4)},
          &finish,    &prepare_row,
          &softmax,   &pack_columns,
          &pack_sums, &scale_rows,
          &nearest,   &convert,
          &quantize,  &exp_all,
          &gelu_all,  &dot};
}

}  // namespace
}  // namespace lf
