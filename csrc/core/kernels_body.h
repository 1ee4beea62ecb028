// The kernels of one instruction set, written over the vector type that the including file defines before it:
//
//   struct V: kWidth; Float, Int; load, load_part, store, store_part, set, add, sub, mul, div, fma (a b + c), max, min,
//             sum, greatest, from_int, round_to_int, shift_left, bits, floats, select_less, and the conversions below
//   struct Dot32, and Dot16, Dot8 where kHas16, kHas8: what the tile kernels multiply with
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
      Dot::store(out + (static_cast<size_t>(m) * kVectors + static_cast<size_t>(c)) * sizeof(sums[m][c]), sums[m][c]);
    }
  }
}

// Calls tile_rows for as many rows as there are.
template <class Dot, int kRows = kTileRows>
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

// log x within 2 ulp for normal x > 0, within 1e-7 near 1; -inf of 0 and NaN below 0 are the caller's.
inline V::Float log_of(V::Float x) {
  const V::Float exponent = V::exponent_of_sqrt_half(x);  // x = m 2^exponent with m in [sqrt 1/2, sqrt 2)
  const V::Float f = V::sub(V::mantissa_of_sqrt_half(x), V::set(1.0f));
  constexpr float kTerms[] = {3.333333118e-01f, -2.499999696e-01f, 2.000071575e-01f, -1.666780232e-01f,
                              1.424905765e-01f, -1.242568733e-01f, 1.168541992e-01f, -1.147973384e-01f,
                              6.971611459e-02f};
  V::Float p = V::set(kTerms[8]);
  for (int i = 7; i >= 0; --i) p = V::fma(p, f, V::set(kTerms[i]));
  const V::Float square = V::mul(f, f);
  p = V::fma(V::mul(p, f), square, V::mul(exponent, V::set(-2.12194440e-4f)));
  p = V::fma(square, V::set(-0.5f), p);
  return V::fma(exponent, V::set(0.693359375f), V::add(f, p));
}

// x Phi(x), Phi the normal distribution, 0.5 (1 + erf(x / sqrt 2)), within 2e-7 (1 + |x|) of the true value.
inline V::Float gelu_of(V::Float x) {
  // Phi(x) = 0.5 + x q(x^2) up to |x| = 5.5, where it is 0 or 1 in float; Chebyshev points in x^2, scaled to [-1, 1].
  constexpr float kTerms[] = {1.285519329e-01f,  -6.417256726e-02f, 4.773745211e-02f,  -3.878428236e-02f,
                              3.207276352e-02f,  -2.613957170e-02f, 2.035137671e-02f,  -1.456736701e-02f,
                              1.026016133e-02f,  -7.866468913e-03f, 4.582318885e-03f,  -1.061182092e-03f,
                              7.429543877e-04f,  -1.425138230e-03f, 6.267166465e-04f};
  const V::Float clipped = V::max(V::min(x, V::set(5.5f)), V::set(-5.5f));
  const V::Float s = V::fma(V::mul(clipped, clipped), V::set(2.0f / 30.25f), V::set(-1.0f));
  V::Float q = V::set(kTerms[14]);
  for (int i = 13; i >= 0; --i) q = V::fma(q, s, V::set(kTerms[i]));
  const V::Float phi = V::select_less(V::set(-5.5f), x, V::fma(clipped, q, V::set(0.5f)), V::set(0.0f));
  return V::mul(x, phi);
}

template <class Function>
void map(const float* x, size_t count, float* out, Function function) {
  size_t i = 0;
  for (; i + V::kWidth <= count; i += V::kWidth) V::store(out + i, function(V::load(x + i)));
  if (i < count) V::store_part(out + i, function(V::load_part(x + i, count - i)), count - i);
}

