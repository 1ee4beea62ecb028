/* What a game does, with the model file that is named: every call, with good arguments and with bad ones. C99. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lamp_fast.h"

#define MAX_FRAMES 400
#define MAX_JOINTS 32

static int failures = 0;
static int moves_like_people = 1; /* a model of random weights does not */

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("FAILED: %s\n", what);
  ++failures;
}

static void expect_ok(lf_status status, const lf_error* error, const char* what) {
  if (status == LF_OK) return;
  printf("FAILED: %s: %d, %s\n", what, (int)status, error == NULL ? "" : error->text);
  ++failures;
}

/* Memory that is counted, and once refused: fail_at is 1 for the first time that it is asked for, 0 for never. */
typedef struct counted {
  long calls, blocks, fail_at;
} counted;

static void* counted_allocate(uint64_t bytes, uint64_t alignment, void* user_data) {
  counted* counts = (counted*)user_data;
  char* block = (char*)malloc((size_t)(bytes + alignment + sizeof(void*)));
  uintptr_t place;
  if (++counts->calls == counts->fail_at || block == NULL) {
    free(block);
    return NULL;
  }
  place = ((uintptr_t)block + sizeof(void*) + (uintptr_t)alignment - 1) / (uintptr_t)alignment * (uintptr_t)alignment;
  ((void**)place)[-1] = block;
  ++counts->blocks;
  return (void*)place;
}

static void counted_release(void* block, void* user_data) {
  --((counted*)user_data)->blocks;
  free(((void**)block)[-1]);
}

static void* no_memory(uint64_t bytes, uint64_t alignment, void* user_data) {
  (void)bytes, (void)alignment, (void)user_data;
  return NULL;
}

/* The arrays of a motion. */
typedef struct arrays {
  float positions[MAX_FRAMES * MAX_JOINTS * 3], rotations[MAX_FRAMES * MAX_JOINTS * 4];
  float root_positions[MAX_FRAMES * 3], root_rotations[MAX_FRAMES * 4], contacts[MAX_FRAMES * 4];
  float features[MAX_FRAMES * 263];
  int32_t tokens[MAX_FRAMES];
} arrays;

static lf_motion motion_in(arrays* a) {
  lf_motion motion = {.struct_size = sizeof motion};
  memset(a, 0, sizeof *a);
  motion.frame_capacity = MAX_FRAMES;
  motion.positions = a->positions;
  motion.rotations = a->rotations;
  motion.root_positions = a->root_positions;
  motion.root_rotations = a->root_rotations;
  motion.contacts = a->contacts;
  motion.features = a->features;
  motion.tokens = a->tokens;
  return motion;
}

static lf_generate_params walk(int32_t frames) {
  lf_generate_params params;
  lf_generate_params_init(&params);
  params.prompt = "a person walks forward";
  params.frames = frames;
  params.steps = 4;
  params.seed = 7;
  return params;
}

static lf_session* session_of(lf_model* model, lf_session_params* params) {
  lf_session* session = NULL;
  lf_error error;
  expect_ok(lf_session_create(model, params, &session, &error), &error, "a session is made");
  return session;
}

static lf_status wait_for(lf_session* session, lf_request request) {
  lf_status status = lf_request_poll(session, request, NULL);
  while (status == LF_PENDING) {
    lf_session_pump(session, 0);
    status = lf_request_poll(session, request, NULL);
  }
  return status;
}

static int unit_rotations(const float* rotations, int count) {
  int i;
  for (i = 0; i < count; ++i) {
    const float* q = rotations + 4 * i;
    if (fabsf(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3] - 1.0f) > 1e-4f) return 0;
  }
  return 1;
}

static arrays a, b;

static void skeleton(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_joint joint = {.struct_size = sizeof joint};
  int32_t i, count;
  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  params.coordinates = LF_COORDINATES_UNREAL;
  session = session_of(model, &params);
  count = lf_session_joint_count(session);
  expect(count > 20 && count <= MAX_JOINTS, "a body has joints");
  for (i = 0; i < count; ++i) {
    expect(lf_session_joint(session, i, &joint, NULL) == LF_OK, "each can be asked for");
    expect(joint.parent < i && (i == 0) == (joint.parent == -1), "parents come first");
    expect(strlen(joint.name) > 0 && strlen(joint.name) < sizeof joint.name, "joints have names");
    if (strcmp(joint.name, "l_knee") == 0) expect(joint.rest[2] < -20.0f, "Unreal: Z is up, in centimetres");
  }
  expect(lf_session_joint(session, count, &joint, NULL) == LF_ERROR_INVALID_ARGUMENT, "and no more");
  expect(lf_session_joint(session, -1, &joint, NULL) == LF_ERROR_INVALID_ARGUMENT, "and no less");
  lf_session_destroy(session);
  params.skeleton = LF_SKELETON_PLAIN;
  session = session_of(model, &params);
  expect(lf_session_joint_count(session) < count, "the plain skeleton has fewer");
  lf_session_destroy(session);
}

