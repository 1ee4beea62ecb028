/* The header and the library as a C99 program meets them, without a model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lamp_fast.h"

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("FAILED: %s\n", what);
  ++failures;
}

static void versions_and_statuses(void) {
  int32_t status;
  expect(lf_abi_version() == LF_ABI_VERSION, "header and library agree");
  expect(strchr(lf_version(), '.') != NULL, "a version has dots");
  expect(strcmp(lf_status_string(LF_OK), "success") == 0, "a status has words");
  expect(strcmp(lf_status_string(12345), "unknown status") == 0, "an unknown status too");
  for (status = LF_ERROR_INTERNAL; status <= LF_UNDERRUN; ++status) {
    expect(strcmp(lf_status_string(status), "unknown status") != 0, "every status has words of its own");
  }
}

static void lookup(void) {
  const float codebook[] = {0.0f, 0.0f, 1.0f, 1.0f, 2.0f, 0.0f};
  float x[] = {1.9f, 0.2f, 0.1f, -0.1f};
  int64_t indices[2] = {-7, -7};
  expect(lf_codebook_lookup(x, 2, codebook, 3, 2, indices) == LF_OK, "lookup succeeds");
  expect(indices[0] == 2 && indices[1] == 0, "lookup finds the nearest");
  expect(lf_codebook_lookup(NULL, 0, codebook, 3, 2, NULL) == LF_OK, "no rows is fine");

  indices[0] = -7;
  expect(lf_codebook_lookup(x, 2, codebook, 0, 2, indices) == LF_ERROR_INVALID_ARGUMENT, "no codes is an error");
  expect(lf_codebook_lookup(x, 2, codebook, 3, 0, indices) == LF_ERROR_INVALID_ARGUMENT, "no width is an error");
  expect(lf_codebook_lookup(NULL, 2, codebook, 3, 2, indices) == LF_ERROR_INVALID_ARGUMENT, "NULL is an error");
  expect(indices[0] == -7, "an error writes nothing");

  x[0] = NAN;
  expect(lf_codebook_lookup(x, 2, codebook, 3, 2, indices) == LF_ERROR_NOT_FINITE, "NaN is reported");
  expect(indices[0] == -1 && indices[1] == 0, "and harms its own row only");
}

static void search(void) {
  float clips[5][2] = {{0.0f, 1.0f}, {1.0f, 0.0f}, {0.6f, 0.8f}, {1.0f, 0.0f}, {0.0f, 0.0f}};
  float query[2] = {1.0f, 0.0f}, scores[5];
  uint64_t indices[5], found = 77;
  lf_error error;
  expect(lf_search(clips[0], 5, 2, query, 3, indices, scores, &found, NULL) == LF_OK, "search succeeds");
  expect(found == 3 && indices[0] == 1 && indices[1] == 3 && indices[2] == 2, "best first, of equal ones the first");
  expect(scores[0] == 1.0f && scores[2] == 0.6f, "and their scores");
  expect(lf_search(clips[0], 5, 2, query, 9, indices, scores, &found, NULL) == LF_OK && found == 5,
         "more than there are");
  expect(lf_search(NULL, 0, 2, query, 3, indices, scores, &found, NULL) == LF_OK && found == 0, "no clips");
  expect(lf_search(clips[0], 5, 2, query, 0, NULL, NULL, &found, NULL) == LF_OK && found == 0, "none wanted");

  clips[1][0] = NAN;
  expect(lf_search(clips[0], 5, 2, query, 1, indices, scores, &found, NULL) == LF_OK && indices[0] == 3,
         "NaN is not found");
  query[1] = NAN;
  expect(lf_search(clips[0], 5, 2, query, 1, indices, scores, &found, &error) == LF_ERROR_NOT_FINITE, "a query of NaN");
  expect(error.status == LF_ERROR_NOT_FINITE && strstr(error.text, "NaN") != NULL, "is told in words");
  expect(lf_search(clips[0], 5, 0, query, 1, indices, scores, &found, NULL) == LF_ERROR_INVALID_ARGUMENT, "no width");
  expect(lf_search(clips[0], 5, 2, NULL, 1, indices, scores, &found, NULL) == LF_ERROR_INVALID_ARGUMENT, "no query");
}

static void nothing_is_nothing(void) {
  lf_model* model = NULL;
  lf_session* session = NULL;
  lf_stream* stream = NULL;
  lf_error error;
  lf_model_params params;
  lf_generate_params what;
  lf_motion motion = {.struct_size = sizeof motion};
  lf_pose pose = {.struct_size = sizeof pose};
  lf_request request = 0;
  uint64_t bytes = 0, alignment = 0;
  float numbers[1] = {0.0f};

  expect(lf_model_params_init(NULL) == LF_ERROR_INVALID_ARGUMENT, "init of NULL");
  expect(lf_session_params_init(NULL) == LF_ERROR_INVALID_ARGUMENT, "init of NULL");
  expect(lf_generate_params_init(NULL) == LF_ERROR_INVALID_ARGUMENT, "init of NULL");
  expect(lf_stream_params_init(NULL) == LF_ERROR_INVALID_ARGUMENT, "init of NULL");
  lf_generate_params_init(&what);

  expect(lf_model_load(NULL, NULL, &model, NULL) == LF_ERROR_INVALID_ARGUMENT, "no path");
  expect(lf_model_load("x", NULL, NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "nowhere to put a model");
  expect(lf_model_load("there/is/no/such file", NULL, &model, &error) == LF_ERROR_FILE, "no file");
  expect(strstr(error.text, "no/such file") != NULL, "which is named");
  expect(lf_model_load_memory("lamp", 4, NULL, &model, &error) == LF_ERROR_FORMAT, "four bytes are no model");
  lf_model_params_init(&params);
  params.struct_size = 3;
  expect(lf_model_load("x", &params, &model, NULL) == LF_ERROR_STRUCT_SIZE, "a struct of another size");
  lf_model_params_init(&params);
  params.precision = 9;
  expect(lf_model_load("x", &params, &model, NULL) == LF_ERROR_INVALID_ARGUMENT, "no such precision");
  expect(model == NULL, "an error makes no model");
  lf_model_retain(NULL);
  lf_model_release(NULL);

  expect(lf_session_create(NULL, NULL, &session, NULL) == LF_ERROR_INVALID_ARGUMENT, "a session of no model");
  expect(lf_session_memory(NULL, NULL, &bytes, &alignment, NULL) == LF_ERROR_INVALID_ARGUMENT, "memory of no model");
  expect(lf_session_pump(NULL, 0) == LF_ERROR_INVALID_ARGUMENT, "no session to pump");
  expect(lf_session_joint_count(NULL) == 0, "no session, no joints");
  expect(lf_session_joint(NULL, 0, NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "no joint");
  expect(lf_session_get_stats(NULL, NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "no stats");
  expect(lf_generate(NULL, &what, &motion, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to generate");
  expect(lf_encode_prompt(NULL, "x", numbers, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to encode");
  expect(lf_embed_text(NULL, "x", numbers, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to embed");
  expect(lf_embed_motion(NULL, numbers, 8, numbers, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to embed");
  expect(lf_request_submit(NULL, &what, &request, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to ask");
  expect(lf_request_poll(NULL, 1, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session to poll");
  expect(lf_request_cancel(NULL, 1) == LF_ERROR_INVALID_ARGUMENT, "no session to cancel");
  expect(lf_request_result(NULL, 1, &motion, NULL) == LF_ERROR_INVALID_ARGUMENT, "no session for a result");
  expect(lf_request_release(NULL, 1) == LF_ERROR_INVALID_ARGUMENT, "no session to release");
  expect(lf_stream_create(NULL, NULL, &stream, NULL) == LF_ERROR_INVALID_ARGUMENT, "a stream of no session");
  expect(lf_stream_append(NULL, &what, NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "no stream to append to");
  expect(lf_stream_get_info(NULL, NULL) == LF_ERROR_INVALID_ARGUMENT, "no stream to ask");
  expect(lf_stream_sample(NULL, 0.0, &pose) == LF_ERROR_INVALID_ARGUMENT, "no stream to sample");
  lf_stream_destroy(NULL);
  lf_session_destroy(NULL);
}

int main(void) {
  versions_and_statuses();
  lookup();
  search();
  nothing_is_nothing();
  return failures == 0 ? 0 : 1;
}
