// lamp_fast._native.Model: a whole model for Python.
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "arrays.h"
#include "bindings.h"
#include "generation.h"
#include "motion_features.h"
#include "skeleton.h"

namespace lf::python {
namespace {

[[noreturn]] void raise(const Error& error) {
  if (error.status == status::out_of_memory) throw std::bad_alloc();
  throw py::value_error(error.text);
}

Precision precision_of(const std::string& name) {
  if (name == "f32") return Precision::f32;
  if (name == "bf16") return Precision::bf16;
  if (name == "int8") return Precision::int8;
  throw py::value_error("precision is '" + name + "', expected f32, bf16 or int8");
}

const Kernels& kernels_of(const std::string& name) {
  if (name.empty()) return best_kernels();
  for (const Isa isa : kIsas) {
    if (name != isa_name(isa)) continue;
    if (const Kernels* kernels = find_kernels(isa)) return *kernels;
    throw py::value_error("this machine does not have the instruction set " + name);
  }
  throw py::value_error("no instruction set is called '" + name + "'");
}

Array<float> zeros(const std::vector<std::size_t>& shape) {
  Array<float> out(shape);
  std::fill_n(out.mutable_data(), out.size(), 0.0f);
  return out;
}

// Features and joints of a batch.
struct Decoded {
  Decoded(std::size_t batch, std::size_t most, const ModelSizes& sizes)
      : frames(most),
        width(sizes.features),
        skeleton(sizes.joints == kKit.joints ? kKit : kHumanML3D),
        features(zeros({batch, most, width})),
        joints(zeros({batch, most, sizes.joints, 3})),
        features_data(features.mutable_data()),
        joints_data(joints.mutable_data()) {}

  float* features_of(std::size_t b) const noexcept { return features_data + b * frames * width; }
  void find_joints(std::size_t b, std::size_t count) const noexcept {
    RootState start;
    features_to_joints(features_of(b), count, skeleton, start, joints_data + b * frames * skeleton.joints * 3);
  }

  std::size_t frames, width;
  const Skeleton& skeleton;
  Array<float> features, joints;
  float *features_data, *joints_data;
};

// Calls come from any thread, each takes a workspace for as long as it runs.
class NativeModel {
 public:
  NativeModel(const py::object& source, const std::string& precision, std::size_t threads, const std::string& isa)
      : executor_(threads > 1 ? Executor::pool(threads) : Executor()) {
    const Precision chosen = precision_of(precision);
    const Kernels& kernels = kernels_of(isa);
    Error error;
    bool loaded;
    if (py::isinstance<py::bytes>(source)) {
      char* data;
      py::ssize_t size;
      if (PyBytes_AsStringAndSize(source.ptr(), &data, &size) != 0) throw py::error_already_set();
      py::gil_scoped_release release;
      loaded = model_.read(data, static_cast<std::size_t>(size), chosen, system_allocator(), error, kernels);
    } else {
      const std::string path = py::str(py::module_::import("os").attr("fspath")(source));
      py::gil_scoped_release release;
      loaded = model_.open(path.c_str(), chosen, system_allocator(), error, kernels);
    }
    if (!loaded) raise(error);
  }

  // pieces (B, L), lengths (B) -> (B, condition_width)
  Array<float> condition(const py::object& pieces, const py::object& lengths) {
    return of_pieces(pieces, lengths, sizes().condition_width, &ReadingRequest::condition);
  }

  Array<float> text_embedding(const py::object& pieces, const py::object& lengths) {
    return of_pieces(pieces, lengths, sizes().embedding_width, &ReadingRequest::embedding);
  }

  // UTF-8 as it comes, through the core's own word pieces.
  Array<float> read(const std::vector<std::string>& prompts) {
    const std::size_t width = sizes().condition_width;
    Array<float> out({static_cast<py::ssize_t>(prompts.size()), static_cast<py::ssize_t>(width)});
    float* data = out.mutable_data();
    each(prompts.size(), 0, [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
      ReadingRequest request;
      request.text = prompts[b].data();
      request.text_bytes = prompts[b].size();
      request.condition = data + b * width;
      return Reading().run(model_, workspace, executor, request, error);
    });
    return out;
  }