/* Both threadings, any number of threads: the same bits. */
static void generation(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_generate_params what = walk(30);
  lf_motion motion = motion_in(&a), again = motion_in(&b);
  lf_error error;
  float condition[4096];
  int joints;

  lf_session_params_init(&params);
  session = session_of(model, &params);
  joints = lf_session_joint_count(session);
  expect_ok(lf_generate(session, &what, &motion, &error), &error, "a motion is made");
  expect(motion.frames == 30, "of as many frames as asked for");
  expect(unit_rotations(a.rotations, 30 * joints), "rotations have length 1");
  expect(unit_rotations(a.root_rotations, 30), "the root's too");
  expect(a.positions[0] == 0.0f && a.positions[2] == 0.0f, "it starts above the origin");
  expect(a.root_positions[1] == 0.0f, "the root is on the ground");

  expect_ok(lf_encode_prompt(session, what.prompt, condition, &error), &error, "a prompt is encoded");
  what.condition = condition;
  expect(lf_generate(session, &what, &again, NULL) == LF_ERROR_INVALID_ARGUMENT,
         "prompt and condition are one too many");
  what.prompt = NULL;
  expect_ok(lf_generate(session, &what, &again, &error), &error, "and used");
  expect(memcmp(a.positions, b.positions, sizeof a.positions) == 0, "to the same effect");
  what.seed = 8;
  lf_generate(session, &what, &again, NULL);
  expect(memcmp(a.tokens, b.tokens, sizeof a.tokens) != 0, "another seed, another motion");
  lf_session_destroy(session);

  params.threading = LF_THREADING_CALLER;
  params.threads = 3;
  session = session_of(model, &params);
  what = walk(30);
  again = motion_in(&b);
  expect_ok(lf_generate(session, &what, &again, &error), &error, "a pumped session makes it, too");
  expect(memcmp(&a, &b, sizeof a) == 0, "to the same bits");

  what.frames = LF_FRAMES_FROM_PROMPT;
  expect_ok(lf_generate(session, &what, &again, &error), &error, "the model says how long");
  expect(again.frames >= 4 && again.frames % 4 == 0, "in whole tokens");
  again.frame_capacity = 3;
  expect(lf_generate(session, &what, &again, &error) == LF_ERROR_TOO_SMALL && again.frames > 3, "too small an array");
  lf_session_destroy(session);
}

static void root_apart(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_generate_params what = walk(40);
  lf_motion whole = motion_in(&a), apart = motion_in(&b);
  float dx, dy;
  lf_session_params_init(&params);
  params.coordinates = LF_COORDINATES_UNITY;
  session = session_of(model, &params);
  expect(lf_generate(session, &what, &whole, NULL) == LF_OK, "a motion in Unity's space");
  lf_session_destroy(session);
  params.root_mode = LF_ROOT_SEPARATE;
  session = session_of(model, &params);
  expect(lf_generate(session, &what, &apart, NULL) == LF_OK, "and with the root apart");
  dx = b.positions[3 * 39 * lf_session_joint_count(session)];
  dy = b.positions[3 * 39 * lf_session_joint_count(session) + 1] -
       a.positions[3 * 39 * lf_session_joint_count(session) + 1];
  expect(fabsf(dx) < 1e-5f && fabsf(dy) < 1e-5f, "the first joint stays above the root");
  expect(memcmp(a.root_positions, b.root_positions, sizeof a.root_positions) == 0, "which goes the same way");
  lf_session_destroy(session);
}

static void requests(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_generate_params what = walk(20);
  lf_motion motion = motion_in(&a);
  lf_request first, second, third, fourth;
  lf_error error;
  float share = -1.0f;
  lf_stats stats = {.struct_size = sizeof stats};

  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  params.max_requests = 3;
  session = session_of(model, &params);
  expect_ok(lf_request_submit(session, &what, &first, &error), &error, "a request is taken");
  expect_ok(lf_request_submit(session, &what, &second, &error), &error, "another one");
  expect_ok(lf_request_submit(session, &what, &third, &error), &error, "and a third");
  expect(lf_request_submit(session, &what, &fourth, &error) == LF_ERROR_FULL, "then the session is full");
  expect(strstr(error.text, "3") != NULL, "and says how many it takes");
  expect(lf_request_poll(session, first, &share) == LF_PENDING && share == 0.0f, "nothing has happened");
  expect(lf_request_result(session, first, &motion, NULL) == LF_PENDING, "there is no result");
  expect(lf_session_pump(session, 0) == LF_PENDING, "one stage");
  expect(lf_request_cancel(session, second) == LF_OK, "one that waits is cancelled");
  expect(lf_session_pump(session, 0) == LF_PENDING, "another stage");
  expect(lf_request_poll(session, second, NULL) == LF_ERROR_CANCELLED, "and over at once");
  expect(wait_for(session, first) == LF_OK, "the first one is done");
  expect(lf_request_poll(session, first, &share) == LF_OK && share == 1.0f, "altogether");
  expect(lf_request_cancel(session, first) == LF_OK, "what is done can be cancelled");
  expect_ok(lf_request_result(session, first, &motion, &error), &error, "it has its result all the same");
  expect(motion.frames == 20, "all of it");
  expect(lf_request_result(session, second, &motion, &error) == LF_ERROR_CANCELLED, "the cancelled one has none");
  expect(strstr(error.text, "cancelled") != NULL, "and says so");

  expect(lf_session_pump(session, 0) == LF_PENDING, "the third has begun");
  expect(lf_request_release(session, third) == LF_OK, "and is given back in the middle");
  while (lf_session_pump(session, 1000) == LF_PENDING) {
  }
  expect(lf_request_release(session, first) == LF_OK && lf_request_release(session, second) == LF_OK, "all given back");
  expect(lf_request_release(session, first) == LF_ERROR_NO_REQUEST, "once");
  expect(lf_request_poll(session, third, NULL) == LF_ERROR_NO_REQUEST, "a stale number is known as one");
  expect(lf_request_poll(session, 0, NULL) == LF_ERROR_NO_REQUEST, "none is none");
  expect(lf_request_cancel(session, ~(lf_request)0) == LF_ERROR_NO_REQUEST, "a wild number, too");

  what.deadline_microseconds = 1;
  expect(lf_request_submit(session, &what, &first, NULL) == LF_OK, "a deadline");
  expect(wait_for(session, first) == LF_ERROR_DEADLINE, "that cannot be held");
  lf_request_release(session, first);
  expect(lf_session_get_stats(session, &stats, NULL) == LF_OK, "stats");
  expect(stats.requests_done == 1 && stats.requests_failed == 3 && stats.requests_waiting == 0, "count");
  expect(stats.microseconds_last > 0 && stats.bytes > 0 && stats.threads == 1 && stats.instructions[0] != '\0', "tell");
  lf_session_destroy(session);
}

