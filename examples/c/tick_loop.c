/*
 * A game's loop: tick_loop MODEL [SECONDS] [PUMP]
 *
 * A character follows a list of prompts. Each tick of 1/60 s takes a pose and, when the motion runs short, appends the
 * next prompt; neither ever waits. The session works on a thread of its own; with PUMP it has none, and each tick lends
 * it so many microseconds. At the end: the worst tick, and how often the motion was not there in time.
 */
#if !defined(_WIN32)
#define _POSIX_C_SOURCE 199309L
#endif
#include <stdio.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <windows.h>
#else
#include <time.h>
#endif

#include "lamp_fast.h"

#define TICKS_PER_SECOND 60
#define HORIZON 3.0 /* seconds of motion that are kept ready */
#define MAX_JOINTS 32

static double now(void) {
#if defined(_WIN32)
  LARGE_INTEGER count, frequency;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&frequency);
  return (double)count.QuadPart / (double)frequency.QuadPart;
#else
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
#endif
}

static void sleep_until(double time) {
  const double left = time - now();
  if (left <= 0.0) return;
#if defined(_WIN32)
  Sleep((DWORD)(1000.0 * left));
#else
  {
    struct timespec pause;
    pause.tv_sec = (time_t)left;
    pause.tv_nsec = (long)(1e9 * (left - (double)pause.tv_sec));
    nanosleep(&pause, NULL);
  }
#endif
}

static void on_log(lf_log_level level, const char* text, void* user_data) {
  (void)user_data;
  fprintf(stderr, "%s%s\n", level == LF_LOG_INFO ? "" : "warning: ", text);
}

int main(int argc, char** argv) {
  static const char* const prompts[] = {"a person walks forward", "a person jumps up and down",
                                        "a person walks in a circle", "a person waves with the right hand"};
  const int prompt_count = (int)(sizeof prompts / sizeof prompts[0]);
  const double seconds = argc > 2 ? atof(argv[2]) : 10.0;
  const uint64_t pump = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
  float positions[3 * MAX_JOINTS], rotations[4 * MAX_JOINTS], character[3] = {0.0f, 0.0f, 0.0f};
  double worst_sample = 0.0, sum_sample = 0.0, worst_tick = 0.0, start;
  int tick, appended = 0, good = 0;
  lf_model* model = NULL;
  lf_session* session = NULL;
  lf_stream* stream = NULL;
  lf_session_params session_params;
  lf_generate_params params;
  lf_stream_info info = {.struct_size = sizeof info};
  lf_pose pose = {.struct_size = sizeof pose};
  lf_error error = {LF_OK, ""};

  if (argc < 2) {
    fprintf(stderr, "usage: %s MODEL [SECONDS] [MICROSECONDS PUMPED IN EACH TICK]\n", argv[0]);
    return 2;
  }
  lf_session_params_init(&session_params);
  session_params.callbacks.log = on_log;
  session_params.root_mode = LF_ROOT_SEPARATE; /* the game's own character controller moves the root */
  session_params.threading = pump > 0 ? LF_THREADING_CALLER : LF_THREADING_WORKER;
  if (lf_model_load(argv[1], NULL, &model, &error) != LF_OK) goto end;
  if (lf_session_create(model, &session_params, &session, &error) != LF_OK) goto end;
  if (lf_session_joint_count(session) > MAX_JOINTS) goto end;
  if (lf_stream_create(session, NULL, &stream, &error) != LF_OK) goto end;
  lf_generate_params_init(&params);
  params.frames = 60;
  pose.positions = positions;
  pose.rotations = rotations;

#if defined(_WIN32)
  timeBeginPeriod(1); /* milliseconds; without it Sleep may take 15 more than it is asked for */
#endif
  start = now();
  for (tick = 0; tick < (int)(seconds * TICKS_PER_SECOND); ++tick) {
    const double begin = now();
    double spent;
    if (lf_stream_get_info(stream, &info) != LF_OK) goto end;
    if (info.seconds_left < HORIZON && info.segments_waiting == 0) {
      params.prompt = prompts[appended % prompt_count];
      params.seed = (uint64_t)appended++;
      if (lf_stream_append(stream, &params, NULL, &error) != LF_OK) goto end;
    }
    spent = now();
    if (lf_stream_sample(stream, begin - start, &pose) < LF_OK) goto end;
    spent = now() - spent;
    sum_sample += spent;
    if (spent > worst_sample) worst_sample = spent;
    /* Where the character's controller goes: the step is told in the root's own axes. */
    character[2] += pose.root_step[2];
    if (now() - begin > worst_tick) worst_tick = now() - begin;
    if (pump > 0) lf_session_pump(session, pump);
    sleep_until(start + (double)(tick + 1) / TICKS_PER_SECOND);
  }
  if (lf_stream_get_info(stream, &info) != LF_OK) goto end;
  printf(
      "%d ticks, %d prompts, %.1f m forward: a sample took %.1f us, at worst %.1f us; a tick with its append at worst "
      "%.1f us; %llu of %llu samples found no motion\n",
      tick, appended, (double)character[2], 1e6 * sum_sample / (tick > 0 ? tick : 1), 1e6 * worst_sample,
      1e6 * worst_tick, (unsigned long long)info.underruns, (unsigned long long)info.samples);
  good = 1;

end:
  if (error.status != LF_OK) fprintf(stderr, "%s\n", error.text);
  lf_session_destroy(session);
  lf_model_release(model);
  return good ? 0 : 1;
}
