#include "decode_step.h"
#include "runtime.h"

namespace lf::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr float kKept = 1e5f;

// Philox-4x32-10 (Salmon et al. 2011), as csrc/core/philox.cpp.
struct Philox {
  std::uint32_t word[4];
};

LF_DEVICE Philox philox(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint64_t key) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = multiply_high(0xD2511F53u, c0), low0 = 0xD2511F53u * c0;
    const std::uint32_t high1 = multiply_high(0xCD9E8D57u, c2), low1 = 0xCD9E8D57u * c2;
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

LF_DEVICE float gumbel(float uniform) {
  const float inner = -logf(uniform < 1e-20f ? 1e-20f : uniform);
  return -logf(inner < 1e-20f ? 1e-20f : inner);
}

// Integers in the order of floats; both zeros give the same.
LF_DEVICE std::int32_t ordered(float x) {
  const std::int32_t bits = static_cast<std::int32_t>(float_bits(x == 0 ? 0.0f : x));
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

// Of all threads of a block; every thread gets the result. `round` counts the calls of a block: their scratch
// alternates, so that one barrier is enough.
template <typename T, typename Combine>
LF_DEVICE T over_block(T value, Combine combine, void* scratch, int& round) {
  T* const slots = reinterpret_cast<T*>(static_cast<std::uint64_t*>(scratch) + (round++ & 1) * kWarps);
  for (int other = kWarp / 2; other > 0; other /= 2) value = combine(value, shuffle_xor(value, other));
  if (lane() == 0) slots[thread() / kWarp] = value;
  block_barrier();
  value = slots[0];
  for (int warp = 1; warp < kWarps; ++warp) value = combine(value, slots[warp]);
  return value;
}

struct Best {
  float score;
  std::int32_t code;
};

LF_DEVICE std::uint64_t as_word(Best best) {
  return static_cast<std::uint64_t>(float_bits(best.score)) << 32 | static_cast<std::uint32_t>(best.code);
}
LF_DEVICE Best as_best(std::uint64_t word) {
  return {as_float(static_cast<std::uint32_t>(word >> 32)), static_cast<std::int32_t>(word)};
}

// The smallest key that at most `k - 1` larger ones, or those that tie with the k-th, exceed. Bisection; it ends as
// soon as exactly k keys reach the middle.
LF_DEVICE std::int32_t threshold_of(const std::int32_t* keys, int codes, std::int32_t low, std::int32_t high, int k,
                                    void* scratch, int& round) {
  while (low < high) {
    const std::int32_t middle = (low | high) - ((low ^ high) >> 1);  // half-way, rounded up; the sum would overflow
    int reached = 0;
    for (int code = thread(); code < codes; code += kThreads) reached += keys[code] >= middle;
    reached = over_block(reached, [](int a, int b) { return a + b; }, scratch, round);
    if (reached == k) return middle;
    if (reached > k) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// The last block of a sample: masks again, and lists the masked rows.
LF_DEVICE void finish_sample(const DecodeStep& p, int sample, bool* again) {
  const std::int64_t count = static_cast<const std::int64_t*>(p.next_count)[sample];
  std::int64_t* const ids = p.out_ids + static_cast<std::size_t>(sample) * p.positions;
  const float* const confidence = p.confidence + static_cast<std::size_t>(sample) * p.positions;
  for (int position = thread(); position < p.positions; position += kThreads) {
    const float own = load_fresh(confidence + position);
    int rank = 0;
    for (int i = 0; i < p.positions; ++i) {
      const float rival = load_fresh(confidence + i);
      rank += rival < own || (rival == own && i < position);
    }
    again[position] = own < kKept && rank < count;
    if (again[position]) ids[position] = p.codes;
  }
  if (p.next_rows == nullptr) return;
  block_barrier();
  for (int position = thread(); position < p.positions; position += kThreads) {
    int before = 0, masked = 0;  // before: of its own kind
    for (int i = 0; i < p.positions; ++i) {
      before += i < position && again[i] == again[position];
      masked += again[i];
    }
    const int slot = p.next_limit == p.positions ? position : again[position] ? before : masked + before;
    if (slot >= p.next_limit) continue;
    for (int branch = 0; branch < p.branches; ++branch) {
      const int of = branch * p.samples + sample;
      p.next_rows[static_cast<std::size_t>(of) * p.next_limit + slot] = of * (p.positions + 1) + 1 + position;
    }
  }
}

// One block a position. Shared memory: guided logits, their keys, scratch, and a flag for each position.
template <typename Scored>
LF_KERNEL(kThreads)
decode_step_kernel(const DecodeStep p) {
  float* const guided = reinterpret_cast<float*>(shared_memory());
  std::int32_t* const keys = reinterpret_cast<std::int32_t*>(guided) + (p.codes + 3) / 4 * 4;
  std::uint64_t* const scratch = reinterpret_cast<std::uint64_t*>(keys + (p.codes + 3) / 4 * 4);
  std::int32_t* const last = reinterpret_cast<std::int32_t*>(scratch + 2 * kWarps);
  bool* const again = reinterpret_cast<bool*>(last + 4);
  wait_for_previous_kernel();
  let_next_kernel_begin();

  const int sample = block_y(), position = block_x();
  const std::size_t row = static_cast<std::size_t>(sample) * p.positions + position;
  const std::int64_t* const ids = p.ids + static_cast<std::size_t>(sample) * p.positions;
  const DecodeOptions options = p.shared_options != nullptr ? *p.shared_options : p.options;
  int round = 0;
  std::int64_t drawn = ids[position];
  float confidence = kKept;
  if (drawn == p.codes) {
    int scored = position;
    if (p.scored < p.positions) {
      int earlier = 0;
      for (int i = thread(); i < position; i += kThreads) earlier += ids[i] == p.codes;
      scored = over_block(earlier, [](int a, int b) { return a + b; }, scratch, round);
      scored = scored < p.scored ? scored : p.scored - 1;
    }
    const std::size_t logits_row = (static_cast<std::size_t>(sample) * p.scored + scored) * p.logits_stride;
    std::int32_t low = 0x7fffffff, high = -0x7fffffff - 1;
    for (int code = thread(); code < p.codes; code += kThreads) {
      float logit = to_float(static_cast<const Scored*>(p.logits)[logits_row + code]);
      if (p.unconditional != nullptr) {
        const float plain = to_float(static_cast<const Scored*>(p.unconditional)[logits_row + code]);
        logit = plus(plain, times(options.guidance_scale, plus(logit, -plain)));
      }
      guided[code] = logit;
      const std::int32_t key = ordered(logit);
      keys[code] = key;
      low = key < low ? key : low;
      high = key > high ? key : high;
    }
    // Each reduction has a barrier: behind the first all keys are there.
    low = over_block(low, [](std::int32_t a, std::int32_t b) { return a < b ? a : b; }, scratch, round);
    high = over_block(high, [](std::int32_t a, std::int32_t b) { return a > b ? a : b; }, scratch, round);
    const float largest = as_float(static_cast<std::uint32_t>(high ^ ((high >> 31) & 0x7fffffff)));
    const std::int32_t threshold = threshold_of(keys, p.codes, low, high, options.top_k, scratch, round);

    const std::uint64_t seed = p.noise == nullptr ? static_cast<std::uint64_t>(p.seeds[sample]) : 0;
    const std::uint32_t counter = p.noise == nullptr ? static_cast<std::uint32_t>(p.samples_of[sample]) : 0;
    Best best{-INFINITY, p.codes};
    float sum = 0;
    for (int four = thread(); four < (p.codes + 3) / 4; four += kThreads) {
      Philox noise{};
      if (p.noise == nullptr) {
        noise = philox(counter, p.step, static_cast<std::uint32_t>(position), static_cast<std::uint32_t>(four), seed);
      }
      for (int i = 0; i < 4; ++i) {
        const int code = 4 * four + i;
        if (code >= p.codes) break;
        sum += expf(guided[code] - largest);
        if (keys[code] < threshold) continue;
        const float uniform = p.noise != nullptr ? p.noise[row * p.codes + code]
                                                 : times(static_cast<float>(noise.word[i] >> 8), 0x1p-24f);
        const float score = plus(guided[code] / options.temperature, gumbel(uniform));
        // Codes rise within a thread, so a later one has to be strictly better.
        if (best.code == p.codes || score > best.score) best = {score, code};
      }
    }
    best = as_best(over_block(
        as_word(best),
        [](std::uint64_t a, std::uint64_t b) {
          const Best x = as_best(a), y = as_best(b);
          return x.score > y.score || (x.score == y.score && x.code < y.code) ? a : b;
        },
        scratch, round));
    sum = over_block(sum, [](float a, float b) { return a + b; }, scratch, round);
    const int code = best.code >= 0 && best.code < p.codes ? best.code : p.codes - 1;  // NaN compares with nothing
    drawn = code;
    confidence = expf(guided[code] - largest) / sum;
    confidence = confidence == confidence ? confidence : 0;
  }
  if (thread() == 0) {
    p.out_ids[row] = drawn;
    p.confidence[row] = confidence;
    *last = arrive(p.arrivals + sample) == p.positions - 1;
  }
  block_barrier();
  if (*last == 0) return;
  if (thread() == 0) p.arrivals[sample] = 0;
  finish_sample(p, sample, again);
}

}  // namespace

template <typename Scored>
bool run(const DecodeStep& step, void* stream, bool dependent, Error& error) {
  if (step.samples == 0 || step.positions == 0) return true;
  const std::size_t codes = (static_cast<std::size_t>(step.codes) + 3) / 4 * 4;
  const Launch how{{static_cast<unsigned>(step.positions), static_cast<unsigned>(step.samples), 1},
                   kThreads,
                   codes * 8 + 2 * kWarps * 8 + 16 + static_cast<std::size_t>(step.positions),
                   stream,
                   dependent};
  return launch(decode_step_kernel<Scored>, how, error, step);
}

template bool run<float>(const DecodeStep&, void*, bool, Error&);
template bool run<bf16>(const DecodeStep&, void*, bool, Error&);

}  // namespace lf::cuda
