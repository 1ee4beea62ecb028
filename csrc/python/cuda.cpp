// lamp_fast._native.cuda: csrc/include/lamp_fast_cuda.h for Python. Arrays are addresses in the GPU's memory
// (tensor.data_ptr()), a stream is torch.cuda.current_stream().cuda_stream; 0 where there is none. Whoever calls has
// checked shapes.
#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <string_view>

#include "bindings.h"
#include "lamp_fast_cuda.h"

namespace py = pybind11;

namespace {

using Address = std::uintptr_t;

template <typename T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

// call(lf_cuda_error*) -> status, without the interpreter lock. MemoryError, ValueError or RuntimeError with its
// sentence.
template <typename Call>
void checked(Call call) {
  lf_cuda_error error{};
  std::int32_t status;
  {
    py::gil_scoped_release release;
    status = call(&error);
  }
  if (status == LF_CUDA_OK) return;
  if (status == LF_CUDA_ERROR_OUT_OF_MEMORY) {
    PyErr_SetString(PyExc_MemoryError, error.text);
    throw py::error_already_set();
  }
  if (status == LF_CUDA_ERROR_NO_DEVICE || status == LF_CUDA_ERROR_DEVICE) throw std::runtime_error(error.text);
  throw py::value_error(error.text);
}

struct DestroyGenerator {
  void operator()(lf_cuda_generator* generator) const { lf_cuda_generator_destroy(generator); }
};
struct DestroyPlan {
  void operator()(lf_cuda_plan* plan) const { lf_cuda_plan_destroy(plan); }
};

std::int32_t numbers_of(const std::string& name) {
  if (name == "float32") return LF_CUDA_FLOAT32;
  if (name == "bfloat16") return LF_CUDA_BFLOAT16;
  throw py::value_error("numbers is '" + name + "'; give float32 or bfloat16");
}

class Generator {
 public:
  Generator(const py::object& file, const std::string& numbers) {
    const std::int32_t wanted = numbers_of(numbers);
    lf_cuda_generator* made = nullptr;
    if (py::isinstance<py::bytes>(file)) {
      const std::string_view bytes = file.cast<std::string_view>();
      checked([&](lf_cuda_error* error) {
        return lf_cuda_generator_create(bytes.data(), bytes.size(), wanted, &made, error);
      });
    } else {
      const std::string path = py::str(file);
      checked([&](lf_cuda_error* error) { return lf_cuda_generator_open(path.c_str(), wanted, &made, error); });
    }
    generator_.reset(made);
  }

  lf_cuda_generator* get() const { return generator_.get(); }
  lf_cuda_generator_info info() const {
    lf_cuda_generator_info info{};
    info.struct_size = sizeof info;
    checked([&](lf_cuda_error* error) { return lf_cuda_generator_get_info(generator_.get(), &info, error); });
    return info;
  }

 private:
  std::unique_ptr<lf_cuda_generator, DestroyGenerator> generator_;
};

class Plan {
 public:
  Plan(std::shared_ptr<Generator> generator, std::int32_t samples, std::int32_t tokens, std::int32_t steps, bool guided,
       bool dependent_launch, bool decodes)
      : generator_(std::move(generator)) {
    lf_cuda_plan_params params{};
    params.struct_size = sizeof params;
    params.samples = samples, params.tokens = tokens, params.steps = steps;
    params.guided = guided, params.dependent_launch = dependent_launch, params.decodes = decodes;
    lf_cuda_plan* made = nullptr;
    checked([&](lf_cuda_error* error) { return lf_cuda_generator_prepare(generator_->get(), &params, &made, error); });
    plan_.reset(made);
  }

  void launch(Address condition, Address known, Address lengths, Address seeds, Address sample_numbers,
              float guidance_scale, float temperature, std::int32_t top_k, Address ids, Address features,
              Address joints, Address stream) {
    lf_cuda_request request{};
    request.struct_size = sizeof request;
    request.condition = pointer<const float>(condition);
    request.known = pointer<const std::int64_t>(known), request.lengths = pointer<const std::int64_t>(lengths);
    request.seeds = pointer<const std::int64_t>(seeds);
    request.sample_numbers = pointer<const std::int64_t>(sample_numbers);
    request.guidance_scale = guidance_scale, request.temperature = temperature, request.top_k = top_k;
    request.ids = pointer<std::int64_t>(ids);
    request.features = pointer<float>(features), request.joints = pointer<float>(joints);
    checked(
        [&](lf_cuda_error* error) { return lf_cuda_plan_launch(plan_.get(), &request, pointer<void>(stream), error); });
  }

  std::uint64_t bytes() const { return lf_cuda_plan_bytes(plan_.get()); }

