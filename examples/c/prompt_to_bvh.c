/*
 * Words to a BVH file: prompt_to_bvh MODEL "a person waves with the left hand" wave.bvh [SECONDS] [SEED]
 *
 * What every program does: load a model, make a session, fill in params, generate into arrays of its own.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lamp_fast.h"

#define CENTIMETRES 100.0f

static const char kOrder[] = "ZXY"; /* rotation = Z * X * Y, the order of the channels */

/* Degrees about Z, X and Y of a quaternion x, y, z, w. */
static void euler_zxy(const float* q, float* degrees) {
  const double x = q[0], y = q[1], z = q[2], w = q[3], to_degrees = 57.295779513082320876;
  double sine = 2.0 * (w * x + y * z);
  if (sine > 1.0) sine = 1.0;
  if (sine < -1.0) sine = -1.0;
  degrees[0] = (float)(to_degrees * atan2(2.0 * (w * z - x * y), 1.0 - 2.0 * (x * x + z * z)));
  degrees[1] = (float)(to_degrees * asin(sine));
  degrees[2] = (float)(to_degrees * atan2(2.0 * (w * y - x * z), 1.0 - 2.0 * (x * x + y * y)));
}

static void indent(FILE* file, int depth) {
  for (; depth > 0; --depth) fputs("  ", file);
}

/* A joint and what hangs on it; the order in which joints are written goes into `order`. */
static void write_joint(FILE* file, const lf_joint* joints, int count, int joint, int depth, int* order, int* written) {
  const float* rest = joints[joint].rest;
  int child, children = 0;
  order[(*written)++] = joint;
  indent(file, depth);
  fprintf(file, "%s %s\n", depth == 0 ? "ROOT" : "JOINT", joints[joint].name);
  indent(file, depth);
  fputs("{\n", file);
  indent(file, depth + 1);
  fprintf(file, "OFFSET %.5f %.5f %.5f\n", (double)rest[0], (double)rest[1], (double)rest[2]);
  indent(file, depth + 1);
  fprintf(file, "CHANNELS %s%crotation %crotation %crotation\n", depth == 0 ? "6 Xposition Yposition Zposition " : "3 ",
          kOrder[0], kOrder[1], kOrder[2]);
  for (child = joint + 1; child < count; ++child) {
    if (joints[child].parent != joint) continue;
    write_joint(file, joints, count, child, depth + 1, order, written);
    ++children;
  }
  if (children == 0) {
    indent(file, depth + 1);
    fprintf(file, "End Site\n");
    indent(file, depth + 1);
    fputs("{\n", file);
    indent(file, depth + 2);
    fprintf(file, "OFFSET %.5f %.5f %.5f\n", 0.5 * (double)rest[0], 0.5 * (double)rest[1], 0.5 * (double)rest[2]);
    indent(file, depth + 1);
    fputs("}\n", file);
  }
  indent(file, depth);
  fputs("}\n", file);
}

static int write_bvh(const char* path, const lf_joint* joints, int count, const lf_motion* motion, float fps) {
  int* order = (int*)malloc(sizeof(int) * (size_t)count);
  FILE* file = fopen(path, "wb");
  int t, i, written = 0;
  if (file == NULL || order == NULL) {
    if (file != NULL) fclose(file);
    free(order);
    return 0;
  }
  fputs("HIERARCHY\n", file);
  write_joint(file, joints, count, 0, 0, order, &written);
  fprintf(file, "MOTION\nFrames: %d\nFrame Time: %.6f\n", (int)motion->frames, 1.0 / (double)fps);
  for (t = 0; t < motion->frames; ++t) {
    const float* root = motion->positions + 3 * t * count;
    fprintf(file, "%.5f %.5f %.5f", (double)root[0], (double)root[1], (double)root[2]);
    for (i = 0; i < count; ++i) {
      float degrees[3];
      euler_zxy(motion->rotations + 4 * (t * count + order[i]), degrees);
      fprintf(file, " %.5f %.5f %.5f", (double)degrees[0], (double)degrees[1], (double)degrees[2]);
    }
    fputc('\n', file);
  }
  free(order);
  return fclose(file) == 0;
}

int main(int argc, char** argv) {
  lf_model* model = NULL;
  lf_session* session = NULL;
  lf_session_params session_params;
  lf_generate_params params;
  lf_model_info info = {.struct_size = sizeof info};
  lf_motion motion = {.struct_size = sizeof motion};
  lf_joint* joints = NULL;
  lf_error error = {LF_OK, ""};
  int i, count, good = 0;

  if (argc < 4) {
    fprintf(stderr, "usage: %s MODEL \"PROMPT\" FILE.bvh [SECONDS] [SEED]\n", argv[0]);
    return 2;
  }
  if (lf_abi_version() != LF_ABI_VERSION) {
    fprintf(stderr, "the library is of another version than the header\n");
    return 1;
  }

  /* A model is loaded once; a session has the memory and the thread to work with it. */
  if (lf_model_load(argv[1], NULL, &model, &error) != LF_OK) goto end;
  if (lf_model_get_info(model, &info, &error) != LF_OK) goto end;
  lf_session_params_init(&session_params);
  session_params.units_per_metre = CENTIMETRES;
  session_params.max_streams = 0;
  if (lf_session_create(model, &session_params, &session, &error) != LF_OK) goto end;

  /* The skeleton, as data. */
  count = (int)lf_session_joint_count(session);
  joints = (lf_joint*)calloc((size_t)count, sizeof(lf_joint));
  motion.frame_capacity = info.max_frames;
  motion.positions = (float*)malloc(sizeof(float) * 3 * (size_t)(info.max_frames * count));
  motion.rotations = (float*)malloc(sizeof(float) * 4 * (size_t)(info.max_frames * count));
  if (joints == NULL || motion.positions == NULL || motion.rotations == NULL) goto end;
  for (i = 0; i < count; ++i) {
    joints[i].struct_size = sizeof(lf_joint);
    if (lf_session_joint(session, i, &joints[i], &error) != LF_OK) goto end;
  }

  /* What is wanted. */
  lf_generate_params_init(&params);
  params.prompt = argv[2];
  params.frames = LF_FRAMES_FROM_PROMPT;
  if (argc > 4) params.frames = (int32_t)(atof(argv[4]) * (double)info.frames_per_second + 0.5);
  if (argc > 5) params.seed = strtoull(argv[5], NULL, 10);
  if (lf_generate(session, &params, &motion, &error) != LF_OK) goto end;

  good = write_bvh(argv[3], joints, count, &motion, info.frames_per_second);
  if (good) {
    printf("%s: %d frames, %.1f s\n", argv[3], (int)motion.frames,
           (double)motion.frames / (double)info.frames_per_second);
  } else {
    fprintf(stderr, "%s cannot be written\n", argv[3]);
  }

end:
  if (error.status != LF_OK) fprintf(stderr, "%s\n", error.text);
  free(motion.positions);
  free(motion.rotations);
  free(joints);
  lf_session_destroy(session);
  lf_model_release(model);
  return good ? 0 : 1;
}
