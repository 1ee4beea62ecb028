#include "embed.h"
#include "runtime.h"

namespace lf::cuda {
namespace {

constexpr int kThreads = 128;

// One block a sample.
template <typename Element>
LF_KERNEL(kThreads)
begin_kernel(const Begin p) {
  const int sample = block_x();
  std::int64_t length = p.lengths != nullptr ? p.lengths[sample] : p.positions;
  length = length < 1 ? 1 : length > p.positions ? p.positions : length;

  int* const wanted = reinterpret_cast<int*>(shared_memory());  // of each thread
  wanted[thread()] = 0;
  for (int n = thread(); n < p.positions; n += kThreads) {
    const std::size_t at = static_cast<std::size_t>(sample) * p.positions + n;
    std::int64_t id = p.known != nullptr ? p.known[at] : p.codes;
    if (id == p.codes && n >= length) id = p.codes + 1;
    p.ids[at] = id;
    wanted[thread()] += id == p.codes;
    for (int branch = 0; branch < p.branches; ++branch) {
      const int of = branch * p.samples + sample;
      p.rows[static_cast<std::size_t>(of) * p.positions + n] = of * (p.positions + 1) + 1 + n;
    }
  }
  block_barrier();
  int all = 0;
  for (int i = 0; i < kThreads; ++i) all += wanted[i];
  for (int step = thread(); step < p.steps; step += kThreads) {
    p.next_counts[static_cast<std::size_t>(step) * p.samples + sample] = p.schedule[all * (p.steps + 1) + step + 1];
  }
  for (int i = thread() * 8; i < p.condition_stride; i += kThreads * 8) {
    float eight[8];
    for (int j = 0; j < 8; ++j) {
      const int column = i + j;
      eight[j] =
          column < p.condition_width ? p.condition[static_cast<std::size_t>(sample) * p.condition_width + column] : 0;
    }
    store8(static_cast<Element*>(p.stored_condition) + static_cast<std::size_t>(sample) * p.condition_stride + i,
           eight);
  }
  if (thread() != 0) return;
  for (int branch = 0; branch < p.branches; ++branch) {
    p.row_lengths[branch * p.samples + sample] =
        1 + static_cast<std::int32_t>(p.pads_are_hidden ? length : p.positions);
  }
  p.token_lengths[sample] = length;
  p.seeds_of[sample] = p.seeds != nullptr ? p.seeds[sample] : 0;
  p.counters[sample] = p.samples_of != nullptr ? p.samples_of[sample] : sample;
  p.arrivals[sample] = 0;
  if (sample == 0) *p.stored_options = p.options;
}

// One block a row.
template <typename Element>
LF_KERNEL(kThreads)
embed_kernel(const Embed p) {
  wait_for_previous_kernel();
  let_next_kernel_begin();
  const int row = block_x(), of = row / (p.positions + 1), n = row % (p.positions + 1) - 1;
  const int branch = of / p.samples, sample = of % p.samples;
  Element* const out = static_cast<Element*>(p.out) + static_cast<std::size_t>(row) * p.width;
  const Element* first = nullptr;
  const Element* second = nullptr;
  if (n >= 0) {
    const std::int64_t id = p.ids[static_cast<std::size_t>(sample) * p.positions + n];
    const std::int64_t inside = id < 0 || id >= p.table_rows ? p.table_rows - 1 : id;
    first = static_cast<const Element*>(p.table) + inside * p.width;
    second = static_cast<const Element*>(p.positions_table) + static_cast<std::size_t>(n) * p.width;
  } else if (branch == 0) {
    first = static_cast<const Element*>(p.conditions) + static_cast<std::size_t>(sample) * p.width;
  }
  for (int i = thread() * 8; i < p.width; i += kThreads * 8) {
    float a[8], b[8];
    if (first != nullptr) {
      load8(a, first + i);
    } else {
      load8(a, p.no_condition + i);
    }
    if (second != nullptr) {
      load8(b, second + i);
      for (int j = 0; j < 8; ++j) a[j] += b[j];
    }
    store8(out + i, a);
  }
}

}  // namespace

template <typename Element>
bool run(const Begin& begin, void* stream, Error& error) {
  const Launch how{{static_cast<unsigned>(begin.samples), 1, 1}, kThreads, kThreads * sizeof(int), stream, false};
  return launch(begin_kernel<Element>, how, error, begin);
}

template <typename Element>
bool run(const Embed& embed, void* stream, bool dependent, Error& error) {
  const unsigned rows = static_cast<unsigned>(embed.branches) * embed.samples * (embed.positions + 1);
  return launch(embed_kernel<Element>, {{rows, 1, 1}, kThreads, 0, stream, dependent}, error, embed);
}

template bool run<bf16>(const Begin&, void*, Error&);
template bool run<float>(const Begin&, void*, Error&);
template bool run<bf16>(const Embed&, void*, bool, Error&);
template bool run<float>(const Embed&, void*, bool, Error&);

}  // namespace lf::cuda
