#include <algorithm>
#include <cmath>

#include "call.h"
#include "session.h"

using namespace lf;
using namespace lf::capi;

extern "C" {

lf_status lf_stream_params_init(lf_stream_params* params) {
  if (params == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  *params = {};
  params->struct_size = sizeof *params;
  params->blend_frames = 8;
  return LF_OK;
}

lf_status lf_stream_create(lf_session* session, const lf_stream_params* params, lf_stream** stream, lf_error* error) {
  return call(error, [&](Error& e) {
    if (!given(e, "session and stream", session, stream)) return false;
    lf_stream_params read;
    lf_stream_params_init(&read);
    if (params != nullptr) {
      if (!sized(params, "lf_stream_params", e)) return false;
      read = *params;
    }
    if (!session->sizes().makes_motions) {
      return fail(e, LF_ERROR_UNSUPPORTED, "this model makes no motions, it only searches; use one with a generator");
    }
    if (!all_finite(read.position, 3) || !std::isfinite(read.heading) || !std::isfinite(read.idle_seconds)) {
      return fail(e, LF_ERROR_NOT_FINITE, "position, heading or idle_seconds is NaN or an infinity");
    }
    for (const float place : read.position) {
      if (!in_range(place, -kMaxNumber, kMaxNumber, "position", e)) return false;
    }
    if (!in_range(read.heading, -kMaxNumber, kMaxNumber, "heading", e) ||
        !in_range(read.blend_frames, 0, 100, "blend_frames", e) ||
        !in_range(read.idle_seconds, 0, kMaxNumber, "idle_seconds", e)) {
      return false;
    }
    lf_stream* opened = session->open_stream(read, e);
    if (opened != nullptr) *stream = opened;
    return opened != nullptr;
  });
}

void lf_stream_destroy(lf_stream* stream) {
  if (stream != nullptr) stream->session->close_stream(*stream);
}

lf_status lf_stream_append(lf_stream* stream, const lf_generate_params* params, lf_request* request, lf_error* error) {
  return call(error, [&](Error& e) {
    return given(e, "stream", stream) && sized(params, "lf_generate_params", e) &&
           stream->session->submit(*params, stream, request, e);
  });
}

lf_status lf_stream_get_info(const lf_stream* stream, lf_stream_info* info) {
  if (stream == nullptr || info == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  if (info->struct_size != sizeof *info) return LF_ERROR_STRUCT_SIZE;
  info->frames_committed = stream->motion.committed();
  info->seconds_left = stream->motion.seconds_left();
  info->frames_free = static_cast<std::int32_t>(stream->motion.room());
  info->segments_waiting = stream->waiting.load(std::memory_order_acquire);
  info->samples = stream->samples.load(std::memory_order_relaxed);
  info->underruns = stream->underruns.load(std::memory_order_relaxed);
  return LF_OK;
}

lf_status lf_stream_sample(lf_stream* stream, double seconds, lf_pose* pose) {
  if (stream == nullptr || pose == nullptr) return LF_ERROR_INVALID_ARGUMENT;
  if (pose->struct_size != sizeof *pose) return LF_ERROR_STRUCT_SIZE;
  if (!std::isfinite(seconds)) return LF_ERROR_NOT_FINITE;
  Pose played;
  played.positions = pose->positions;
  played.rotations = pose->rotations;
  const bool is_there = stream->motion.sample(seconds, played);
  stream->samples.fetch_add(1, std::memory_order_relaxed);
  if (!is_there) stream->underruns.fetch_add(1, std::memory_order_relaxed);
  std::copy_n(played.root_position, 3, pose->root_position);
  std::copy_n(played.root_rotation, 4, pose->root_rotation);
  std::copy_n(played.root_step, 3, pose->root_step);
  pose->root_turn = played.root_turn;
  std::copy_n(played.contacts, kContacts, pose->contacts);
  pose->frame = played.frame;
  pose->segment = played.segment;
  return is_there ? LF_OK : LF_UNDERRUN;
}

}  // extern "C"