void exp_all(const float* x, size_t count, float* out) {
  map(x, count, out, [](V::Float v) { return exp_of(v); });
}
void log_all(const float* x, size_t count, float* out) {
  map(x, count, out, [](V::Float v) { return log_of(v); });
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

inline void store_as(Format format, void* out, size_t i, V::Float value, size_t count) {
  if (format == Format::f32) {
    V::store_part(static_cast<float*>(out) + i, value, count);
  } else {
    V::store_bf16(static_cast<uint16_t*>(out) + i, value, count);
  }
}

// The number of columns a vector at `i` covers.
inline size_t left_of(size_t count, size_t i) { return count - i < V::kWidth ? count - i : V::kWidth; }

void convert(const float* x, size_t count, Format format, void* out) {
  for (size_t i = 0; i < count; i += V::kWidth) {
    const size_t left = left_of(count, i);
    store_as(format, out, i, V::load_part(x + i, left), left);
  }
}

void zero(void* out, size_t first, size_t end) {
  unsigned char* bytes = static_cast<unsigned char*>(out);
  for (size_t i = first; i < end; ++i) bytes[i] = 0;
}

void prepare_row(const PreparedRow& row) {
  const float* x = row.x;
  const size_t width = row.width;
  V::Float shift = V::set(0.0f), factor = V::set(1.0f);
  if (row.preparation == Preparation::normalise) {
    const V::Float nothing = V::set(0.0f);
    V::Float sum = nothing;
    for (size_t i = 0; i < width; i += V::kWidth) sum = V::add(sum, V::load_part(x + i, left_of(width, i)));
    const float mean = V::sum(sum) / static_cast<float>(width);
    shift = V::set(mean);
    V::Float squares = nothing;
    for (size_t i = 0; i < width; i += V::kWidth) {
      const size_t left = left_of(width, i);
      const V::Float difference = V::part(V::sub(V::load_part(x + i, left), shift), left);
      squares = V::fma(difference, difference, squares);
    }
    const float deviation = V::square_root(V::sum(squares) / static_cast<float>(width) + row.epsilon);
    factor = V::set(1.0f / deviation);
    if (row.stats != nullptr) {
      row.stats[0] = mean;
      row.stats[1] = 1.0f / deviation;
    }
  }
  const V::Float least = V::set(row.preparation == Preparation::relu ? 0.0f : -__builtin_huge_valf());
  const auto value = [&](size_t i, size_t left) {
    // The value second: a NaN stays one.
    return V::max(least, V::mul(V::sub(V::load_part(x + i, left), shift), factor));
  };

  if (row.format != Format::u8) {
    for (size_t i = 0; i < width; i += V::kWidth) {
      const size_t left = left_of(width, i);
      store_as(row.format, row.out, i, value(i, left), left);
    }
    const size_t size = row.format == Format::f32 ? 4 : 2;
    return zero(row.out, width * size, row.padded * size);
  }

  // The numbers 0 .. 255 span what the row holds.
  V::Float low = V::set(__builtin_huge_valf()), high = V::set(-__builtin_huge_valf());
  for (size_t i = 0; i < width; i += V::kWidth) {
    const size_t left = left_of(width, i);
    const V::Float v = value(i, left);
    low = V::min(low, V::part_or(v, left, low));
    high = V::max(high, V::part_or(v, left, high));
  }
  const float offset = V::least(low), range = V::greatest(high) - offset;
  const float scale = range > 0.0f ? range / 255.0f : 1.0f;
  *row.offset = offset;
  *row.scale = scale;
  const V::Float origin = V::set(offset), inverse = V::set(1.0f / scale);
  for (size_t i = 0; i < width; i += V::kWidth) {
    const size_t left = left_of(width, i);
    V::store_u8(static_cast<uint8_t*>(row.out) + i, V::mul(V::sub(value(i, left), origin), inverse), left);
  }
  zero(row.out, width, row.padded);
}

template <bool kInt, bool kResidual, bool kNorm, class Activate>
void finish_rows(const void* tile, size_t rows, size_t columns, const Finish& f, Activate activate) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  const size_t size = f.out_format == Format::f32 ? 4 : 2;
  for (size_t m = 0; m < rows; ++m) {
    V::Float row_scale = V::set(1.0f), row_offset = V::set(0.0f), mean = row_offset, inverse = row_scale;
    const float* residual = nullptr;
    if (kInt) {
      row_scale = V::set(f.row_scale[m]);
      row_offset = V::set(f.row_offset[m]);
    }
    if (kResidual) {
      const size_t from = f.residual_rows == nullptr ? m : static_cast<size_t>(f.residual_rows[m]);
      residual = f.residual + from * f.residual_stride;
      if (kNorm) {
        mean = V::set(f.stats[2 * from]);
        inverse = V::set(f.stats[2 * from + 1]);
      }
    }
    unsigned char* out = static_cast<unsigned char*>(f.out) + m * f.out_stride * size;
    for (size_t c = 0; c < columns; c += V::kWidth) {
      const size_t left = left_of(columns, c);
      V::Float y = V::load(f.bias + c);
      if (kInt) {
        const V::Float sum = V::from_int(static_cast<const int32_t*>(tile) + m * kPanel + c);
        y = V::fma(sum, V::mul(V::load(f.column_scale + c), row_scale), V::fma(row_offset, V::load(f.column_fold + c), y));
      } else {
        y = V::add(V::load(static_cast<const float*>(tile) + m * kPanel + c), y);
      }
      y = activate(y);
      if (kResidual) {
        V::Float r = V::load_part(residual + c, left);
        if (kNorm) {
          r = V::mul(V::sub(r, mean), inverse);
          r = V::fma(r, V::load(f.norm_scale + c), V::load(f.norm_shift + c));
        }
        y = V::add(y, r);
      }
      store_as(f.out_format, out, c, y, left);
    }
  }
}