  // features (T, F) -> (embedding_width)
  Array<float> motion_embedding(const py::object& features) {
    const auto frames = contiguous<float>(features, 2, "motion_embedding: features must be (T, F) float32");
    check_width(frames, "motion_embedding");
    Array<float> out(static_cast<py::ssize_t>(sizes().embedding_width));
    ReadingRequest request;
    request.embedding = out.mutable_data();
    read_motion(frames, 0, request);
    return out;
  }

  // features (T, F) -> (T / 4)
  Array<std::int64_t> encode(const py::object& features) {
    const auto frames = contiguous<float>(features, 2, "encode: features must be (T, F) float32");
    check_width(frames, "encode");
    const std::size_t tokens = static_cast<std::size_t>(frames.shape(0)) / kFramesPerToken;
    Array<std::int64_t> out(static_cast<py::ssize_t>(tokens));
    ReadingRequest request;
    request.ids = out.mutable_data();
    read_motion(frames, tokens, request);
    return out;
  }

  // condition (B, condition_width) -> (B)
  Array<std::int64_t> length(const py::object& condition) {
    const auto rows = conditions(condition, "length");
    const std::size_t width = sizes().condition_width;
    Array<std::int64_t> out(rows.shape(0));
    std::int64_t* data = out.mutable_data();
    each(static_cast<std::size_t>(rows.shape(0)), 0,
         [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
           std::size_t tokens = 0;
           const bool found = model_.length(workspace, executor, rows.data() + b * width, tokens, error);
           data[b] = static_cast<std::int64_t>(tokens);
           return found;
         });
    return out;
  }

  // condition (B, C), ids (B, N): the mask id where a code is wanted, lengths, seeds, samples (B) -> ids (B, N), those
  // at and beyond a length as they were; and features (B, 4N, F) and joints (B, 4N, J, 3), zero there, or None.
  py::tuple generate(const py::object& condition, const py::object& ids, const py::object& lengths,
                     const py::object& seeds, const py::object& samples, std::size_t steps, float guidance_scale,
                     float temperature, std::size_t top_k, bool decodes) {
    const auto rows = conditions(condition, "generate");
    const auto wanted = contiguous<std::int64_t>(ids, 2, "generate: ids must be (B, N) int64");
    const auto counts = vector(lengths, wanted.shape(0), "generate: lengths must be (B,) int64");
    const auto keys = vector(seeds, wanted.shape(0), "generate: seeds must be (B,) int64");
    const auto numbers = vector(samples, wanted.shape(0), "generate: samples must be (B,) int64");
    if (rows.shape(0) != wanted.shape(0)) throw py::value_error("generate: condition and ids differ in length");
    check_lengths(counts, wanted.shape(1));
    const std::size_t batch = static_cast<std::size_t>(wanted.shape(0)), width = sizes().condition_width;
    const std::size_t tokens = static_cast<std::size_t>(wanted.shape(1)), frame = sizes().features;
    const std::size_t frames = decodes ? tokens * kFramesPerToken : 0;
    Array<std::int64_t> drawn({wanted.shape(0), wanted.shape(1)});
    Decoded decoded(batch, frames, sizes());
    std::int64_t* ids_out = drawn.mutable_data();
    std::copy_n(wanted.data(), wanted.size(), ids_out);
    each(batch, 0, [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
      GenerationRequest request;
      request.condition = rows.data() + b * width;
      request.tokens = static_cast<std::size_t>(counts.data()[b]);
      request.known = ids_out + b * tokens;
      request.decoding.steps = steps;
      request.decoding.guidance_scale = guidance_scale;
      request.decoding.temperature = temperature;
      request.decoding.top_k = top_k;
      request.decoding.seed = static_cast<std::uint64_t>(keys.data()[b]);
      request.decoding.sample = static_cast<std::uint32_t>(numbers.data()[b]);
      request.decodes = decodes;
      Generation generation;
      if (!generation.begin(model_, workspace, executor, request, error)) return false;
      while (generation.advance()) {
      }
      std::copy_n(generation.ids(), request.tokens, ids_out + b * tokens);
      if (decodes) {
        std::copy_n(generation.features(), request.tokens * kFramesPerToken * frame, decoded.features_of(b));
        decoded.find_joints(b, request.tokens * kFramesPerToken);
      }
      return true;
    });
    if (!decodes) return py::make_tuple(drawn, py::none(), py::none());
    return py::make_tuple(drawn, decoded.features, decoded.joints);
  }

