// Times on a GPU what csrc/cuda chooses by estimates: what a kernel of a graph costs that does nothing, with and
// without dependent launches, and each tile of a linear layer over rows and widths, beside the one that tile_for takes.
//
//   cmake -S . -B build/bench -DLAMP_FAST_BENCH=ON -DLAMP_FAST_CUDA=ON
//   cmake --build build/bench --target cuda_bench && build/bench/csrc/cuda/cuda_bench
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "../cuda/linear.h"
#include "../cuda/runtime.h"

namespace {

using lf::Error;
using lf::cuda::bf16;
using lf::cuda::Graph;
using lf::cuda::Linear;
using lf::cuda::Memory;
using lf::cuda::Tile;

void check(bool well, const Error& error) {
  if (well) return;
  std::printf("FAILED: %s\n", error.text);
  std::exit(1);
}

void check(cudaError_t result, const char* what) {
  Error error;
  check(lf::cuda::succeeded(result, what, error), error);
}

// The median over replays of a graph, for each of its `launches`.
template <typename Record>
double microseconds(int launches, Record record) {
  Error error;
  Graph graph;
  check(graph.capture(
            [&](void* stream) {
              bool well = true;
              for (int i = 0; well && i < launches; ++i) well = record(stream, error);
              return well;
            },
            error),
        error);
  cudaStream_t stream;
  cudaEvent_t begin, end;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "make a stream");
  check(cudaEventCreate(&begin), "make an event");
  check(cudaEventCreate(&end), "make an event");
  std::vector<float> times;
  for (int i = 0; i < 12; ++i) {
    check(graph.launch(stream, error), error);  // so that the one that is timed finds the GPU awake and its data near
    check(cudaEventRecord(begin, stream), "take the time");
    check(graph.launch(stream, error), error);
    check(cudaEventRecord(end, stream), "take the time");
    check(cudaEventSynchronize(end), "finish");
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end), "take the time");
    if (i > 1) times.push_back(ms);
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaStreamDestroy(stream);
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return 1e3 * times[times.size() / 2] / launches;
}

LF_KERNEL(128)
touch_kernel(float* numbers) {
  lf::cuda::wait_for_previous_kernel();
  lf::cuda::let_next_kernel_begin();
  if (lf::cuda::thread() == 0) numbers[lf::cuda::block_x()] += 1;
}

void hand_overs(float* numbers) {
  std::printf("a kernel of a graph that adds a number, us\n");
  for (const unsigned blocks : {16u, 132u}) {
    for (const bool dependent : {false, true}) {
      const double time = microseconds(400, [&](void* stream, Error& error) {
        return lf::cuda::launch(touch_kernel, {{blocks, 1, 1}, 128, 0, stream, dependent}, error, numbers);
      });
      std::printf("  %3u blocks%s: %.3f\n", blocks, dependent ? ", dependent" : "", time);
    }
  }
}

Memory random_halves(std::size_t count) {
  std::vector<std::uint16_t> values(count);
  std::mt19937 engine(1);
  for (std::uint16_t& value : values)
    value = static_cast<std::uint16_t>(0x3c00 + engine() % 0x400 + (engine() % 2 << 15));
  Memory memory;
  Error error;
  check(memory.allocate(count * 2, error), error);
  check(cudaMemcpy(memory.at<void>(0), values.data(), count * 2, cudaMemcpyHostToDevice), "copy memory");
  return memory;
}

void linears(int processors, const float* numbers) {
  constexpr int kMostRows = 25600, kMostWidth = 1536;
  const Memory x = random_halves(static_cast<std::size_t>(kMostRows) * kMostWidth),
               weight = random_halves(static_cast<std::size_t>(kMostWidth) * kMostWidth),
               y = random_halves(static_cast<std::size_t>(kMostRows) * kMostWidth);
  const char* const names[] = {"small", "medium", "large"};
  double excess = 0;
  int count = 0;
  std::printf("a linear layer in bfloat16 with its bias, us by tile; the best one's TFLOP/s; tile_for's, dependent\n");
  for (const int rows : {98, 392, 1568, 3136, 6272, 25088}) {
    for (const auto& [inner, outer] : {std::pair{384, 384},
                                       {384, 1024},
                                       {384, 1152},
                                       {1024, 384},
                                       {512, 512},
                                       {512, 1024},
                                       {512, 1536},
                                       {1024, 512}}) {
      Linear p;
      p.x = x.at<void>(0), p.x_stride = inner, p.weight = weight.at<void>(0);
      p.rows = rows, p.inner = inner, p.outer = outer, p.bias = numbers;
      p.y = y.at<void>(0), p.y_stride = outer;
      const auto time = [&](Tile tile, bool dependent) {
        return microseconds(rows > 5000 ? 20 : 100, [&](void* stream, Error& error) {
          return lf::cuda::run<bf16>(p, tile, stream, dependent, error);
        });
      };
      double times[3];
      for (int tile = 0; tile < 3; ++tile) times[tile] = time(static_cast<Tile>(tile), false);
      const int chosen = static_cast<int>(lf::cuda::tile_for(p, processors));
      const double best = *std::min_element(times, times + 3);
      excess += times[chosen] / best - 1;
      ++count;
      std::printf("  %5d rows %4d to %4d: %.2f %.2f %.2f, %.0f TFLOP/s; %s %.2f%s\n", rows, inner, outer, times[0],
                  times[1], times[2], 2e-6 * rows * inner * outer / best, names[chosen], time(Tile(chosen), true),
                  times[chosen] > 1.05 * best ? ", not the best" : "");
    }
  }
  std::printf("tile_for costs %.1f %% in the mean\n", 100 * excess / count);
}

}  // namespace

int main() {
  Error error;
  int processors = 0;
  if (!lf::cuda::find_device(error)) {
    std::printf("%s\n", error.text);
    return 77;
  }
  check(lf::cuda::count_processors(processors, error), error);
  Memory numbers;
  check(numbers.allocate(1 << 16, error) && lf::cuda::clear(numbers.at<void>(0), 1 << 16, nullptr, error), error);
  check(cudaDeviceSynchronize(), "finish");
  hand_overs(numbers.at<float>(0));
  linears(processors, numbers.at<float>(0));
  return 0;
}
