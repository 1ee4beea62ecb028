#include "call.h"

using namespace lf;
using namespace lf::capi;

namespace {

float product(const float* a, const float* b, std::size_t width) noexcept {
  constexpr std::size_t kLanes = 8;
  float lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (; i < width; ++i) sum += a[i] * b[i];
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

extern "C" lf_status lf_search(const float* embeddings, uint64_t count, uint64_t width, const float* query, uint64_t k,
                               uint64_t* indices, float* scores, uint64_t* found, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "query and found", query, found)) return false;
    if (count > 0 && !given(e, "embeddings", embeddings)) return false;
    if (k > 0 && !given(e, "indices and scores", indices, scores)) return false;
    if (width == 0) return fail(e, LF_ERROR_INVALID_ARGUMENT, "width is 0, expected the model's embedding_width");
    if (!all_finite(query, width)) {
      return fail(e, LF_ERROR_NOT_FINITE, "the query holds NaN or an infinity");
    }
    // The best so far lie in order in the caller's arrays; nearly all others are below the last of them.
    std::uint64_t held = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const float score = product(embeddings + i * width, query, width);
      if (!std::isfinite(score) || k == 0 || (held == k && score <= scores[held - 1])) continue;
      std::uint64_t place = held < k ? held++ : held - 1;
      for (; place > 0 && scores[place - 1] < score; --place) {
        scores[place] = scores[place - 1];
        indices[place] = indices[place - 1];
      }
      scores[place] = score;
      indices[place] = i;
    }
    *found = held;
    return true;
  });
}
