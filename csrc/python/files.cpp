// Model files and the words that they hold, for the tests of both.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "model_file.h"
#include "word_pieces.h"

namespace py = pybind11;

namespace {

// The words of a vocabulary, and the text that they point into.
class Words {
 public:
  explicit Words(std::string vocabulary) : vocabulary_(std::move(vocabulary)) {
    lf::Error error;
    if (!words_.read(vocabulary_, lf::system_allocator(), error)) throw py::value_error(error.text);
  }

  std::vector<std::int32_t> encode(const std::string& text, std::size_t max_tokens) const {
    lf::Error error;
    std::vector<std::int32_t> ids(std::max<std::size_t>(max_tokens, 2));
    std::size_t count = 0;
    if (!words_.encode(text, max_tokens, ids.data(), count, error)) throw py::value_error(error.text);
    ids.resize(count);
    return ids;
  }

 private:
  std::string vocabulary_;
  lf::WordPieces words_;
};

void check_model_file(const py::buffer& data) {
  const py::buffer_info bytes = data.request();
  lf::ModelFile file;
  lf::Error error;
  bool good;
  {
    py::gil_scoped_release release;
    good = lf::ModelFile::read(bytes.ptr, static_cast<std::size_t>(bytes.size * bytes.itemsize), lf::system_allocator(),
                               file, error);
  }
  if (!good) throw py::value_error(error.text);
}

}  // namespace

void bind_files(py::module_& module) {
  py::class_<Words>(module, "Words", "The splitter of prompts into word pieces.")
      .def(py::init<std::string>(), py::arg("vocabulary"), "vocabulary: bytes, a piece a line. ValueError: it is none.")
      .def("encode", &Words::encode, py::arg("text"), py::arg("max_tokens"),
           "text (str or UTF-8 bytes) -> ids, [CLS] and [SEP] included. ValueError: a prompt that the model cannot "
           "read.");
  module.def("check_model_file", &check_model_file, py::arg("data"),
             "ValueError, with the sentence that says why, unless `data` is a whole model file.");
}
