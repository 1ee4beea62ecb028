#include "codebook_lookup.h"
#include "runtime.h"

namespace lf::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFewRows = 256;
constexpr std::int64_t kBlocks =
    264;  // two for each multiprocessor of an H100: with fewer rows, codes are shared out too
constexpr int kStages = 3;

// kRows rows times kCodes codes a block, kThreadRows times kThreadCodes a thread, kWidth columns between two barriers.
template <int kRows, int kCodes, int kWidth>
struct Shape {
  static constexpr int rows = kRows, codes = kCodes, width = kWidth;
  static constexpr int thread_rows = kRows / 16, thread_codes = kCodes / 16;
  static constexpr int stride = kWidth + 4;  // an odd number of 16 bytes: eight rows lie in different banks
  static constexpr int stage = (kRows + kCodes) * stride;
  static constexpr int shared_bytes = (kStages * stage + kRows + kCodes) * 4 + kRows * 16;
};

using Few = Shape<32, 32, 64>;
using Many = Shape<128, 128, 16>;

// The best two scores of some codes. Equal ones stand in the order of their codes.
struct alignas(16) BestTwo {
  float score, second_score;
  std::int32_t code, second_code;
};

LF_DEVICE bool better(float score, std::int32_t code, float rival, std::int32_t rival_code) {
  return score > rival || (score == rival && code < rival_code);
}

LF_DEVICE void take(BestTwo& best, float score, std::int32_t code) {
  if (better(score, code, best.score, best.code)) {
    best = {score, best.score, code, best.code};
  } else if (better(score, code, best.second_score, best.second_code)) {
    best.second_score = score;
    best.second_code = code;
  }
}

struct Split {
  int groups;     // of blocks that share the codes
  int per_group;  // codes
};

Split split_of(const CodebookLookup& p) {
  const bool few = p.rows <= kFewRows;
  const std::int64_t tile_rows = few ? Few::rows : Many::rows, tile_codes = few ? Few::codes : Many::codes;
  const std::int64_t blocks = (p.rows + tile_rows - 1) / tile_rows, tiles = (p.codes + tile_codes - 1) / tile_codes;
  const std::int64_t wanted = blocks > 0 ? (kBlocks + blocks - 1) / blocks : 1;
  const std::int64_t tiles_of_group = (tiles + wanted - 1) / wanted;
  return {static_cast<int>((tiles + tiles_of_group - 1) / tiles_of_group),
          static_cast<int>(tiles_of_group * tile_codes)};
}