/* Who is due first is served first, in the middle of another one's work, too; the motion of that one stays the same. */
static void urgency(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_stream* stream = NULL;
  lf_generate_params slow = walk(40), quick = walk(8);
  lf_motion motion = motion_in(&a), undisturbed = motion_in(&b);
  lf_pose pose = {.struct_size = sizeof pose};
  lf_request first, last, hurried, segments[3];
  lf_error error;
  float share = 0.0f;
  int i, with_text;

  slow.steps = 40;
  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  session = session_of(model, &params);
  expect_ok(lf_generate(session, &slow, &undisturbed, &error), &error, "a motion");
  expect_ok(lf_stream_create(session, NULL, &stream, &error), &error, "a stream");
  for (with_text = 0; with_text < 2; ++with_text) {
    lf_stream_sample(stream, 100.0, &pose);
    expect(lf_stream_sample(stream, 200.0, &pose) == LF_UNDERRUN, "it has no motion left");
    expect_ok(lf_request_submit(session, &slow, &first, &error), &error, "a long request");
    while (share < 0.3f * (float)with_text) {
      lf_session_pump(session, 0);
      lf_request_poll(session, first, &share);
    }
    quick.prompt = with_text ? "a person jumps" : "a person walks forward";
    for (i = 0; i < 3; ++i) {
      expect_ok(lf_stream_append(stream, &quick, &segments[i], &error), &error, "a stream without motion beside it");
      quick.prompt = "a person sits down";
    }
    for (i = 0; i < 3; ++i) {
      expect(wait_for(session, segments[i]) == LF_OK, "its segments are made");
      expect(i == 2 || lf_request_poll(session, segments[i + 1], NULL) == LF_PENDING, "one after the other");
      expect(lf_request_poll(session, first, NULL) == LF_PENDING, "before the long one");
      lf_request_release(session, segments[i]);
    }
    memset(&a, 0, sizeof a);
    expect(wait_for(session, first) == LF_OK, "which is done as well");
    expect_ok(lf_request_result(session, first, &motion, &error), &error, "and has its result");
    expect(memcmp(&a, &b, sizeof a) == 0, "to the same bits as alone");
    lf_request_release(session, first);
  }

  lf_request_submit(session, &slow, &first, NULL);
  lf_request_submit(session, &quick, &last, NULL);
  quick.frames = quick.steps = 4;
  quick.deadline_microseconds = 1500000;
  lf_request_submit(session, &quick, &hurried, NULL);
  lf_session_pump(session, 0);
  expect(wait_for(session, hurried) == LF_OK, "what has little time");
  expect(lf_request_poll(session, first, NULL) == LF_PENDING, "goes before what has none of its own");
  expect(wait_for(session, first) == LF_OK && lf_request_poll(session, last, NULL) == LF_PENDING, "the rest in turn");
  lf_request_submit(session, &quick, &hurried, NULL);
  expect(lf_session_pump(session, 0) == LF_PENDING && lf_request_cancel(session, last) == LF_OK,
         "what has been put off");
  expect(wait_for(session, last) == LF_ERROR_CANCELLED, "is cancelled at once");
  lf_session_destroy(session);
}

/* Processor time, the least of some rounds, of each stage of a motion that is pumped one stage at a time. */
enum { MAX_STAGES = 4096, ROUNDS = 4 };

static void short_stages(lf_model* model) {
  static double least[MAX_STAGES];
  lf_session_params params;
  lf_session* session;
  lf_stream* stream;
  lf_model_info info = {.struct_size = sizeof info};
  lf_generate_params what;
  int round, stage, stages;
  if (!moves_like_people) return;       /* stages of a tiny model are nothing but calls */
  if (CLOCKS_PER_SEC < 1000000) return; /* on Windows clock tells milliseconds, and not of the processor */
  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  session = session_of(model, &params);
  lf_model_get_info(model, &info, NULL);
  what = walk(info.max_frames);
  what.steps = 10;
  for (stage = 0; stage < MAX_STAGES; ++stage) least[stage] = 1e9;
  for (round = 0; round < ROUNDS; ++round) {
    lf_status status = LF_PENDING;
    lf_stream_create(session, NULL, &stream, NULL);
    lf_stream_append(stream, &what, NULL, NULL);
    for (stages = 0; status == LF_PENDING && stages < MAX_STAGES; ++stages) {
      const clock_t begin = clock();
      double spent;
      status = lf_session_pump(session, 0);
      spent = (double)(clock() - begin) / CLOCKS_PER_SEC;
      if (spent < least[stages]) least[stages] = spent;
    }
    expect(status == LF_OK, "a motion is pumped");
    lf_stream_destroy(stream);
  }
  {
    double longest = 0.0, all = 0.0;
    for (stage = 0; stage < stages; ++stage) {
      all += least[stage];
      if (least[stage] > longest) longest = least[stage];
    }
    printf("%d stages, the longest %.2f of %.1f ms\n", stages, 1e3 * longest, 1e3 * all);
    expect(longest < 0.01 * all, "no stage takes a hundredth of a motion");
  }
  lf_session_destroy(session);
}