  // condition (B, C), ids (B, N), lengths (B) -> logits (branches, B, N, K), 0 where nothing is masked
  Array<float> score(const py::object& condition, const py::object& ids, const py::object& lengths, bool guided) {
    const auto rows = conditions(condition, "score");
    const auto wanted = contiguous<std::int64_t>(ids, 2, "score: ids must be (B, N) int64");
    const auto counts = vector(lengths, wanted.shape(0), "score: lengths must be (B,) int64");
    if (rows.shape(0) != wanted.shape(0)) throw py::value_error("score: condition and ids differ in length");
    check_lengths(counts, wanted.shape(1));
    const std::size_t batch = static_cast<std::size_t>(wanted.shape(0)),
                      tokens = static_cast<std::size_t>(wanted.shape(1));
    const std::size_t branches = guided ? 2 : 1, codes = sizes().codes, width = sizes().condition_width;
    Array<float> logits = zeros({branches, batch, tokens, codes});
    float* out = logits.mutable_data();
    each(batch, 0, [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
      const std::size_t length = static_cast<std::size_t>(counts.data()[b]);
      std::vector<float> both(branches * length * codes);
      if (!model_.score(workspace, executor, rows.data() + b * width, wanted.data() + b * tokens, length, guided,
                        both.data(), error)) {
        return false;
      }
      for (std::size_t branch = 0; branch < branches; ++branch) {
        std::copy_n(both.data() + branch * length * codes, length * codes, out + (branch * batch + b) * tokens * codes);
      }
      return true;
    });
    return logits;
  }

  // ids (B, N), lengths (B) -> features (B, 4N, F) and joints (B, 4N, J, 3), zero beyond a length; N of any size.
  py::tuple decode(const py::object& ids, const py::object& lengths) {
    const auto codes = contiguous<std::int64_t>(ids, 2, "decode: ids must be (B, N) int64");
    const auto counts = vector(lengths, codes.shape(0), "decode: lengths must be (B,) int64");
    check_lengths(counts, codes.shape(1));
    const std::size_t batch = static_cast<std::size_t>(codes.shape(0)),
                      tokens = static_cast<std::size_t>(codes.shape(1));
    Decoded decoded(batch, tokens * kFramesPerToken, sizes());
    each(batch, tokens, [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
      const std::size_t length = static_cast<std::size_t>(counts.data()[b]);
      if (!model_.decode(workspace, executor, codes.data() + b * tokens, length, decoded.features_of(b), error)) {
        return false;
      }
      decoded.find_joints(b, length * kFramesPerToken);
      return true;
    });
    return py::make_tuple(decoded.features, decoded.joints);
  }

  const char* isa() const { return isa_name(model_.isa()); }
  std::size_t threads() const { return executor_.threads(); }
  std::size_t bytes() const { return model_.bytes(); }
  std::size_t workspace_bytes() const { return Workspace::bytes(model_, 0); }

 private:
  struct Place {
    Workspace workspace;
    std::size_t max_tokens = 0;
  };

  const ModelSizes& sizes() const { return model_.sizes(); }

