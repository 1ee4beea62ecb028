// A character that is sampled without end while others append to it, cancel, ask for motions and give them back; then
// the same in real time, with two busy threads for every core: session_soak_test MODEL.
// LAMP_FAST_SOAK_TICKS: how many samples, 100000 if not given.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "lamp_fast.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

namespace {
std::atomic<long> allocations{0};
}

// Every allocation of the process is counted where malloc can be ours.
#if defined(__GLIBC__) && !defined(SANITIZED)
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, bytes);
}
}
#endif

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxJoints = 32;
constexpr double kTick = 1.0 / 60;
constexpr const char* kPrompts[] = {"a person walks forward", "a person jumps", "a person sits down",
                                    "a person waves with the left hand"};

int failures = 0;
bool moves_like_people = true;  // a model of random weights does not

void expect(bool condition, const char* what) {
  if (condition) return;
  if (++failures < 20) std::printf("FAILED: %s\n", what);
}

// Numbers that look random, the same in every run.
struct Dice {
  std::uint32_t state;
  std::uint32_t roll(std::uint32_t sides) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % sides;
  }
};

lf_generate_params quick(std::uint32_t number) {
  lf_generate_params params;
  lf_generate_params_init(&params);
  params.prompt = kPrompts[number % 4];
  params.frames = 8 + static_cast<std::int32_t>(number % 60);
  params.steps = 1;
  params.guidance = 1;
  params.seed = number;
  return params;
}

// What a sample must be: rotations of length 1, joints that move no faster than a body can.
class Watch {
 public:
  explicit Watch(int joints) : joints_(joints) { pose.struct_size = sizeof pose, pose.positions = positions_; }

  lf_status sample(lf_stream* stream, double time) {
    pose.rotations = rotations_;
    std::copy_n(positions_, 3 * joints_, before_);
    const double frame = pose.frame;
    const Clock::time_point begin = Clock::now();
    const lf_status status = lf_stream_sample(stream, time, &pose);
    const double spent = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    spent_[count_ % kKept] = static_cast<float>(spent);
    worst = std::max(worst, spent);
    expect(status == LF_OK || status == LF_UNDERRUN, "a sample has a status");
    for (int i = 0; i < joints_; ++i) {
      const float* q = rotations_ + 4 * i;
      expect(std::fabs(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3] - 1) < 1e-4f, "rotations have length 1");
    }
    if (count_ > 0 && pose.frame > 0 && frame > 0) {
      float farthest = 0;
      for (int i = 0; i < 3 * joints_; ++i) farthest = std::max(farthest, std::fabs(positions_[i] - before_[i]));
      fastest = std::max(fastest, farthest);
      expect(farthest < (moves_like_people ? 1.0f : 10.0f), "no joint jumps");
      expect(pose.frame >= frame, "a stream does not run backwards");
    }
    ++count_;
    return status;
  }

  // Of the last samples, microseconds.
  double percentile(double share) {
    const std::size_t count = std::min<std::size_t>(count_, kKept);
    std::sort(spent_, spent_ + count);
    return spent_[static_cast<std::size_t>(share * static_cast<double>(count - 1))];
  }

  lf_pose pose{};
  double worst = 0;
  float fastest = 0;

 private:
  static constexpr std::size_t kKept = 1 << 17;
  int joints_;
  std::size_t count_ = 0;
  float positions_[3 * kMaxJoints] = {}, before_[3 * kMaxJoints] = {}, rotations_[4 * kMaxJoints] = {};
  float spent_[kKept] = {};
};

