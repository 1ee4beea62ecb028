/* The library loads without a driver and says so in a sentence; with a GPU, a lookup through the C interface. */
#include <stdio.h>
#include <string.h>

#include "lamp_fast_cuda.h"

static int failures = 0;

static void expect(int condition, const char* what) {
  if (condition) return;
  printf("FAILED: %s\n", what);
  ++failures;
}

int main(void) {
  lf_cuda_error error;
  lf_cuda_generator* generator = NULL;
  lf_cuda_plan_params params;
  lf_cuda_plan* plan = NULL;
  int64_t index = -1;
  float number = 0;
  int32_t found;

  memset(&error, 0, sizeof error);
  expect(lf_cuda_codebook_lookup_workspace(49, 512, 512) >= 49 * 20, "the workspace of a lookup");
  expect(lf_cuda_codebook_lookup(NULL, 1, NULL, 1, 1, NULL, NULL, NULL, &error) == LF_CUDA_ERROR_INVALID_ARGUMENT &&
             strcmp(error.text, "x is NULL.") == 0,
         "a missing array is named");
  memset(&params, 0, sizeof params);
  expect(lf_cuda_generator_prepare(generator, &params, &plan, &error) == LF_CUDA_ERROR_INVALID_ARGUMENT,
         "a missing generator");
  expect(lf_cuda_decode_step(NULL, NULL, NULL) == LF_CUDA_ERROR_INVALID_ARGUMENT, "an error need not be given");
  lf_cuda_generator_destroy(NULL);
  lf_cuda_plan_destroy(NULL);

  found = lf_cuda_find_device(&error);
  if (found == LF_CUDA_OK) {
    printf("a GPU is there; tests/gpu has more\n");
  } else {
    printf("%s\n", error.text);
    expect(found == LF_CUDA_ERROR_NO_DEVICE, "no GPU is told from other errors");
    expect(strlen(error.text) > 20 && error.text[strlen(error.text) - 1] == '.', "in a sentence");
    expect(lf_cuda_codebook_lookup(&number, 1, &number, 1, 1, &index, &number, NULL, &error) == LF_CUDA_ERROR_NO_DEVICE,
           "whatever is launched says so");
    expect(lf_cuda_generator_open("missing", LF_CUDA_BFLOAT16, &generator, &error) == LF_CUDA_ERROR_NO_DEVICE,
           "so does what is loaded");
  }
  return failures == 0 ? 0 : 1;
}