typedef struct bad {
  const char* what;
  lf_status status;
  const char* words; /* that the sentence must have */
} bad;

static void bad_arguments(lf_model* model) {
  static char long_text[6000];
  static float given[MAX_FRAMES * MAX_JOINTS * 3];
  lf_session_params params;
  lf_session* session;
  lf_generate_params what;
  lf_model_info info = {.struct_size = sizeof info};
  lf_motion motion = motion_in(&a);
  lf_stream* stream;
  lf_request request;
  lf_error error;
  float condition[4096] = {0.0f};
  size_t i;
  static const bad cases[] = {
      {"struct_size", LF_ERROR_STRUCT_SIZE, "sizeof"},
      {"no prompt", LF_ERROR_INVALID_ARGUMENT, "NULL"},
      {"empty prompt", LF_ERROR_TEXT, ""},
      {"not UTF-8", LF_ERROR_TEXT, "UTF-8"},
      {"cut UTF-8", LF_ERROR_TEXT, "UTF-8"},
      {"surrogate", LF_ERROR_TEXT, "UTF-8"},
      {"long prompt", LF_ERROR_TEXT, "bytes"},
      {"0 frames", LF_ERROR_INVALID_ARGUMENT, "frames"},
      {"-7 frames", LF_ERROR_INVALID_ARGUMENT, "frames"},
      {"too many frames", LF_ERROR_TOO_LONG, "at most"},
      {"most frames there are", LF_ERROR_TOO_LONG, "at most"},
      {"0 steps", LF_ERROR_INVALID_ARGUMENT, "steps"},
      {"NaN guidance", LF_ERROR_INVALID_ARGUMENT, "guidance"},
      {"0 temperature", LF_ERROR_INVALID_ARGUMENT, "temperature"},
      {"top_k of all", LF_ERROR_INVALID_ARGUMENT, "top_k"},
      {"NaN condition", LF_ERROR_NOT_FINITE, "condition"},
      {"kept frames without any", LF_ERROR_INVALID_ARGUMENT, "NULL"},
      {"more kept than there are", LF_ERROR_INVALID_ARGUMENT, "before_frames"},
      {"fewer than none kept", LF_ERROR_INVALID_ARGUMENT, "before_frames"},
      {"NaN kept", LF_ERROR_NOT_FINITE, "kept"},
      {"kept, and a length of the model's choice", LF_ERROR_INVALID_ARGUMENT, "before_frames"},
      {"bones without length", LF_ERROR_INVALID_ARGUMENT, "bone"},
  };

  lf_session_params_init(&params);
  session = session_of(model, &params);
  lf_model_get_info(model, &info, NULL);
  memset(long_text, 'a', sizeof long_text - 1);
  for (i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    what = walk(20);
    switch (i) {
      case 0:
        what.struct_size = 8;
        break;
      case 1:
        what.prompt = NULL;
        break;
      case 2:
        what.prompt = "";
        break;
      case 3:
        what.prompt = "a \xff person";
        break;
      case 4:
        what.prompt = "a caf\xc3";
        break;
      case 5:
        what.prompt = "\xed\xa0\x80";
        break;
      case 6:
        what.prompt = long_text;
        break;
      case 7:
        what.frames = 0;
        break;
      case 8:
        what.frames = -7;
        break;
      case 9:
        what.frames = info.max_frames + 1;
        break;
      case 10:
        what.frames = 0x7fffffff;
        break;
      case 11:
        what.steps = 0;
        break;
      case 12:
        what.guidance = NAN;
        break;
      case 13:
        what.temperature = 0.0f;
        break;
      case 14:
        what.top_k = 1 << 30;
        break;
      case 15:
        what.prompt = NULL;
        what.condition = condition;
        condition[2] = NAN;
        break;
      case 16:
        what.before_frames = 5;
        break;
      case 17:
        what.before_frames = 15;
        what.after_frames = 5;
        what.before = what.after = given;
        break;
      case 18:
        what.before_frames = -1;
        what.before = given;
        break;
      case 19:
        what.before_frames = 5;
        what.before = given;
        given[100] = NAN;
        break;
      case 20:
        given[100] = 0.0f;
        what.before_frames = 5;
        what.before = given;
        what.frames = LF_FRAMES_FROM_PROMPT;
        break;
      default:
        what.before_frames = 5;
        what.before = given;
        break;
    }
    motion.frame_capacity = i == 9 || i == 10 ? 0x7fffffff : MAX_FRAMES;
    memset(&error, 0, sizeof error);
    {
      const lf_status status = lf_generate(session, &what, &motion, &error);
      if (status != cases[i].status || error.status != status || strstr(error.text, cases[i].words) == NULL ||
          strlen(error.text) < 10) {
        printf("FAILED: %s: %d, \"%s\"\n", cases[i].what, (int)status, error.text);
        ++failures;
      }
    }
  }
  what = walk(20);
  motion.struct_size = 1;
  expect(lf_generate(session, &what, &motion, NULL) == LF_ERROR_STRUCT_SIZE, "a motion of another size");
  expect(lf_encode_prompt(session, "\x80", condition, NULL) == LF_ERROR_TEXT, "no text to encode");
  expect(lf_embed_motion(session, given, 1, condition, NULL) == LF_ERROR_INVALID_ARGUMENT, "one frame is no motion");
  expect(lf_embed_motion(session, given, info.max_frames + 2, condition, NULL) == LF_ERROR_TOO_LONG, "too many are");
  expect(lf_request_submit(session, &what, NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "nowhere to put a request");

  expect(lf_stream_create(session, NULL, &stream, NULL) == LF_OK, "a stream");
  what.before_frames = 1;
  what.before = given;
  expect(lf_stream_append(stream, &what, &request, NULL) == LF_ERROR_INVALID_ARGUMENT, "keeps no frames of others");
  lf_stream_destroy(stream);
  lf_session_destroy(session);

  params.threads = 0;
  expect(lf_session_create(model, &params, &session, &error) == LF_ERROR_INVALID_ARGUMENT, "no threads");
  expect(strstr(error.text, "threads") != NULL, "says so");
  lf_session_params_init(&params);
  params.struct_size += 8;
  expect(lf_session_create(model, &params, &session, NULL) == LF_ERROR_STRUCT_SIZE, "params of a later library");
  lf_session_params_init(&params);
  params.units_per_metre = NAN;
  expect(lf_session_create(model, &params, &session, NULL) == LF_ERROR_INVALID_ARGUMENT, "no unit");
  params.units_per_metre = 1.0f;
  params.max_requests = 65;
  expect(lf_session_create(model, &params, &session, NULL) == LF_ERROR_INVALID_ARGUMENT, "too many requests");
  params.max_requests = 4;
  params.coordinates = 4;
  expect(lf_session_create(model, &params, &session, NULL) == LF_ERROR_INVALID_ARGUMENT, "no such axes");
}

static void in_between(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_generate_params what;
  lf_motion motion = motion_in(&a), between = motion_in(&b);
  lf_error error;
  static const int cases[][3] = {{8, 30, 8}, {1, 20, 1}, {5, 40, 0}, {0, 21, 7}, {10, 1, 10}, {3, 2, 4}, {20, 60, 20}};
  size_t i;
  int joints;
  lf_session_params_init(&params);
  params.coordinates = LF_COORDINATES_UNREAL;
  session = session_of(model, &params);
  joints = lf_session_joint_count(session);
  what = walk(80);
  expect_ok(lf_generate(session, &what, &motion, &error), &error, "a motion to keep frames of");
  for (i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
    const int before = cases[i][0], made = cases[i][1], after = cases[i][2], frames = before + made + after;
    const float* end = a.positions + 3 * joints * (80 - after);
    float worst = 0.0f;
    int t, k;
    what = walk(frames);
    what.before = a.positions;
    what.before_frames = before;
    what.after = end;
    what.after_frames = after;
    expect_ok(lf_generate(session, &what, &between, &error), &error, "frames are kept");
    expect(between.frames == frames, "all of them are there");
    expect(memcmp(b.positions, a.positions, sizeof(float) * 3 * joints * before) == 0, "those before to the bit");
    expect(memcmp(b.positions + 3 * joints * (frames - after), end, sizeof(float) * 3 * joints * after) == 0,
           "those after to the bit");
    for (t = 1; t < frames; ++t) {
      for (k = 0; k < 3 * joints; ++k) {
        const float step = fabsf(b.positions[3 * joints * t + k] - b.positions[3 * joints * (t - 1) + k]);
        if (step > worst) worst = step;
      }
    }
    /* The root may have a long way to go in a few frames; but never in one. */
    if (moves_like_people && worst > 400.0f) printf("FAILED: case %d jumps %g cm\n", (int)i, (double)worst), ++failures;
    expect(unit_rotations(b.rotations, frames * joints), "rotations have length 1");
  }
  lf_session_destroy(session);
}

static void streams(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_stream_params where;
  lf_stream *stream, *other = NULL;
  lf_stream_info info = {.struct_size = sizeof info};
  lf_generate_params what = walk(24);
  lf_motion motion = motion_in(&b);
  lf_pose pose = {.struct_size = sizeof pose};
  lf_request request;
  lf_error error;
  float positions[MAX_JOINTS * 3], rotations[MAX_JOINTS * 4], standing[MAX_JOINTS * 4], last_x;
  double time;
  int32_t i;

  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  params.max_streams = 1;
  params.coordinates = LF_COORDINATES_UNITY;
  session = session_of(model, &params);
  lf_stream_params_init(&where);
  where.position[0] = 5.0f;
  where.position[2] = -2.0f;
  expect_ok(lf_stream_create(session, &where, &stream, &error), &error, "a stream is made");
  expect(lf_stream_create(session, NULL, &other, &error) == LF_ERROR_FULL, "one is all there are");
  pose.positions = positions;
  pose.rotations = rotations;
  expect(lf_stream_sample(stream, 100.0, &pose) == LF_UNDERRUN, "nothing to play yet");
  expect(unit_rotations(rotations, lf_session_joint_count(session)), "but a body at ease");
  expect(fabsf(pose.root_position[0] - 5.0f) < 1e-5f && fabsf(pose.root_position[2] + 2.0f) < 1e-5f, "where it starts");
  expect(lf_stream_sample(stream, NAN, &pose) == LF_ERROR_NOT_FINITE, "at no time");
  pose.struct_size = 4;
  expect(lf_stream_sample(stream, 100.0, &pose) == LF_ERROR_STRUCT_SIZE, "into no pose");
  pose.struct_size = sizeof pose;

  expect_ok(lf_stream_append(stream, &what, &request, &error), &error, "a segment");
  expect(lf_stream_get_info(stream, &info) == LF_OK && info.segments_waiting == 1, "waits");
  expect(wait_for(session, request) == LF_OK, "and is made");
  expect(lf_request_result(session, request, &motion, NULL) == LF_OK && motion.frames == 24, "has its motion");
  lf_request_release(session, request);
  expect(lf_stream_get_info(stream, &info) == LF_OK && info.frames_committed == 24 && info.segments_waiting == 0,
         "is in");
  for (time = 100.5; time < 101.4; time += 1.0 / 60.0) {
    expect(lf_stream_sample(stream, time, &pose) == LF_OK, "plays");
  }
  expect(lf_stream_sample(stream, 103.0, &pose) == LF_UNDERRUN, "until it ends");
  expect(pose.frame == 23.0, "on its last frame");
  last_x = positions[0];

  what.seed = 9;
  expect(lf_stream_append(stream, &what, NULL, NULL) == LF_OK, "the same prompt goes on");
  what.prompt = "a person waves with the right hand";
  what.frames = LF_FRAMES_FROM_PROMPT;
  expect(lf_stream_append(stream, &what, &request, NULL) == LF_OK, "another one follows");
  expect(wait_for(session, request) == LF_OK, "all made");
  lf_request_release(session, request);
  lf_stream_get_info(stream, &info);
  expect(info.frames_committed > 48 && info.seconds_left > 1.0, "there is more to play");
  expect(lf_stream_sample(stream, 103.0 + 1.0 / 60.0, &pose) == LF_OK, "it plays on");
  expect(pose.segment <= 1 && fabsf(positions[0] - last_x) < 0.2f, "from where it stood");
  for (time = 103.1; lf_stream_sample(stream, time, &pose) == LF_OK; time += 1.0 / 60.0) {
    expect(unit_rotations(rotations, lf_session_joint_count(session)), "rotations have length 1");
  }
  expect(pose.segment == 2, "to the end of the third segment");

  what = walk(40);
  expect(lf_stream_append(stream, &what, &request, NULL) == LF_OK, "one more");
  lf_session_pump(session, 0);
  lf_request_cancel(session, request);
  expect(wait_for(session, request) == LF_ERROR_CANCELLED, "is cancelled");
  lf_request_release(session, request);
  lf_stream_get_info(stream, &info);
  time = (double)info.frames_committed;
  lf_stream_append(stream, &what, NULL, NULL);
  lf_session_pump(session, 0);
  lf_stream_destroy(stream);
  while (lf_session_pump(session, 1000) == LF_PENDING) {
  }
  expect_ok(lf_stream_create(session, NULL, &stream, &error), &error, "a stream destroyed makes room");
  lf_stream_get_info(stream, &info);
  expect(info.frames_committed == 0 && info.samples == 0, "for a new one");
  lf_stream_destroy(stream);

  where.idle_seconds = INFINITY;
  expect(lf_stream_create(session, &where, &stream, NULL) == LF_ERROR_NOT_FINITE, "idling takes time");
  where.idle_seconds = 0.5f;
  expect_ok(lf_stream_create(session, &where, &stream, &error), &error, "a stream that idles");
  lf_stream_sample(stream, 0.0, &pose);
  memcpy(standing, rotations, sizeof standing);
  expect(lf_stream_append(stream, &what, &request, NULL) == LF_OK && wait_for(session, request) == LF_OK, "a segment");
  expect(lf_stream_sample(stream, 1.0, &pose) == LF_OK, "it moves");
  expect(lf_stream_sample(stream, 9.0, &pose) == LF_UNDERRUN, "until it ends");
  for (time = 9.0; time < 10.0; time += 1.0 / 60.0) lf_stream_sample(stream, time, &pose);
  for (i = 4; i < 4 * lf_session_joint_count(session); ++i) {
    expect(fabsf(fabsf(rotations[i]) - fabsf(standing[i])) < 1e-4f, "then it stands at ease");
  }
  lf_session_destroy(session);
}

static void no_room_in_a_stream(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_stream* stream;
  lf_generate_params what = walk(80);
  lf_request request;
  lf_status status = LF_OK;
  int i;
  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  params.stream_seconds = 1.0f;
  session = session_of(model, &params);
  lf_stream_create(session, NULL, &stream, NULL);
  for (i = 0; i < 8 && status == LF_OK; ++i) {
    lf_stream_append(stream, &what, &request, NULL);
    status = wait_for(session, request);
    lf_request_release(session, request);
  }
  expect(status == LF_ERROR_TOO_LONG && i > 1, "a stream that is not played is full at last");
  lf_session_destroy(session);
}

static void embeddings(lf_model* model) {
  lf_session* session;
  lf_session_params params;
  lf_model_info info = {.struct_size = sizeof info};
  lf_generate_params what = walk(61);
  lf_motion motion = motion_in(&a);
  lf_error error;
  float text[4096], clip[4096], mirrored[4096], sum = 0.0f, difference = 0.0f;
  int i;
  lf_model_get_info(model, &info, NULL);
  if (!info.reads_motions) return;
  lf_session_params_init(&params);
  session = session_of(model, &params);
  lf_generate(session, &what, &motion, NULL);
  expect_ok(lf_embed_text(session, "a person walks", text, &error), &error, "a text has its place");
  expect_ok(lf_embed_motion(session, a.positions, 61, clip, &error), &error, "a motion, too");
  for (i = 0; i < info.embedding_width; ++i) sum += clip[i] * clip[i];
  expect(fabsf(sum - 1.0f) < 1e-3f, "of length 1");
  lf_session_destroy(session);

  params.coordinates = LF_COORDINATES_UNREAL;
  session = session_of(model, &params);
  lf_generate(session, &what, &motion, NULL);
  expect_ok(lf_embed_motion(session, a.positions, 61, mirrored, &error), &error, "in any axes");
  for (i = 0; i < info.embedding_width; ++i) difference += fabsf(clip[i] - mirrored[i]);
  expect(difference < 1e-2f, "the same");
  lf_session_destroy(session);
}

typedef struct heard {
  int logs, progresses, dones;
  lf_status last;
} heard;

static void on_log(lf_log_level level, const char* text, void* user_data) {
  expect(level >= LF_LOG_INFO && strlen(text) > 5, "a log has words");
  ++((heard*)user_data)->logs;
}
static void on_progress(lf_request request, float share, void* user_data) {
  expect(request != 0 && share >= 0.0f && share <= 1.0f, "progress is a share");
  ++((heard*)user_data)->progresses;
}
static void on_done(lf_request request, lf_status status, void* user_data) {
  expect(request != 0, "done is of a request");
  ((heard*)user_data)->last = status;
  ++((heard*)user_data)->dones;
}
static void in_turn(uint32_t count, void (*run)(void* context, uint32_t index), void* context, void* user_data) {
  uint32_t i;
  for (i = count; i > 0; --i) run(context, i - 1);
  ++*(long*)user_data;
}

static void memory_and_callbacks(lf_model* model) {
  lf_session_params params;
  lf_session* session;
  lf_stream* stream;
  lf_generate_params what = walk(24);
  lf_motion motion = motion_in(&a);
  lf_pose pose = {.struct_size = sizeof pose};
  lf_request request;
  lf_allocator allocator = {counted_allocate, counted_release, NULL};
  lf_error error;
  counted counts = {0, 0, 0};
  heard all = {0, 0, 0, 0};
  long loops = 0, calls;
  uint64_t bytes = 0, alignment = 0;
  char* arena;
  char* place;
  double time;

  allocator.user_data = &counts;
  lf_session_params_init(&params);
  params.threading = LF_THREADING_CALLER;
  params.allocator = &allocator;
  params.callbacks.log = on_log;
  params.callbacks.progress = on_progress;
  params.callbacks.done = on_done;
  params.callbacks.user_data = &all;
  params.parallel_for = in_turn;
  params.parallel_for_user_data = &loops;
  params.threads = 4;
  session = session_of(model, &params);
  calls = counts.calls;
  expect(calls > 0 && all.logs == 1, "memory is asked for, and a line is logged");
  lf_stream_create(session, NULL, &stream, NULL);
  for (time = 0.0; time < 3.0; time += 0.1) {
    lf_request_submit(session, &what, &request, NULL);
    lf_stream_append(stream, &what, NULL, NULL);
    while (lf_session_pump(session, 500) == LF_PENDING) {
    }
    expect(lf_request_result(session, request, &motion, NULL) == LF_OK, "a result");
    lf_request_release(session, request);
    lf_stream_sample(stream, time, &pose);
    if (time > 1.0) lf_stream_sample(stream, time + 10.0, &pose);
  }
  expect(counts.calls == calls, "nothing is allocated once a session is made");
  expect(all.dones == 60 && all.progresses > 60 && all.last == LF_OK, "callbacks are called");
  lf_session_destroy(session);
  expect(counts.blocks == 0, "all memory is given back");

  allocator.allocate = no_memory;
  expect(lf_session_create(model, &params, &session, &error) == LF_ERROR_OUT_OF_MEMORY, "no memory, no session");
  params.allocator = NULL;
  expect_ok(lf_session_memory(model, &params, &bytes, &alignment, &error), &error, "an arena can be measured");
  arena = (char*)malloc((size_t)(bytes + alignment));
  place = arena + (alignment - (uintptr_t)arena % alignment) % alignment;
  params.arena = place;
  params.arena_bytes = bytes;
  session = session_of(model, &params);
  expect_ok(lf_generate(session, &what, &motion, &error), &error, "and used");
  lf_session_destroy(session);
  params.arena_bytes = bytes - 64;
  expect(lf_session_create(model, &params, &session, &error) == LF_ERROR_OUT_OF_MEMORY, "a smaller one is too small");
  params.allocator = &allocator;
  expect(lf_session_create(model, &params, &session, NULL) == LF_ERROR_INVALID_ARGUMENT, "arena and allocator");
  free(arena);
}

/* Whenever memory ends, nothing is left behind. */
static void memory_ends(lf_model* model, const char* path) {
  lf_session_params params;
  lf_model_params model_params;
  lf_session* session = NULL;
  lf_model* other = NULL;
  lf_error error;
  lf_status status = LF_ERROR_OUT_OF_MEMORY;
  counted counts = {0, 0, 0};
  lf_allocator allocator = {counted_allocate, counted_release, NULL};
  long n;
  allocator.user_data = &counts;
  lf_session_params_init(&params);
  params.allocator = &allocator;
  params.threads = 3;
  params.max_requests = params.max_streams = 2;
  for (n = 1; status == LF_ERROR_OUT_OF_MEMORY; ++n) {
    counts.calls = 0;
    counts.fail_at = n;
    status = lf_session_create(model, &params, &session, &error);
    expect(status == LF_OK || (session == NULL && counts.blocks == 0), "no session, no memory held");
  }
  expect(status == LF_OK && n > 20, "enough for a session");
  lf_session_destroy(session);
  expect(counts.blocks == 0, "that is given back");

  lf_model_params_init(&model_params);
  model_params.allocator = &allocator;
  status = LF_ERROR_OUT_OF_MEMORY;
  for (n = 1; status == LF_ERROR_OUT_OF_MEMORY; n += moves_like_people ? 50 : 1) {
    counts.calls = 0;
    counts.fail_at = n;
    status = lf_model_load(path, &model_params, &other, &error);
    expect(status == LF_OK || (other == NULL && counts.blocks == 0), "no model, no memory held");
  }
  expect(status == LF_OK, "enough for a model");
  lf_model_release(other);
  expect(counts.blocks == 0, "that is given back, too");
}

/* Params of sessions and streams that are refused, and what is just not. */
static void bad_params(lf_model* model) {
  static const bad session_cases[] = {
      {"an allocator that cannot release", LF_ERROR_INVALID_ARGUMENT, "release"},
      {"an arena that could not be had", LF_ERROR_INVALID_ARGUMENT, "arena"},
      {"a unit that leaves nothing of a metre", LF_ERROR_INVALID_ARGUMENT, "units_per_metre"},
      {"a unit that is none", LF_ERROR_INVALID_ARGUMENT, "units_per_metre"},
      {"no thread", LF_ERROR_INVALID_ARGUMENT, "threads"},
      {"axes of nobody", LF_ERROR_INVALID_ARGUMENT, "coordinates"},
  };
  static const bad stream_cases[] = {
      {"an end of the world", LF_ERROR_INVALID_ARGUMENT, "position"},
      {"a place that is none", LF_ERROR_NOT_FINITE, "position"},
      {"many turns", LF_ERROR_INVALID_ARGUMENT, "heading"},
      {"ease before the end", LF_ERROR_INVALID_ARGUMENT, "idle_seconds"},
      {"a blend that never ends", LF_ERROR_INVALID_ARGUMENT, "blend_frames"},
  };
  const lf_allocator half = {no_memory, NULL, NULL};
  lf_session_params params;
  lf_stream_params stream_params;
  lf_generate_params what = walk(8);
  lf_motion motion = motion_in(&a);
  lf_session* session = NULL;
  lf_stream* stream = NULL;
  lf_error error;
  size_t i;
  for (i = 0; i < sizeof session_cases / sizeof session_cases[0]; ++i) {
    lf_session_params_init(&params);
    if (i == 0) params.allocator = &half;
    if (i == 1) params.arena_bytes = 1 << 20;
    if (i == 2) params.units_per_metre = 1e-30f;
    if (i == 3) params.units_per_metre = NAN;
    if (i == 4) params.threads = 0;
    if (i == 5) params.coordinates = 4;
    expect(lf_session_create(model, &params, &session, &error) == session_cases[i].status, session_cases[i].what);
    expect(session == NULL && strstr(error.text, session_cases[i].words) != NULL, session_cases[i].words);
  }
  session = session_of(model, NULL);
  for (i = 0; i < sizeof stream_cases / sizeof stream_cases[0]; ++i) {
    lf_stream_params_init(&stream_params);
    if (i == 0) stream_params.position[2] = 1e38f;
    if (i == 1) stream_params.position[0] = NAN;
    if (i == 2) stream_params.heading = -1e30f;
    if (i == 3) stream_params.idle_seconds = -1.0f;
    if (i == 4) stream_params.blend_frames = 101;
    expect(lf_stream_create(session, &stream_params, &stream, &error) == stream_cases[i].status, stream_cases[i].what);
    expect(stream == NULL && strstr(error.text, stream_cases[i].words) != NULL, stream_cases[i].words);
  }
  what.temperature = 1e-6f;
  expect_ok(lf_generate(session, &what, &motion, &error), &error, "the lowest temperature");
  lf_session_destroy(session);
}

static void model_in_memory(const char* path) {
  lf_model* model = NULL;
  lf_model_params params;
  lf_session* session;
  lf_allocator allocator = {counted_allocate, counted_release, NULL};
  lf_error error;
  counted counts = {0, 0, 0};
  FILE* file = fopen(path, "rb");
  char* bytes;
  long size;
  allocator.user_data = &counts;
  if (file == NULL) return;
  fseek(file, 0, SEEK_END);
  size = ftell(file);
  rewind(file);
  bytes = (char*)malloc((size_t)size);
  expect(fread(bytes, 1, (size_t)size, file) == (size_t)size, "the file can be read");
  fclose(file);
  lf_model_params_init(&params);
  params.allocator = &allocator;
  params.precision = LF_PRECISION_INT8;
  expect_ok(lf_model_load_memory(bytes, (uint64_t)size, &params, &model, &error), &error, "a model in memory");
  session = session_of(model, NULL);
  lf_model_release(model);
  {
    lf_generate_params what = walk(16);
    lf_motion motion = motion_in(&a);
    expect_ok(lf_generate(session, &what, &motion, &error), &error, "stays while a session has it");
  }
  lf_session_destroy(session);
  expect(counts.calls > 0 && counts.blocks == 0, "and gives its memory back");
  expect(lf_model_load_memory(bytes, (uint64_t)size / 2, &params, &model, &error) == LF_ERROR_FORMAT, "half a model");
  expect(counts.blocks == 0, "leaves nothing");
  free(bytes);
}

int main(int argc, char** argv) {
  lf_model* model = NULL;
  lf_error error;
  const char* path = argc > 1 ? argv[1] : getenv("LAMP_FAST_NATIVE_MODEL");
  moves_like_people = argc == 1;
  if (path == NULL) {
    printf("skipped: no model file is named, neither as argument nor by LAMP_FAST_NATIVE_MODEL\n");
    return 77;
  }
  if (lf_model_load(path, NULL, &model, &error) != LF_OK) {
    printf("FAILED: %s\n", error.text);
    return 1;
  }
  skeleton(model);
  generation(model);
  root_apart(model);
  requests(model);
  urgency(model);
  short_stages(model);
  bad_arguments(model);
  in_between(model);
  streams(model);
  no_room_in_a_stream(model);
  embeddings(model);
  memory_and_callbacks(model);
  memory_ends(model, path);
  bad_params(model);
  model_in_memory(path);
  lf_model_release(model);
  printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
