// Motion for Python: features, rotations, coordinates and the playing buffer, as a game has them.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>
#include <string>
#include <vector>

#include "bindings.h"
#include "coordinates.h"
#include "joints_to_features.h"
#include "motion_features.h"
#include "rotations.h"
#include "stream.h"

namespace py = pybind11;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

const lf::Skeleton& skeleton_of_joints(py::ssize_t joints) {
  if (joints == 22) return lf::kHumanML3D;
  if (joints == 21) return lf::kKit;
  throw py::value_error("joints must be (T, 22, 3) or (T, 21, 3) float32 with at least one frame");
}

const lf::Skeleton& skeleton_of_width(py::ssize_t width) {
  const lf::Skeleton* const skeleton = lf::skeleton_of_features(static_cast<std::size_t>(width));
  if (skeleton == nullptr) throw py::value_error("features must be (T, 263) or (T, 251) float32");
  return *skeleton;
}

lf::Preset preset_of(const std::string& name) {
  const char* const names[] = {"gltf", "unity", "unreal", "blender"};
  for (int i = 0; i < 4; ++i) {
    if (name == names[i]) return static_cast<lf::Preset>(i);
  }
  throw py::value_error("coordinates must be gltf, unity, unreal or blender");
}

Array<float> offsets_of(const lf::RestPose& rest, std::size_t nodes) {
  Array<float> offsets({nodes, std::size_t{3}});
  for (std::size_t node = 0; node < nodes; ++node) lf::store(rest.offsets[node], offsets.mutable_data() + 3 * node);
  return offsets;
}

Array<float> features_to_joints(const Array<float>& features) {
  if (features.ndim() != 2) throw py::value_error("features must be (T, 263) or (T, 251) float32");
  const lf::Skeleton& skeleton = skeleton_of_width(features.shape(1));
  Array<float> joints({features.shape(0), static_cast<py::ssize_t>(skeleton.joints), py::ssize_t{3}});
  float* const out = joints.mutable_data();
  py::gil_scoped_release release;
  lf::RootState state;
  lf::features_to_joints(features.data(), features.shape(0), skeleton, state, out);
  return joints;
}

Array<float> joints_to_features(const Array<float>& joints) {
  if (joints.ndim() != 3 || joints.shape(2) != 3 || joints.shape(0) < 2) {
    throw py::value_error("joints must be (T, 22, 3) or (T, 21, 3) float32 with at least two frames");
  }
  const lf::Skeleton& skeleton = skeleton_of_joints(joints.shape(1));
  const std::size_t frames = joints.shape(0);
  Array<float> features({frames - 1, skeleton.features()});
  float* const out = features.mutable_data();
  bool good;
  {
    py::gil_scoped_release release;
    lf::Buffer<double> scratch(lf::joints_to_features_scratch(frames), lf::system_allocator());
    good = lf::joints_to_features(joints.data(), frames, skeleton, scratch.data(), out);
  }
  if (!good) throw py::value_error("joints hold a bone of zero length, NaN or an infinity");
  return features;
}

py::tuple local_rotations(const Array<float>& joints, bool bases) {
  if (joints.ndim() != 3 || joints.shape(2) != 3 || joints.shape(0) == 0) skeleton_of_joints(0);
  const lf::Hierarchy& hierarchy = lf::nodes_of(skeleton_of_joints(joints.shape(1)), bases);
  const std::size_t frames = joints.shape(0);
  Array<float> rotations({frames, hierarchy.nodes, std::size_t{4}});
  float* const out = rotations.mutable_data();
  lf::RestPose rest;
  {
    py::gil_scoped_release release;
    lf::Placed<lf::RotationScratch> scratch(lf::system_allocator(), frames);
    rest = lf::measured_rest(joints.data(), frames, hierarchy);
    lf::local_rotations(joints.data(), frames, 0, hierarchy, rest, scratch.value, out);
  }
  return py::make_tuple(rotations, offsets_of(rest, hierarchy.nodes));
}

template <typename Convert>
Array<float> converted(const Array<float>& values, py::ssize_t width, Convert convert) {
  if (values.ndim() < 1 || values.shape(values.ndim() - 1) != width)
    throw py::value_error("the last size does not fit");
  Array<float> result(std::vector<py::ssize_t>(values.shape(), values.shape() + values.ndim()));
  for (py::ssize_t i = 0; i < values.size(); i += width) convert(values.data() + i, result.mutable_data() + i);
  return result;
}

class Stream {
 public:
  Stream(py::ssize_t width, const std::string& coordinates, float units, std::size_t max_tokens, std::size_t frames,
         bool in_place)
      : options_(options(width, coordinates, units, frames, in_place)),
        stream_(lf::system_allocator(), options_),
        scratch_(lf::system_allocator(), max_tokens) {}

  void append(const Array<std::int64_t>& tokens, const Array<float>& features, std::size_t overlap, std::size_t blend) {
    const std::size_t count = tokens.size();
    if (features.ndim() != 2 || features.shape(0) != static_cast<py::ssize_t>(lf::kFramesPerToken * count) ||
        features.shape(1) != static_cast<py::ssize_t>(options_.hierarchy->skeleton->features())) {
      throw py::value_error("features must be (4 N, F) for N tokens");
    }
    lf::Error error;
    if (!stream_.value.append({tokens.data(), features.data(), count, overlap, blend}, scratch_.value, error)) {
      throw py::value_error(error.text);
    }
  }

