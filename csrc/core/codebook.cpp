#include "codebook.h"

#include <limits>

namespace lf {
namespace {

// Independent partial sums, so that the compiler may use vector instructions without changing the order of additions.
constexpr std::size_t kLanes = 8;

double squared_distance(const float* a, const float* b, std::size_t width) noexcept {
  double lanes[kLanes] = {};
  std::size_t d = 0;
  for (; d + kLanes <= width; d += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double difference = static_cast<double>(a[d + lane]) - static_cast<double>(b[d + lane]);
      lanes[lane] += difference * difference;
    }
  }
  double sum = 0.0;
  for (; d < width; ++d) {
    const double difference = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    sum += difference * difference;
  }
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

bool codebook_lookup(const float* x, std::size_t rows, const float* codebook, std::size_t codes, std::size_t width,
                     std::int64_t* indices) noexcept {
  bool complete = true;
  for (std::size_t m = 0; m < rows; ++m) {
    double best = std::numeric_limits<double>::infinity();
    std::int64_t index = -1;
    for (std::size_t k = 0; k < codes; ++k) {
      const double distance = squared_distance(x + m * width, codebook + k * width, width);
      if (distance < best) {
        best = distance;
        index = static_cast<std::int64_t>(k);
      }
    }
    indices[m] = index;
    complete = complete && index >= 0;
  }
  return complete;
}

}  // namespace lf