  // `work` for each of `count` samples: side by side where there are several, else with all threads in one.
  template <class Work>
  void each(std::size_t count, std::size_t max_tokens, Work&& work) {
    std::mutex mutex;
    Error first;
    py::gil_scoped_release release;
    const auto one = [&](std::size_t b, const Executor& executor) noexcept {
      Error error;
      try {
        std::unique_ptr<Place> place = take(max_tokens, error);
        const bool worked = place != nullptr && work(b, place->workspace, executor, error);
        if (place != nullptr) give(std::move(place));
        if (worked) return;
      } catch (const std::bad_alloc&) {
        error.status = status::out_of_memory;
      }
      const std::lock_guard<std::mutex> lock(mutex);
      if (first.status == status::ok) first = error;
    };
    if (count < executor_.threads()) {
      for (std::size_t b = 0; b < count; ++b) one(b, executor_);
    } else {
      const Executor alone;
      executor_.run(count, [&](std::size_t b) { one(b, alone); });
    }
    if (first.status != status::ok) {
      py::gil_scoped_acquire acquire;
      raise(first);
    }
  }

  std::unique_ptr<Place> take(std::size_t max_tokens, Error& error) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (std::unique_ptr<Place>& place : free_) {
        if (place->max_tokens < max_tokens) continue;
        std::unique_ptr<Place> found = std::move(place);
        place = std::move(free_.back());
        free_.pop_back();
        return found;
      }
    }
    auto made = std::make_unique<Place>();
    made->max_tokens = std::max(max_tokens, sizes().max_tokens);
    if (!made->workspace.create(model_, max_tokens, system_allocator(), error)) return nullptr;
    return made;
  }

  void give(std::unique_ptr<Place> place) {
    if (place->max_tokens > sizes().max_tokens) return;  // a long motion's: seldom needed, and large
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(std::move(place));
  }

  void read_motion(const Array<float>& features, std::size_t max_tokens, ReadingRequest& request) {
    request.features = features.data();
    request.frames = static_cast<std::size_t>(features.shape(0));
    each(1, max_tokens, [&](std::size_t, Workspace& workspace, const Executor& executor, Error& error) {
      return Reading().run(model_, workspace, executor, request, error);
    });
  }

  // What `wanted` points to for each text: `width` numbers.
  Array<float> of_pieces(const py::object& pieces, const py::object& lengths, std::size_t width,
                         float* ReadingRequest::* wanted) {
    const auto ids = contiguous<std::int64_t>(pieces, 2, "word pieces must be (B, L) int64");
    const auto counts = vector(lengths, ids.shape(0), "lengths must be (B,) int64");
    check_lengths(counts, ids.shape(1));
    const std::vector<std::int32_t> narrow(ids.data(), ids.data() + ids.size());
    const std::size_t longest = static_cast<std::size_t>(ids.shape(1));
    Array<float> out({ids.shape(0), static_cast<py::ssize_t>(width)});
    float* data = out.mutable_data();
    each(static_cast<std::size_t>(ids.shape(0)), 0,
         [&](std::size_t b, Workspace& workspace, const Executor& executor, Error& error) {
           ReadingRequest request;
           request.pieces = narrow.data() + b * longest;
           request.piece_count = static_cast<std::size_t>(counts.data()[b]);
           request.*wanted = data + b * width;
           return Reading().run(model_, workspace, executor, request, error);
         });
    return out;
  }

  static Array<std::int64_t> vector(const py::object& object, py::ssize_t size, const char* expected) {
    auto values = contiguous<std::int64_t>(object, 1, expected);
    if (values.shape(0) != size) throw py::value_error(expected);
    return values;
  }

  static void check_lengths(const Array<std::int64_t>& lengths, py::ssize_t most) {
    for (py::ssize_t b = 0; b < lengths.shape(0); ++b) {
      if (lengths.data()[b] < 1 || lengths.data()[b] > most) {
        throw py::value_error("a length is " + std::to_string(lengths.data()[b]) + ", expected 1 to " +
                              std::to_string(most));
      }
    }
  }