// best (groups, rows), scale (groups, rows): |x| max |e| + max |e|^2 / 2, of which rounding errors are a share.
template <typename S, bool kAligned>
LF_KERNEL(kThreads)
scores_kernel(const CodebookLookup p, int codes_of_group, BestTwo* best, float* scale) {
  float* const tiles = reinterpret_cast<float*>(shared_memory());
  float* const x_norms = tiles + kStages * S::stage;
  float* const norms = x_norms + S::rows;
  BestTwo* const found = reinterpret_cast<BestTwo*>(norms + S::codes);
  const std::int64_t first_row = static_cast<std::int64_t>(block_x()) * S::rows;
  const int begin = block_y() * codes_of_group;
  const int end = begin + codes_of_group < p.codes ? begin + codes_of_group : p.codes;
  const int chunks = (p.width + S::width - 1) / S::width;
  const int own_row = thread() / 16, own_code = thread() % 16;

  const auto copy = [&](int first_code, int chunk) {
    float* const tile = tiles + chunk % kStages * S::stage;
    constexpr int kStep = kAligned ? 4 : 1, kSteps = S::width / kStep;
    for (int i = thread(); i < (S::rows + S::codes) * kSteps; i += kThreads) {
      const int row = i / kSteps, column = chunk * S::width + i % kSteps * kStep;
      const bool of_x = row < S::rows;
      const std::int64_t line = of_x ? first_row + row : first_code + row - S::rows;
      const std::int64_t last = (of_x ? p.rows : p.codes) - 1;  // beyond it, it is read again
      const bool inside = column < p.width;
      const float* const from =
          (of_x ? p.x : p.codebook) + (line < last ? line : last) * p.width + (inside ? column : 0);
      float* const to = tile + row * S::stride + i % kSteps * kStep;
      if (kAligned) {
        copy_async(to, from, inside);
      } else {
        copy_async_word(to, from, inside);
      }
    }
  };

  for (int row = thread(); row < S::rows; row += kThreads) {
    found[row] = {-INFINITY, -INFINITY, begin, begin};
    x_norms[row] = 0;
  }
  float largest_norm = 0;
  for (int first_code = begin; first_code < end; first_code += S::codes) {
    for (int chunk = 0; chunk < kStages - 1; ++chunk) {
      if (chunk < chunks) copy(first_code, chunk);
      copy_async_commit();
    }
    float sums[S::thread_rows][S::thread_codes] = {};
    float norm = 0;  // of the thread's row of the tile: rows of x, then codes
    for (int chunk = 0; chunk < chunks; ++chunk) {
      copy_async_wait<kStages - 2>();
      block_barrier();
      if (chunk + kStages - 1 < chunks) copy(first_code, chunk + kStages - 1);
      copy_async_commit();
      const float* const tile = tiles + chunk % kStages * S::stage;
      if (thread() < S::rows + S::codes) {
        for (int k = 0; k < S::width; k += 4) {
          const Words4 values = *reinterpret_cast<const Words4*>(tile + thread() * S::stride + k);
          for (int i = 0; i < 4; ++i) norm = multiply_add(as_float(values.word[i]), as_float(values.word[i]), norm);
        }
      }
#pragma unroll
      for (int k = 0; k < S::width; k += 4) {
        Words4 x[S::thread_rows], e[S::thread_codes];
#pragma unroll
        for (int i = 0; i < S::thread_rows; ++i) {
          x[i] = *reinterpret_cast<const Words4*>(tile + (own_row + 16 * i) * S::stride + k);
        }
#pragma unroll
        for (int i = 0; i < S::thread_codes; ++i) {
          e[i] = *reinterpret_cast<const Words4*>(tile + (S::rows + own_code + 16 * i) * S::stride + k);
        }
#pragma unroll
        for (int column = 0; column < 4; ++column) {
#pragma unroll
          for (int i = 0; i < S::thread_rows; ++i) {
#pragma unroll
            for (int j = 0; j < S::thread_codes; ++j) {
              sums[i][j] = multiply_add(as_float(x[i].word[column]), as_float(e[j].word[column]), sums[i][j]);
            }
          }
        }
      }
    }
    copy_async_wait<0>();
    if (thread() < S::rows) {
      x_norms[thread()] = norm;
    } else if (thread() < S::rows + S::codes) {
      norms[thread() - S::rows] = norm;
    }
    block_barrier();
    for (int i = 0; i < S::codes; ++i) largest_norm = norms[i] > largest_norm ? norms[i] : largest_norm;
#pragma unroll
    for (int i = 0; i < S::thread_rows; ++i) {
      BestTwo two = {-INFINITY, -INFINITY, 0x7fffffff, 0x7fffffff};
#pragma unroll
      for (int j = 0; j < S::thread_codes; ++j) {
        const int code = first_code + own_code + 16 * j;
        if (code < end) take(two, multiply_add(norms[own_code + 16 * j], -0.5f, sums[i][j]), code);
      }
      for (int other = 1; other < 16; other *= 2) {
        const float score = shuffle_xor(two.score, other), second_score = shuffle_xor(two.second_score, other);
        const int code = shuffle_xor(two.code, other), second_code = shuffle_xor(two.second_code, other);
        take(two, score, code);
        take(two, second_score, second_code);
      }
      if (own_code == 0) {
        BestTwo& all = found[own_row + 16 * i];
        if (two.score > -INFINITY) take(all, two.score, two.code);
        if (two.second_score > -INFINITY) take(all, two.second_score, two.second_code);
      }
    }
    block_barrier();
  }
  for (int row = thread(); row < S::rows && first_row + row < p.rows; row += kThreads) {
    const std::size_t at = static_cast<std::size_t>(block_y()) * p.rows + first_row + row;
    best[at] = found[row];
    scale[at] = sqrtf(x_norms[row] * largest_norm) + 0.5f * largest_norm;
  }
}