 private:
  std::shared_ptr<Generator> generator_;  // outlives the plan
  std::unique_ptr<lf_cuda_plan, DestroyPlan> plan_;
};

void codebook_lookup(Address x, std::int64_t rows, Address codebook, std::int32_t codes, std::int32_t width,
                     Address indices, Address workspace, Address stream) {
  checked([&](lf_cuda_error* error) {
    return lf_cuda_codebook_lookup(pointer<const float>(x), rows, pointer<const float>(codebook), codes, width,
                                   pointer<std::int64_t>(indices), pointer<void>(workspace), pointer<void>(stream),
                                   error);
  });
}

void decode_step(Address logits, Address unconditional, const std::string& numbers, std::int32_t samples,
                 std::int32_t positions, std::int32_t codes, std::int32_t scored, std::uint32_t step, Address ids,
                 Address next_count, Address seeds, Address sample_numbers, Address noise, float guidance_scale,
                 float temperature, std::int32_t top_k, Address out_ids, Address confidence, Address arrivals,
                 Address stream) {
  lf_cuda_decode_step_params params{};
  params.struct_size = sizeof params;
  params.logits = pointer<const void>(logits), params.unconditional = pointer<const void>(unconditional);
  params.logits_numbers = numbers_of(numbers);
  params.samples = samples, params.positions = positions, params.codes = codes, params.scored = scored;
  params.step = step;
  params.ids = pointer<const std::int64_t>(ids), params.next_count = pointer<const std::int64_t>(next_count);
  params.seeds = pointer<const std::int64_t>(seeds);
  params.sample_numbers = pointer<const std::int64_t>(sample_numbers);
  params.noise = pointer<const float>(noise);
  params.guidance_scale = guidance_scale, params.temperature = temperature, params.top_k = top_k;
  params.out_ids = pointer<std::int64_t>(out_ids), params.confidence = pointer<float>(confidence);
  params.arrivals = pointer<std::int32_t>(arrivals);
  checked([&](lf_cuda_error* error) { return lf_cuda_decode_step(&params, pointer<void>(stream), error); });
}

}  // namespace

void bind_cuda(py::module_& parent) {
  py::module_ module =
      parent.def_submodule("cuda", "The native core on NVIDIA GPUs; lamp_fast_cuda.h says what each call takes.");
  module.def(
      "find_device", [] { checked(lf_cuda_find_device); }, "RuntimeError with a sentence where there is no GPU.");
  module.def("use_device", [](std::int32_t device) {
    checked([=](lf_cuda_error* error) { return lf_cuda_use_device(device, error); });
  });
  module.def("codebook_lookup_workspace", &lf_cuda_codebook_lookup_workspace, py::arg("rows"), py::arg("codes"),
             py::arg("width"));
  module.def("codebook_lookup", &codebook_lookup, py::arg("x"), py::arg("rows"), py::arg("codebook"), py::arg("codes"),
             py::arg("width"), py::arg("indices"), py::arg("workspace"), py::arg("stream"));
  module.def("decode_step", &decode_step, py::arg("logits"), py::arg("unconditional"), py::arg("numbers"),
             py::arg("samples"), py::arg("positions"), py::arg("codes"), py::arg("scored"), py::arg("step"),
             py::arg("ids"), py::arg("next_count"), py::arg("seeds"), py::arg("sample_numbers"), py::arg("noise"),
             py::arg("guidance_scale"), py::arg("temperature"), py::arg("top_k"), py::arg("out_ids"),
             py::arg("confidence"), py::arg("arrivals"), py::arg("stream"));
  py::class_<Generator, std::shared_ptr<Generator>>(module, "Generator", py::module_local())
      .def(py::init<const py::object&, const std::string&>(), py::arg("file"), py::arg("numbers") = "bfloat16",
           "The generator of a file of `lamp-fast export native`, its path or its bytes; numbers: float32 or bfloat16.")
      .def_property_readonly("codes", [](const Generator& self) { return self.info().codes; })
      .def_property_readonly("max_tokens", [](const Generator& self) { return self.info().max_tokens; })
      .def_property_readonly("condition_width", [](const Generator& self) { return self.info().condition_width; })
      .def_property_readonly("features", [](const Generator& self) { return self.info().features; })
      .def_property_readonly("joints", [](const Generator& self) { return self.info().joints; })
      .def_property_readonly("frames_of_token", [](const Generator& self) { return self.info().frames_of_token; })
      .def_property_readonly("bytes", [](const Generator& self) { return self.info().bytes; });
  py::class_<Plan>(module, "Plan", py::module_local())
      .def(py::init<std::shared_ptr<Generator>, std::int32_t, std::int32_t, std::int32_t, bool, bool, bool>(),
           py::arg("generator"), py::arg("samples"), py::arg("tokens"), py::arg("steps"), py::arg("guided") = true,
           py::arg("dependent_launch") = false, py::arg("decodes") = false)
      .def("launch", &Plan::launch, py::arg("condition"), py::arg("known"), py::arg("lengths"), py::arg("seeds"),
           py::arg("sample_numbers"), py::arg("guidance_scale"), py::arg("temperature"), py::arg("top_k"),
           py::arg("ids"), py::arg("features"), py::arg("joints"), py::arg("stream"))
      .def_property_readonly("bytes", &Plan::bytes);
}