  py::dict sample(double time) {
    const std::size_t nodes = options_.hierarchy->nodes;
    Array<float> positions({nodes, std::size_t{3}}), rotations({nodes, std::size_t{4}});
    lf::Pose pose;
    pose.positions = positions.mutable_data();
    pose.rotations = rotations.mutable_data();
    const bool plays = stream_.value.sample(time, pose);
    py::dict result;
    result["plays"] = plays;
    result["positions"] = positions;
    result["rotations"] = rotations;
    result["root_position"] = Array<float>(3, pose.root_position);
    result["root_rotation"] = Array<float>(4, pose.root_rotation);
    result["root_step"] = Array<float>(3, pose.root_step);
    result["root_turn"] = pose.root_turn;
    result["contacts"] = Array<float>(lf::kContacts, pose.contacts);
    result["frame"] = pose.frame;
    result["segment"] = pose.segment;
    return result;
  }

  Array<std::int64_t> last_tokens(std::size_t count) const {
    std::vector<std::int64_t> tokens(count);
    count = stream_.value.last_tokens(tokens.data(), count);
    return Array<std::int64_t>(count, tokens.data());
  }

  std::uint64_t committed() const { return stream_.value.committed(); }
  std::size_t room() const { return stream_.value.room(); }

 private:
  static lf::StreamOptions options(py::ssize_t width, const std::string& coordinates, float units, std::size_t frames,
                                   bool in_place) {
    lf::StreamOptions options;
    const lf::Skeleton& skeleton = skeleton_of_width(width);
    options.hierarchy = &lf::nodes_of(skeleton, true);
    options.rest = lf::standard_rest(*options.hierarchy);
    options.coordinates = lf::Coordinates(preset_of(coordinates), units);
    options.fps = skeleton.fps;
    options.frames = frames;
    options.in_place = in_place;
    return options;
  }

  lf::StreamOptions options_;
  lf::Placed<lf::Stream> stream_;
  lf::Placed<lf::SegmentScratch> scratch_;
};

}  // namespace

void bind_motion(py::module_& module) {
  module.def("features_to_joints", &features_to_joints, py::arg("features"),
             "features (T, F) float32, not normalised -> joints (T, J, 3) float32, metres. ValueError: wrong width.");
  module.def("joints_to_features", &joints_to_features, py::arg("joints"),
             "joints (T, J, 3) float32, metres, any place and heading -> features (T - 1, F) float32. "
             "ValueError: wrong shape, a bone of zero length, values that are not finite.");
  module.def(
      "local_rotations", &local_rotations, py::arg("joints"), py::arg("bases") = true,
      "joints (T, J, 3) float32 -> rotations (T, K, 4), w first, relative to the parent, and T-pose bones (K, 3). "
      "ValueError: wrong shape.");
  module.def(
      "standard_rest",
      [](py::ssize_t joints, bool bases) {
        const lf::Hierarchy& hierarchy = lf::nodes_of(skeleton_of_joints(joints), bases);
        return offsets_of(lf::standard_rest(hierarchy), hierarchy.nodes);
      },
      py::arg("joints") = 22, py::arg("bases") = true, "T-pose bones (K, 3) in metres of the body that streams move.");
  module.def(
      "hierarchy",
      [](py::ssize_t joints, bool bases) {
        const lf::Hierarchy& hierarchy = lf::nodes_of(skeleton_of_joints(joints), bases);
        py::list names, parents, lies_on;
        for (std::size_t node = 0; node < hierarchy.nodes; ++node) {
          names.append(hierarchy.names[node]);
          parents.append(static_cast<int>(hierarchy.parents[node]));
          lies_on.append(static_cast<int>(hierarchy.joints[node]));
        }
        return py::make_tuple(py::tuple(names), py::tuple(parents), py::tuple(lies_on));
      },
      py::arg("joints") = 22, py::arg("bases") = true, "Names, parents and joints of the nodes.");
  module.def(
      "positions_in",
      [](const std::string& coordinates, const Array<float>& positions) {
        const lf::Coordinates space(preset_of(coordinates));
        return converted(positions, 3, [&](const float* in, float* out) { space.position(in, out); });
      },
      py::arg("coordinates"), py::arg("positions"), "positions (..., 3), metres, in a program's axes and unit.");
  module.def(
      "rotations_in",
      [](const std::string& coordinates, const Array<float>& rotations) {
        const lf::Coordinates space(preset_of(coordinates));
        return converted(rotations, 4, [&](const float* in, float* out) { space.rotation(in, out); });
      },
      py::arg("coordinates"), py::arg("rotations"), "rotations (..., 4), w first, in a program's axes.");
  py::class_<Stream>(module, "Stream", "A character's playing buffer; see csrc/core/stream.h.")
      .def(py::init<py::ssize_t, const std::string&, float, std::size_t, std::size_t, bool>(),
           py::arg("features") = 263, py::arg("coordinates") = "gltf", py::arg("units") = 0.0f,
           py::arg("max_tokens") = 49, py::arg("frames") = 512, py::arg("in_place") = false)
      .def("append", &Stream::append, py::arg("tokens"), py::arg("features"), py::arg("overlap") = 0,
           py::arg("blend") = 8)
      .def("sample", &Stream::sample, py::arg("time"))
      .def("last_tokens", &Stream::last_tokens, py::arg("count"))
      .def_property_readonly("committed", &Stream::committed)
      .def_property_readonly("room", &Stream::room);
}