// In double precision, by all lanes of a warp.
LF_DEVICE double squared_distance(const CodebookLookup& p, std::int64_t row, int code) {
  const float* const x = p.x + row * p.width;
  const float* const e = p.codebook + static_cast<std::int64_t>(code) * p.width;
  double distance = 0;
  for (int column = lane(); column < p.width; column += kWarp) {
    const double difference = static_cast<double>(x[column]) - static_cast<double>(e[column]);
    distance += difference * difference;
  }
  for (int other = 1; other < kWarp; other *= 2) distance += shuffle_xor(distance, other);
  return distance;
}

// A lane a row; where rounding may have decided, the whole warp finds the distances again. Of a group whose second best
// may be the nearest, any code may be.
LF_KERNEL(kThreads)
join_kernel(const CodebookLookup p, int groups, int codes_of_group, const BestTwo* best, const float* scale) {
  const std::int64_t first = static_cast<std::int64_t>(block_x()) * kThreads + thread() / kWarp * kWarp;
  const std::int64_t row = first + lane() < p.rows ? first + lane() : p.rows - 1;
  BestTwo all = best[row];
  float largest = scale[row];
  for (int group = 1; group < groups; ++group) {
    const std::size_t at = static_cast<std::size_t>(group) * p.rows + row;
    const BestTwo two = best[at];
    take(all, two.score, two.code);
    take(all, two.second_score, two.second_code);
    largest = scale[at] > largest ? scale[at] : largest;
  }
  // Each score is off by less than (width + 2) 2^-24 scale.
  const float slack = static_cast<float>(p.width + 4) * 0x1p-23f * largest;
  const int doubtful = all.second_score > -INFINITY && all.score - all.second_score <= slack;
  std::int64_t code = all.code;
  for (int i = 0; i < kWarp; ++i) {
    if (!shuffle_from(doubtful, i)) continue;
    const std::int64_t line = first + i < p.rows ? first + i : p.rows - 1;
    const float limit = shuffle_from(all.score - slack, i);
    double nearest = INFINITY;
    std::int64_t nearest_code = shuffle_from(all.code, i);
    for (int group = 0; group < groups; ++group) {
      const BestTwo two = best[static_cast<std::size_t>(group) * p.rows + line];
      if (!(two.score >= limit)) continue;
      const bool any = two.second_score >= limit;
      const int begin = any ? group * codes_of_group : two.code;
      const int after = any ? begin + codes_of_group : two.code + 1, end = after < p.codes ? after : p.codes;
      for (int rival = begin; rival < end; ++rival) {
        const double distance = squared_distance(p, line, rival);
        if (distance < nearest || (distance == nearest && rival < nearest_code)) {
          nearest = distance;
          nearest_code = rival;
        }
      }
    }
    if (lane() == i) code = nearest_code;
  }
  if (first + lane() < p.rows) p.indices[first + lane()] = code;
}

template <typename S>
bool start(const CodebookLookup& p, void* stream, Error& error) {
  const Split split = split_of(p);
  BestTwo* const best = static_cast<BestTwo*>(p.workspace);
  float* const scale = reinterpret_cast<float*>(best + static_cast<std::size_t>(split.groups) * p.rows);
  const auto aligned = [](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
  const bool wide = p.width % 4 == 0 && aligned(p.x) && aligned(p.codebook);
  const Launch scores{{static_cast<unsigned>((p.rows + S::rows - 1) / S::rows), static_cast<unsigned>(split.groups), 1},
                      kThreads,
                      S::shared_bytes,
                      stream,
                      false};
  const Launch join{{static_cast<unsigned>((p.rows + kThreads - 1) / kThreads), 1, 1}, kThreads, 0, stream, false};
  return launch(wide ? scores_kernel<S, true> : scores_kernel<S, false>, scores, error, p, split.per_group, best,
                scale) &&
         launch(join_kernel, join, error, p, split.groups, split.per_group, static_cast<const BestTwo*>(best),
                static_cast<const float*>(scale));
}

}  // namespace

std::size_t workspace_bytes(const CodebookLookup& p) {
  return static_cast<std::size_t>(split_of(p).groups) * static_cast<std::size_t>(p.rows) *
         (sizeof(BestTwo) + sizeof(float));
}

bool run(const CodebookLookup& lookup, void* stream, Error& error) {
  if (lookup.rows == 0) return true;
  return lookup.rows <= kFewRows ? start<Few>(lookup, stream, error) : start<Many>(lookup, stream, error);
}

}  // namespace lf::cuda
