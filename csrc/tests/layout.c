/* Where everything lies in the structs of the header, one line each: struct, field or "sizeof", bytes. */
#include <stddef.h>
#include <stdio.h>

#include "lamp_fast.h"

#define SIZE(type) printf(#type " sizeof %lu\n", (unsigned long)sizeof(type))
#define FIELD(type, field) printf(#type " " #field " %lu\n", (unsigned long)offsetof(type, field))

int main(void) {
  SIZE(lf_error);
  FIELD(lf_error, status);
  FIELD(lf_error, text);

  SIZE(lf_allocator);
  FIELD(lf_allocator, allocate);
  FIELD(lf_allocator, release);
  FIELD(lf_allocator, user_data);

  SIZE(lf_callbacks);
  FIELD(lf_callbacks, log);
  FIELD(lf_callbacks, progress);
  FIELD(lf_callbacks, done);
  FIELD(lf_callbacks, user_data);

  SIZE(lf_model_params);
  FIELD(lf_model_params, struct_size);
  FIELD(lf_model_params, allocator);
  FIELD(lf_model_params, precision);
  FIELD(lf_model_params, reserved);

  SIZE(lf_model_info);
  FIELD(lf_model_info, struct_size);
  FIELD(lf_model_info, bytes);
  FIELD(lf_model_info, frames_per_second);
  FIELD(lf_model_info, max_frames);
  FIELD(lf_model_info, frames_per_token);
  FIELD(lf_model_info, condition_width);
  FIELD(lf_model_info, embedding_width);
  FIELD(lf_model_info, feature_width);
  FIELD(lf_model_info, makes_motions);
  FIELD(lf_model_info, reads_motions);
  FIELD(lf_model_info, predicts_lengths);
  FIELD(lf_model_info, reserved);

  SIZE(lf_session_params);
  FIELD(lf_session_params, struct_size);
  FIELD(lf_session_params, allocator);
  FIELD(lf_session_params, arena);
  FIELD(lf_session_params, arena_bytes);
  FIELD(lf_session_params, callbacks);
  FIELD(lf_session_params, parallel_for);
  FIELD(lf_session_params, parallel_for_user_data);
  FIELD(lf_session_params, threading);
  FIELD(lf_session_params, threads);
  FIELD(lf_session_params, coordinates);
  FIELD(lf_session_params, units_per_metre);
  FIELD(lf_session_params, root_mode);
  FIELD(lf_session_params, skeleton);
  FIELD(lf_session_params, max_requests);
  FIELD(lf_session_params, max_streams);
  FIELD(lf_session_params, stream_seconds);
  FIELD(lf_session_params, reserved);

  SIZE(lf_joint);
  FIELD(lf_joint, struct_size);
  FIELD(lf_joint, name);
  FIELD(lf_joint, parent);
  FIELD(lf_joint, rest);

  SIZE(lf_stats);
  FIELD(lf_stats, struct_size);
  FIELD(lf_stats, bytes);
  FIELD(lf_stats, requests_done);
  FIELD(lf_stats, requests_failed);
  FIELD(lf_stats, microseconds_last);
  FIELD(lf_stats, microseconds_longest);
  FIELD(lf_stats, requests_waiting);
  FIELD(lf_stats, threads);
  FIELD(lf_stats, instructions);

  SIZE(lf_generate_params);
  FIELD(lf_generate_params, struct_size);
  FIELD(lf_generate_params, prompt);
  FIELD(lf_generate_params, condition);
  FIELD(lf_generate_params, frames);
  FIELD(lf_generate_params, steps);
  FIELD(lf_generate_params, guidance);
  FIELD(lf_generate_params, temperature);
  FIELD(lf_generate_params, top_k);
  FIELD(lf_generate_params, before_frames);
  FIELD(lf_generate_params, before);
  FIELD(lf_generate_params, after);
  FIELD(lf_generate_params, after_frames);
  FIELD(lf_generate_params, reserved);
  FIELD(lf_generate_params, seed);
  FIELD(lf_generate_params, deadline_microseconds);

  SIZE(lf_motion);
  FIELD(lf_motion, struct_size);
  FIELD(lf_motion, frame_capacity);
  FIELD(lf_motion, frames);
  FIELD(lf_motion, positions);
  FIELD(lf_motion, rotations);
  FIELD(lf_motion, root_positions);
  FIELD(lf_motion, root_rotations);
  FIELD(lf_motion, contacts);
  FIELD(lf_motion, features);
  FIELD(lf_motion, tokens);

  SIZE(lf_stream_params);
  FIELD(lf_stream_params, struct_size);
  FIELD(lf_stream_params, position);
  FIELD(lf_stream_params, heading);
  FIELD(lf_stream_params, blend_frames);
  FIELD(lf_stream_params, idle_seconds);

  SIZE(lf_stream_info);
  FIELD(lf_stream_info, struct_size);
  FIELD(lf_stream_info, frames_committed);
  FIELD(lf_stream_info, seconds_left);
  FIELD(lf_stream_info, frames_free);
  FIELD(lf_stream_info, segments_waiting);
  FIELD(lf_stream_info, samples);
  FIELD(lf_stream_info, underruns);

  SIZE(lf_pose);
  FIELD(lf_pose, struct_size);
  FIELD(lf_pose, positions);
  FIELD(lf_pose, rotations);
  FIELD(lf_pose, frame);
  FIELD(lf_pose, root_position);
  FIELD(lf_pose, root_rotation);
  FIELD(lf_pose, root_step);
  FIELD(lf_pose, root_turn);
  FIELD(lf_pose, contacts);
  FIELD(lf_pose, segment);
  return 0;
}