  Array<float> conditions(const py::object& condition, const char* who) const {
    const std::string expected =
        std::string(who) + ": condition must be (B, " + std::to_string(sizes().condition_width) + ") float32";
    auto rows = contiguous<float>(condition, 2, expected.c_str());
    if (static_cast<std::size_t>(rows.shape(1)) != sizes().condition_width) throw py::value_error(expected);
    return rows;
  }

  void check_width(const Array<float>& features, const char* who) const {
    if (static_cast<std::size_t>(features.shape(1)) == sizes().features) return;
    throw py::value_error(std::string(who) + ": a frame has " + std::to_string(features.shape(1)) +
                          " features, expected " + std::to_string(sizes().features));
  }

  Model model_;
  Executor executor_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Place>> free_;
};

}  // namespace
}  // namespace lf::python

void bind_model(pybind11::module_& module) {
  namespace py = pybind11;
  using lf::python::NativeModel;
  py::class_<NativeModel>(
      module, "Model",
      "A model file of `lamp-fast export native` (a path, or its bytes), ready to run. Safe to call "
      "from several threads; results are the same whatever `threads` is. ValueError: what is wrong "
      "with the file or an argument.")
      .def(py::init<const py::object&, const std::string&, std::size_t, const std::string&>(), py::arg("source"),
           py::arg("precision") = "f32", py::arg("threads") = 1, py::arg("isa") = "")
      .def_property_readonly("isa", &NativeModel::isa)
      .def_property_readonly("threads", &NativeModel::threads)
      .def_property_readonly("bytes", &NativeModel::bytes, "of memory held")
      .def_property_readonly("workspace_bytes", &NativeModel::workspace_bytes, "of memory for each call at a time")
      .def("condition", &NativeModel::condition, py::arg("pieces"), py::arg("lengths"),
           "word pieces (B, L) int64, lengths (B,) int64 -> the generator's condition (B, D) float32.")
      .def("read", &NativeModel::read, py::arg("prompts"), "B texts -> the generator's condition (B, D) float32.")
      .def("text_embedding", &NativeModel::text_embedding, py::arg("pieces"), py::arg("lengths"),
           "word pieces (B, L) int64, lengths (B,) int64 -> unit vectors (B, E) float32.")
      .def("motion_embedding", &NativeModel::motion_embedding, py::arg("features"),
           "features (T, F) float32 in the data set's units -> unit vector (E,) float32.")
      .def("encode", &NativeModel::encode, py::arg("features"),
           "features (T, F) float32 in the data set's units -> tokens (T // 4,) int64.")
      .def("length", &NativeModel::length, py::arg("condition"),
           "condition (B, D) float32 -> the most likely lengths (B,) int64, in tokens.")
      .def(
          "generate", &NativeModel::generate, py::arg("condition"), py::arg("ids"), py::arg("lengths"),
          py::arg("seeds"), py::arg("samples"), py::arg("steps"), py::arg("guidance_scale"), py::arg("temperature"),
          py::arg("top_k"), py::arg("decodes"),
          "condition (B, D) float32, ids (B, N) int64 with the mask id where a code is wanted, lengths, seeds, samples "
          "(B,) int64 -> ids (B, N) int64; features (B, 4N, F), joints (B, 4N, J, 3) float32, zero beyond a length, or "
          "None and None.")
      .def("score", &NativeModel::score, py::arg("condition"), py::arg("ids"), py::arg("lengths"), py::arg("guided"),
           "condition (B, D) float32, ids (B, N) int64, lengths (B,) int64 -> logits (2 or 1, B, N, K) float32 of the "
           "masked tokens, 0 elsewhere; with guided the second branch is the unconditional one.")
      .def("decode", &NativeModel::decode, py::arg("ids"), py::arg("lengths"),
           "ids (B, N) int64, codes up to their lengths (B,) int64 -> features (B, 4N, F), joints (B, 4N, J, 3) "
           "float32, "
           "zero beyond a length; N of any size.");
  module.def("best_isa", [] { return lf::isa_name(lf::best_isa()); }, "The instruction set that the kernels use here.");
}