void without_end(lf_session* session, long ticks) {
  lf_stream* stream = nullptr;
  expect(lf_stream_create(session, nullptr, &stream, nullptr) == LF_OK, "a stream");
  std::atomic<bool> over{false};
  std::atomic<long> appended{0}, cancelled{0}, made{0};
  static Watch watch(lf_session_joint_count(session));
  std::vector<float> positions(3 * kMaxJoints * 400);
  std::atomic<int> ready{0};

  std::thread appender([&] {
    Dice dice{1};
    lf_stream_info info{};
    info.struct_size = sizeof info;
    ++ready;
    while (!over) {
      lf_stream_get_info(stream, &info);
      if (info.frames_free < 80 || info.segments_waiting > 2) {
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        continue;
      }
      const lf_generate_params params = quick(dice.roll(1000));
      lf_request request = 0;
      if (dice.roll(3) > 0) {
        if (lf_stream_append(stream, &params, nullptr, nullptr) == LF_OK) ++appended;
        continue;
      }
      if (lf_stream_append(stream, &params, &request, nullptr) != LF_OK) continue;
      std::this_thread::sleep_for(std::chrono::microseconds(dice.roll(3000)));
      if (dice.roll(2) > 0 && lf_request_cancel(session, request) == LF_OK) ++cancelled;
      expect(lf_request_release(session, request) == LF_OK, "a segment is given back");
    }
  });
  std::thread asker([&] {
    Dice dice{2};
    lf_motion motion{};
    motion.struct_size = sizeof motion;
    motion.frame_capacity = 400;
    motion.positions = positions.data();
    ++ready;
    while (!over) {
      const lf_generate_params params = quick(dice.roll(1000));
      lf_request request = 0;
      if (lf_request_submit(session, &params, &request, nullptr) != LF_OK) {
        std::this_thread::yield();
        continue;
      }
      const bool patient = dice.roll(2) > 0;
      while (patient && !over && lf_request_poll(session, request, nullptr) == LF_PENDING) {
        std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
      const lf_status status = lf_request_result(session, request, &motion, nullptr);
      expect(status == LF_OK || (status == LF_PENDING && !(patient && !over)), "a patient one gets its motion");
      if (status == LF_OK) ++made;
      expect(lf_request_release(session, request) == LF_OK, "a request is given back");
    }
  });

  while (ready < 2) std::this_thread::yield();
  long underruns = 0, before = allocations;
  double time = 0;
  lf_stream_info info{};
  info.struct_size = sizeof info;
  for (long tick = 0; tick < ticks; ++tick) {
    // Half of the time the stream may run dry, half of the time it is waited for.
    lf_stream_get_info(stream, &info);
    if (tick / 1000 % 2 == 0 && info.seconds_left < 0.1) std::this_thread::sleep_for(std::chrono::microseconds(500));
    time += kTick;
    if (watch.sample(stream, time) == LF_UNDERRUN) ++underruns;
  }
  const long allocated = allocations - before;
  over = true;
  appender.join();
  asker.join();
  lf_stream_get_info(stream, &info);
  expect(info.samples == static_cast<std::uint64_t>(ticks), "every sample is counted");
  expect(info.underruns == static_cast<std::uint64_t>(underruns), "every underrun, too");
  expect(allocated == 0, "nothing is allocated");
  lf_stream_destroy(stream);
  std::printf(
      "%ld samples, %ld without motion, %llu frames; %ld segments, %ld cancelled, %ld motions; %ld allocations; "
      "fastest joint %.2f m a tick; a sample takes %.1f us, 99 %% below %.1f us\n",
      ticks, underruns, static_cast<unsigned long long>(info.frames_committed), appended.load(), cancelled.load(),
      made.load(), allocated, static_cast<double>(watch.fastest), watch.percentile(0.5), watch.percentile(0.99));
}

void in_real_time(lf_session* session, double seconds) {
  lf_stream* stream = nullptr;
  expect(lf_stream_create(session, nullptr, &stream, nullptr) == LF_OK, "a stream");
  std::atomic<bool> over{false};
  std::vector<std::thread> busy;
  const unsigned load = 2 * std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < load; ++i) {
    busy.emplace_back([&over] {
      volatile double x = 1;
      while (!over) x = std::sqrt(x + 1);
    });
  }
  static Watch watch(lf_session_joint_count(session));
  lf_stream_info info{};
  info.struct_size = sizeof info;
  lf_generate_params params;
  lf_generate_params_init(&params);
  params.frames = 60;
  long underruns = 0, ticks = 0;
  std::uint32_t number = 0;
  Clock::time_point start = Clock::now();
  bool primed = false;
  while (ticks < static_cast<long>(seconds / kTick)) {
    lf_stream_get_info(stream, &info);
    if (info.seconds_left < 3 && info.segments_waiting == 0) {
      params.prompt = kPrompts[++number % 4];
      params.seed = number;
      expect(lf_stream_append(stream, &params, nullptr, nullptr) == LF_OK, "a segment");
    }
    if (!primed) {
      primed = info.frames_committed > 0;
      start = Clock::now();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    const double time = std::chrono::duration<double>(Clock::now() - start).count();
    if (watch.sample(stream, time) == LF_UNDERRUN) ++underruns;
    ++ticks;
    std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(
                                              std::chrono::duration<double>(kTick * static_cast<double>(ticks))));
  }
  over = true;
  for (std::thread& thread : busy) thread.join();
  lf_stream_destroy(stream);
  expect(underruns == 0, "no sample is without motion while others keep the cores busy");
#if !defined(SANITIZED)
  expect(watch.percentile(0.99) < 100,
         "a sample takes less than 0.1 ms");  // but for those that another thread cut short
#endif
  std::printf(
      "%ld ticks in real time beside %u busy threads: %ld without motion; a sample takes %.1f us, 99 %% below "
      "%.1f us\n",
      ticks, load, underruns, watch.percentile(0.5), watch.percentile(0.99));
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = argc > 1 ? argv[1] : std::getenv("LAMP_FAST_NATIVE_MODEL");
  if (path == nullptr) {
    std::printf("skipped: no model file is named, neither as argument nor by LAMP_FAST_NATIVE_MODEL\n");
    return 77;
  }
  moves_like_people = argc == 1;
  const char* wish = std::getenv("LAMP_FAST_SOAK_TICKS");
  const long ticks = wish != nullptr ? std::atol(wish) : 100000;
  lf_model* model = nullptr;
  lf_session* session = nullptr;
  lf_error error{};
  // Told that a request is done, one asks for it, while another thread may release it and its place be taken.
  lf_session_params params;
  lf_session_params_init(&params);
  params.callbacks.user_data = &session;
  params.callbacks.done = [](lf_request request, lf_status, void* user_data) {
    lf_session* const done_in = *static_cast<lf_session**>(user_data);
    const lf_status status = lf_request_poll(done_in, request, nullptr);
    expect(status != LF_PENDING && status != LF_UNDERRUN, "it is done, or gone");
    lf_request_cancel(done_in, request);
  };
  if (lf_model_load(path, nullptr, &model, &error) != LF_OK ||
      lf_session_create(model, &params, &session, &error) != LF_OK) {
    std::printf("FAILED: %s\n", error.text);
    return 1;
  }
  without_end(session, ticks);
  in_real_time(session, ticks >= 100000 ? 5 : 2);
  lf_session_destroy(session);
  lf_model_release(model);
  return failures == 0 ? 0 : 1;
}
