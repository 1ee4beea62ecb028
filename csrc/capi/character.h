// A stream of a session: the buffer that plays, and what the worker remembers of the last segment.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "memory.h"
#include "queue.h"
#include "stream.h"

namespace lf::capi {

// The prompt of a segment, so that the next one knows whether it goes on with the same.
struct LastPrompt {
  bool known = false, has_text = false;
  Buffer<char> text;
  Buffer<float> condition;

  bool is_that_of(const Question& question) const noexcept {
    if (!known || has_text != question.has_text) return false;
    if (has_text) return std::strcmp(text.data(), question.text) == 0;
    return std::memcmp(condition.data(), question.condition.data(), condition.size() * sizeof(float)) == 0;
  }

  void remember(const Question& question, const float* encoded) noexcept {
    known = true;
    has_text = question.has_text;
    std::strcpy(text.data(), has_text ? question.text : "");
    std::memcpy(condition.data(), encoded, condition.size() * sizeof(float));
  }
};

}  // namespace lf::capi

struct lf_stream {
  enum class State : std::uint32_t { free, opening, open, closing };

  lf_session* session = nullptr;
  std::atomic<State> state{State::free};
  std::atomic<bool> revoked{false};      // as soon as it is closing
  std::atomic<std::int32_t> waiting{0};  // segments in the queue
  std::atomic<std::uint64_t> samples{0}, underruns{0};
  std::size_t blend_frames = 0;
  lf::Buffer<unsigned char> memory;
  lf::Stream motion;
  lf::capi::LastPrompt last;  // the worker's
};