template <bool kInt, class Activate>
void finish_with(const void* tile, size_t rows, size_t columns, const Finish& f, Activate activate) {
  if (f.residual == nullptr) return finish_rows<kInt, false, false>(tile, rows, columns, f, activate);
  if (f.stats == nullptr) return finish_rows<kInt, true, false>(tile, rows, columns, f, activate);
  finish_rows<kInt, true, true>(tile, rows, columns, f, activate);
}

template <bool kInt>
void finish_as(const void* tile, size_t rows, size_t columns, const Finish& f) {
  switch (f.activation) {
    case Activation::none:
      return finish_with<kInt>(tile, rows, columns, f, [](V::Float y) { return y; });
    case Activation::gelu:
      return finish_with<kInt>(tile, rows, columns, f, [](V::Float y) { return gelu_of(y); });
    case Activation::relu:
      return finish_with<kInt>(tile, rows, columns, f, [](V::Float y) { return V::max(V::set(0.0f), y); });
  }
}

void finish(const void* tile, size_t rows, size_t columns, const Finish& f) {
  if (f.row_scale != nullptr) {
    finish_as<true>(tile, rows, columns, f);
  } else {
    finish_as<false>(tile, rows, columns, f);
  }
}

// ---- attention

void softmax(const SoftmaxRow& row) {
  const V::Float scale = V::set(row.scale), one = V::set(1.0f), none = V::set(0.0f);
  V::Float greatest = V::set(-__builtin_huge_valf());
  for (size_t i = 0; i < row.keys; i += V::kWidth) {
    const size_t left = left_of(row.keys, i);
    V::Float score = V::mul(V::load_part(row.scores + i, left), scale);
    if (i < row.near) score = V::add(score, row.near - i < V::kWidth ? V::part(one, row.near - i) : one);
    V::store_part(row.scores + i, score, left);
    greatest = V::max(greatest, V::part_or(score, left, greatest));
  }
  const V::Float top = V::set(V::greatest(greatest));
  V::Float sum = none;
  for (size_t i = 0; i < row.keys; i += V::kWidth) {
    const size_t left = left_of(row.keys, i);
    V::Float weight = V::part(exp_of(V::sub(V::load_part(row.scores + i, left), top)), left);
    if (row.format == Format::bf16) weight = V::rounded_to_bf16(weight);
    store_as(row.format, row.out, i, weight, left);
    sum = V::add(sum, weight);
  }
  *row.sum = V::sum(sum);
  const size_t size = row.format == Format::f32 ? 4 : 2;
  zero(row.out, row.keys * size, row.padded * size);
}

void scale_rows(const float* tile, size_t rows, size_t columns, const float* row_scale, void* out, size_t out_stride,
                Format out_format) {
  constexpr size_t kPanel = kPanelVectors * V::kWidth;
  const size_t size = out_format == Format::f32 ? 4 : 2;
  for (size_t m = 0; m < rows; ++m) {
    const V::Float factor = V::set(row_scale[m]);
    unsigned char* row = static_cast<unsigned char*>(out) + m * out_stride * size;
    for (size_t c = 0; c < columns; c += V::kWidth) {
      store_as(out_format, row, c, V::mul(V::load(tile + m * kPanel + c), factor), left_of(columns, c));
    }
  }
}

template <class Dot>
constexpr TileKernel tile_kernel(uint32_t group) {
  return {group, static_cast<uint32_t>(kPanelVectors * V::kWidth), static_cast<uint32_t>(kTileRows), &run_tile<Dot>};
}

}  // namespace
}  // namespace lf
